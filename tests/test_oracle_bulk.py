"""Many tasks of one kind put at once run where they would one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest
from msgspec.structs import replace
from test_oracle import FAST, RULES, cluster, counters, drawn

from optalloc import Instance, Node, OptallocError, Task
from optalloc.oracle import Oracle, Snapshot
from optalloc.oracle.bulk import Bulk, Many
from optalloc.oracle.devices import Devices, Share
from optalloc.oracle.kinds import Kind, Run
from optalloc.solution import Placed


def read_all(kind: Kind, placed: list[Placed]) -> list[Run]:
    """Find where tasks run that name no devices."""
    return Many.read(kind, placed, [{}] * len(placed)).runs()


def same(one: Run, other: Run) -> bool:
    arrays = ("block", "node", "replicas")
    return (one.choice, one.spot) == (other.choice, other.spot) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays
    )


@pytest.mark.parametrize("rule", RULES)
def test_all_at_once_is_one_by_one(rule: str) -> None:
    rng = random.Random(5)
    oracle = Oracle(cluster(RULES[rule]))
    for k in range(12):
        task = drawn(rng, f"t{k}")
        oracle.place(*(replace(task, name=f"t{k}/{i}") for i in range(3)))
    at_once, one_by_one = Oracle(cluster(RULES[rule])), Oracle(cluster(RULES[rule]))
    kinds: dict[bytes, list[str]] = {}
    for name in oracle.tasks():
        kinds.setdefault(oracle._key(oracle.task(name)), []).append(name)
    bulk = Bulk()
    for names in kinds.values():
        task, placed = oracle.task(names[0]), [oracle.where(name) for name in names]
        kind = at_once._kind(task)
        assert all(map(same, read_all(kind, placed), map(kind.read, placed)))
        bulk.put(kind, placed, [{}] * len(placed), lambda *_: None)
        other = one_by_one._kind(task)
        for one in placed:
            other.put(other.read(one))
    bulk.finish()
    assert counters(at_once) == counters(one_by_one) == counters(oracle)


WRONG = {
    "node": Placed(nodes={"n0": 1, "?": 1}, configuration="2 in a rack"),
    "configuration": Placed(nodes={"n0": 1, "n1": 1}, configuration="?"),
    "replicas": Placed(nodes={"n0": 1, "n1": 2}, configuration="2 in a rack"),
    "none": Placed(nodes={}, configuration="2 in a rack"),
    "negative": Placed(nodes={"n0": 3, "n1": -1}, configuration="2 in a rack"),
    "domain": Placed(nodes={"n0": 1, "n2": 1}, configuration="2 in a rack"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_place_where_a_task_cannot_be_is_refused(what: str) -> None:
    kind = Oracle(cluster())._kind(Task(name="t", demand={"cpu": 1}, configurations=FAST))
    right = Placed(nodes={"n0": 1, "n1": 1}, configuration="2 in a rack")
    assert len(read_all(kind, [right, right])) == 2
    with pytest.raises(OptallocError, match="expected"):
        read_all(kind, [right, WRONG[what], right])


SHARES = (0.25, 0.5, 1, 2)
GPU = [Node(name=name, devices=4, memory_gib=40) for name in "ab"]


@pytest.mark.parametrize("seed", range(20))
def test_devices_used_at_once_are_those_that_fit_one_by_one(seed: int) -> None:
    rng, one_by_one = random.Random(seed), Devices(Instance(nodes=GPU))
    at_once, fit = one_by_one.copied(), True
    rows: list[tuple[int, int, int, int]] = []
    for _ in range(rng.randint(1, 9)):
        parts, memory = 1000 * rng.choice(SHARES), rng.choice([0, 15_000])
        share, node = Share(np.full(2, parts, np.int64), memory), rng.randrange(2)
        devices = tuple(rng.sample(range(5 if rng.random() < 0.1 else 4), share.number(node)))
        rows += [(node, device, int(parts), memory) for device in devices]
        if fit := fit and one_by_one.takes(share, node, devices):
            one_by_one.use(share, node, devices)
    before = at_once.copied()
    lacks = at_once.use_many(*np.array(rows, np.int64).T)
    assert (lacks < 0) == fit
    expected = one_by_one if fit else before
    assert np.array_equal(at_once.free, expected.free)
    assert np.array_equal(at_once.memory, expected.memory)


def held(*tasks: Task, **devices: tuple[int, ...]) -> Oracle:
    """Tasks that run on node a, with devices if they are named."""
    return Oracle.restore(
        Snapshot(
            instance=Instance(nodes=GPU),
            tasks=tasks,
            placements={task.name: Placed(nodes={"a": 1}) for task in tasks},
            devices={name: {"a": numbers} for name, numbers in devices.items()},
        )
    )


def test_named_devices_are_used_before_others_are_chosen() -> None:
    """Also where a task of another kind, that names none, comes first."""
    tasks = [Task(name=name, demand={"device": n}) for name, n in (("two", 2), ("one", 1))]
    oracle = held(*tasks, one=(0,))
    assert oracle.devices("one") == {"a": (0,)}
    assert oracle.devices("two") == {"a": (1, 2)}


@pytest.mark.parametrize(
    ("one", "said"),
    [((4,), "'a'"), ((-1,), "'a'"), ((0, 1), "1 devices"), ((3,), "'a'")],
)
def test_devices_that_a_task_cannot_have_are_refused(one: tuple[int, ...], said: str) -> None:
    tasks = [Task(name=name, demand={"device": n}) for name, n in (("two", 2), ("one", 1))]
    with pytest.raises(OptallocError, match=said):
        held(*tasks, two=(2, 3), one=one)


def test_a_snapshot_without_devices_for_all_is_refused() -> None:
    with pytest.raises(OptallocError, match="free devices"):
        held(*(Task(name=f"t{k}", demand={"device": 2}) for k in range(3)))
