"""The oracle shares devices out: whole ones whole, parts on one device, whatever came and went."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optalloc import (
    Configuration,
    Instance,
    InstanceError,
    Lookup,
    Node,
    OptallocError,
    Task,
    solve,
)
from optalloc.oracle import Decision, Oracle, Refusal, devices
from optalloc.verify import verify

GPUS = {"a": 4, "b": 4, "c": 2, "d": 8, "e": 0}
TYPES = {"a": "H100", "b": "A100", "c": "A100", "d": "H100", "e": ""}
MEMORY = {"a": 80, "b": 40, "c": 40, "d": 80, "e": 0}


def cluster(**stated: Any) -> Instance:
    """Five nodes with 0 to 8 devices of two types."""
    nodes = [
        Node(
            name=name,
            device=TYPES[name],
            devices=GPUS[name],
            memory_gib=MEMORY[name] or None,
            capacity={"cpu": 32},
            domains={"rack": "r1" if name in "ab" else "r2"},
        )
        for name in GPUS
    ]
    return Instance(nodes=nodes, **stated)


def drawn(rng: random.Random, name: str) -> Task:
    """A request for a part of a device, whole ones, or none; some are gangs, some have tables."""
    demand: dict[str, float] = {"cpu": rng.choice([1, 2, 3])}
    stated: dict[str, Any] = {}
    kind = rng.random()
    if kind < 0.55:
        demand["device"] = rng.choice([0.1, 0.25, 0.3, 0.5, 0.75, 0.333])
        stated["device_memory_gib"] = rng.choice([0, 5, 12.5, 30])
    elif kind < 0.85:
        demand["device"] = rng.choice([1, 1, 2, 4])
    if rng.random() < 0.3:
        stated["allow"] = {"device": rng.choice([["A100"], ["H100"], ["A100", "H100"]])}
    if rng.random() < 0.3:
        stated["replicas"] = rng.choice([2, 3])
    elif rng.random() < 0.3:
        rows: list[dict[str, float]] = [{"device": demand.get("device", 0)}, {"device": 1}]
        stated["configurations"] = [
            Configuration(name=f"row{k}", demand=row) for k, row in enumerate(rows)
        ]
    return Task(name=name, demand=demand, **stated)


class Checker:
    """Shares devices out on its own account, from what is asked and what is decided."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, int], list[tuple[str, Fraction, Fraction]]] = {}

    def take(self, task: Task, answer: Decision) -> None:
        asked = Fraction(str(task.demand.get("device", 0)))
        if answer.configuration:
            rows = [r for r in task.configurations if isinstance(r, Configuration)]
            (row,) = [r for r in rows if r.name == answer.configuration]
            asked = Fraction(str(row.demand["device"]))
        each = 1 if asked <= 1 else int(asked)
        assert answer.devices.keys() == (answer.nodes.keys() if asked else set())
        for node, replicas in answer.nodes.items() if asked else ():
            assert TYPES[node] in task.allow.get("device", [TYPES[node]])
            numbers = answer.devices[node]
            assert len(numbers) == replicas * each
            for k in range(replicas):
                mine = numbers[k * each : (k + 1) * each]
                assert len(set(mine)) == each
            part = min(asked, Fraction(1))
            for number in numbers:
                assert 0 <= number < GPUS[node]
                at = self.used.setdefault((node, number), [])
                at.append((task.name, part, Fraction(str(task.device_memory_gib))))
        self.check()

    def free(self, name: str) -> None:
        self.used = {at: [u for u in users if u[0] != name] for at, users in self.used.items()}

    def check(self) -> None:
        for (node, _), users in self.used.items():
            assert sum(part for _, part, _ in users) <= 1
            assert sum(memory for *_, memory in users) <= MEMORY[node]

    def matches(self, oracle: Oracle) -> None:
        assert oracle.ground.devices is not None
        index = oracle.ground.problem.columns.node_index
        for node, number in GPUS.items():
            for device in range(number):
                used = sum(part for _, part, _ in self.used.get((node, device), []))
                assert oracle.ground.devices.free[index[node], device] == 1000 - 1000 * used


@pytest.mark.parametrize("policy", ["", "best-fit", "gang > spread", "fragmentation"])
@pytest.mark.parametrize("seed", range(4))
def test_devices_are_never_shared_out_twice_whatever_came_and_went(seed: int, policy: str) -> None:
    rng = random.Random(seed)
    oracle, checker = Oracle(cluster(), policy=policy), Checker()
    tasks: dict[str, Task] = {}

    def moved(answers: Any) -> None:
        for answer in answers:
            if isinstance(answer, Decision):
                checker.free(answer.task)
                checker.take(tasks[answer.task], answer)

    for step in range(90):
        running, what = oracle.tasks(), rng.random()
        if running and what < 0.25:
            name = rng.choice(running)
            oracle.release(name)
            checker.free(name)
        elif running and what < 0.35:
            name = rng.choice(running)
            task = drawn(rng, name)
            answer = oracle.resize(task)
            if isinstance(answer, Decision):
                tasks[name] = task
            moved([answer])
        elif running and what < 0.42:
            node = rng.choice([*GPUS])
            proposals = [p for p in oracle.drain(node) if isinstance(p, Decision)]
            oracle.move(*proposals)
            assert all(oracle.devices(p.task) == p.devices for p in proposals)
            for proposal in proposals:
                checker.free(proposal.task)
            moved(proposals)
            oracle.reopen(node)
        elif what < 0.47:
            oracle.fork().place(*(drawn(rng, f"fork{k}") for k in range(3)))
            oracle = Oracle.restore(oracle.snapshot())
        else:
            task = drawn(rng, f"t{step}")
            tasks[task.name] = task
            moved(oracle.place(task))
        checker.matches(oracle)
    instance, placement = oracle.instance()
    assert verify(instance, placement).feasible
    for name in oracle.tasks():
        oracle.release(name)
    fresh = Oracle(cluster())
    assert oracle.ground.devices is not None
    assert fresh.ground.devices is not None
    assert (oracle.ground.devices.free == fresh.ground.devices.free).all()
    assert (oracle.ground.devices.memory == fresh.ground.devices.memory).all()


