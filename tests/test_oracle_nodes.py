"""Nodes that join and leave a live cluster: as if they had always, or never, been there."""

from __future__ import annotations

import random
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optalloc import (
    Configuration,
    Group,
    Instance,
    InstanceError,
    Lookup,
    Node,
    OptallocError,
    Resource,
    Task,
    policies,
)
from optalloc.oracle import Decision, Oracle, Refusal
from optalloc.verify import verify

RULES = (
    policies.AntiAffinity(scope="node", limit=2),
    policies.Span(scope="rack", domains=2),
    policies.PowerCap(scope="rack", watts=2500),
    policies.PeakLoad(resource="cpu"),
)
ROWS = [
    Configuration(name="two", replicas=2, within="rack", throughput=9, demand={"device": 1}),
    Configuration(name="one", throughput=5, demand={"device": 1}),
]


def node(name: str, rack: str, **stated: Any) -> Node:
    fields: dict[str, Any] = {
        "device": "A100",
        "devices": 2,
        "memory_gib": 40,
        "capacity": {"cpu": 8},
        "idle_w": 100,
        "full_w": 700,
        "domains": {"rack": rack},
    }
    return Node(name=name, **(fields | stated))


def cluster(*rules: Any, **stated: Any) -> Instance:
    fields: dict[str, Any] = {
        "nodes": [node(f"n{i}", f"r{i // 2}") for i in range(4)],
        "groups": [Group(name="g")],
        "policies": [policies.Admitted(), policies.Nodes(), policies.Power(), *rules],
        "objective": "admitted > nodes > power",
    }
    return Instance(**(fields | stated))


def drawn(rng: random.Random, name: str) -> Task:
    stated: dict[str, Any] = {"demand": {"cpu": rng.choice([1, 2.5, 4])}}
    kind = rng.random()
    if kind < 0.3:
        stated["demand"]["device"] = rng.choice([0.5, 1, 2])
        stated["device_memory_gib"] = rng.choice([0, 12.5])
    elif kind < 0.5:
        stated["replicas"] = 3
    elif kind < 0.7:
        stated["configurations"] = ROWS
    if rng.random() < 0.3:
        stated["groups"] = ["g"]
    return Task(name=name, **stated)


def newcomer(rng: random.Random, name: str) -> Node:
    return node(
        name,
        rng.choice(["r0", "r1", "new"]),
        device=rng.choice(["A100", "H100"]),
        devices=rng.choice([0, 1, 4]),
        capacity={"cpu": rng.choice([4, 7.5, 9.25])},
        labels={"zone": "b"},
        count=rng.choice([1, 1, 2]),
    )


def known(oracle: Oracle) -> list[Any]:
    """All that is counted and known, for comparisons."""
    ground = oracle.ground
    assert ground.devices is not None
    return [
        [[t.y.tolist(), t.reduced.tolist(), t.broken()] for t in ground.counters.tracked],
        ground.counters.spent.tolist(),
        ground.free().tolist(),
        ground.devices.free.tolist(),
        ground.devices.memory.tolist(),
        ground.closed.tolist(),
        oracle.snapshot(),
    ]


