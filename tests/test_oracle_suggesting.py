"""What would make a refused task fit: all that is told is true, and the least change is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optalloc import Configuration, Group, Instance, Node, OptallocError, Task, policies
from optalloc.oracle import Decision, Oracle, Refusal, Remedy
from optalloc.oracle.answers import Taken

RULES = (
    policies.AntiAffinity(scope="node", limit=1),
    policies.AntiAffinity(scope="rack", limit=2),
    policies.Span(scope="rack", domains=1),
    policies.PowerCap(scope="rack", watts=1500),
)


def oracle_of(*cpus: float, **stated: Any) -> Oracle:
    """An oracle of nodes n0, n1, ... with so many cpus."""
    nodes = [Node(name=f"n{i}", capacity={"cpu": cpu}) for i, cpu in enumerate(cpus)]
    return Oracle(Instance(nodes=nodes, **stated))


def task(name: str, cpu: float, **stated: Any) -> Task:
    return Task(name=name, demand={"cpu": cpu}, **stated)


def told(oracle: Oracle, asked: Task) -> list[str]:
    return [remedy.words for remedy in oracle.remedies(asked)]


def fits_after(oracle: Oracle, remedy: Remedy, asked: Task) -> bool:
    fork = oracle.fork()
    fork.reopen(*remedy.reopen)
    fork.release(*remedy.release)
    fork.add_nodes(*remedy.add)
    (answer,) = fork.place(remedy.task or asked)
    return isinstance(answer, Decision)


# -- known answers ---------------------------------------------------------------------------------


def test_a_single_task_is_told_all_four_ways() -> None:
    oracle = oracle_of(8, 8, 8)
    oracle.close("n1", "n2")
    oracle.place(task("a", 6))
    oracle.reopen("n1")
    oracle.place(task("b", 5), task("c", 1))
    found = oracle.remedies(task("x", 4))
    assert [r.words for r in found] == [
        "open node n2",
        "release b",
        "ask for 3 cpu instead of 4",
        "add 1 node like n0",
    ]
    assert found[3].add == (Node(name="n0-1", capacity={"cpu": 8}),)


def test_the_smallest_task_that_is_enough_is_released_and_none_in_vain() -> None:
    oracle = oracle_of(10)
    oracle.place(task("big", 5), task("small", 1), task("middle", 3))
    assert "release middle" in told(oracle, task("x", 4))
    assert "release small" in told(oracle, task("x", 2))
    assert "release big, middle" in told(oracle, task("x", 9))


def test_no_release_of_more_than_a_few_is_told() -> None:
    oracle = oracle_of(10)
    oracle.place(*(task(f"t{i}", 1) for i in range(10)))
    assert not any(r.release for r in oracle.remedies(task("x", 5)))
    assert any(len(r.release) == 4 for r in oracle.remedies(task("x", 4)))


def test_a_gang_is_told_the_replicas_that_fit_and_the_nodes_that_lack() -> None:
    oracle = oracle_of(4, 4, 4)
    asked = task("gang", 2, replicas=9)
    assert told(oracle, asked) == ["ask for 6 replicas instead of 9", "add 2 nodes like n0"]
    oracle.place(task("a", 2))
    assert told(oracle, task("gang", 2, replicas=6)) == [
        "release a",
        "ask for 5 replicas instead of 6",
        "add 1 node like n0",
    ]


def test_a_gang_within_a_domain_gets_nodes_there() -> None:
    nodes = [Node(name=f"n{i}", capacity={"cpu": 4}, domains={"rack": f"r{i}"}) for i in range(3)]
    oracle = Oracle(Instance(nodes=nodes))
    found = oracle.remedies(task("gang", 4, replicas=3, within="rack"))
    assert [r.words for r in found] == [
        "ask for 1 replica instead of 3",
        "add 2 nodes like n0",
    ]
    assert found[1].add[0].domains["rack"] == "r0"


def test_a_gang_of_a_shape_has_it_in_what_is_told() -> None:
    oracle = oracle_of(8, 8)
    found = told(oracle, task("gang", 1, replicas=6, per_node=2))
    assert found == ["ask for 4 replicas instead of 6", "add 1 node like n0"]


@pytest.mark.parametrize(("device", "said"), [(2, "1 device"), (0.75, "0.5 device")])
def test_devices_are_whole_or_parts_of_one(device: float, said: str) -> None:
    oracle = Oracle(Instance(nodes=[Node(name="n", devices=2)]))
    oracle.place(Task(name="a", demand={"device": 0.5}))
    if device < 1:
        oracle.place(Task(name="b", demand={"device": 1}))
    asked = Task(name="x", demand={"device": device})
    assert f"ask for {said} instead of {device:g}" in told(oracle, asked)
    assert "release a" in told(oracle, asked)


def test_a_rule_in_the_way_is_met_by_releasing_whom_it_counts() -> None:
    rule = policies.AntiAffinity(scope="node", limit=1)
    oracle = oracle_of(8, groups=[Group(name="g")], policies=[rule])
    oracle.place(task("other", 1), task("same", 1, groups=("g",)))
    assert told(oracle, task("x", 1, groups=("g",))) == ["release same", "add 1 node like n0"]


def test_nothing_is_told_where_nothing_helps() -> None:
    oracle = oracle_of(8)
    assert told(oracle, task("x", 1, allow={"node": ("no",)})) == []
    assert told(oracle, Task(name="x", configurations=[Configuration(device="none")])) == []


def test_nodes_of_a_name_are_not_told_for_a_task_of_another() -> None:
    oracle = oracle_of(8)
    oracle.place(task("a", 8))
    assert told(oracle, task("x", 8, allow={"node": ("n0",)})) == ["release a"]


def test_a_task_that_fits_needs_nothing_and_wrong_ones_are_refused() -> None:
    oracle = oracle_of(8)
    assert oracle.remedies(task("x", 8)) == ()
    oracle.place(task("a", 1))
    with pytest.raises(Taken):
        oracle.remedies(task("a", 9))
    with pytest.raises(OptallocError):
        oracle.remedies(Task(name="x", demand={"gpu": 1}))


def test_where_numbers_are_stated_node_by_node_no_node_is_added() -> None:
    oracle = oracle_of(8, 8)
    assert told(oracle, Task(name="x", demand={"cpu": (9, 10)})) == []


# -- laws ------------------------------------------------------------------------------------------


def drawn(rng: random.Random, name: str) -> Task:
    stated: dict[str, Any] = {"demand": {"cpu": rng.choice([1, 2.5, 4, 6])}}
    kind = rng.random()
    if kind < 0.4:
        stated["demand"]["device"] = rng.choice([0.5, 0.7, 1, 2])
        stated["device_memory_gib"] = rng.choice([0, 12.5, 30])
    elif kind < 0.8:
        stated["replicas"] = rng.choice([2, 4, 6])
        stated["within"] = rng.choice(["", "rack", "node"])
        stated["per_node"] = rng.choice([0, 0, 2])
    elif kind < 0.9:
        rows = [Configuration(name="two", replicas=2, demand={"device": 2}), Configuration()]
        stated["configurations"] = rows
    if rng.random() < 0.4:
        stated["groups"] = ["g"]
    if rng.random() < 0.2:
        stated["forbid"] = {"rack": ["r0"]}
    return Task(name=name, **stated)


def random_oracle(rng: random.Random, rules: list[Any]) -> Oracle:
    nodes = [
        Node(
            name=f"n{i}",
            count=rng.choice([1, 1, 2]),
            capacity={"cpu": rng.choice([4, 8, 8])},
            devices=rng.choice([0, 1, 2]) if i else 2,
            memory_gib=40,
            idle_w=100,
            full_w=700,
            domains={"rack": f"r{i // 2}"},
        )
        for i in range(rng.randint(1, 4))
    ]
    oracle = Oracle(Instance(nodes=nodes, groups=[Group(name="g")], policies=rules))
    for k in range(rng.randint(0, 12)):
        oracle.place(drawn(rng, f"t{k}"))
    for name in oracle.ground.problem.columns.node_names:
        if rng.random() < 0.2:
            oracle.close(name)
    return oracle


@given(st.integers(0, 10**9), st.lists(st.sampled_from(RULES), max_size=2, unique_by=repr))
@settings(max_examples=12, deadline=None)
def test_all_that_is_told_is_true_and_nothing_changes(seed: int, rules: list[Any]) -> None:
    rng = random.Random(seed)
    oracle = random_oracle(rng, rules)
    before = oracle.snapshot()
    for k in range(6):
        asked = drawn(rng, f"x{k}")
        found = oracle.remedies(asked)
        for remedy in found:
            assert fits_after(oracle, remedy, asked), remedy
        if found:
            assert isinstance(oracle.fork().place(asked)[0], Refusal)
    assert oracle.snapshot() == before


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), max_size=9),
    st.integers(1, 12),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_with_one_resource_each_way_that_there_is_is_told(
    cpus: list[int], sizes: list[int], need: int, data: st.DataObject
) -> None:
    """The ways are found by trying all of them; of releases, those of one task."""
    oracle = oracle_of(*cpus)
    oracle.place(*(task(f"t{i}", size) for i, size in enumerate(sizes)))
    names = oracle.ground.problem.columns.node_names
    oracle.close(*data.draw(st.lists(st.sampled_from(names), unique=True)))
    asked = task("x", need)
    if isinstance(oracle.fork().place(asked)[0], Decision):
        return
    shut = [n for n, closed in zip(names, oracle.ground.closed, strict=True) if closed]
    opens = any(fits_after(oracle, Remedy(words="", reopen=(n,)), asked) for n in shut)
    alone = any(fits_after(oracle, Remedy(words="", release=(t,)), asked) for t in oracle.tasks())
    free = oracle.ground.free()[:, 0] * ~oracle.ground.closed
    quantum = oracle.ground.problem.columns.quantum_of_resource[0]
    found = oracle.remedies(asked)
    assert any(r.reopen for r in found) == opens
    assert any(len(r.release) == 1 for r in found) == alone
    assert [r.task.demand["cpu"] for r in found if r.task] == [
        most for most in [int(free.max()) * quantum] if most
    ]
    assert any(r.add for r in found) == (max(cpus) >= need)
