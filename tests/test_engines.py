"""The machinery between formulation and answer: ledger, worker processes, search."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from test_solving import knapsacks

from optalloc.engines import engine, engine_names, engines
from optalloc.engines.greedy import Greedy
from optalloc.engines.ledger import Ledger
from optalloc.engines.loading import LoadedModel, load
from optalloc.engines.protocol import (
    Bound,
    Clock,
    Finished,
    Form,
    Incumbent,
    IntArray,
    Job,
    Message,
    Session,
    run,
)
from optalloc.engines.race import Race
from optalloc.engines.reducing import Reducer
from optalloc.engines.worker import Listener, Worker, share
from optalloc.formulation.problem import Problem
from optalloc.formulation.translating import from_placement, to_placement
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.solving import solve


def loaded(instance: Instance, form: Form = "milp", objective: str | None = None) -> LoadedModel:
    made = load(Problem(instance, read_objective(instance, objective)), form)
    assert isinstance(made, LoadedModel)
    return made


def first_answer(instance: Instance) -> Placement:
    greedy = Greedy(Problem(instance, read_objective(instance)))
    assert greedy.run(Clock(float("inf")))
    return greedy.placement()


def test_every_engine_is_found_and_the_exact_ones_are_installed() -> None:
    assert {"milp", "cpsat", "lns", "cbc"} <= set(engines())
    assert {"auto", "greedy", "milp", "cpsat"} <= set(engine_names())


def test_a_bound_with_looser_earlier_levels_holds_and_a_tighter_one_does_not() -> None:
    instance = knapsacks()
    ledger = Ledger(instance, read_objective(instance, "assignment-cost > nodes"))
    ledger.offer(first_answer(instance), "greedy")
    cost = ledger.values[0]
    ledger.bound(Bound(1, 2, (cost + 5,)))
    ledger.bound(Bound(1, 3, (cost - 1,)))
    assert ledger.best_bound(1) == 2
    ledger.bound(Bound(1, 1, (cost,)))
    assert ledger.best_bound(1) == 2


def test_a_later_level_is_conditional_until_the_earlier_ones_are_proven() -> None:
    instance = knapsacks()
    ledger = Ledger(instance, read_objective(instance, "assignment-cost > nodes"))
    ledger.offer(first_answer(instance), "greedy")
    cost, nodes = ledger.values
    ledger.bound(Bound(1, nodes, (cost,)))
    assert [level.conditional for level in ledger.levels()] == [False, True]
    assert not ledger.proven
    ledger.bound(Bound(0, cost))
    assert [level.conditional for level in ledger.levels()] == [False, False]
    assert ledger.proven


def test_an_answer_that_fails_the_check_is_dropped_and_counted() -> None:
    instance = knapsacks()
    good = first_answer(instance)
    ledger = Ledger(instance, read_objective(instance))
    nothing = Placement.of(np.zeros_like(good.chosen), good.row[:0], good.node[:0], good.row[:0])
    assert not ledger.offer(nothing, "engine")
    assert ledger.rejected == 1
    assert ledger.placement is None
    assert ledger.offer(good, "engine")


@pytest.mark.parametrize("name", ["milp", "cpsat"])
def test_a_worker_process_streams_the_same_answer_as_a_run_here(name: str) -> None:
    instance = knapsacks(seed=5)
    model = loaded(instance, engine(name).form)
    race = Race(Ledger(instance, read_objective(instance)), Clock(float("inf")))
    with race.running():
        race.start(name, model, Job())
        race.wait(float("inf"))
    assert race.ledger.proven
    assert race.failures == []
    assert race.ledger.levels()[0].value == solve(instance, deterministic=True).objective


def test_a_worker_that_fails_costs_only_itself_and_says_why() -> None:
    instance = knapsacks()
    race = Race(Ledger(instance, read_objective(instance)), Clock(float("inf")))
    with race.running():
        race.start("no such engine", loaded(instance), Job())
        race.wait(float("inf"))
    assert race.ledger.placement is None
    assert "no such engine" in race.failures[0]


def test_a_killed_worker_is_heard_of() -> None:
    model = loaded(knapsacks(40, 8))
    file, shared = share(model.model)
    with file:
        worker = Worker("milp", file, shared, Job())
        worker.kill()
        while worker.receive() is not None:
            pass
        worker.close()
    assert "signal 9" in worker.failure()


def test_nobody_waits_for_an_engine_that_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offers that no pipe holds: a call that waited would never return."""
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 600\n")
    deaf.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(deaf))
    file, shared = share(loaded(knapsacks()).model)
    with file:
        worker = Worker("milp", file, shared, Job(hint=np.zeros(10**6, np.int64)))
        for _ in range(3):
            worker.offer(np.zeros(10**6, np.int64))
        worker.kill()
    worker.close()


def test_an_engine_hears_the_latest_of_what_was_offered_while_it_got_ready() -> None:
    heard: list[int] = []

    class Recorder:
        def offer(self, values: IntArray) -> None:
            heard.append(int(values[0]))

    listener = Listener()
    listener.hear(np.array([1]))
    listener.hear(np.array([2]))
    listener.opened(cast(Session, Recorder()))
    listener.hear(np.array([3]))
    assert heard == [2, 3]


def test_the_search_improves_a_first_answer_and_tells_only_what_it_found() -> None:
    instance = knapsacks(40, 4, seed=2)
    model = loaded(instance)
    start = from_placement(model.encoding, first_answer(instance))
    assert start is not None
    found: list[int] = []
    bounds: list[int] = []

    def emit(message: Message) -> None:
        if isinstance(message, Incumbent):
            found.append(model.model.level_value_at(0, message.values))
        elif isinstance(message, Bound):
            bounds.append(message.value)

    job = Job(time_limit=2.0, hint=start[: model.model.decisions])
    ended = run(engine("lns").open(model.model, job), model.model, job, emit)
    assert isinstance(ended, Finished)
    best = solve(instance, deterministic=True)
    assert best.bound is not None
    assert ended.ended == ("optimal" if best.bound in bounds else "stopped")
    assert best.bound <= min(found) <= model.model.level_value_at(0, start)
    assert best.objective is not None
    assert max(bounds) <= best.objective


def test_a_cut_out_model_keeps_what_is_fixed() -> None:
    instance = knapsacks(10, 3)
    model = loaded(instance)
    base = from_placement(model.encoding, first_answer(instance))
    assert base is not None
    free = np.flatnonzero(model.model.decision_class < 4)
    small = Reducer(model.model, ()).cut(base, free)
    total = np.add.reduceat(small.value * base[small.columns[small.column]], small.start[:-1])
    assert np.all(total >= small.low)
    assert np.all(total <= small.high)
    assert set(small.columns.tolist()) == set(free.tolist())


@pytest.mark.parametrize("form", ["milp", "cpsat"])
def test_placements_and_columns_translate_both_ways(form: Form) -> None:
    instance = knapsacks(9, 3, seed=4)
    encoding = loaded(instance, form).encoding
    placement = first_answer(instance)
    values = from_placement(encoding, placement)
    assert values is not None
    assert to_placement(encoding, values).equals(placement)