def keeps_rules(oracle: Oracle) -> None:
    report = verify(*oracle.instance())
    assert report.feasible, report.violations


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from("ppppprraadkc"), min_size=4, max_size=16),
    policy=st.sampled_from(["", "fragmentation", "gang > best-fit"]),
    rule=st.sampled_from(RULES),
)
def test_whatever_came_and_went_the_state_is_that_of_a_restored_snapshot(
    seed: int, steps: list[str], policy: str, rule: Any
) -> None:
    rng = random.Random(seed)
    oracle = Oracle(cluster(rule), policy=policy)
    for k, step in enumerate(steps):
        running, names = oracle.tasks(), oracle.ground.problem.columns.node_names
        match step:
            case "p":
                oracle.place(drawn(rng, f"t{k}"))
            case "r" if running:
                oracle.release(rng.choice(running))
            case "a":
                oracle.add_nodes(*(newcomer(rng, f"a{k}-{i}") for i in range(rng.choice([1, 2]))))
            case "d":
                moves = oracle.drain(rng.choice(names))
                oracle.move(*(move for move in moves if isinstance(move, Decision)))
            case "c":
                oracle.reopen(rng.choice(names))
            case "k":
                empty = [n for n in names if not oracle.tasks_on(n) and "/" not in n]
                if empty and len(names) > 2:
                    oracle.remove_nodes(rng.choice(empty))
    keeps_rules(oracle)
    again = Oracle.restore(oracle.snapshot())
    assert known(again) == known(oracle)
    task = drawn(rng, "next")
    assert again.place(task) == oracle.place(task)
    assert known(again) == known(oracle)
    fork = oracle.fork()
    fork.add_nodes(newcomer(rng, "fork"))
    assert known(again) == known(oracle)


def test_what_found_no_place_finds_one_on_a_new_node() -> None:
    oracle = Oracle(cluster())
    wants = {
        "type": Task(name="type", allow={"device": ["H100"]}, demand={"device": 3}),
        "size": Task(name="size", demand={"cpu": 9.5}),
        "label": Task(name="label", allow={"zone": ["b"]}),
        "gang": Task(name="gang", replicas=8, within="rack", demand={"device": 1}),
    }
    assert all(isinstance(a, Refusal) for a in oracle.place(*wants.values()))
    version = oracle.version
    oracle.add_nodes(
        node("fast", "r9", device="H100", devices=4, labels={"zone": "b"}),
        node("many", "r8", devices=4, count=2, capacity={"cpu": 9.5}),
    )
    assert oracle.version == version + 1
    answers = {a.task: a for a in oracle.place(*wants.values())}
    assert all(isinstance(a, Decision) for a in answers.values())
    gang = answers["gang"]
    assert isinstance(gang, Decision)
    assert gang.nodes == {"many/0": 4, "many/1": 4}
    assert gang.devices == {"many/0": (0, 1, 2, 3), "many/1": (0, 1, 2, 3)}
    keeps_rules(oracle)
    assert [a.task for a in oracle.drain("fast")] == ["type", "label"]


@pytest.mark.parametrize("capacity", [8.5, 8, 8.25, 0.333333])
def test_a_chosen_quantum_becomes_so_fine_that_new_capacities_are_whole(capacity: float) -> None:
    """What needs just that much fits, what needs more does not, what ran counts the same."""
    oracle = Oracle(cluster())
    oracle.place(Task(name="old", demand={"cpu": 3}))
    oracle.add_nodes(node("new", "r0", capacity={"cpu": capacity}))
    found = oracle.ground.problem.columns.quantum_of_resource[0]
    free = oracle.ground.free()[:, 0] * float(found)
    assert np.allclose(free, [5, 8, 8, 8, capacity])
    here = {"node": ["new"]}
    (more,) = oracle.place(Task(name="more", demand={"cpu": capacity + 0.001}, allow=here))
    assert isinstance(more, Refusal)
    (just,) = oracle.place(Task(name="just", demand={"cpu": capacity}, allow=here))
    assert isinstance(just, Decision)
    keeps_rules(oracle)


