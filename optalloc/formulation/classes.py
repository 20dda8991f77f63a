"""Exact merging: identical tasks become one class with a multiplicity, identical nodes one node.

Tasks merge when every coefficient, group, label and current position is equal; merging them is
exact for every term but those that policies exclude (`Policy.splits`). Nodes merge when all tasks
demand the same amount of a single resource (unit demands) and only policies that allow it
(`Policy.merges_nodes`) are at work, one of which makes the capacity a hard rule: then only the
number of replicas on identical nodes matters, and any number up to their joint capacity can be
dealt out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.placing import AllowedEntries
from optalloc.instance.columns import Columns
from optalloc.instance.factored import Factored
from optalloc.instance.policy import Policy

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TaskClasses:
    """Classes of identical tasks.

    Parameters
    ----------
    task : (classes,)
        A task entry that stands for the class.
    count : (classes,)
        Number of tasks in it.
    of_class, of_task, of_count : (members,)
        Members: how many tasks of which entry each class has, sorted by class.
    """

    task: IntArray
    count: IntArray
    of_class: IntArray
    of_task: IntArray
    of_count: IntArray


@dataclass(frozen=True)
class NodeClasses:
    """Nodes of the problem: concrete ones, or classes of identical ones.

    Parameters
    ----------
    node : (nodes,)
        A concrete node that stands for the class.
    count : (nodes,)
        Number of concrete nodes in it.
    of_node : (concrete nodes,)
        Class of each concrete node.
    """

    node: IntArray
    count: IntArray
    of_node: IntArray


def merge_tasks(
    columns: Columns, allowed: AllowedEntries, policies: Iterable[Policy], merge: bool = True
) -> TaskClasses:
    """Merge identical tasks; those that a policy splits become classes of one."""
    keys = _task_keys(columns, allowed) if merge else []
    split = np.zeros(columns.tasks, bool)
    for policy in policies:
        split |= policy.splits(columns)
    classes: dict[Hashable, list[int]] = {}
    task: list[int] = []
    count: list[int] = []
    of_class: list[int] = []
    of_task: list[int] = []
    of_count: list[int] = []
    for t in range(columns.tasks):
        if split[t]:
            copies = int(columns.task_count[t])
            of_class += range(len(task), len(task) + copies)
            task += [t] * copies
            count += [1] * copies
            of_task += [t] * copies
            of_count += [1] * copies
            continue
        k = classes.setdefault(keys[t] if merge else t, [len(task)])[0]
        if k == len(task):
            task.append(t)
            count.append(0)
        count[k] += int(columns.task_count[t])
        of_class.append(k)
        of_task.append(t)
        of_count.append(int(columns.task_count[t]))
    order = np.argsort(np.array(of_class, np.int64), kind="stable")
    return TaskClasses(
        np.array(task, np.int64),
        np.array(count, np.int64),
        np.array(of_class, np.int64)[order],
        np.array(of_task, np.int64)[order],
        np.array(of_count, np.int64)[order],
    )


def _task_keys(columns: Columns, allowed: AllowedEntries) -> list[Hashable]:
    """For each task entry a key that is equal where nothing tells two tasks apart."""
    instance = columns.instance
    rows = np.arange(columns.rows)
    signature = np.concatenate(
        [q.signature(rows) for q in (*columns.demand, columns.cost)]
        + [
            columns.row_replicas[:, None],
            columns.row_throughput.view(np.int64)[:, None],
            columns.power.row[:, None],
            columns.energy.row[:, None],
            columns.money.row[:, None],
        ],
        axis=1,
    )
    _, row_kind = np.unique(signature, axis=0, return_inverse=True)
    kinds = row_kind.ravel().tolist()
    starts = columns.row_start.tolist()
    sites = allowed.row_kind.tolist()
    groups: list[list[int]] = [[] for _ in range(columns.tasks)]
    for t, g in zip(columns.membership_task, columns.membership_group, strict=True):
        groups[t].append(int(g))
    homes: dict[int, list[tuple[int, int]]] = {}
    for t, n, k in zip(
        columns.current_task, columns.current_node, columns.current_replicas, strict=True
    ):
        homes.setdefault(int(t), []).append((int(n), int(k)))
    keys: list[Hashable] = []
    for t, task in enumerate(instance.tasks):
        first, last = starts[t], starts[t + 1]
        home = homes.get(t, [])
        # Merged tasks are dealt out in any order, which is exact for a single home node only.
        table = columns.row_number[first] >= 0
        alone = t if len(home) > 1 or (home and table) else -1
        keys.append(
            (
                tuple(kinds[first:last]),
                tuple(sites[first:last]),
                table,
                task.required,
                int(columns.weight[t]),
                task.reference,
                int(columns.move_cost[t]),
                tuple(sorted(groups[t])),
                home[0][0] if home else -1,
                alone,
            )
        )
    return keys


def merge_nodes(
    columns: Columns, allowed: AllowedEntries, policies: Sequence[Policy], merge: bool = True
) -> NodeClasses:
    """Merge identical nodes where that is exact, else keep every concrete node."""
    unit = unit_demand(columns)
    capped = unit is not None and any(unit[0] in policy.caps(columns) for policy in policies)
    exact = merge and capped and not columns.current_task.size
    if not exact or not all(_sees_no_nodes(policy) for policy in policies):
        every = np.arange(columns.nodes, dtype=np.int64)
        return NodeClasses(every, np.ones(columns.nodes, np.int64), every)
    lines = [columns.capacity[columns.node_entry]]
    lines.append(allowed.mask[:, columns.node_entry].T.astype(np.int64))
    draws = (columns.power, columns.energy, columns.money)
    lines += [draw.on[:, None] for draw in draws]
    for factored in (*columns.demand, columns.cost, *(draw.share for draw in draws)):
        lines += _node_values(factored)
    _, node, of_node, count = np.unique(
        np.concatenate(lines, axis=1),
        axis=0,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    return NodeClasses(node.astype(np.int64), count.astype(np.int64), of_node.ravel())


def _sees_no_nodes(policy: Policy) -> bool:
    """Whether the number of replicas on identical nodes is all that a policy needs to know.

    Merged nodes count as the fewest in use, which is what is best unless a policy with less to be
    had from fewer must reach a limit.
    """
    return policy.merges_nodes and (policy.at_least is None or policy.sense == "max")


def _node_values(factored: Factored) -> list[IntArray]:
    """Describe nodes by integers, (nodes, 1) each: equal numbers mean equal values for any row."""
    lines = []
    for part in factored.parts:
        _, kind = np.unique(part.values.T, axis=0, return_inverse=True)
        lines.append(kind.ravel()[part.column][:, None])
    return lines


def unit_demand(columns: Columns) -> tuple[int, int] | None:
    """Find the one resource that all tasks demand, and the amount; None if they differ."""
    amounts = {
        (i, int(value))
        for i, demand in enumerate(columns.demand)
        for value in np.unique(demand.base)
        if value
    }
    if len(amounts) != 1 or any(demand.parts for demand in columns.demand):
        return None
    resource, amount = amounts.pop()
    everyone = bool(np.all(columns.demand[resource].base == amount))
    return (resource, amount) if everyone else None
