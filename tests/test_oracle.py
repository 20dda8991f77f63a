"""The oracle: what it answers holds for all that runs, whatever came and went before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from optalloc import (
    Configuration,
    Group,
    Instance,
    InstanceError,
    Lookup,
    Node,
    OptallocError,
    Placement,
    Resource,
    Task,
    policies,
)
from optalloc.oracle import Decision, Oracle, Refusal
from optalloc.oracle.improving import plan
from optalloc.solution import Placed
from optalloc.verify import verify

GROUPS = [Group(name=f"g{i}") for i in range(3)]
FAST = [
    Configuration(
        name=f"{n} in a {scope or 'cluster'}",
        replicas=n,
        within=scope,
        throughput=rate,
        traffic=rate / 2,
    )
    for n, scope, rate in ((2, "rack", 20), (2, "", 15), (4, "", 25))
]
RULES = {
    "capacity": policies.Nodes(),
    "anti-affinity": policies.AntiAffinity(scope="node", limit=2),
    "spread": policies.Spread(groups=["g1"], scope="rack", domains=2),
    "span": policies.Span(scope="rack", domains=1),
    "portion": policies.Portion(scope="rack", least=2, most=3),
    "power cap": policies.PowerCap(scope="rack", watts=2500),
    "uplinks": policies.UplinkLoad(scope="rack", capacity=30.5),
    "limit": policies.Power(at_most=5000),
    "dependency": policies.Dependency(scope="rack", pairs=[("g0", "g2")]),
    "balance": policies.Balance(resource="cpu", against="memory", ratio=2, weight=1),
    "peak": policies.PeakLoad(resource="cpu"),
}


def cluster(*rules: Any, **stated: Any) -> Instance:
    """Eight nodes in four racks."""
    nodes = [
        Node(
            name=f"n{i}",
            device=("H100", "A100")[i % 2],
            devices=4,
            capacity={"cpu": 16, "memory": 32},
            idle_w=300,
            full_w=1000,
            domains={"rack": f"r{i // 2}"},
            labels={"zone": "ab"[i // 4]},
        )
        for i in range(8)
    ]
    fields: dict[str, Any] = {
        "nodes": nodes,
        "groups": GROUPS,
        "resources": {"cpu": Resource(quantum=0.5), "memory": Resource()},
        "policies": [policies.Admitted(), policies.Nodes(), policies.Power(), *rules],
        "objective": "admitted > nodes > power",
    }
    return Instance(**(fields | stated))


def drawn(rng: random.Random, name: str) -> Task:
    """A request: single, a gang, or one with a table."""
    stated: dict[str, Any] = {
        "demand": {"cpu": rng.choice([1, 2.5, 4]), "memory": rng.choice([1, 7, 3.2])}
    }
    if rng.random() < 0.3:
        stated["groups"] = [f"g{rng.randrange(3)}"]
    if rng.random() < 0.2:
        stated["allow"] = {"zone": ["a"]}
    kind = rng.random()
    if kind < 0.3:
        stated["demand"]["device"] = rng.choice([1, 2])
    elif kind < 0.5:
        stated["replicas"] = rng.choice([2, 3])
    elif kind < 0.7:
        stated["configurations"] = FAST
    return Task(name=name, **stated)


def check(oracle: Oracle) -> None:
    """All that runs keeps every rule, and what is free is what it leaves."""
    instance, placement = oracle.instance()
    report = verify(instance, placement)
    assert report.feasible, report.violations
    columns = instance.columns
    free = columns.capacity[columns.node_entry]
    for i in range(len(columns.resources)):
        demand = columns.demand[i].at(placement.row, placement.node) * placement.replicas
        np.subtract.at(free[:, i], placement.node, demand)
    assert np.array_equal(free, oracle.ground.free())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_decisions_keep_every_rule_whatever_came_and_went(rule: str, seed: int) -> None:
    rng = random.Random(seed)
    oracle = Oracle(cluster(RULES[rule]))
    answers: list[Decision | Refusal] = []
    for step in range(60):
        running = oracle.tasks()
        if running and rng.random() < 0.35:
            oracle.release(rng.choice(running))
        else:
            answers += oracle.place(drawn(rng, f"t{step}"))
        if step % 15 == 14:
            check(oracle)
    assert sum(isinstance(a, Decision) for a in answers) >= 10
    for name in oracle.tasks():
        oracle.release(name)
    fresh = Oracle(cluster(RULES[rule]))
    pairs = zip(oracle.ground.counters.tracked, fresh.ground.counters.tracked, strict=True)
    for mine, new in pairs:
        assert np.array_equal(mine.y, new.y)
        assert np.array_equal(mine.reduced, new.reduced)
        assert mine.broken() == new.broken()
    assert np.array_equal(oracle.ground.counters.spent, fresh.ground.counters.spent)


@pytest.mark.parametrize("seed", range(5))
def test_a_single_task_goes_where_it_costs_least_and_is_refused_only_where_it_fits_nowhere(
    seed: int,
) -> None:
    """Every node is tried, with the independent checker."""
    rng = random.Random(seed)
    oracle = Oracle(cluster(RULES["anti-affinity"], RULES["power cap"]))
    for step in range(40):
        task = Task(
            name=f"t{step}",
            demand={"cpu": rng.choice([2, 5, 9]), "memory": rng.choice([4, 11])},
            groups=[f"g{rng.randrange(3)}"],
            configurations=[Configuration(watts=rng.choice([50, 400]))],
        )
        before, placement = oracle.instance()
        tried = {}
        instance = oracle.ground.stating([*before.tasks, task])
        objective = oracle.ground.objective
        for n, name in enumerate(instance.columns.node_names):
            trial = Placement.of(
                np.append(placement.chosen, 1),
                np.append(placement.row, instance.columns.rows - 1),
                np.append(placement.node, n),
                np.append(placement.replicas, 1),
            )
            report = verify(instance, trial, objective)
            if report.feasible:
                signs = [1 if level.sense == "min" else -1 for level in objective.levels]
                tried[name] = tuple(
                    s * level.value(report.values)
                    for s, level in zip(signs, objective.levels, strict=True)
                )
        (answer,) = oracle.place(task)
        if isinstance(answer, Decision):
            (node,) = answer.nodes
            assert tried[node] == min(tried.values())
        else:
            assert not tried, answer.reason


def test_a_refusal_says_which_rule_or_resource_blocks_how_many_nodes() -> None:
    oracle = Oracle(cluster(policies.AntiAffinity(scope="node")))
    for k in range(4):
        (answer,) = oracle.place(Task(name=f"a{k}", groups=["g0"], allow={"zone": ["a"]}))
        assert isinstance(answer, Decision)
    (answer,) = oracle.place(
        Task(name="b", groups=["g0"], demand={"device": 1}, allow={"device": ["H100"]})
    )
    assert isinstance(answer, Decision)
    big = Task(name="c", groups=["g0"], demand={"device": 5}, allow={"device": ["H100"]})
    (refused,) = oracle.place(big)
    assert isinstance(refused, Refusal)
    assert "4 nodes: device not in (H100)" in refused.reason
    assert "device short (need 5, largest free 4)" in refused.reason
    (refused,) = oracle.place(Task(name="d", groups=["g0"], allow={"zone": ["a"]}))
    assert isinstance(refused, Refusal)
    assert "4 nodes: zone not in (a)" in refused.reason
    assert "4 nodes: anti-affinity" in refused.reason
    assert refused.version == oracle.version == 5
    assert set(oracle.tasks()) == {"a0", "a1", "a2", "a3", "b"}


def test_what_cannot_be_asked_changes_nothing() -> None:
    oracle = Oracle(cluster())
    oracle.place(Task(name="a", demand={"cpu": 1}))
    with pytest.raises(OptallocError, match="name of a new task, got 'a'"):
        oracle.place(Task(name="b"), Task(name="a"))
    with pytest.raises(InstanceError, match=r"demand\.disk: expected a resource"):
        oracle.place(Task(name="b"), Task(name="c", demand={"disk": 1}))
    with pytest.raises(OptallocError, match="a task that runs, got 'x'"):
        oracle.release("a", "x")
    with pytest.raises(OptallocError, match="single tasks, got 'b' with a count"):
        oracle.place(Task(name="b", count=2))
    assert oracle.tasks() == ("a",)
    assert oracle.version == 1


# -- nodes, moves, forks -----------------------------------------------------------------------


def counters(oracle: Oracle) -> list[Any]:
    """All that is counted, for comparisons."""
    tracked = oracle.ground.counters.tracked
    return [[t.y.tolist(), t.reduced.tolist(), t.broken()] for t in tracked]


def busy(seed: int, *rules: Any) -> tuple[Oracle, random.Random]:
    rng = random.Random(seed)
    oracle = Oracle(cluster(*rules))
    oracle.place(*(drawn(rng, f"t{k}") for k in range(25)))
    return oracle, rng


@pytest.mark.parametrize("rule", RULES)
def test_a_fork_is_apart_and_a_restored_snapshot_is_the_same(rule: str) -> None:
    oracle, rng = busy(1, RULES[rule])
    before = counters(oracle), oracle.tasks(), oracle.version
    fork = oracle.fork()
    fork.release(*fork.tasks()[:5])
    fork.place(*(drawn(rng, f"u{k}") for k in range(5)))
    check(fork)
    assert (counters(oracle), oracle.tasks(), oracle.version) == before
    oracle.close("n3")
    again = Oracle.restore(oracle.snapshot())
    assert counters(again) == counters(oracle)
    assert again.snapshot() == oracle.snapshot()
    task = drawn(rng, "next")
    assert again.place(task) == oracle.place(task)


@pytest.mark.parametrize("seed", range(4))
def test_a_drained_node_keeps_its_tasks_until_they_are_moved(seed: int) -> None:
    oracle, _ = busy(seed, RULES["anti-affinity"])
    node = oracle.where(oracle.tasks()[0]).nodes.popitem()[0]
    running, there = oracle.tasks(), oracle.tasks_on(node)
    proposals = oracle.drain(node)
    assert [p.task for p in proposals] == list(there)
    assert oracle.tasks() == running
    assert oracle.tasks_on(node) == there
    moves = [p for p in proposals if isinstance(p, Decision)]
    assert all(node not in move.nodes for move in moves)
    oracle.move(*moves)
    check(oracle)
    assert set(oracle.tasks_on(node)) == set(there) - {move.task for move in moves}
    (answer,) = oracle.place(Task(name="new", demand={"cpu": 0.5}, allow={"node": [node]}))
    assert isinstance(answer, Refusal)
    assert "1 node: closed" in answer.reason
    oracle.reopen(node)


@pytest.mark.parametrize("seed", range(4))
def test_tasks_of_a_node_that_is_down_are_lost_and_their_new_places_hold(seed: int) -> None:
    oracle, _ = busy(seed, RULES["span"])
    node = oracle.where(oracle.tasks()[0]).nodes.popitem()[0]
    lost = dict.fromkeys(oracle.tasks_on(node))
    fork = oracle.fork()
    proposals = oracle.node_down(node)
    assert lost.keys() == {p.task for p in proposals}
    assert not oracle.tasks_on(node)
    check(oracle)
    stated = {live.name: live for live in fork.snapshot().tasks}
    answers = oracle.place(*(stated[name] for name in lost))
    assert [a.task for a in answers] == list(lost)
    for answer, proposal in zip(answers, proposals, strict=True):
        assert type(answer) is type(proposal)
        if isinstance(answer, Decision) and isinstance(proposal, Decision):
            assert answer.nodes == proposal.nodes
    check(oracle)


def test_moves_that_break_a_rule_are_taken_back() -> None:
    oracle = Oracle(cluster(policies.AntiAffinity(scope="node")))
    oracle.place(*(Task(name=f"a{k}", groups=["g0"], demand={"cpu": 8}) for k in range(3)))
    oracle.place(Task(name="b", demand={"cpu": 9}))
    before = oracle.snapshot()
    free = [f"n{i}" for i in range(8) if not oracle.tasks_on(f"n{i}")]
    good = Decision(task="a0", nodes={free[0]: 1})
    bad = Decision(task="a1", nodes={free[0]: 1})
    with pytest.raises(OptallocError, match="that of 'a1'"):
        oracle.move(good, bad)
    assert oracle.snapshot().placements == before.placements
    assert counters(oracle) == counters(Oracle.restore(before))
    with pytest.raises(OptallocError, match="that of 'b'"):
        oracle.move(Decision(task="b", nodes={"n77": 1}))
    oracle.move(good)
    assert oracle.where("a0").nodes == {free[0]: 1}
    check(oracle)


def test_a_task_is_resized_where_it_is_or_elsewhere_or_runs_on() -> None:
    oracle = Oracle(cluster())
    oracle.place(Task(name="a", demand={"cpu": 4}), Task(name="b", demand={"cpu": 4}))
    (node,) = oracle.where("a").nodes
    assert oracle.where("b").nodes == {node: 1}
    (stays, goes, refused) = (
        oracle.resize(Task(name="a", demand={"cpu": size})) for size in (12, 13, 17)
    )
    assert isinstance(stays, Decision)
    assert stays.nodes == {node: 1}
    assert isinstance(goes, Decision)
    assert goes.nodes != {node: 1}
    assert isinstance(refused, Refusal)
    assert oracle.where("a").nodes == goes.nodes
    check(oracle)
    with pytest.raises(OptallocError, match="got 'c'"):
        oracle.resize(Task(name="c"))


def test_tasks_placed_together_are_all_placed_or_none() -> None:
    oracle = Oracle(cluster())
    tasks = [Task(name=f"a{k}", demand={"device": 4}) for k in range(9)]
    answers = oracle.place(*tasks, together=True)
    reasons = [a.reason for a in answers if isinstance(a, Refusal)]
    assert len(reasons) == 9
    assert "together with 'a8'" in reasons[0]
    assert oracle.tasks() == ()
    assert counters(oracle) == counters(Oracle(cluster()))
    assert all(isinstance(a, Decision) for a in oracle.place(*tasks[:8], together=True))


def test_a_policy_that_cannot_be_followed_is_told() -> None:
    oracle = Oracle(cluster(policies.ResponseLimit(resource="cpu")))
    task = Task(name="web", demand={"cpu": 2}, requests_s=1, response_s=0.5)
    with pytest.raises(OptallocError, match="cannot follow response-limit"):
        oracle.place(task)
    assert oracle.tasks() == ()
    oracle = Oracle(cluster(policies.UplinkShare(scope="rack")))
    assert oracle.place(Task(name="web", demand={"cpu": 2}))
    with pytest.raises(OptallocError, match="cannot follow uplink-share: rules that only some"):
        oracle.place(Task(name="gang", configurations=FAST))


# -- better placements -------------------------------------------------------------------------


def scattered() -> Oracle:
    """Four tasks on a node each, of which two nodes could hold all."""
    oracle = Oracle(cluster())
    for k in range(4):
        oracle.place(Task(name=f"a{k}", demand={"cpu": 8}))
        oracle.move(Decision(task=f"a{k}", nodes={f"n{2 * k}": 1}))
    return oracle


@pytest.mark.parametrize("max_moves", [0, 1, 2, 8])
def test_improving_frees_as_many_nodes_as_moves_allow(max_moves: int) -> None:
    oracle = scattered()
    before = counters(oracle)
    found = oracle.improve(20, max_moves, threads=1)
    assert counters(oracle) == before
    wanted = min(max_moves, 2)
    assert len(found.moves) == wanted
    assert len(found.freed) == wanted
    assert found.before["nodes"] - found.after["nodes"] == wanted
    assert found.version == oracle.version
    for move in found.moves:
        oracle.move(move)
        check(oracle)
    assert [len(oracle.tasks_on(f"n{i}")) for i in range(8)].count(0) == 4 + wanted


def test_moves_that_wait_for_each_other_go_by_a_third_node_or_are_left_out() -> None:
    """Two full nodes exchange their tasks: with a free third node in three moves."""
    for free in (True, False):
        oracle = Oracle(cluster(policies.AssignmentCost(weight=1), objective="admitted > penalty"))
        tasks = {}
        for name, node, other in (("a", "n0", "n1"), ("b", "n1", "n0")):
            cost = Lookup(by="node", values={node: 9, other: 1}, default=20)
            tasks[name] = Task(name=name, demand={"cpu": 16}, cost=cost)
            oracle.place(tasks[name])
        for name, node in (("a", "n2"), ("b", "n1"), ("a", "n0")):
            oracle.move(Decision(task=name, nodes={node: 1}))
        if not free:
            oracle.close(*(f"n{i}" for i in range(2, 8)))
        target = {"a": Placed(nodes={"n1": 1}), "b": Placed(nodes={"n0": 1})}
        found = plan(oracle, target, max_moves=3)
        assert [move.task for move in found.moves] == (["a", "b", "a"] if free else [])
        for move in found.moves:
            oracle.move(move)
            check(oracle)
        assert (oracle.where("a") == target["a"]) is free
        assert not plan(oracle, target, max_moves=2).moves
