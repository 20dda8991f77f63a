"""What policies may refer to, and how a dangling reference is reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.model import DEVICE, NODE
from optalloc.instance.policy import Fault

if TYPE_CHECKING:
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


def choices(names: Iterable[str], most: int = 8) -> str:
    """List what a name could have been, for an error message."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) + more) or "none is stated"


def unknown_resource(instance: Instance, path: str, name: str) -> Iterator[Fault]:
    """Report a resource that the instance does not have."""
    from optalloc.instance.columns import resource_names

    known = resource_names(instance)
    if name not in known:
        yield path, f"expected a resource ({choices(known)}), got {name!r}"


def attributes(instance: Instance) -> dict[str, set[str]]:
    """What can be said of nodes (node, device, labels, scopes), and the values that occur."""
    values: dict[str, set[str]] = {NODE: {node.name for node in instance.nodes}}
    for node in instance.nodes:
        for name, value in (*node.labels.items(), *node.domains.items()):
            values.setdefault(name, set()).add(value)
        if node.device:
            values.setdefault(DEVICE, set()).add(node.device)
    return values


def unknown_groups(instance: Instance, groups: tuple[str, ...], kind: str) -> Iterator[Fault]:
    """Report groups, and a kind of groups, that the instance does not have."""
    known = {group.name for group in instance.groups}
    for i, name in enumerate(groups):
        if name not in known:
            yield f".groups[{i}]", f"expected a group ({choices(known)}), got {name!r}"
    kinds = {group.kind for group in instance.groups}
    if kind and kind not in kinds:
        yield ".kind", f"expected a kind of group ({choices(kinds)}), got {kind!r}"


def unknown_scope(instance: Instance, path: str, scope: str) -> Iterator[Fault]:
    """Report a scope in which no node has a domain."""
    known = {name for node in instance.nodes for name in node.domains} | {NODE}
    if scope not in known:
        yield path, f"expected a domain scope ({choices(known)}), got {scope!r}"


def selected_groups(instance: Instance, groups: tuple[str, ...], kind: str) -> tuple[int, ...]:
    """Indices of the groups of which a policy speaks."""
    wanted = set(groups)
    return tuple(
        i
        for i, group in enumerate(instance.groups)
        if (not wanted or group.name in wanted) and (not kind or group.kind == kind)
    )


def selected_tasks(columns: Columns, groups: tuple[str, ...], kind: str) -> NDArray[np.bool_]:
    """Which task entries a policy speaks of: those of its groups, all if it names none."""
    if not groups and not kind:
        return np.ones(columns.tasks, bool)
    chosen = np.zeros(columns.tasks, bool)
    mine = np.isin(columns.membership_group, selected_groups(columns.instance, groups, kind))
    chosen[columns.membership_task[mine]] = True
    return chosen


def tasks_with(columns: Columns, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which task entries have one of some rows."""
    found = np.zeros(columns.tasks, bool)
    found[columns.row_task[rows]] = True
    return found


def counted_together(instance: Instance, groups: tuple[str, ...], kind: str) -> Iterator[Fault]:
    """Report gangs stated together of which a policy speaks one by one."""
    chosen = {instance.groups[g].name for g in selected_groups(instance, groups, kind)}
    every = not groups and not kind
    for task in instance.tasks:
        sizes = [row.replicas for row in instance.rows_of(task)] or [task.replicas]
        if task.count > 1 and max(sizes) > 1 and (every or not chosen.isdisjoint(task.groups)):
            yield "", f"expected gangs stated one by one; task {task.name} has a count"
            return


def unknown_domains(
    instance: Instance, path: str, scope: str, names: Iterable[str]
) -> Iterator[Fault]:
    """Report domains of a scope that no node is in; those of `NODE` are concrete nodes."""
    known = {node.domains[scope] for node in instance.nodes if scope in node.domains}
    if scope == NODE:
        for node in instance.nodes:
            copies = [f"{node.name}/{i}" for i in range(node.count)]
            known.update(copies if node.count > 1 else [node.name])
    for name in names:
        if name not in known:
            yield f"{path}.{name}", f"expected the name of a domain ({choices(known)})"
