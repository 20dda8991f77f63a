"""An instance in which some of the tasks and nodes of another are really absent."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from generate import fitting
from msgspec.structs import replace

from optalloc.instance.model import Instance, Quantity, Task
from optalloc.solution import Placed


@dataclass(frozen=True)
class Restricted:
    """The instance, and what the nodes and tasks that are left are called in it."""

    instance: Instance
    node: dict[str, str]
    task: dict[str, str]

    def named(self, placed: Mapping[str, Placed]) -> dict[str, Placed]:
        """The same placement in the names of this instance."""
        return {
            self.task[name]: replace(
                where, nodes={self.node[n]: count for n, count in where.nodes.items()}
            )
            for name, where in placed.items()
        }


def restrict(instance: Instance, tasks: Set[str], nodes: Set[str]) -> Restricted:
    """State an instance with some of its tasks and nodes only.

    More tasks of an entry ``e`` than it has are called ``e/1``, ``e/2``, ... or on from its count.

    Raises
    ------
    InstanceError
        Where that cannot be stated.
    """
    entries = [n.name for n in instance.nodes]
    left = {
        name: _of(name, n.count, nodes) for name, n in zip(entries, instance.nodes, strict=True)
    }
    node = _renamed(left)
    kept = [e for e, name in enumerate(entries) if left[name]]
    copies = {t.name: _of(t.name, t.count, tasks) for t in instance.tasks}
    stated = [
        _task(task, len(copies[task.name]), node, kept)
        for task in instance.tasks
        if copies[task.name]
    ]
    fields: dict[str, Any] = {f: getattr(instance, f) for f in Instance.__struct_fields__}
    fields["nodes"] = [replace(instance.nodes[e], count=len(left[entries[e]])) for e in kept]
    fields["tasks"] = stated
    draft = Instance(**(fields | {"policies": (), "objective": ""}))
    fields["policies"] = tuple(fitting(policy, draft) for policy in instance.policies)
    return Restricted(Instance(**fields), node, _renamed(copies))


def _of(entry: str, count: int, names: Set[str]) -> list[str]:
    """The copies of an entry among some names, in order."""
    own = {name for name in names if name.rpartition("/")[0] == entry}
    own |= {entry} & names if count == 1 else set()
    return sorted(own, key=lambda name: int(name.rpartition("/")[2]) if name != entry else 0)


def _renamed(copies: Mapping[str, list[str]]) -> dict[str, str]:
    return {
        old: entry if len(names) == 1 else f"{entry}/{i}"
        for entry, names in copies.items()
        for i, old in enumerate(names)
    }


def _task(task: Task, count: int, node: Mapping[str, str], kept: list[int]) -> Task:
    def listed(quantity: Quantity) -> Quantity:
        return tuple(quantity[e] for e in kept) if isinstance(quantity, tuple) else quantity

    current = task.current
    if isinstance(current, str):
        current = node.get(current)
    elif current is not None:
        size = len(current) * count // task.count
        current = tuple(node[n] for n in current[:size] if n in node) or None
    return replace(
        task,
        count=count,
        current=current,
        demand={name: listed(quantity) for name, quantity in task.demand.items()},
        cost=listed(task.cost),
    )
