"""The check of each decision: it agrees with `verify`, and no mistake of the oracle passes it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_oracle import RULES, busy, cluster, drawn

from optalloc import Instance, Node, Task, policies
from optalloc.engines.protocol import Clock
from optalloc.instance.validation import typed_tasks
from optalloc.oracle import Decision, Oracle
from optalloc.oracle.answers import Unverified
from optalloc.oracle.kinds import Kind, Run
from optalloc.solution import Placed, read_placement
from optalloc.verify import verify

CHECKED = ("capacity", "anti-affinity", "spread", "span", "portion", "dependency")
"""Rules that are judged decision by decision; the others when all is checked."""


def counts_as(oracle: Oracle) -> None:
    """The ledger has what the oracle has, counted apart."""
    ledger, ground = oracle.checker.ledger, oracle.ground
    assert np.array_equal(ledger.capacity - ledger.used, ground.free())
    assert ledger.closed == {*ground.closed.nonzero()[0].tolist()}
    for mine, free in ((ledger.parts, "free"), (ledger.memory, "memory")):
        for n, left in enumerate(mine):
            assert left == getattr(ground.devices, free)[n, : len(left)].tolist()
    again = Oracle.restore(oracle.snapshot()).checker.ledger
    assert ledger.domains == again.domains
    assert (ledger.parts, ledger.memory) == (again.parts, again.memory)
    assert np.array_equal(ledger.used, again.used)


@pytest.mark.parametrize("rule", CHECKED)
@pytest.mark.parametrize("seed", range(2))
def test_the_ledger_follows_whatever_happens(rule: str, seed: int) -> None:
    oracle, rng = busy(seed, RULES[rule])
    counts_as(oracle)
    oracle.release(*oracle.tasks()[::4])
    oracle.move(*(a for a in oracle.drain("n2") if isinstance(a, Decision)))
    oracle.resize(Task(name=oracle.tasks()[0], demand={"cpu": 2}))
    oracle.node_down("n3")
    counts_as(oracle)
    fork = oracle.fork()
    fork.reopen("n2", "n3")
    fork.place(*(drawn(rng, f"u{k}") for k in range(8)))
    counts_as(fork)
    counts_as(oracle)


def anywhere(rng: random.Random, task: Task) -> tuple[Placed, int]:
    """All replicas somewhere, in some row."""
    row = rng.randrange(max(len(task.configurations), 1))
    stated = task.configurations[row] if task.configurations else task
    assert not isinstance(stated, str)
    start, width = rng.randrange(8), rng.choice([1, 2, 8])
    nodes = [f"n{(start + rng.randrange(width)) % 8}" for _ in range(stated.replicas)]
    name = stated.name if task.configurations else ""
    return Placed(nodes={n: nodes.count(n) for n in nodes}, configuration=name), row


@pytest.mark.parametrize("rule", CHECKED)
def test_a_place_passes_the_check_just_where_verify_finds_nothing(rule: str) -> None:
    outcomes = []
    for seed in range(6):
        oracle, rng = busy(seed, RULES[rule])
        ledger = oracle.checker.ledger
        before, placements = oracle.instance()[0], oracle.snapshot().placements
        for k in range(25):
            (task,) = typed_tasks([drawn(rng, f"new{k}")])
            placed, row = anywhere(rng, task)
            instance = oracle.ground.stating([*before.tasks, task])
            report = verify(instance, read_placement(instance, {**placements, task.name: placed}))
            columns = oracle.ground.formulate(task).columns
            first = int(columns.row_start[-2])
            decision = Decision(
                task=task.name, nodes=placed.nodes, configuration=placed.configuration
            )
            use = ledger.use(columns, first + row, decision)
            ledger.count(use)
            named = [f for f in oracle.checker.faults(use, decision) if "device" not in f]
            ledger.count(use, -1)
            wrong = [v for v in report.violations if v.hard and "device load" not in v.message]
            assert bool(named) == bool(wrong), (named, wrong)
            outcomes.append(bool(named))
        counts_as(oracle)
    assert 20 < sum(outcomes) < len(outcomes) - 20


# -- mistakes of the oracle ----------------------------------------------------------------------


def devices_of(oracle: Oracle) -> dict[str, dict[str, tuple[int, ...]]]:
    return oracle.snapshot().devices


def put_on(nodes: dict[str, int]) -> Callable[[Kind, Clock], Run | None]:
    """Put every request on certain nodes."""

    def place(kind: Kind, _: Clock) -> Run | None:
        index = kind.problem.columns.node_index
        node = np.array([index[name] for name in nodes], np.int64)
        replicas = np.array([*nodes.values()], np.int64)
        choice = next(iter(kind.choices.values()))
        spot = int(kind.problem.spot_of(np.array([choice]), node[:1])[0])
        block = int(kind.problem.block_of(np.array([choice]), np.array([spot]))[0])
        return kind.put(Run(choice, spot, np.full(node.size, block, np.int64), node, replicas))

    return place


@pytest.mark.parametrize(
    ("nodes", "task", "said"),
    [
        ({"n1": 1}, {"demand": {"cpu": 9}}, "node n1: more cpu than it has"),
        ({"n0": 1, "n4": 1}, {"replicas": 2, "within": "rack"}, "beyond whole tasks of 2"),
        ({"n0": 2}, {"replicas": 2, "per_node": 1}, "expected 1 for each"),
        ({"n0": 1}, {"replicas": 2}, "expected 2 replicas"),
        ({"n0": 1}, {"allow": {"zone": ["b"]}}, "whose zone is 'a'; allowed"),
        ({"n0": 1}, {"forbid": {"device": ["H100"]}}, "whose device is 'H100'; forbidden"),
        ({"n0": 1}, {"configurations": [{"device": "A100"}]}, "its configuration needs 'A100'"),
        ({"n0": 1}, {"device_memory_gib": 99, "demand": {"device": 1}}, "GiB each; needed: 99"),
        ({"n1": 1}, {"groups": ["g0"]}, "anti-affinity: group g0: 2 replicas"),
        ({"n7": 1}, {}, "a node is closed"),
        ({"n0": 1, "n2": 1, "n4": 1}, {"replicas": 3, "groups": ["g1"]}, "span: task"),
    ],
)
def test_a_place_that_breaks_a_rule_is_never_told(
    nodes: dict[str, int], task: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (
        policies.AntiAffinity(scope="node", groups=["g0"]),
        policies.Span(scope="rack", domains=1, groups=["g1"]),
    )
    oracle = Oracle(cluster(*rules))
    oracle.place(Task(name="a", demand={"cpu": 8}, groups=["g0"], allow={"node": ["n1"]}))
    oracle.close("n7")
    before = oracle.snapshot()
    stated = msgspec_task({"name": "bad", "demand": {"cpu": 1}} | task)
    good = Task(name="good", demand={"cpu": 1})
    monkeypatch.setattr(Kind, "place", put_on(nodes))
    with pytest.raises(Unverified, match=f"placement of 'bad' fails its check.*{said}"):
        oracle.place(stated)
    monkeypatch.undo()
    assert oracle.snapshot() == before
    counts_as(oracle)
    assert isinstance(oracle.place(good)[0], Decision)


def msgspec_task(stated: dict[str, Any]) -> Task:
    import msgspec

    return msgspec.convert(stated, Task)


@pytest.mark.parametrize(
    ("task", "named", "said"),
    [
        ({"device": 1}, (0,), "device 0 has not"),
        ({"device": 0.75}, (1,), "device 1 has not"),
        ({"device": 2}, (2, 2), "has a device twice"),
        ({"device": 1}, (4,), "device 4 has not"),
        ({"device": 1}, (-1,), "a negative number"),
        ({"device": 2}, (2,), "expected 2 devices, got 1"),
        ({"device": 1}, (), "expected 1 devices, got 0"),
    ],
)
def test_devices_that_are_not_free_are_never_told(
    task: dict[str, float], named: tuple[int, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [Node(name="n", devices=4, memory_gib=10, capacity={"cpu": 9})]
    oracle = Oracle(Instance(nodes=nodes))
    oracle.place(Task(name="a", demand={"device": 1}), Task(name="b", demand={"device": 0.5}))
    assert [*devices_of(oracle).values()] == [{"n": (0,)}, {"n": (1,)}]
    before = oracle.snapshot()
    real = Oracle._devices
    monkeypatch.setattr(
        Oracle,
        "_devices",
        lambda o, live: {"n": named} if live.task.name == "c" else real(o, live),
    )
    with pytest.raises(Unverified, match=said):
        oracle.place(Task(name="first", demand={"cpu": 1}), Task(name="c", demand=task))
    monkeypatch.undo()
    assert oracle.snapshot() == before
    counts_as(oracle)


def test_changes_that_fail_their_check_leave_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle, _ = busy(3)
    names = [name for name in oracle.tasks() if not oracle.task(name).configurations][:2]
    before, counted = oracle.snapshot(), oracle.ground.free().tolist()

    def refuse(*_: Any) -> None:
        raise Unverified("no")

    fork = oracle.fork()
    (moves,) = zip(*[(fork.elsewhere(name),) for name in names], strict=True)
    monkeypatch.setattr(type(oracle.checker), "check", refuse)
    changes: list[Callable[[], Any]] = [
        lambda: oracle.move(*(m for m in moves if m)),
        lambda: oracle.resize(Task(name=names[0], demand={"cpu": 3})),
        lambda: oracle.place(Task(name="x"), Task(name="y")),
    ]
    for change in changes:
        with pytest.raises(Unverified):
            change()
        assert {**oracle.snapshot().placements} == before.placements
        assert oracle.version == before.version
        assert oracle.ground.free().tolist() == counted
        counts_as(oracle)
    assert oracle.elsewhere(names[0]) is None
    assert all(a.reason == "no" for a in oracle.drain("n0"))  # type: ignore[union-attr]
    assert oracle.snapshot().placements == before.placements
