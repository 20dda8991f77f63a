"""Cores: what the prices of the relaxation leave to a better solution."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from test_engines import loaded
from test_large_neighbourhoods import tight, whole

from benchmarks.generated import assignment
from optalloc.engines.cores import FIRST, Cores, Searched, search
from optalloc.engines.lns import LnsSession
from optalloc.engines.protocol import Bound, Incumbent, Job, Message, run
from optalloc.engines.relaxing import Relaxation, relax
from optalloc.engines.repairing import by_cpsat
from optalloc.formulation.sparse import SparseModel

SEEDS = range(5)


def _roomy(seed: int, tasks: int = 7) -> SparseModel:
    """A generalised assignment problem with room enough that its relaxation is near."""
    made = assignment(tasks, 3, seed)
    roomy = replace(made, capacity=[2 * most for most in made.capacity])
    return loaded(roomy.instance()).model


def _relaxed(model: SparseModel) -> Relaxation:
    relaxation = relax(model, 0, (), 60.0)
    assert relaxation is not None
    return relaxation


def test_every_better_solution_agrees_with_the_relaxation_outside_the_whole_core() -> None:
    assert sum(map(_left_out, SEEDS))


def _left_out(seed: int) -> int:
    """Check all better solutions of a small model; how many columns the cores leave out."""
    model = _roomy(seed)
    cost = whole(model).cost
    solutions = []
    for nodes in product(range(3), repeat=7):
        values = np.zeros(model.columns, np.int64)
        place = dict(enumerate(nodes))
        pairs = zip(model.decision_class, model.decision_node, strict=True)
        chosen = [place[k] == n for k, n in pairs]
        values[: model.decisions] = chosen
        if model.satisfied(values):
            solutions.append(values)
    assert solutions
    cores = Cores(model, _relaxed(model), 1)
    cores.share = 1.0
    left_out = 0
    for best in sorted({int(cost @ values) for values in solutions}):
        held = np.setdiff1d(np.arange(model.columns), cores.free(best))
        left_out += held.size
        for values in solutions:
            if cost @ values < best:
                assert np.array_equal(values[held], cores.base[held])
    return left_out


@pytest.mark.parametrize("seed", SEEDS)
def test_a_search_finds_what_is_good_enough_or_that_there_is_none(seed: int) -> None:
    small = whole(tight(12, 3, seed))
    best = by_cpsat(small, 60.0, seed, True)
    assert best is not None
    assert best.proven
    value = int(small.cost @ best.values)
    found = search(replace(small, most=value), 60.0, seed)
    assert found.values is not None
    assert small.cost @ found.values == value
    nothing = search(replace(small, most=value - 1), 60.0, seed)
    assert nothing.values is None
    assert nothing.exhausted


def test_the_part_of_the_room_follows_what_was_found() -> None:
    model = tight(12, 3, 0)
    cores = Cores(model, _relaxed(model), 1)
    assert not cores.learn(Searched(None, False, 1.0))
    assert cores.share < FIRST
    proofs = [cores.learn(Searched(None, True, 1.0)) for _ in range(10)]
    assert cores.share == 1
    assert proofs == sorted(proofs)
    assert not proofs[0]
    assert proofs[-1]


@pytest.mark.parametrize("seed", range(2))
def test_neighbourhoods_end_with_a_proof_where_the_whole_core_has_nothing_better(seed: int) -> None:
    model = _roomy(seed, 30)
    optimum = by_cpsat(whole(model), 60.0, seed, True)
    assert optimum is not None
    value = model.level_value_at(0, optimum.values)
    heard: list[Message] = []
    job = Job(time_limit=20.0, hint=optimum.values[: model.decisions])
    finished = run(LnsSession(model, job), model, job, heard.append)
    assert finished.ended == "optimal"
    assert max(m.value for m in heard if isinstance(m, Bound)) == value
    told = [model.level_value_at(0, m.values) for m in heard if isinstance(m, Incumbent)]
    assert min(told, default=value) == value
