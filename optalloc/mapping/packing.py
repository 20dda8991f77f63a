"""CP-SAT on parts of bundles: of which sizes they are, and which lie in a leaf together.

A bundle that is divided in parts of given sizes keeps no more than `optalloc.mapping.parting` says;
parts of a and b ranks of two bundles in one leaf keep at most the min(a, b) heaviest edges between
the bundles. What every division keeps is at most the best of that, and mostly just as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.constraining import Run
from optalloc.mapping.parting import Sizes, best_split, between, kept, nested, worths

IntArray = NDArray[np.int64]


def prove_parts(
    weight: IntArray,
    groups: int,
    most: int,
    known: IntArray,
    run: Run,
    flag: IntArray,
    bounded: Callable[[float], None],
) -> None:
    """Bound what stays in leaves from above.

    Parameters
    ----------
    weight : (n, n)
        Symmetric, small whole numbers.
    groups, most
        Number of leaves, and ranks that each takes.
    known : (n,)
        The leaf of each rank in some answer.
    run
        Its limits.
    flag : (1,)
        Ends what is under way when it is not 0.
    bounded
        Called with each bound.
    """
    whole = kept(weight, range(len(weight)), most, flag)
    if whole is not None:
        bounded(best_split(whole, len(weight), groups))
    levels = nested(weight)
    # The largest bundles of which all states can be looked at are the least that is left open.
    for bundles in levels[::-1]:
        if run.stop():
            return
        options = _options(weight, bundles, levels[0], most, groups, flag)
        if options is not None:
            _solve(weight, bundles, options, groups, most, known, run, bounded)
            return


def _options(
    weight: IntArray,
    bundles: Sequence[Sequence[int]],
    cells: Sequence[Sequence[int]],
    most: int,
    groups: int,
    flag: IntArray,
) -> list[dict[Sizes, int]] | None:
    """What each bundle keeps in parts of which sizes; bundles that look alike are asked once."""
    for i, one in enumerate(bundles):
        if any(between(weight, one, other) is None for other in bundles[:i]):
            return None
    known: dict[bytes, dict[Sizes, int]] = {}
    found = []
    for bundle in bundles:
        members = set(bundle)
        mine = [cell for cell in cells if members.issuperset(cell)]
        order = [v for cell in mine for v in cell]
        shape = repr([len(cell) for cell in mine]).encode()
        key = weight[np.ix_(order, order)].tobytes() + shape
        if key not in known:
            made = worths(weight, mine, most, groups, flag)
            if made is None:
                return None
            known[key] = made
        found.append(known[key])
    return found


def _solve(
    weight: IntArray,
    bundles: Sequence[Sequence[int]],
    options: Sequence[dict[Sizes, int]],
    groups: int,
    most: int,
    known: IntArray,
    run: Run,
    bounded: Callable[[float], None],
) -> None:
    from ortools.sat.python import cp_model

    now = int(weight[np.equal.outer(known, known)].sum()) // 2
    apart = int(weight.sum()) // 2 - sum(int(weight[np.ix_(b, b)].sum()) // 2 for b in bundles)
    best = [max(worth.values()) for worth in options]
    model = cp_model.CpModel()
    holds, terms = _parts(model, bundles, groups, most), []
    for i, worth in enumerate(options):
        # Sizes with which not even the best of all others reaches what is known are left out.
        least = now - apart - sum(best) + best[i]
        chosen = {sizes: model.new_bool_var("") for sizes, w in worth.items() if w >= least}
        model.add_exactly_one(chosen.values())
        for k in range(len(holds[i][0])):
            larger = sum(sum(s > k for s in sizes) * x for sizes, x in chosen.items())
            model.add(sum(leaf[k] for leaf in holds[i]) == larger)
        terms += [worth[sizes] * x for sizes, x in chosen.items()]
        for j in range(i):
            terms += _shared(model, between(weight, bundles[i], bundles[j]), holds[i], holds[j])
    model.add(sum(terms) >= now)
    model.maximize(sum(terms))
    label = np.array([np.bincount(known[list(b)], minlength=groups) for b in bundles])
    order = sorted(range(groups), key=lambda leaf: tuple(-label[:, leaf]))
    for i, leaves in enumerate(holds):
        for leaf, at in zip(leaves, order, strict=True):
            for k, x in enumerate(leaf):
                model.add_hint(x, int(label[i, at] > k))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(run.seconds, 0.01)
    solver.parameters.num_workers = run.workers
    solver.parameters.random_seed = run.seed
    solver.parameters.catch_sigint_signal = False

    def bound(value: float) -> None:
        bounded(float(np.floor(value + 1e-6)))
        if run.stop():
            solver.stop_search()

    solver.best_bound_callback = bound
    run.at_end.append(solver.stop_search)
    if solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        bound(solver.best_objective_bound)


def _parts(model: Any, bundles: Sequence[Sequence[int]], groups: int, most: int) -> Any:
    """Booleans ``[bundle][leaf][k]``: the leaf holds more than k ranks of the bundle."""
    holds = [
        [[model.new_bool_var("") for _ in range(min(len(b), most))] for _ in range(groups)]
        for b in bundles
    ]
    for leaf in range(groups):
        model.add(sum(x for bundle in holds for x in bundle[leaf]) <= most)
        for bundle in holds:
            for more, fewer in zip(bundle[leaf][1:], bundle[leaf], strict=False):
                model.add_implication(more, fewer)
        # Follows from the room of a leaf, and is what relaxations do not see.
        for k in range(1, max(len(bundle[leaf]) for bundle in holds)):
            large = [bundle[leaf][k] for bundle in holds if len(bundle[leaf]) > k]
            model.add(sum(large) <= most // (k + 1))
    # Leaves are interchangeable: they come in falling order of what they hold.
    for leaf in range(1, groups):
        for here, before in zip(holds[0][leaf], holds[0][leaf - 1], strict=True):
            model.add_implication(here, before)
        for i, bundle in enumerate(holds):
            earlier = [other[leaf - 1][0] for other in holds[: i + 1]]
            model.add_bool_or([*earlier, bundle[leaf][0].negated()])
    return holds


def _shared(model: Any, weights: IntArray | None, one: Any, other: Any) -> list[Any]:
    """Terms for the edges that two bundles keep in each leaf."""
    assert weights is not None, "edges between bundles are one to one"
    terms = []
    for here, there in zip(one, other, strict=True):
        for w, a, b in zip(weights.tolist(), here, there, strict=False):
            both = model.new_bool_var("")
            model.add_implication(both, a)
            model.add_implication(both, b)
            terms.append(w * both)
    return terms