def test_capacities_are_rounded_down_to_a_quantum_that_is_stated() -> None:
    oracle = Oracle(cluster(resources={"cpu": Resource(quantum=2)}))
    oracle.add_nodes(node("new", "r0", capacity={"cpu": 7.5}))
    assert oracle.ground.problem.columns.quantum_of_resource[0] == 2
    assert oracle.ground.free()[-1, 0] == 3
    again = Oracle.restore(oracle.snapshot())
    again.add_nodes(node("newer", "r0", capacity={"cpu": 5.5}))
    assert again.ground.free()[-1, 0] == 2


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (node("n1", "r0"), r"nodes\[0\]\.name.*'n1'"),
        (node("x", "r0", capacity={"disk": 3}), r"nodes\[0\]\.capacity\.disk: expected a resource"),
        (node("x", "r0", capacity={"cpu": -1}), r"nodes\[0\]\.capacity\.cpu: expected"),
        (node("x", "r0", count=0), r"nodes\[0\]\.count: expected"),
        (node("x", "r0", capacity={"cpu": 2.0**70}), r"nodes\[0\]\.capacity\.cpu"),
        (node("x", "r0", device="T4"), r"task 'typed'\.demand\.cpu"),
        (Node(name="x", devices="2"), r"nodes\[0\]\.devices: expected"),  # type: ignore[arg-type]
    ],
)
def test_nodes_that_do_not_go_with_the_cluster_are_refused_and_change_nothing(
    new: Node, said: str
) -> None:
    oracle = Oracle(cluster())
    by_type = Lookup(by="device", values={"A100": 2.5})
    oracle.place(Task(name="typed", demand={"cpu": by_type}))
    before = known(oracle)
    with pytest.raises(InstanceError, match=said):
        oracle.add_nodes(new)
    assert known(oracle) == before


def test_only_empty_nodes_that_nothing_needs_can_be_removed() -> None:
    oracle = Oracle(cluster())
    oracle.add_nodes(node("many", "r8", count=2))
    oracle.place(Task(name="a", allow={"node": ["n1"]}, current="n2"))
    before = known(oracle)
    for names, said in (
        (["n1"], "empty node, and on 'n1' runs 'a'; drain it"),
        (["many/0"], "all 2 nodes of 'many' to be removed together, got 1"),
        (["x"], "the name of a node, got 'x'"),
        (["n2", "n1"], "runs 'a'"),
    ):
        with pytest.raises(OptallocError, match=said):
            oracle.remove_nodes(*names)
        assert known(oracle) == before
    oracle.close("n3")
    oracle.remove_nodes("many/0", "many/1", "n2", "n3")
    assert oracle.ground.problem.columns.node_names == ("n0", "n1")
    assert oracle.where("a").nodes == {"n1": 1}
    assert known(Oracle.restore(oracle.snapshot())) == known(oracle)
    keeps_rules(oracle)
    oracle.release("a")
    with pytest.raises(OptallocError, match="at least one node"):
        oracle.remove_nodes("n0", "n1")


@pytest.mark.parametrize("told", [True, False])
def test_a_snapshot_keeps_the_mix_so_that_it_goes_on_the_same(told: bool) -> None:
    rng = random.Random(5)
    oracle = Oracle(cluster(), policy="fragmentation")
    if told:
        oracle.expect(*(drawn(rng, f"e{k}") for k in range(9)))
    for k in range(130):
        oracle.place(Task(name=f"t{k}", demand={"device": rng.choice([0.25, 0.5]), "cpu": 0.1}))
        oracle.release(*oracle.tasks()[:-4])
    mix = oracle.snapshot().mix
    assert mix is not None
    assert mix.counts
    assert mix.told is told
    again = Oracle.restore(oracle.snapshot())
    assert known(again) == known(oracle)
    for k in range(40):
        task = drawn(rng, f"u{k}")
        assert again.place(task) == oracle.place(task)
    assert known(again) == known(oracle)


def test_nothing_of_requests_formulated_before_stays() -> None:
    oracle = Oracle(cluster())
    oracle.place(Task(name="stays", demand={"device": 1}))
    oracle.check(*(Task(name=f"t{k}", demand={"cpu": k}) for k in range(1, 4)))
    known = [
        weakref.ref(held)
        for kind in oracle._kinds.values()
        for held in (kind, kind.problem, kind.problem.columns)
    ]
    assert len(known) >= 12
    oracle.add_nodes(node("new", "r0"))
    assert not any(ref() for ref in known)
    oracle.release("stays")
    assert oracle.ground.devices is not None
    assert oracle.ground.devices.free.sum() == 10 * 1000