def part(name: str, share: float, **stated: Any) -> Task:
    return Task(name=name, demand={"device": share}, **stated)


def test_a_part_goes_to_the_fullest_device_that_takes_it() -> None:
    oracle = Oracle(Instance(nodes=[Node(name="a", devices=3)]))
    answers = oracle.place(
        part("x", 0.5), part("y", 0.7), part("z", 0.3), part("v", 0.3), part("w", 1)
    )
    found = [a.devices["a"] for a in answers if isinstance(a, Decision)]
    assert found == [(0,), (1,), (1,), (0,), (2,)]


def test_a_refusal_says_that_no_device_is_free_enough() -> None:
    oracle = Oracle(Instance(nodes=[Node(name="a", devices=3, memory_gib=40)]))
    for k in range(3):
        (answer,) = oracle.place(part(f"t{k}", 0.6, device_memory_gib=30))
        assert isinstance(answer, Decision)
    reasons = []
    for task in (part("u", 0.5), part("v", 1), part("w", 0.1, device_memory_gib=20)):
        (answer,) = oracle.place(task)
        assert isinstance(answer, Refusal)
        reasons.append(answer.reason)
    assert reasons == [
        "1 node: no device with 500/1000 free",
        "1 node: not 1 whole device free",
        "1 node: no device with 100/1000 and 20 GiB free",
    ]


def test_what_devices_cannot_give_is_told_at_once() -> None:
    oracle = Oracle(cluster())
    with pytest.raises(OptallocError, match=r"whole devices or a part of one, got device 1\.5"):
        oracle.place(part("t", 1.5))
    with pytest.raises(
        OptallocError, match="demand of device beside device_memory_gib 3, got none"
    ):
        oracle.place(Task(name="t", device_memory_gib=3))
    with pytest.raises(InstanceError, match="device_memory_gib"):
        oracle.place(part("t", 0.5, device_memory_gib=-1))
    oracle.place(part("t", 0.5))
    with pytest.raises(OptallocError, match="that of 't'"):
        oracle.move(Decision(task="t", nodes={"a": 1}, devices={"a": (4,)}))
    with pytest.raises(OptallocError, match="that of 't'"):
        oracle.move(Decision(task="t", nodes={"a": 1}, devices={"a": (1, 2)}))
    oracle.move(Decision(task="t", nodes={"a": 1}, devices={"a": (3,)}))
    assert oracle.devices("t") == {"a": (3,)}


def test_what_a_device_of_a_type_gives_can_differ() -> None:
    share = Lookup(by="device", values={"H100": 0.25, "A100": 0.5}, default=0)
    oracle = Oracle(cluster())
    tasks = [Task(name=f"t{k}", demand={"device": share, "cpu": 1}) for k in range(80)]
    placed = [a for a in oracle.place(*tasks) if isinstance(a, Decision)]
    number = {name: sum(name in a.nodes for a in placed) for name in GPUS}
    assert number == {"a": 16, "b": 8, "c": 4, "d": 32, "e": 20}


def test_solve_gives_a_part_of_a_device_a_whole_one() -> None:
    nodes = [Node(name="a", devices=2)]
    tasks = [part(f"t{k}", 0.5, required=False) for k in range(3)]
    result = solve(Instance(nodes=nodes, tasks=tasks), deterministic=True)
    assert result.placement is not None
    assert result.placement.replicas.sum() == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_room_that_is_kept_is_that_of_the_devices_as_they_are(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "ROOMS", 3)
    monkeypatch.setattr(devices, "CHANGES", 9)
    rng, every = random.Random(seed), np.arange(len(GPUS))
    kept = devices.Devices(cluster())
    shares = [
        devices.Share(np.full(len(GPUS), parts), memory)
        for parts, memory in ((100, 0), (500, 5_000), (1000, 0), (2000, 30_000), (0, 0))
    ]
    shares.append(devices.Share(np.array([1000, 500, 1000, 500, 1000]), 0))
    used: list[tuple[devices.Share, int, tuple[int, ...]]] = []
    for step in range(200):
        share, node = rng.choice(shares), rng.randrange(len(GPUS))
        found = kept.choose(share, node)
        if used and rng.random() < 0.4:
            kept.use(*used.pop(rng.randrange(len(used))), sign=-1)
        elif found:
            used.append((share, node, found))
            kept.use(*used[-1])
        if step == 100:
            kept = kept.copied()
        for asked in rng.sample(shares, 3):
            nodes = every[:: rng.choice([1, 2])]
            assert np.array_equal(kept.room(asked, nodes), kept.copied().room(asked, nodes))
