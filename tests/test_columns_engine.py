"""Column generation as an engine: on fleets with many copies of few kinds of tasks."""

from __future__ import annotations

import pytest

from optalloc import Instance, Node, Task, solve
from optalloc.engines.auto import Request, Run
from optalloc.engines.ledger import Ledger
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.generators import generate
from optalloc.instance.errors import OptallocError
from optalloc.objective import read_objective
from optalloc.verify import verify


def test_bound_and_answer_enclose_the_optimum() -> None:
    instance = generate("consolidation", 5, 12, 60)
    exact = solve(instance, objective="power", engine="milp", deterministic=True)
    found = solve(instance, objective="power", engine="columns", deterministic=True)
    assert exact.status == "optimal"
    assert found.placement is not None
    assert found.rejected == 0
    assert found.bound is not None
    assert found.objective is not None
    assert exact.objective is not None
    assert found.bound <= exact.objective <= found.objective


def test_a_fleet_is_packed_close_to_the_bound() -> None:
    instance = generate("consolidation", 1, 1000, 5000)
    found = solve(instance, engine="columns", deterministic=True)
    assert found.placement is not None
    assert verify(instance, found.placement).feasible
    assert found.gap is not None
    assert found.gap < 0.03
    again = solve(instance, engine="columns", deterministic=True)
    assert again.placement is not None
    assert again.placement.equals(found.placement)


def test_optional_tasks_are_left_out_where_there_is_no_room_for_them() -> None:
    nodes = [Node(name="n", capacity={"cpu": 10, "memory": 8}, count=3)]
    tasks = [
        Task(name="a", demand={"cpu": 3, "memory": 1}, count=40, required=False, weight=2),
        Task(name="b", demand={"cpu": 4, "memory": 4}, count=5, required=False, weight=3),
        Task(name="c", demand={"cpu": 2, "memory": 1}, count=3),
    ]
    instance = Instance(nodes=nodes, tasks=tasks, objective="admitted")
    exact = solve(instance, deterministic=True)
    found = solve(instance, engine="columns", deterministic=True)
    assert found.placement is not None
    assert exact.objective is not None
    assert found.bound is not None
    assert found.objective is not None
    assert found.objective <= exact.objective <= found.bound


def test_many_copies_are_solved_by_classes_and_single_tasks_are_not() -> None:
    few = generate("consolidation", 1, 1000, 10_000)
    many = generate("ai-cloud", 1, 40, 120)
    for instance, by_classes in ((few, True), (many, False)):
        objective = read_objective(instance)
        request = Request("auto", 1, 0, deterministic=False, log=False, memory=None)
        run = Run(Ledger(instance, objective), Clock(60), request)
        run.problem = Problem(instance, objective)
        assert run._by_classes() == by_classes


@pytest.mark.parametrize("engine", ["columns"])
def test_what_classes_do_not_tell_is_said(engine: str) -> None:
    with pytest.raises(OptallocError, match="no words for"):
        solve(generate("hpc-centre", 1, 8, 10), engine=engine, deterministic=True)
