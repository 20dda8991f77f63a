"""Gangs that stay within a domain or have a shape: what is placed, told and refused."""

from __future__ import annotations

import numpy as np
import pytest

from optalloc import Configuration, Instance, Node, Task, solve
from optalloc.instance.errors import InstanceError
from optalloc.instance.placement import Placement
from optalloc.policies import Throughput
from optalloc.solution import Placed, read_placement
from optalloc.verify import verify


def racks(*free: tuple[int, ...]) -> list[Node]:
    """One rack for each tuple, whose nodes have so many devices."""
    return [
        Node(name=f"n{r}{k}", device="gpu", devices=number, domains={"rack": f"r{r}"})
        for r, rack in enumerate(free)
        for k, number in enumerate(rack)
    ]


def levels(replicas: int, rates: dict[str, float]) -> list[Configuration]:
    return [
        Configuration(device="gpu", replicas=replicas, throughput=rate, within=scope)
        for scope, rate in rates.items()
    ]


def test_a_gang_runs_within_one_rack_where_that_is_faster() -> None:
    table = levels(3, {"rack": 10, "": 4})
    job = Task(name="job", configurations=table, count=2, required=False)
    result = solve(
        Instance(nodes=racks((2, 1), (2, 2), (1,)), tasks=[job], objective="throughput"),
        deterministic=True,
    )
    assert result.status == "optimal"
    assert result.objective == 2.0
    for placed in result.assignment.values():
        assert len({name[:2] for name in placed}) == 1


def test_a_gang_that_fits_no_rack_takes_the_slower_row() -> None:
    job = Task(name="job", configurations=levels(4, {"rack": 10, "": 4}), required=False)
    result = solve(
        Instance(
            nodes=racks((2, 1), (2, 1)),
            tasks=[job],
            policies=[Throughput(raw=True)],
            objective="throughput",
        ),
        deterministic=True,
    )
    assert (result.status, result.objective) == ("optimal", 4.0)


def test_counts_alone_do_not_make_a_shape_fit() -> None:
    """A shape of 2 x 4 does not fit three nodes with 3 free devices each, nor does 8 x 1."""
    nodes = racks((3, 3, 3))
    for shape in (4, 1):
        job = Task(name="job", demand={"device": 1}, replicas=8, per_node=shape)
        assert solve(Instance(nodes=nodes, tasks=[job]), deterministic=True).status == "infeasible"
    job = Task(name="job", demand={"device": 1}, replicas=8)
    assert solve(Instance(nodes=nodes, tasks=[job]), deterministic=True).status == "optimal"


@pytest.mark.parametrize("entries", [1, 3])
def test_shares_of_a_node_go_to_different_tasks(entries: int) -> None:
    """Three tasks of two shares on three nodes with room for two: each must lie on two nodes."""
    tasks = [
        Task(name=f"t{k}", demand={"device": 1}, replicas=4, per_node=2, count=3 // entries)
        for k in range(entries)
    ]
    instance = Instance(nodes=racks((4, 4, 4)), tasks=tasks)
    result = solve(instance, deterministic=True)
    assert result.status == "optimal"
    for placed in result.assignment.values():
        assert sorted(placed.values()) == [2, 2]


@pytest.mark.parametrize("entries", [1, 3])
def test_merged_gangs_stay_within_their_racks(entries: int) -> None:
    tasks = [
        Task(name=f"t{k}", demand={"device": 1}, replicas=3, within="rack", count=3 // entries)
        for k in range(entries)
    ]
    instance = Instance(nodes=racks((2, 2, 2), (2, 1, 1)), tasks=tasks)
    result = solve(instance, deterministic=True)
    assert result.status == "optimal"
    assert len(result.assignment) == 3
    for placed in result.assignment.values():
        assert sum(placed.values()) == 3
        assert len({name[:2] for name in placed}) == 1
    named = {name: Placed(nodes=nodes) for name, nodes in result.assignment.items()}
    assert verify(instance, read_placement(instance, named)).feasible


def test_torn_gangs_are_found_out() -> None:
    task = Task(name="t", demand={"device": 1}, replicas=2, within="rack", per_node=1)
    instance = Instance(nodes=racks((2, 2), (2, 2)), tasks=[task])
    for nodes, replicas, broken in (
        ([0, 1], [1, 1], ""),
        ([0, 2], [1, 1], "1 replica in rack r0 beyond whole tasks of 2"),
        ([0], [2], "2 replicas on node n00, expected 1 for each of at most 1 task"),
    ):
        placement = Placement.of(
            np.array([1]), np.zeros(len(nodes), np.int64), np.array(nodes), np.array(replicas)
        )
        report = verify(instance, placement)
        messages = " ".join(v.message for v in report.violations if v.rule == "gangs")
        assert broken in messages
        assert report.feasible == (not broken)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task(name="t", within="row"), "tasks[0].within: expected a domain scope"),
        (Task(name="t", replicas=4, per_node=3), "tasks[0].per_node: expected a divisor"),
        (
            Task(name="t", configurations=[Configuration(replicas=3, per_node=2, within="x")]),
            "tasks[0].configurations[0].within: expected a domain scope",
        ),
        (
            Task(name="t", configurations=[Configuration(replicas=3, per_node=2)]),
            "tasks[0].configurations[0].per_node: expected a divisor of 3, got 2",
        ),
        (
            Task(name="t", per_node=2, configurations=[Configuration(replicas=3)]),
            "tasks[0].per_node: expected a divisor",
        ),
        (Task(name="t", per_node=-1), "tasks[0].per_node: expected"),
    ],
)
def test_what_is_wrong_with_a_gang_is_named(task: Task, expected: str) -> None:
    with pytest.raises(InstanceError) as error:
        Instance(nodes=racks((2,)), tasks=[task])
    assert expected in str(error.value)
