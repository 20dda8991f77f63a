"""Small instances and placements for the tests of the checker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optalloc.instance.model import (
    Instance,
    Node,
)
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.objective import read_objective
from optalloc.verify import Violation, verify

Runs = Mapping[str, Mapping[str, int] | tuple[int, int, Mapping[str, int]]]
"""By task: replicas by node, or (number of the row, tasks in it, replicas by node)."""


def place(instance: Instance, runs: Runs) -> Placement:
    columns = instance.columns
    chosen = np.zeros(columns.rows, np.int64)
    pairs: list[tuple[int, int, int]] = []
    names = [task.name for task in instance.tasks]
    for name, run in runs.items():
        t = names.index(name.split(":")[0])
        number, count, nodes = run if isinstance(run, tuple) else (0, 1, run)
        row = int(columns.row_start[t]) + number
        chosen[row] += count
        pairs += [(row, columns.node_index[node], k) for node, k in nodes.items()]
    table = np.array(pairs, np.int64).reshape(-1, 3)
    return Placement.of(chosen, table[:, 0], table[:, 1], table[:, 2])


def check(policy: Policy, runs: Runs, **stated: Any) -> tuple[float, list[Violation]]:
    """Value of a policy in its unit, and the violations that bear its label."""
    instance = Instance(policies=(policy,), **stated)
    objective = read_objective(instance)
    report = verify(instance, place(instance, runs), objective)
    index = objective.policies.index(policy)
    value = report.values[index] * policy.quantum(instance.columns)
    label = objective.labels[index]
    return float(value), [v for v in report.violations if v.rule == label]


def messages(found: list[Violation]) -> list[str]:
    return [violation.message for violation in found]


def three_nodes(**stated: Any) -> tuple[Node, ...]:
    """``big`` in rack r1, ``small/0`` and ``small/1`` in rack r2."""
    return (
        Node(name="big", capacity={"cpu": 8}, domains={"rack": "r1"}, **stated),
        Node(name="small", capacity={"cpu": 4}, domains={"rack": "r2"}, count=2, **stated),
    )
