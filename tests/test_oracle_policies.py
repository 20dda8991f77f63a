"""Placement policies break ties after the objective, each as it says, in the order asked for."""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from optalloc import Energy, Instance, Node, OptallocError, Task, policies
from optalloc.oracle import Decision, Oracle
from optalloc.oracle import policies as placement


def cluster(*rules: Any, nodes: int = 6, **stated: Any) -> Instance:
    """Nodes in racks of three."""
    return Instance(
        nodes=[
            Node(
                name=f"n{i}",
                devices=4,
                capacity={"cpu": 16},
                domains={"rack": f"r{i // 3}"},
                **stated,
            )
            for i in range(nodes)
        ],
        policies=rules,
    )


def nodes_of(oracle: Oracle, *tasks: Task) -> list[str]:
    answers = oracle.place(*tasks)
    return [name for a in answers if isinstance(a, Decision) for name in sorted(a.nodes)]


def single(name: str, cpu: float = 2) -> Task:
    return Task(name=name, demand={"cpu": cpu})


def test_every_module_of_the_package_is_a_policy_with_its_own_name() -> None:
    modules = {m.name.replace("_", "-") for m in pkgutil.iter_modules(placement.__path__)}
    assert set(placement.policies()) == modules - {"protocol"}
    assert all(policy.summary for policy in placement.policies().values())


@pytest.mark.parametrize("name", placement.policies())
def test_the_objective_comes_first_whatever_the_policy(name: str) -> None:
    stated = Instance(
        nodes=[Node(name="dear", capacity={"cpu": 4}), Node(name="cheap", capacity={"cpu": 4})],
        policies=[policies.AssignmentCost(weight=1)],
    )
    oracle = Oracle(stated, policy=name)
    cost = (5, 1)
    tasks = [Task(name=f"t{k}", demand={"cpu": 1}, cost=cost) for k in range(4)]
    assert nodes_of(oracle, *tasks) == ["cheap"] * 4


def test_best_fit_fills_and_spread_levels() -> None:
    fit, level = Oracle(cluster(), policy="best-fit"), Oracle(cluster(), policy="spread")
    for oracle in (fit, level):
        oracle.place(Task(name="first", demand={"cpu": 9}, allow={"node": ["n4"]}))
    tasks = [single(f"t{k}") for k in range(5)]
    assert nodes_of(fit, *tasks) == ["n4", "n4", "n4", "n0", "n0"]
    assert sorted(nodes_of(level, *tasks)) == ["n0", "n1", "n2", "n3", "n5"]


def test_spread_levels_the_replicas_of_a_gang() -> None:
    oracle = Oracle(cluster(), policy="spread")
    (answer,) = oracle.place(Task(name="g", replicas=6, demand={"device": 2}))
    assert isinstance(answer, Decision)
    assert answer.nodes == {f"n{i}": 1 for i in range(6)}


def test_least_energy_fills_nodes_that_run_before_it_wakes_the_thriftiest() -> None:
    nodes = [
        Node(name=f"n{i}", capacity={"cpu": 4}, idle_w=watts, full_w=watts + 100)
        for i, watts in enumerate((300, 100, 200))
    ]
    stated = Instance(nodes=nodes, energy=Energy(share="cpu"))
    oracle = Oracle(stated, policy="least-energy")
    found = nodes_of(oracle, *(single(f"t{k}") for k in range(6)))
    assert found == ["n1", "n1", "n2", "n2", "n0", "n0"]


@pytest.mark.parametrize(
    ("replicas", "on", "racks"), [(4, 1, 1), (7, 2, 1), (12, 3, 1), (13, 4, 2), (24, 6, 2)]
)
def test_gangs_take_the_tightest_domain_that_has_room(replicas: int, on: int, racks: int) -> None:
    oracle = Oracle(cluster(), policy="gang > best-fit")
    (answer,) = oracle.place(Task(name="g", replicas=replicas, demand={"cpu": 4, "device": 1}))
    assert isinstance(answer, Decision)
    assert len(answer.nodes) == on
    assert len({int(node[1:]) // 3 for node in answer.nodes}) == racks
    assert sum(map(len, answer.devices.values())) == replicas
    oracle.release("g")
    assert nodes_of(oracle, single("t", 16)) == ["n0"]


def test_a_later_policy_decides_where_those_before_see_no_difference() -> None:
    oracle = Oracle(cluster(nodes=3), policy="spread > best-fit")
    assert sorted(nodes_of(oracle, *(single(f"t{k}") for k in range(3)))) == ["n0", "n1", "n2"]


def test_policies_go_on_in_forks_and_snapshots() -> None:
    oracle = Oracle(cluster(), policy="best-fit")
    oracle.place(Task(name="first", demand={"cpu": 9}, allow={"node": ["n4"]}))
    again = Oracle.restore(oracle.snapshot())
    assert nodes_of(oracle.fork(), single("t")) == nodes_of(again, single("t")) == ["n4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("best", r"placement policy \(best-fit, .*\), got 'best'"),
        ("spread > spread", "once, got 'spread' again"),
    ],
)
def test_policies_that_are_none_are_told(text: str, said: str) -> None:
    with pytest.raises(OptallocError, match=said):
        Oracle(cluster(), policy=text)
