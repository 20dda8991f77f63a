"""Extreme and hopeless instances: a clear answer at once from every engine, or a clear refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest

from optalloc import policies as rules
from optalloc.cli import cli
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import InstanceError
from optalloc.instance.files import dump_instance
from optalloc.instance.model import Configuration, Group, Instance, Node, Task
from optalloc.objective import read_objective
from optalloc.solving import solve

ENGINES = ("auto", "greedy", "milp", "cpsat", "lns", "local")
MILLION = 10**6


def nodes(number: int = 2, cpu: int = 8) -> list[Node]:
    """Nodes n0, n1, ... each in a rack of its own."""
    racks = [{"rack": f"r{i}"} for i in range(number)]
    return [
        Node(name=f"n{i}", capacity={"cpu": cpu}, domains=rack, labels={"zone": "z"})
        for i, rack in enumerate(racks)
    ]


def stated(**fields: Any) -> Instance:
    return Instance(**{"nodes": nodes(), "objective": "nodes", **fields})


def task(cpu: float = 1, **fields: Any) -> Task:
    return Task(**{"name": "job", "demand": {"cpu": cpu}, **fields})


def grouped(policy: Any, *tasks: Task, **fields: Any) -> Instance:
    names = dict.fromkeys(group for one in tasks for group in one.groups)
    groups = [Group(name=name) for name in names]
    return stated(tasks=tasks, groups=groups, policies=[policy], **fields)


def many_types(cpu: int) -> Instance:
    """A million tasks of 500 types on 100,000 nodes of 20 types."""
    draw = np.random.default_rng(1)
    sizes = draw.integers(4, 12, 500).tolist()
    return stated(
        nodes=[Node(name=f"n{i}", capacity={"cpu": cpu + i % 3}, count=5000) for i in range(20)],
        tasks=[task(size, name=f"t{i}", count=2000) for i, size in enumerate(sizes)],
    )


def stuck(*policies: Any, cpu: int = 1, **fields: Any) -> Instance:
    """Two tasks on a node where they cannot stay, and no moves allowed."""
    return stated(
        nodes=nodes(cpu=cpu),
        tasks=[task(count=2, current="n0", groups=("g",), **fields)],
        groups=[Group(name="g")],
        policies=[rules.Moves(at_most=0), *policies],
    )


HOPELESS: dict[str, tuple[Callable[[], Instance], str]] = {
    "a task larger than every node": (
        lambda: stated(tasks=[task(9, name="giant"), task()]),
        "giant: fits none of 2 nodes: 2 nodes: 1 cpu short (need 9, largest capacity 8)",
    ),
    "nodes without capacity": (
        lambda: stated(nodes=nodes(cpu=0), tasks=[task()]),
        "job: fits none of 2 nodes: 2 nodes: 1 cpu short (need 1, largest capacity 0)",
    ),
    "every node forbidden by name": (
        lambda: stated(tasks=[task(forbid={"node": ("n0", "n1")})]),
        "job: fits none of 2 nodes: 2 nodes: node in (n0, n1), which is forbidden",
    ),
    "every node forbidden by its label": (
        lambda: stated(tasks=[task(forbid={"zone": ("z",)})]),
        "job: fits none of 2 nodes: 2 nodes: zone in (z), which is forbidden",
    ),
    "nothing allowed": (
        lambda: stated(tasks=[task(allow={"rack": ()})]),
        "job: fits none of 2 nodes: 2 nodes: rack not in ()",
    ),
    "a million identical tasks, room for 100 fewer": (
        lambda: stated(
            nodes=[Node(name="n", capacity={"cpu": 100}, count=9999)], tasks=[task(count=MILLION)]
        ),
        "job (1,000,000 tasks): 999,900 of 1,000,000 tasks fit",
    ),
    "a million tasks of two resources, one of them short": (
        lambda: stated(
            nodes=[Node(name="n", capacity={"cpu": 100, "mem": 199}, count=10**4)],
            tasks=[Task(name="job", demand={"cpu": 1, "mem": 2}, count=MILLION)],
        ),
        "job (1,000,000 tasks): 990,000 of 1,000,000 tasks fit",
    ),
    "a million tasks of 500 types on 100,000 nodes": (
        lambda: many_types(60),
        ": 1,000,000 required tasks (t0, t1, t2, t3 and 496 more) need at least",
    ),
    "a hundred thousand tasks on one node": (
        lambda: stated(
            nodes=nodes(1, cpu=10**5),
            tasks=[task(1 + i % 10, name=f"t{i}") for i in range(10**5)],
        ),
        ": 100,000 required tasks (t0, t1, t2, t3 and 99,996 more) need at least 550000 cpu, "
        "the 1 node has 100000 cpu: 450000 cpu short",
    ),
    "a gang of a million": (
        lambda: stated(tasks=[task(replicas=MILLION)]),
        "job: fits 16 of its 1,000,000 replicas",
    ),
    "a configuration with too many replicas": (
        lambda: stated(
            nodes=[Node(name="n", device="A", devices=2, count=2)],
            tasks=[Task(name="job", configurations=(Configuration(device="A", replicas=5),))],
        ),
        "job: fits 4 of its 5 replicas",
    ),
    "one more than fits into the largest floats": (
        lambda: stated(nodes=nodes(1, cpu=2**53 + 1), tasks=[task(2**52 + 1, count=2)]),
        "job (2 tasks): 1 of 2 tasks fit",
    ),
    "a spread over more racks than there are": (
        lambda: grouped(rules.Spread(scope="rack", domains=3), task(count=5, groups=("g",))),
        ": group g must run in at least 3 racks, its tasks can reach 2: 1 too few",
    ),
    "a spread over more racks than it has tasks": (
        lambda: grouped(
            rules.Spread(scope="rack", domains=3), task(count=2, groups=("g",)), nodes=nodes(4)
        ),
        ": group g must run in at least 3 racks, it has 2 replicas: 1 too few",
    ),
    "a spread over racks into which no task fits": (
        lambda: grouped(
            rules.Spread(scope="rack", domains=3),
            task(4, count=5, groups=("g",)),
            nodes=[*nodes(2), Node(name="small", capacity={"cpu": 3}, domains={"rack": "r9"})],
        ),
        ": group g must run in at least 3 racks, its tasks can reach 2: 1 too few",
    ),
    "a million replicas that must be apart": (
        lambda: grouped(rules.AntiAffinity(scope="node"), task(0, count=MILLION, groups=("g",))),
        ": group g: 1,000,000 replicas required, anti-affinity allows 1 per node",
    ),
    "a dependency on an optional task that fits nowhere": (
        lambda: grouped(
            rules.Dependency(scope="rack", pairs=(("web", "db"),)),
            task(groups=("web",)),
            task(99, name="store", groups=("db",), required=False),
        ),
        "job: group web needs group db in its rack, but none of its tasks fits in any rack",
    ),
    "a dependency on a task that fits elsewhere only": (
        lambda: grouped(
            rules.Dependency(scope="rack", pairs=(("web", "db"),)),
            task(groups=("web",), allow={"node": ("n0",)}),
            task(8, name="store", groups=("db",), required=False),
            nodes=[*nodes(1, cpu=7), Node(name="n1", capacity={"cpu": 8}, domains={"rack": "r1"})],
        ),
        "job: group web needs group db in its rack, but no rack that it can reach",
    ),
    "no moves, and a node that is overfull": (
        stuck,
        ": moves: at least 1 (1 node over capacity now: n0), at most 0 allowed: 1 over",
    ),
    "no moves, and a task where it is forbidden": (
        lambda: stuck(forbid={"node": ("n0",)}),
        ": moves: at least 2 (job cannot stay), at most 0 allowed: 2 over",
    ),
    "no moves, and tasks that must be apart": (
        lambda: stuck(rules.AntiAffinity(scope="node"), cpu=8),
        ": no placement of the required tasks keeps these rules together: moves at most 0; "
        "anti-affinity",
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", HOPELESS)
def test_what_cannot_be_is_proven_at_once_by_whatever_engine_is_asked(
    case: str, engine: str
) -> None:
    make, expected = HOPELESS[case]
    result = solve(make(), engine=engine, threads=1)
    assert (result.status, result.stopped_by) == ("infeasible", "proof")
    said = [f"{reason.task}: {reason.message}".removeprefix(": ") for reason in result.reasons]
    assert any(text.startswith(expected.removeprefix(": ")) for text in said), said


POSSIBLE: dict[str, tuple[Callable[[], Instance], float]] = {
    "no tasks": (lambda: stated(tasks=[]), 0),
    "no demand": (lambda: stated(tasks=[task(0, count=5)]), 1),
    "no resource": (lambda: stated(nodes=[Node(name="n")], tasks=[Task(name="job")]), 1),
    "no demand, no capacity": (lambda: stated(nodes=nodes(cpu=0), tasks=[task(0, count=9)]), 1),
    "one node of many has capacity": (
        lambda: stated(nodes=[*nodes(cpu=0), Node(name="real", capacity={"cpu": 4})],
                       tasks=[task(count=4)]),
        1,
    ),
    "an optional task larger than every node": (
        lambda: stated(tasks=[task(9, name="giant", required=False), task()]), 1,
    ),
    "a million identical tasks": (
        lambda: stated(
            nodes=[Node(name="n", capacity={"cpu": 100}, count=10**4)], tasks=[task(count=MILLION)]
        ),
        10**4,
    ),
    "a hundred thousand tasks on one node": (
        lambda: stated(
            nodes=nodes(1, cpu=MILLION),
            tasks=[task(1 + i % 10, name=f"t{i}") for i in range(10**5)],
        ),
        1,
    ),
    "capacities beyond what floats count": (
        lambda: stated(nodes=nodes(cpu=2**53 + 1), tasks=[task(2**52 + 1, count=2)]), 2,
    ),
    "capacities of 2**60": (
        lambda: stated(nodes=nodes(cpu=2**60), tasks=[task(2**59, count=3)]), 2,
    ),
    "enough moves to become feasible": (
        lambda: stated(
            nodes=nodes(cpu=1),
            tasks=[task(count=2, current="n0")],
            policies=[rules.Moves(at_most=1)],
        ),
        2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", POSSIBLE)
def test_what_can_be_is_solved_by_whatever_engine_is_asked(case: str, engine: str) -> None:
    make, expected = POSSIBLE[case]
    result = solve(make(), engine=engine, threads=1)
    assert result.verified
    assert result.rejected == 0
    assert result.levels[-1].value == expected
    if engine in ("auto", "milp", "cpsat"):
        assert result.status == "optimal"


def test_the_moves_that_must_be_are_never_more_than_the_fewest() -> None:
    """On random crowded nodes: no budget that an exact engine keeps is called too small."""
    draw = np.random.default_rng(3)
    for _ in range(25):
        sizes = draw.integers(1, 5, 5).tolist()
        tasks = [
            task(size, name=f"t{i}", current=f"n{draw.integers(2)}", required=bool(i % 4),
                 forbid={"node": ("n0",)} if draw.random() < 0.2 else {})
            for i, size in enumerate(sizes)
        ]  # fmt: skip
        fields = {"nodes": nodes(3, cpu=6), "tasks": tasks, "objective": "moves"}
        fewest = solve(stated(**fields), deterministic=True)
        if fewest.objective is None:
            continue
        tight = stated(**fields, policies=[rules.Moves(at_most=int(fewest.objective))])
        assert solve(tight, deterministic=True).verified


def test_an_instance_without_nodes_is_refused() -> None:
    with pytest.raises(InstanceError, match="nodes: expected at least one node, got none"):
        stated(nodes=[], tasks=[])


@pytest.mark.parametrize("amount", [2**62, 2**70, float("inf"), float("nan"), -1])
def test_amounts_that_cannot_be_computed_with_are_refused_by_their_path(amount: float) -> None:
    for where, fields in (
        (r"nodes\[0\]\.capacity\.cpu", {"nodes": [Node(name="n", capacity={"cpu": amount})]}),
        (r"tasks\[0\]\.demand\.cpu", {"tasks": [task(amount)]}),
    ):
        with pytest.raises(InstanceError, match=where):
            stated(**fields)


def test_an_instance_of_a_million_tasks_is_a_small_problem() -> None:
    instance = many_types(80)
    problem = Problem(instance, read_objective(instance))
    assert problem.classes <= 8


def invoke(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, ["solve", *map(str, arguments)])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_command_line_says_what_cannot_be_and_ends_with_1(engine: str, tmp_path: Path) -> None:
    for case in ("a task larger than every node", "no moves, and a node that is overfull"):
        make, expected = HOPELESS[case]
        file = tmp_path / "instance.json"
        dump_instance(make(), file)
        told = invoke(file, "--engine", engine, "--json")
        assert told.exit_code == 1
        reasons = json.loads(told.stdout)["reasons"]
        wanted = expected.removeprefix(": ")
        assert any(wanted in f"{r['task']}: {r['message']}" for r in reasons)
        shown = " ".join(invoke(file, "--engine", engine).stdout.split())
        assert shown.startswith("infeasible")


def test_the_command_line_solves_a_million_tasks(tmp_path: Path) -> None:
    make, expected = POSSIBLE["a million identical tasks"]
    file = tmp_path / "instance.json"
    dump_instance(make(), file)
    shown = invoke(file, "--engine", "greedy", "-o", tmp_path / "solution.json")
    assert shown.exit_code == 0
    assert f"placement on {int(expected):,} of 10,000 nodes" in shown.stdout


def test_the_command_line_refuses_an_instance_without_nodes(tmp_path: Path) -> None:
    file = tmp_path / "instance.json"
    file.write_text('{"optalloc": 1, "tasks": []}')
    refused = invoke(file)
    assert refused.exit_code == 2
    assert "expected at least one node" in refused.stderr
