"""Placement policies break ties after the objective, each as it says, in the order asked for."""

from __future__ import annotations

import pkgutil
import random
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


# -- least expected fragmentation --------------------------------------------------------------


def part(name: str, share: float, **stated: Any) -> Task:
    return Task(name=name, demand={"device": share, "cpu": 1}, **stated)


def test_requests_leave_nodes_to_those_that_can_go_nowhere_else() -> None:
    stated = Instance(
        nodes=[Node(name=name, device=name, devices=2, capacity={"cpu": 8}) for name in ("A", "B")]
    )
    sample = [part(f"a{k}", 1, allow={"device": ["A"]}) for k in range(8)]
    sample += [part(f"b{k}", 1) for k in range(2)]
    told, blind = Oracle(stated, policy="fragmentation"), Oracle(stated)
    told.expect(*sample)
    assert nodes_of(blind, part("t", 1)) == ["A"]
    assert nodes_of(told, part("t", 1), part("u", 1)) == ["B", "B"]


def test_parts_that_go_together_share_a_device() -> None:
    oracle = Oracle(Instance(nodes=[Node(name="a", devices=3)]), policy="fragmentation")
    sample = [Task(name=f"s{k}", demand={"device": (0.7, 0.3, 0.5)[k % 3]}) for k in range(9)]
    oracle.expect(*sample)
    wanted = [0.7, 0.5, 0.3, 0.5]
    tasks = [Task(name=f"t{k}", demand={"device": w}) for k, w in enumerate(wanted)]
    answers = [a for a in oracle.place(*tasks) if isinstance(a, Decision)]
    first, second, third, fourth = (a.devices["a"] for a in answers)
    assert third == first
    assert fourth == second


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_of_nodes_is_what_evaluating_them_anew_says(seed: int) -> None:
    """The law of the memory: stale values are never used, whatever came and went."""
    rng = random.Random(seed)
    oracle = Oracle(cluster(), policy="fragmentation")

    def drawn(name: str) -> Task:
        demand = {"device": rng.choice([0.25, 0.5, 0.7, 1, 2]), "cpu": rng.choice([1, 2, 4])}
        return Task(name=name, demand=demand, replicas=rng.choice([1, 1, 1, 2]))

    oracle.expect(*(drawn(f"s{k}") for k in range(30)))
    for step in range(80):
        if oracle.tasks() and rng.random() < 0.4:
            oracle.release(rng.choice(oracle.tasks()))
        task = drawn(f"t{step}")
        fork = oracle.fork()
        assert oracle.place(task) == fork.place(task)


def test_without_a_sample_the_mix_is_that_of_recent_requests() -> None:
    stated = Instance(
        nodes=[Node(name=name, device=name, devices=200, capacity={}) for name in ("A", "B")]
    )
    oracle = Oracle(stated, policy="fragmentation")
    for k in range(120):
        oracle.place(Task(name=f"a{k}", demand={"device": 1}, allow={"device": ["A"]}))
    assert nodes_of(oracle, Task(name="t", demand={"device": 1})) == ["B"]


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
