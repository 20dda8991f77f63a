"""Many tasks of one kind put at once run where they would one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest
from msgspec.structs import replace
from test_oracle import FAST, RULES, cluster, counters, drawn

from optalloc import OptallocError, Task
from optalloc.oracle import Oracle
from optalloc.oracle.bulk import put_all, read_all
from optalloc.oracle.kinds import Run
from optalloc.solution import Placed


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
    for names in kinds.values():
        task, placed = oracle.task(names[0]), [oracle.where(name) for name in names]
        kind = at_once._kind(task)
        assert all(map(same, read_all(kind, placed), map(kind.read, placed)))
        put_all(kind, placed, [{}] * len(placed))
        other = one_by_one._kind(task)
        for one in placed:
            other.put(other.read(one))
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
