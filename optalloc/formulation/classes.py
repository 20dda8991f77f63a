"""Exact merging: identical tasks become one class with a multiplicity, identical nodes one node.

Tasks merge when every coefficient, group, label and current position is equal; merging them is
exact for every term but those that policies exclude (`Policy.splits`). Nodes merge when all tasks
demand the same amount of a single resource (unit demands) and only policies that allow it
(`Policy.merges_nodes`) are at work, one of which makes the capacity a hard rule: then only the
number of replicas on identical nodes matters, and any number up to their joint capacity can be
dealt out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    columns: Columns, allowed: AllowedEntries, policies: Sequence[Policy], merge: bool = True
) -> TaskClasses:
    """Merge identical tasks; those that a policy splits become classes of one."""
    kind = np.arange(columns.tasks, dtype=np.int64)
    if merge:
        seen = [factored for policy in policies for factored in policy.contributions(columns)]
        kind = _task_kinds(columns, allowed, seen)
    split = np.zeros(columns.tasks, bool)
    for policy in policies:
        split |= policy.splits(columns)
    whole, single = np.flatnonzero(~split), np.flatnonzero(split)
    _, first, like = np.unique(kind[whole], return_index=True, return_inverse=True)
    # The first task of a kind opens its class; one that is split opens a class for each copy.
    opened = np.where(split, columns.task_count, 0)
    opened[whole[first]] = 1
    start = np.cumsum(opened) - opened
    task = np.repeat(np.arange(columns.tasks, dtype=np.int64), opened)
    copies = np.repeat(single, opened[single])
    within = np.arange(copies.size) - np.searchsorted(copies, copies)
    of_class = np.concatenate([start[whole[first[like.ravel()]]], start[copies] + within])
    of_task = np.concatenate([whole, copies])
    of_count = np.concatenate([columns.task_count[whole], np.ones(copies.size, np.int64)])
    count = np.zeros(task.size, np.int64)
    np.add.at(count, of_class, of_count)
    order = np.argsort(of_class, kind="stable")
    return TaskClasses(task, count, of_class[order], of_task[order], of_count[order])


def _task_kinds(columns: Columns, allowed: AllowedEntries, seen: Sequence[Factored]) -> IntArray:
    """Number task entries: those with equal numbers are told apart by nothing."""
    tasks = np.arange(columns.tasks, dtype=np.int64)
    table = columns.row_number[columns.row_start[:-1]] >= 0
    homes = np.bincount(columns.current_task, minlength=columns.tasks)
    home = np.full(columns.tasks, -1, np.int64)
    home[columns.current_task[::-1]] = columns.current_node[::-1]
    # Merged tasks are dealt out in any order, which is exact for a single home node only.
    alone = np.where((homes > 1) | ((homes > 0) & table), tasks, -1)
    stated = [np.nan if t.reference is None else t.reference for t in columns.instance.tasks]
    groups = np.bincount(columns.membership_task, minlength=columns.tasks)
    in_order = np.lexsort((columns.membership_group, columns.membership_task))
    return _alike(
        [
            _sequences(_row_kinds(columns, allowed, seen), np.diff(columns.row_start)),
            table.astype(np.int64),
            columns.required.astype(np.int64),
            columns.weight,
            np.array(stated, np.float64).view(np.int64),
            columns.move_cost,
            _sequences(columns.membership_group[in_order], groups),
            home,
            alone,
        ]
    )


def _row_kinds(columns: Columns, allowed: AllowedEntries, seen: Sequence[Factored]) -> IntArray:
    """Number rows by all that they demand, draw and yield, and where they may run."""
    rows = np.arange(columns.rows)
    lines = [line for q in (*columns.demand, columns.cost, *seen) for line in q.signature(rows).T]
    lines += [columns.row_replicas, columns.row_throughput.view(np.int64)]
    lines += [columns.row_within, columns.row_per_node]
    lines += [columns.power.row, columns.energy.row, columns.money.row, allowed.row_kind]
    return _alike(lines)


def _alike(lines: Sequence[IntArray]) -> IntArray:
    """Number positions so that equal numbers mean equal values in every line."""
    code = np.zeros(lines[0].size, np.int64)
    for line in lines:
        if line.size and np.any(line != line[0]):
            _, kind = np.unique(line, return_inverse=True)
            _, code = np.unique(code * (int(kind.max()) + 1) + kind.ravel(), return_inverse=True)
    return code.ravel()


def _sequences(values: IntArray, length: IntArray) -> IntArray:
    """Number consecutive pieces of some lengths so that equal numbers mean equal pieces."""
    start = np.cumsum(length) - length
    number = np.full(length.size, -1, np.int64)
    single = length == 1
    number[single] = values[start[single]]
    largest, known = int(values.max(initial=-1)), dict[tuple[int, ...], int]()
    for k in np.flatnonzero(length > 1).tolist():
        piece = tuple(values[start[k] : start[k] + length[k]].tolist())
        number[k] = known.setdefault(piece, largest + 1 + len(known))
    return number


def merge_nodes(
    columns: Columns, allowed: AllowedEntries, policies: Sequence[Policy], merge: bool = True
) -> NodeClasses:
    """Merge identical nodes where that is exact, else keep every concrete node."""
    unit = unit_demand(columns)
    capped = unit is not None and any(unit[0] in policy.caps(columns) for policy in policies)
    # What fits on each of several nodes, not on all together, matters to shapes.
    loose = not columns.current_task.size and not columns.row_per_node.any()
    exact = merge and capped and loose
    if not exact or not all(_sees_no_nodes(policy) for policy in policies):
        every = np.arange(columns.nodes, dtype=np.int64)
        return NodeClasses(every, np.ones(columns.nodes, np.int64), every)
    lines = [columns.capacity[columns.node_entry]]
    lines.append(allowed.mask[:, columns.node_entry].T.astype(np.int64))
    seen = {scope for policy in policies for scope in policy.scopes_seen(columns)}
    scopes = dict.fromkeys([*columns.within_scopes, *sorted(seen)])
    lines += [columns.scope(name)[1][:, None] for name in scopes]
    draws = (columns.power, columns.energy, columns.money)
    lines += [draw.on[:, None] for draw in draws]
    for factored in (*columns.demand, columns.cost, *(draw.share for draw in draws)):
        lines += _node_values(factored)
    kind = _alike([line for table in lines for line in table.T])
    _, node, of_node, count = np.unique(
        kind, return_index=True, return_inverse=True, return_counts=True
    )
    return NodeClasses(node.astype(np.int64), count.astype(np.int64), of_node.ravel())


def sees_no_tasks(columns: Columns, policies: Iterable[Policy]) -> bool:
    """Whether it does not matter to any node whose replicas it has, if these look alike to it.

    Policies for which identical nodes can be merged see the replicas on a node, not their tasks,
    unless they split these.
    """
    blind = (p.merges_nodes and not p.splits(columns).any() for p in policies)
    return not columns.current_task.size and all(blind)


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
