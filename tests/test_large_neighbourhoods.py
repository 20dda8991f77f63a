"""What large-neighbourhood search is made of: dives, waste, small models, kinds that compete."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import first_answer, loaded
from test_solving import knapsacks

from benchmarks.generated import assignment
from optalloc.engines.auto import Request, Run
from optalloc.engines.diving import by_parts, largest, narrowed
from optalloc.engines.ledger import Ledger, OpenLevel
from optalloc.engines.loading import Loaded
from optalloc.engines.milp import HighsSession
from optalloc.engines.neighbourhoods import Neighbourhoods
from optalloc.engines.portfolio import Kind, Portfolio
from optalloc.engines.protocol import Bound, Clock, Incumbent, IntArray, Job, Message
from optalloc.engines.race import Runner
from optalloc.engines.reducing import Reducer
from optalloc.engines.relaxing import relax, waste
from optalloc.engines.repairing import Small, by_cpsat, by_highs
from optalloc.engines.worker import Worker
from optalloc.formulation.sparse import SparseModel
from optalloc.objective import read_objective
from optalloc.solving import solve


def whole(model: SparseModel, hint: IntArray | None = None) -> Small:
    """All of a model, its first level as the objective."""
    rng = np.random.default_rng(0)
    column, value, _ = model.objective(0)
    cost = np.zeros(model.columns, np.int64)
    cost[column] = value
    reduced = Reducer(model, ()).cut(np.zeros(model.columns, np.int64), np.arange(model.decisions))
    assert np.array_equal(reduced.columns, np.arange(model.columns))
    part = Neighbourhoods(model, rng, None).node_of_column
    most = None if hint is None else int(cost @ hint)
    return Small(
        reduced, model.lower, model.upper, model.integer, cost, part, model.decisions, hint, most
    )  # fmt: skip


def tight(tasks: int, nodes: int, seed: int) -> SparseModel:
    """A generalised assignment problem of type D, whose capacities bind."""
    return loaded(assignment(tasks, nodes, seed).instance()).model


# --- dives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["assignment-cost", "nodes"])
@pytest.mark.parametrize("seed", range(3))
def test_a_dive_leads_to_a_solution_that_keeps_every_row(objective: str, seed: int) -> None:
    """With auxiliary columns too, which follow from the decisions."""
    instance = knapsacks(30, 6, seed)
    model = loaded(instance, objective=objective).model
    found = by_parts(whole(model), 60.0, seed, False)
    assert found is not None
    assert model.satisfied(found.values)


def test_a_dive_comes_close_to_the_optimum_where_capacities_bind() -> None:
    model = tight(36, 6, 1)
    small = whole(model)
    bound = relax(model, 0, (), 60.0)
    found = by_parts(small, 60.0, 1, False)
    assert found is not None
    assert bound is not None
    assert bound.bound is not None
    assert model.satisfied(found.values)
    assert int(small.cost @ found.values) <= 1.03 * bound.bound


def test_a_dive_that_finds_nothing_better_gives_back_what_was_known() -> None:
    model = tight(20, 4, 0)
    best = by_cpsat(whole(model), 60.0, 0, True)
    assert best is not None
    assert best.proven
    small = whole(model, best.values)
    found = by_parts(small, 60.0, 0, False)
    assert found is not None
    assert small.cost @ found.values == small.most


def test_a_dive_without_time_says_nothing() -> None:
    assert by_parts(whole(tight(20, 4, 0)), 0.0, 0, False) is None


# --- small models --------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_no_solution_is_above_what_its_rows_leave_room_for(seed: int) -> None:
    """Whatever part of a solution is decided, the rest of it is still allowed."""
    rng = np.random.default_rng(seed)
    model = tight(10, 3, int(rng.integers(5)))
    small = whole(model)
    solution = by_cpsat(small, 60.0, int(rng.integers(100)), True)
    assert solution is not None
    opened = rng.random(model.columns) < rng.random()
    most = largest(small, solution.values, opened)
    assert np.all(solution.values[opened] <= most[opened])


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_fixing_columns_leaves_the_rows_and_the_objective_as_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = whole(tight(10, 3, int(rng.integers(5))))
    solution = by_cpsat(small, 60.0, int(rng.integers(100)), True)
    assert solution is not None
    kept = rng.random(small.lower.size) < 0.7
    part, index = narrowed(small, solution.values, kept)
    assert np.array_equal(index, np.flatnonzero(kept))
    found = by_highs(part, 60.0, 0, True)
    assert found is not None
    values = solution.values.copy()
    values[index] = found.values
    assert small.cost @ values <= small.cost @ solution.values
    total = np.add.reduceat(
        small.reduced.value * values[small.reduced.column], small.reduced.start[:-1]
    )
    assert np.all((total >= small.reduced.low) & (total <= small.reduced.high))


# --- waste ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_waste_adds_up_to_what_a_solution_costs_more_than_the_relaxation(seed: int) -> None:
    model = tight(20, 4, seed)
    small, relaxation = whole(model), relax(model, 0, (), 60.0)
    solution = by_parts(small, 60.0, seed, False)
    assert relaxation is not None
    assert solution is not None
    columns, rows = waste(model, relaxation, solution.values)
    more = small.cost @ solution.values - small.cost @ relaxation.values
    assert columns.sum() + rows.sum() == pytest.approx(more)
    assert columns.min() >= -1e-6
    assert rows.min() >= -1e-6


# --- the portfolio -------------------------------------------------------------------------------


def shares(portfolio: Portfolio, gains: dict[str, float], lengths: dict[str, float]) -> list[float]:
    """Part of the time that each kind gets when a repair of it always gains as much."""
    time = dict.fromkeys(gains, 0.0)
    for _ in range(2000):
        kind = portfolio.draw()
        portfolio.learn(kind, gains[kind.name], lengths[kind.name])
        time[kind.name] += lengths[kind.name]
    return [seconds / sum(time.values()) for seconds in time.values()]


def portfolio_of(*names: str) -> Portfolio:
    kinds = [Kind(name, by_cpsat, 1.0) for name in names]
    return Portfolio(kinds, np.random.default_rng(0))


def test_a_kind_that_gains_more_in_its_time_gets_more_of_it_and_none_is_forgotten() -> None:
    good, bad = shares(portfolio_of("good", "bad"), {"good": 1, "bad": 0}, {"good": 2, "bad": 0.5})
    assert good > 0.7
    assert bad > 0.01


def test_time_is_shared_alike_where_nothing_gains_however_long_the_repairs() -> None:
    long, short = shares(
        portfolio_of("long", "short"), {"long": 0, "short": 0}, {"long": 3, "short": 0.1}
    )
    assert long == pytest.approx(short, rel=0.2)


# --- incumbents ----------------------------------------------------------------------------------


def test_highs_goes_on_from_a_better_solution_that_it_is_offered() -> None:
    """The optimum, offered before the start, is all that it tells of."""
    instance = assignment(18, 3, 3).instance()
    model = loaded(instance).model
    best = by_cpsat(whole(model), 60.0, 0, True)
    assert best is not None
    told: list[int] = []

    def emit(message: Message) -> None:
        if isinstance(message, Incumbent):
            told.append(model.level_value_at(0, message.values))

    session = HighsSession(model, Job(threads=1))
    session.offer(best.values)
    result = session.minimise(0, (), 60.0, emit)
    assert result.ended == "optimal"
    assert told[-1] == solve(instance, engine="cpsat", deterministic=True).objective
    assert session.take_offer() is None


def test_neighbourhoods_without_a_limit_find_the_same_placement_again() -> None:
    instance = assignment(18, 3, 3).instance()
    first, second = (solve(instance, engine="lns", deterministic=True) for _ in range(2))
    assert first.assignment == second.assignment
    assert first.engine == "lns"


def test_an_offer_that_does_not_say_every_column_is_left_aside() -> None:
    model = loaded(knapsacks(), objective="nodes").model
    session = HighsSession(model, Job())
    session.offer(np.zeros(model.decisions, np.int64))
    assert model.decisions < model.columns
    assert session.take_offer() is None


# --- when an exact engine yields ---------------------------------------------------------------


def hopeful(before: int, after: int, relaxed: int | None = None, value: int = 200) -> bool:
    """Whether an exact engine goes on, 100 s before the end, after bounds 10 s apart."""
    instance = knapsacks()
    request = Request("auto", 2, 0, False, False, None)
    run = Run(Ledger(instance, read_objective(instance)), Clock(100.0), request)
    bounds = {} if relaxed is None else {0: relaxed}
    lns = Runner("lns", cast(Worker, None), cast(Loaded, None), bounds=bounds)
    return run._hopeful(OpenLevel(0, value, before), OpenLevel(0, value, after), lns)


def test_an_exact_engine_goes_on_while_its_bound_approaches_the_value() -> None:
    assert hopeful(100, 110)
    assert not hopeful(100, 101)
    assert not hopeful(100, 100)


def test_an_exact_engine_goes_on_where_its_cuts_close_much_of_the_gap_of_the_relaxation() -> None:
    assert hopeful(150, 150, relaxed=100)
    assert not hopeful(110, 110, relaxed=100)
    assert not hopeful(150, 150, relaxed=150)


def test_a_level_without_a_bound_is_without_hope_and_a_new_level_is_not() -> None:
    instance = knapsacks()
    request = Request("auto", 2, 0, False, False, None)
    run = Run(Ledger(instance, read_objective(instance)), Clock(100.0), request)
    lns = Runner("lns", cast(Worker, None), cast(Loaded, None))
    assert not run._hopeful(None, None, lns)
    assert run._hopeful(OpenLevel(0, 9, 5), OpenLevel(1, 9, 5), lns)


def test_the_first_open_level_is_the_first_whose_bound_is_not_its_value() -> None:
    instance = knapsacks()
    ledger = Ledger(instance, read_objective(instance, "assignment-cost > nodes"))
    assert ledger.first_open() is None
    ledger.offer(first_answer(instance), "greedy")
    cost, nodes = ledger.values
    ledger.bound(Bound(0, cost - 5))
    assert ledger.first_open() == OpenLevel(0, cost, cost - 5)
    ledger.bound(Bound(0, cost))
    assert ledger.first_open() is None
    ledger.bound(Bound(1, nodes - 1, (cost,)))
    assert ledger.first_open() == OpenLevel(1, nodes, nodes - 1)
