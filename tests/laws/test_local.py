"""The compiled search's record of a placement says what the checker says, move after move."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from generate import instances_with
from goal_laws import Case, Formulated, Scored
from numpy.typing import NDArray

from optalloc.engines.local import dense, moves
from optalloc.engines.local.loading import LoadedTables, load_tables
from optalloc.engines.local.placed import Placed, focus
from optalloc.engines.local.pricing import chain_price, leave, shift_price
from optalloc.engines.local.scanning import scan_nodes, scan_slots
from optalloc.engines.local.tables import SEVERAL_HOMES
from optalloc.engines.local.walk import HELD, LIMIT, SHIFT, SWAP, TEMPERATURE, VIOLATION
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.registry import policy_classes

IntArray = NDArray[np.int64]
SEEDS = 24
"""Random instances of each policy class."""
SCANNED = 40
"""The same for scans, which leave something out in few of them."""
STEPS, MOVES = 6, 30
"""Looks at a walk, and moves between them."""
PAIRS = 20
"""Moves of two replicas that are priced."""


def searchable(kind: str, seeds: int = SEEDS) -> Iterator[tuple[Formulated, LoadedTables]]:
    """The instances drawn for a policy class for which the search has words."""
    for seed in range(seeds):
        formulated = Formulated(Case(instances_with(policy_classes()[kind], seed), seed))
        try:
            yield formulated, load_tables(formulated.problem)
        except Unsupported:
            continue


def known_to_search(formulated: Formulated, loaded: LoadedTables, scored: Scored) -> bool:
    """Whether a placement keeps what the search cannot even try: labels, and required tasks."""
    if formulated.merges_nodes and formulated.overloaded(scored):
        return False
    rules = {violation.rule for violation in scored.report.violations if violation.hard}
    return not rules & {"labels", "required"} and loaded.values(scored.placement) is not None


def agrees(placed: Placed, scored: Scored) -> None:
    """Levels are the checker's, and there are violations where the checker finds some."""
    tables, state = placed.tables, placed.state
    assert tuple(state.total[: tables.levels]) == scored.levels
    kept = state.violation[0] == 0 and bool(np.all(state.total <= tables.limit))
    assert kept == scored.report.feasible


@pytest.mark.parametrize("kind", policy_classes())
def test_a_placement_has_the_values_that_the_checker_finds(kind: str) -> None:
    compared = 0
    for formulated, loaded in searchable(kind):
        for scored in formulated.case.scored:
            if known_to_search(formulated, loaded, scored):
                values = loaded.values(scored.placement)
                assert values is not None
                # Merged nodes are filled one after the other: what is dealt out may be better.
                dealt = formulated.case.score(loaded.placement(values))
                assert dealt.placement.equals(scored.placement) or formulated.merges
                agrees(Placed(loaded.model, 0, values), dealt)
                compared += 1
    assert compared > 0


@pytest.mark.parametrize("kind", policy_classes())
def test_the_record_after_moves_is_that_made_afresh(kind: str) -> None:
    moved = 0
    for formulated, loaded in searchable(kind):
        for scored in formulated.case.samples:
            if known_to_search(formulated, loaded, scored):
                moved += int(walked(formulated, loaded, scored).sum())
    assert moved > 0


def test_every_kind_of_move_is_made_on_the_way() -> None:
    """The laws above speak of all of them."""
    made = sum(
        walked(formulated, loaded, scored)
        for kind in ("dependency", "moves")
        for formulated, loaded in searchable(kind)
        for scored in formulated.case.samples[:1]
        if known_to_search(formulated, loaded, scored)
    )
    assert np.all(made > 0)


def set_(placed: Placed, temperature: float, penalty: float) -> None:
    """Set a walk on which all kinds of moves are as likely, and each replica is tried twice."""
    setting, chance, tries = placed.walk.setting, placed.walk.chance, placed.walk.tries
    setting[TEMPERATURE], setting[HELD] = temperature, 1.0
    setting[VIOLATION] = setting[LIMIT] = penalty
    tries[SHIFT] = tries[SWAP] = 2
    chance[:] = np.arange(1, chance.size + 1) / chance.size


def reprice(placed: Placed, random: np.random.Generator) -> None:
    """Charge each node a price of its own for violations."""
    prices = random.uniform(0.5, 8.0, placed.state.dear.size)
    dense.reprice(*placed.compiled[:2], prices, 2.0, 0.5)


def walked(formulated: Formulated, loaded: LoadedTables, start: Scored) -> IntArray:
    """Move at a high temperature, looking at the record from time to time; the moves by kind."""
    tables = loaded.model
    placed = Placed(tables, formulated.case.seed, loaded.values(start.placement))
    set_(placed, temperature=1e9, penalty=1.0)
    random = np.random.default_rng(formulated.case.seed)
    for _ in range(STEPS):
        for kind in (SHIFT, SWAP):
            placed.walk.tries[kind] = random.choice([2, 2 * moves.SINGLE_TRIES])
        reprice(placed, random)
        moves.anneal(*placed.walking, MOVES)
        values = np.concatenate([placed.state.choice, placed.state.node]).astype(np.int64)
        if not (
            formulated.merges_nodes and placed.state.over.any()
        ):  # Else it cannot be dealt out.
            agrees(placed, formulated.case.score(loaded.placement(values)))
        placed.recheck()
    return placed.walk.taken


