"""Levelling: low peaks within a budget of moves."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from optalloc import Instance, Node, Task, solve
from optalloc.engines.auto import current_placement
from optalloc.engines.levelling.fleet import Fleet
from optalloc.engines.levelling.loading import load_fleet
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.bounding import level_bounds
from optalloc.formulation.problem import Problem
from optalloc.generators import generate
from optalloc.instance.errors import OptallocError
from optalloc.instance.policy import Policy
from optalloc.objective import read_objective
from optalloc.policies import Balance, Moves, PeakLoad, TaskMoveCost
from optalloc.verify import verify

PEAKS = (PeakLoad(resource="cpu", weight=2), PeakLoad(resource="memory", weight=1))


def uneven(seed: int, nodes: int = 3, tasks: int = 6) -> Instance:
    """Tasks of which most run on the first nodes; labels, copies, an empty node, a tight budget."""
    rng = Random(seed)
    places = [
        Node(
            name=f"n{i}",
            capacity={"cpu": rng.choice([40, 60, 90]), "memory": rng.choice([50, 80])},
            labels={"zone": "ab"[i % 2]},
        )
        for i in range(nodes)
    ]
    room = [dict(node.capacity) for node in places]
    work = []
    for t in range(tasks):
        demand = {"cpu": rng.randint(1, 9), "memory": rng.randint(1, 9)}
        at = next(i for i, left in enumerate(room) if all(left[r] >= demand[r] for r in left))
        room[at] = {resource: left - demand[resource] for resource, left in room[at].items()}
        runs = rng.random() < 0.8
        work.append(
            Task(
                name=f"t{t}",
                demand=demand,
                count=1 if runs else 2,
                current=f"n{at}" if runs else None,
                move_cost=rng.randint(1, 3),
                allow={"zone": ("ab"[at % 2],)} if t % 4 == 0 else {},
            )
        )
    places.append(Node(name="useless", capacity={"cpu": 9}))
    budget = Moves(at_most=tasks // 3) if seed % 2 else TaskMoveCost(at_most=tasks // 2)
    return Instance(nodes=tuple(places), tasks=tuple(work), policies=(*PEAKS, budget))


def fleet(instance: Instance) -> Fleet:
    return load_fleet(Problem(instance, read_objective(instance))).model


@pytest.mark.parametrize("seed", range(12))
def test_answers_pass_the_check_and_lie_between_the_optimum_and_the_start(seed: int) -> None:
    instance = uneven(seed)
    exact, start, found = (
        solve(instance, engine=name, deterministic=True) for name in ("milp", "greedy", "levelling")
    )
    assert exact.status == "optimal"
    assert exact.objective is not None
    assert start.objective is not None
    assert found.objective is not None
    assert found.placement is not None
    assert found.rejected == 0
    assert verify(instance, found.placement).feasible
    assert exact.objective <= found.objective <= start.objective


@pytest.mark.parametrize("seed", range(12))
def test_the_mean_level_is_no_more_than_the_optimum_and_values_are_the_checkers(seed: int) -> None:
    instance = uneven(seed)
    problem = Problem(instance, read_objective(instance))
    loaded = load_fleet(problem)
    best = solve(instance, engine="milp", deterministic=True)
    assert best.placement is not None
    values = loaded.values(best.placement)
    assert values is not None
    value = loaded.model.level_value_at(0, values)
    assert value == problem.objective.levels[0].value(verify(instance, best.placement).values)
    assert float(loaded.model.weight @ loaded.model.mean()) <= value * (1 + 1e-9)
    assert loaded.placement(values).equals(best.placement)


def test_a_fleet_is_levelled_close_to_its_bound_and_each_time_alike() -> None:
    instance = generate("rebalancing", 1, 40, 800)
    first, second = (solve(instance, engine="levelling", deterministic=True) for _ in range(2))
    assert first.placement is not None
    assert second.placement is not None
    assert first.placement.equals(second.placement)
    assert first.objective is not None
    model = fleet(instance)
    start = current_placement(instance)
    assert start is not None
    lowest = float(model.weight @ model.mean())
    values = load_fleet(Problem(instance, read_objective(instance))).values(first.placement)
    assert values is not None
    assert model.level_value_at(0, values) <= 1.08 * lowest


def test_without_a_budget_everything_may_move() -> None:
    nodes = tuple(Node(name=name, capacity={"cpu": 20}) for name in "ab")
    tasks = tuple(Task(name=f"t{i}", demand={"cpu": 2}, current="a") for i in range(10))
    instance = Instance(nodes=nodes, tasks=tasks, policies=(PeakLoad(resource="cpu", weight=1),))
    assert solve(instance, engine="levelling", deterministic=True).objective == 0.5


def test_what_levelling_does_not_know_is_refused() -> None:
    instance = uneven(1)
    balanced = replace_policies(
        instance, Balance(resource="cpu", against="memory", ratio=1, weight=1)
    )
    optional = replace(instance, tasks=(*instance.tasks, Task(name="o", required=False)))
    for other in (balanced, optional, replace_policies(instance, Moves(weight=1))):
        with pytest.raises(Unsupported):
            fleet(other)
    with pytest.raises(OptallocError, match="levelling"):
        solve(optional, engine="levelling", deterministic=True)


def replace_policies(instance: Instance, *policies: Policy) -> Instance:
    """The same with more policies."""
    return replace(instance, policies=(*instance.policies, *policies))


def test_the_largest_task_bounds_the_peak_where_it_adds_the_least() -> None:
    nodes = (Node(name="small", capacity={"cpu": 10}), Node(name="large", capacity={"cpu": 20}))
    tasks = (
        Task(name="giant", demand={"cpu": 9}, current="small"),
        Task(name="tiny", demand={"cpu": 1}, current="large"),
    )
    instance = Instance(nodes=nodes, tasks=tasks, policies=(PeakLoad(resource="cpu", weight=1),))
    problem = Problem(instance, read_objective(instance))
    (bound,) = level_bounds(problem)
    exact = solve(instance, engine="milp", deterministic=True)
    assert bound is not None
    assert exact.objective == problem.objective.levels[0].stated(bound) == 0.45
    model = load_fleet(problem).model
    assert float(model.weight @ model.least()) == bound


def test_a_task_that_is_too_large_for_its_node_leaves_it() -> None:
    nodes = (Node(name="small", capacity={"cpu": 10}), Node(name="large", capacity={"cpu": 100}))
    giant = Task(name="giant", demand={"cpu": 8}, current="small")
    others = tuple(Task(name=f"t{i}", demand={"cpu": 3}, current="large") for i in range(20))
    policies = (PeakLoad(resource="cpu", weight=1), Moves(at_most=3))
    instance = Instance(nodes=nodes, tasks=(giant, *others), policies=policies)
    exact, found = (solve(instance, engine=e, deterministic=True) for e in ("milp", "levelling"))
    assert exact.objective == found.objective == 0.62
