"""What runs, counted once more, apart from the formulation: for the check of each decision.

Reads the instance's columns, as `optalloc.verify` does, and nothing of problems and their counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import device_memory
from optalloc.instance.columns import Columns
from optalloc.instance.model import DEVICE, NODE, Instance
from optalloc.oracle.answers import Decision
from optalloc.verify.facts import Scope

IntArray = NDArray[np.int64]
Held = tuple[tuple[int, int, int, int], ...]
"""Node, number of the device, and parts and memory of it that a replica uses."""

WHOLE = 1000
"""Parts of a device, its quantum with the oracle."""


@dataclass(frozen=True)
class Need:
    """What a row states, read once.

    Parameters
    ----------
    replicas
        Of the whole task.
    each : (resources,)
        What a replica needs on any node; None where that depends on the node.
    device
        Index of the resource of devices; None where there is none.
    memory
        On each device.
    groups
        Indices of the task's groups.
    shaped
        Whether it says where its replicas lie to one another.
    wrong
        What rules a node entry out, by entry, as far as it has been looked at.
    """

    replicas: int
    each: IntArray | None
    device: int | None
    memory: int
    groups: tuple[int, ...]
    shaped: bool
    wrong: dict[int, tuple[str, ...]]

    @classmethod
    def of(cls, columns: Columns, row: int) -> Need:
        """Read a row."""
        key = "need", row
        found = columns.memo.get(key)
        if found is None:
            task = columns.instance.tasks[int(columns.row_task[row])]
            stated = device_memory.stated(task, columns.row_configuration[row])
            fixed = not any(demand.parts for demand in columns.demand)
            each = np.array([demand.base[row] for demand in columns.demand], np.int64)
            shaped = columns.row_within[row] >= 0 or columns.row_per_node[row] > 0
            found = columns.memo[key] = cls(
                int(columns.row_replicas[row]),
                each if fixed else None,
                columns.resource_index.get(DEVICE),
                device_memory.needed(stated),
                tuple(columns.group_index[name] for name in dict.fromkeys(task.groups)),
                bool(shaped),
                {},
            )
        assert isinstance(found, cls)
        return found


@dataclass(frozen=True)
class Use:
    """What a task uses where it runs.

    Parameters
    ----------
    columns, row
        What it is.
    node, replicas : (k,)
        Each node once.
    amounts : (k, resources)
        In quanta.
    devices
        All that it uses.
    faults
        What is wrong with it by itself.
    """

    columns: Columns
    row: int
    node: IntArray
    replicas: IntArray
    amounts: IntArray
    devices: Held = ()
    faults: tuple[str, ...] = ()

    @property
    def need(self) -> Need:
        """What its row states."""
        return Need.of(self.columns, self.row)


class Ledger:
    """What is used of each node and device, and where the groups' replicas are.

    Parameters
    ----------
    instance
        The nodes and groups; its resources have the quanta in which all is counted.
    scopes
        In whose domains groups are counted.

    Attributes
    ----------
    capacity, used : (nodes, resources)
        In quanta.
    parts, memory
        What is free of devices, by node; None where no node has any.
    domains
        Replicas of a group by domain, by scope and group.
    closed
        Nodes to which nothing may come.
    """

    def __init__(self, instance: Instance, scopes: Sequence[str]) -> None:
        self.instance = instance
        columns = instance.columns
        self.columns = columns
        self.capacity = columns.capacity[columns.node_entry]
        self.used = np.zeros_like(self.capacity)
        entries, has = columns.node_entry.tolist(), device_memory.offered(instance.nodes).tolist()
        number = [node.devices for node in instance.nodes]
        self.devices = any(number)
        self.parts = [[WHOLE] * number[e] for e in entries] if self.devices else []
        self.memory = [[has[e]] * number[e] for e in entries] if self.devices else []
        self.domains: dict[str, dict[int, dict[int, int]]] = {scope: {} for scope in scopes}
        self.closed: set[int] = set()
        self._scopes: dict[str, Scope] = {}

    def copied(self) -> Ledger:
        """The same, to go on apart."""
        made = copy(self)
        made.used, made.closed = self.used.copy(), set(self.closed)
        made.parts, made.memory = [*map(list, self.parts)], [*map(list, self.memory)]
        made.domains = {
            scope: {g: dict(counts) for g, counts in groups.items()}
            for scope, groups in self.domains.items()
        }
        return made

    def scope(self, name: str) -> Scope:
        """Domains of a scope, from what the nodes state; read once."""
        found = self._scopes.get(name)
        if found is None:
            columns = self.columns
            if name == NODE:
                found = Scope(columns.node_names, np.arange(columns.nodes, dtype=np.int64))
            else:
                known: dict[str, int] = {}
                stated = [node.domains.get(name) for node in self.instance.nodes]
                index = [-1 if d is None else known.setdefault(d, len(known)) for d in stated]
                domain = np.array(index, np.int64)[columns.node_entry]
                found = Scope(tuple(known), domain)
            self._scopes[name] = found
        return found

    # -- what a task uses ----------------------------------------------------------------------

    def use(self, columns: Columns, row: int, decision: Decision) -> Use:
        """What a task uses that runs in a row as a decision says."""
        index = self.columns.node_index
        node = np.array([index[name] for name in decision.nodes], np.int64)
        replicas = np.array([*decision.nodes.values()], np.int64)
        need = Need.of(columns, row)
        if need.each is not None:
            amounts = need.each * replicas[:, None]
        else:
            rows = np.full(1, row)
            each = [np.broadcast_to(d.at(rows, node), node.shape) for d in columns.demand]
            amounts = np.stack(each, axis=1) * replicas[:, None]
        if not self.devices or need.device is None or not amounts[:, need.device].any():
            return Use(columns, row, node, replicas, amounts)
        parts = (amounts[:, need.device] // replicas).tolist()
        held, faults = _held(need, decision, node.tolist(), parts)
        return Use(columns, row, node, replicas, amounts, held, faults)

    def count(self, use: Use, sign: int = 1) -> None:
        """Let a task use what it uses, or (negative) no longer."""
        self.used[use.node] += sign * use.amounts
        for n, d, parts, memory in use.devices:
            if d < len(self.parts[n]):
                self.parts[n][d] -= sign * parts
                self.memory[n][d] -= sign * memory
        groups = use.need.groups
        for scope, counted in self.domains.items() if groups else ():
            where = self.scope(scope).domain[use.node].tolist()
            for g in groups:
                counts = counted.setdefault(g, {})
                for domain, replicas in zip(where, use.replicas.tolist(), strict=True):
                    counts[domain] = counts.get(domain, 0) + sign * replicas
                    if not counts[domain]:
                        del counts[domain]
                if not counts:
                    del counted[g]

    def count_all(
        self,
        columns: Columns,
        row: int,
        node: IntArray,
        replicas: IntArray,
        held: Iterable[tuple[int, Iterable[int]]],
    ) -> None:
        """Count what many tasks of a row use.

        Parameters
        ----------
        columns, row
            What they are.
        node, replicas : (k,)
            Each node as often as need be.
        held
            Nodes, and the devices of each that are used, each as often as need be.
        """
        rows, need = np.full(1, row), Need.of(columns, row)
        for i, demand in enumerate(columns.demand):
            amounts = np.broadcast_to(demand.at(rows, node), node.shape) * replicas
            np.add.at(self.used[:, i], node, amounts)
        if self.devices and need.device is not None:
            every = np.arange(columns.nodes)
            part = np.broadcast_to(columns.demand[need.device].at(rows, every), every.shape)
            each = np.minimum(part, WHOLE).tolist()
            for n, devices in held:
                for d in devices:
                    self.parts[n][d] -= each[n]
                    self.memory[n][d] -= need.memory
        for scope, counted in self.domains.items() if need.groups else ():
            domain, at = np.unique(self.scope(scope).domain[node], return_inverse=True)
            number = np.bincount(at.ravel(), replicas).astype(np.int64)
            for g in need.groups:
                counts = counted.setdefault(g, {})
                for d, more in zip(domain.tolist(), number.tolist(), strict=True):
                    counts[d] = counts.get(d, 0) + more


def _held(
    need: Need, decision: Decision, nodes: Sequence[int], parts: Sequence[int]
) -> tuple[Held, tuple[str, ...]]:
    """The devices that a decision names, and what is wrong with how it names them."""
    held: list[tuple[int, int, int, int]] = []
    faults = []
    named: Mapping[str, tuple[int, ...]] = decision.devices
    for (name, replicas), n, part in zip(decision.nodes.items(), nodes, parts, strict=True):
        mine, number = named.get(name, ()), -(-part // WHOLE)
        if len(mine) != number * replicas:
            said = f"expected {number * replicas} devices, got {len(mine)}"
            faults.append(f"node {name}: {said}")
        each = min(part, WHOLE)
        shares = [mine[k : k + number] for k in range(0, len(mine), number or 1)]
        if any(len({*share}) != len(share) for share in shares):
            faults.append(f"node {name}: a replica has a device twice")
        if min(mine, default=0) < 0:
            faults.append(f"node {name}: a device with a negative number")
            continue
        held += [(n, d, each, need.memory) for d in mine]
    return tuple(held), tuple(faults)