@pytest.mark.parametrize("kind", policy_classes())
def test_the_best_placement_is_the_best_that_was_met(kind: str) -> None:
    """It keeps all rules, has the value that the search claims, and is no worse than the start."""
    for formulated, loaded in searchable(kind):
        if not loaded.model.levels:
            continue
        check_best(formulated, loaded, None)
        for scored in formulated.case.samples:
            if known_to_search(formulated, loaded, scored):
                check_best(formulated, loaded, scored)


def check_best(formulated: Formulated, loaded: LoadedTables, start: Scored | None) -> None:
    """Walk from a placement, or from nothing, and look at the best after each part of the walk."""
    values = None if start is None else loaded.values(start.placement)
    placed = Placed(focus(loaded.model, 0, ()), formulated.case.seed, values)
    set_(placed, temperature=10.0, penalty=1e6)
    placed.complete()
    for _ in range(STEPS):
        best = placed.walk.best[0]
        if np.isfinite(best):
            scored = formulated.case.score(loaded.placement(placed.best()))
            assert scored.report.feasible
            assert scored.levels[0] == best
        moves.anneal(*placed.walking, MOVES)
        assert placed.walk.best[0] <= best
    if start is not None and start.report.feasible and not formulated.merges_nodes:
        assert placed.walk.best[0] <= start.levels[0]


def test_a_move_that_is_rejected_early_costs_more_than_is_accepted() -> None:
    """Neither half of a price hides that the whole would have been low enough."""
    rejected = [
        reject(formulated.case.seed, loaded, scored)
        for kind in policy_classes()
        for formulated, loaded in searchable(kind)
        if loaded.model.levels
        for scored in formulated.case.samples
        if known_to_search(formulated, loaded, scored)
    ]
    assert np.count_nonzero(rejected) > len(policy_classes())


def reject(seed: int, loaded: LoadedTables, start: Scored) -> int:
    """Price moves of pairs in full, and with less and less that is accepted; those rejected."""
    placed = Placed(focus(loaded.model, 0, ()), seed, loaded.values(start.placement))
    set_(placed, temperature=1.0, penalty=8.0)
    state, random, rejected = placed.state, np.random.default_rng(seed), 0
    reprice(placed, random)
    used = np.flatnonzero(state.node >= 0)
    for p, q in random.choice(used, (PAIRS, 2)) if used.size else ():
        third = int(random.choice([state.node[p], random.integers(state.first.size)]))
        if state.node[q] in (state.node[p], third):
            continue
        pair = *placed.compiled, int(p), int(q), third, SWAP
        # Counters that break rules may be mended, for which some candidates are looked at only.
        counted = state.violation[0] - state.over_total[0] > 0
        price = chain_price(*pair, np.inf)
        for most in price + np.array([-8.0, -1.0, 0.0, 1.0, 8.0]):
            found = chain_price(*pair, most)
            assert found == price or (np.isinf(found) and (most < price or counted))
            rejected += np.isinf(found)
    return rejected


def test_a_scan_leaves_out_only_what_costs_more_than_is_accepted() -> None:
    """Nodes and partners that are dear on their dense dimensions are dear altogether."""
    left_out = [
        scan(formulated.case.seed, loaded, scored)
        for kind in policy_classes()
        for formulated, loaded in searchable(kind, SCANNED)
        if loaded.model.levels
        for scored in formulated.case.samples
        if known_to_search(formulated, loaded, scored)
    ]
    assert np.count_nonzero(left_out) > len(policy_classes())


def scan(seed: int, loaded: LoadedTables, start: Scored) -> int:
    """Scan all nodes and replicas for some replicas, and price what is not found; how many."""
    placed = Placed(focus(loaded.model, 0, ()), seed, loaded.values(start.placement))
    tables, state, rows = placed.tables, placed.state, placed.rows
    random, left_out = np.random.default_rng(seed), 0
    used = np.flatnonzero(state.node >= 0)
    for p in random.choice(used, PAIRS) if used.size else ():
        set_(placed, temperature=float(random.choice([1.0, 10.0, 100.0])), penalty=8.0)
        placed.walk.logs[:] = 1.0
        most, n1 = placed.walk.setting[TEMPERATURE], state.node[p]
        reprice(placed, random)
        left = leave(*placed.compiled, p)
        count = scan_nodes(*placed.walking, p, left, tables.cap.shape[0])
        allowed = tables.allowed[tables.block_kind[state.block[p]]]
        others = set(np.flatnonzero(allowed).tolist()) - {n1, *rows.found[:count].tolist()}
        known = tables.class_home[tables.slot_class] != SEVERAL_HOMES
        if not known[p]:
            continue
        prices = [shift_price(*placed.compiled, p, n, left, SHIFT, np.inf) for n in others]
        count = scan_slots(*placed.walking, p, state.node.size)
        partners = set(used[known[used] & (state.node[used] != n1)].tolist())
        partners -= {*rows.found[:count].tolist()}
        prices += [chain_price(*placed.compiled, p, q, n1, SWAP, np.inf) for q in partners]
        # Counters that break rules may be mended, for which some scans are looked at only.
        if state.violation[0] - state.over_total[0] == 0:
            assert all(price > most for price in prices)
        left_out += len(prices)
        placed.go(placed.values() if random.integers(2) else loaded.values(start.placement))
    return left_out
