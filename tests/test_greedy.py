"""A first answer wherever one is easily found: by pushing, by moving apart, by leaving out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optalloc import policies as rules
from optalloc.engines.greedy import Greedy
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.generators import generate
from optalloc.instance.model import Configuration, Group, Instance, Node, Task
from optalloc.objective import read_objective
from optalloc.result import Result
from optalloc.solving import solve


def stated(**fields: Any) -> Instance:
    return Instance(**{"objective": "nodes", **fields})


def greedily(instance: Instance) -> Result:
    """Solve as the greedy engine alone does it, without the exact one that settles small ones."""
    greedy = Greedy(Problem(instance, read_objective(instance)))
    assert greedy.run(Clock(float("inf")))
    result = solve(instance, engine="greedy", warm_start=greedy.placement())
    assert result.verified
    assert result.engine in ("warm start", "greedy")
    return result


def racks(number: int, cpu: int) -> list[Node]:
    return [
        Node(name=f"n{i}", capacity={"cpu": cpu}, domains={"rack": f"r{i}"}) for i in range(number)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tight_knapsacks_are_filled_by_pushing_others_out(seed: int) -> None:
    """Whatever is cheap first leaves no room: capacities are 80 % of the mean use."""
    draw = np.random.default_rng(seed)
    use, cost = draw.integers(5, 26, (200, 20)), draw.integers(10, 51, (200, 20))
    capacity = (0.8 * use.sum(axis=0) / 20).astype(int).tolist()
    greedily(
        stated(
            nodes=[Node(name=f"n{i}", capacity={"cpu": c}) for i, c in enumerate(capacity)],
            tasks=[
                Task(name=f"t{i}", demand={"cpu": tuple(u)}, cost=tuple(c))
                for i, (u, c) in enumerate(zip(use.tolist(), cost.tolist(), strict=True))
            ],
            objective="assignment-cost",
        )
    )


def test_items_that_just_fill_their_bins_find_their_places() -> None:
    sizes = [7, 3, 6, 4, 5, 5, 8, 2, 9, 1]
    tasks = [Task(name=f"t{i}", demand={"cpu": size}) for i, size in enumerate(sizes)]
    assert greedily(stated(nodes=racks(5, 10), tasks=tasks)).objective == 5


def test_a_group_that_runs_in_one_rack_is_spread_with_few_moves() -> None:
    web = Task(name="web", demand={"cpu": 1}, count=6, current="n0", groups=("g",))
    result = greedily(
        stated(
            nodes=racks(4, 8),
            tasks=[web],
            groups=[Group(name="g")],
            policies=[rules.Spread(scope="rack", domains=3), rules.Moves(at_most=2)],
            objective="moves",
        )
    )
    assert result.objective == 2


def test_a_full_rack_makes_room_for_a_spread() -> None:
    web = Task(name="web", demand={"cpu": 4}, count=2, current="n0", groups=("g",))
    other = Task(name="other", demand={"cpu": 4}, count=2, current="n1")
    greedily(
        stated(
            nodes=racks(2, 8),
            tasks=[web, other],
            groups=[Group(name="g"), Group(name="h")],
            policies=[rules.Spread(groups=("g",), scope="rack", domains=2)],
        )
    )


def test_what_is_needed_is_placed_beside_what_needs_it() -> None:
    pairs = [(f"web{i}", f"db{i}") for i in range(3)]
    tasks = [Task(name=name, demand={"cpu": 4}, groups=(name,)) for pair in pairs for name in pair]
    greedily(
        stated(
            nodes=racks(3, 8),
            tasks=tasks,
            groups=[Group(name=name) for pair in pairs for name in pair],
            policies=[rules.Dependency(scope="rack", pairs=pairs)],
        )
    )


def test_a_gang_pushes_out_small_ones() -> None:
    table = (Configuration(device="A", replicas=4),)
    greedily(
        stated(
            nodes=[
                Node(name="a", device="A", devices=4, capacity={"cpu": 4}),
                Node(name="b", capacity={"cpu": 4}),
            ],
            tasks=[
                Task(name="small", demand={"cpu": 1}, count=4, current="a"),
                Task(name="gang", configurations=table, demand={"cpu": 1}),
            ],
        )
    )


def test_optional_tasks_that_break_rules_are_left_out() -> None:
    web = Task(name="web", demand={"cpu": 1}, groups=("web",), required=False)
    db = Task(name="db", demand={"cpu": 9}, groups=("db",), required=False)
    result = greedily(
        stated(
            nodes=racks(1, 8),
            tasks=[web, db, Task(name="must", demand={"cpu": 1})],
            groups=[Group(name="web"), Group(name="db")],
            policies=[rules.Dependency(scope="rack", pairs=[("web", "db")])],
            objective="admitted",
        )
    )
    assert set(result.assignment) == {"must"}


@pytest.mark.parametrize(
    ("scenario", "nodes", "tasks"),
    [("ai-cloud", 100, 1000), ("hpc-centre", 100, 1000), ("edge-sites", 100, 1000)],
)
def test_every_generated_scenario_gets_a_first_answer(
    scenario: str, nodes: int, tasks: int
) -> None:
    greedily(generate(scenario, seed=1, nodes=nodes, tasks=tasks))


@pytest.mark.parametrize("scenario", ["ai-cloud", "hpc-centre", "edge-sites"])
def test_looking_at_a_part_of_the_nodes_first_gives_an_answer_too(
    scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optalloc.engines.greedy_placing.MOST_LOOKS", 0)
    monkeypatch.setattr("optalloc.engines.greedy_placing.LEAST_GLANCE", 20)
    greedily(generate(scenario, seed=1, nodes=100, tasks=1000))


def test_a_task_that_only_one_of_very_many_nodes_takes_finds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optalloc.engines.greedy_placing.MOST_LOOKS", 0)
    monkeypatch.setattr("optalloc.engines.greedy_placing.LEAST_GLANCE", 2)
    nodes = [Node(name=f"n{i}", capacity={"cpu": 9 if i == 17 else 1}) for i in range(40)]
    result = greedily(stated(nodes=nodes, tasks=[Task(name="t", demand={"cpu": 9})]))
    assert [*result.assignment["t"]] == ["n17"]


def test_what_there_is_no_time_for_is_left_out_if_it_is_optional() -> None:
    class Ticks(Clock):
        """Ends after so many looks."""

        ticks = 150

        @property
        def left(self) -> float:
            self.ticks -= 1
            return float(max(self.ticks, 0))

    instance = generate("edge-sites", seed=1, nodes=100, tasks=1000)
    problem = Problem(instance, read_objective(instance))
    few, all_ = Greedy(problem), Greedy(problem)
    assert all_.run(Clock(float("inf")))
    required = int(problem.task_classes.count[problem.class_required].sum())
    ticks = Ticks(float("inf"))
    ticks.ticks = 6 * required
    assert few.run(ticks)
    assert required <= few.state.y.sum() < all_.state.y.sum()
    assert solve(instance, engine="greedy", warm_start=few.placement()).rejected == 0
