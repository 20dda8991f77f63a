"""What runs in a simulation uses and draws, and which kinds of jobs it leaves room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.sites import Sites, room
from optalloc.instance.model import Task
from optalloc.oracle.answers import Decision
from optalloc.oracle.devices import Share

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Ledger:
    """Use and watts of what runs, counted apart from the oracle's own counters.

    Parameters
    ----------
    oracle
        Which decides.
    kinds
        A task of each kind, with names that differ.
    """

    def __init__(self, oracle: Oracle, kinds: Sequence[Task]) -> None:
        self._ground = oracle.ground
        self._problem = oracle.ground.formulate(*kinds)
        columns = self.columns = self._problem.columns
        # Before the kinds is the oracle's own task.
        self._first = columns.row_start[1:-1] - columns.row_start[1]
        self._rows = [
            {columns.row_name(row): row for row in range(*columns.row_start[k : k + 2].tolist())}
            for k in range(1, len(kinds) + 1)
        ]
        self._capacity = oracle.ground.capacity
        self._total = self._capacity.sum(axis=0)
        self._used = np.zeros_like(self._capacity)
        self._given = np.zeros_like(self._total)
        self._tasks = np.zeros(columns.nodes, np.int64)
        self._draw = columns.power
        self._drawn = 0
        self._rooms = Rooms(self)

    def row(self, kind: int, decision: Decision) -> int:
        """Row of its kind's table in which a task runs."""
        return self._rows[kind][decision.configuration]

    def rows(self, kind: int) -> tuple[int, ...]:
        """Rows of a kind's table."""
        return tuple(self._rows[kind].values())

    def rate(self, row: int) -> float:
        """Samples/s of a row; 0 where none are stated."""
        configuration = self.columns.row_configuration[row]
        return float(configuration.throughput) if configuration is not None else 0.0

    def count(self, row: int, decision: Decision, sign: int = 1) -> None:
        """Count a task that starts, or (-1) one that leaves."""
        columns = self.columns
        node = np.array([columns.node_index[name] for name in decision.nodes], np.int64)
        replicas = sign * np.array([*decision.nodes.values()], np.int64)
        rows = np.full(node.size, row)
        for i, demand in enumerate(columns.demand):
            amount = demand.at(rows, node) * replicas
            self._used[node, i] += amount
            self._given[i] += amount.sum()
        before = self._tasks[node] > 0
        self._tasks[node] += sign
        after = self._tasks[node] > 0
        idle = self._draw.on[node] * (after.astype(np.int64) - before)
        share = self._draw.share.at(rows, node) * replicas
        self._drawn += int(idle.sum()) + int(share.sum()) + sign * int(self._draw.row[row])
        self._rooms.changed(node)

    @property
    def watts(self) -> float:
        """Drawn by the nodes in use and what runs on them."""
        return float(self._drawn * self._draw.quantum)

    @property
    def resources(self) -> tuple[str, ...]:
        """Those of which there is some."""
        return tuple(n for n, t in zip(self.columns.resources, self._total, strict=True) if t > 0)

    def shares(self) -> tuple[float, ...]:
        """Part of each resource that is given away, in the order of `resources`."""
        have = self._total > 0
        return tuple((self._given[have] / self._total[have]).tolist())

    def free(self, nodes: IntArray) -> IntArray:
        """Capacity that is free on some nodes."""
        free: IntArray = self._capacity[nodes] - self._used[nodes]
        return free

    def may_fit(self) -> BoolArray:
        """Of each kind, whether labels, capacities and devices leave room for it.

        Where they do not, no oracle needs to be asked; where they do, other rules may refuse it.
        """
        fits = self._rooms.fits()
        found: BoolArray = np.logical_or.reduceat(fits, self._first)
        return found


class Rooms:
    """Replicas of each row for which there is room on each node, kept up to date node by node."""

    def __init__(self, ledger: Ledger) -> None:
        problem, columns = ledger._problem, ledger.columns
        self._ledger, self._problem = ledger, problem
        self._rows = np.arange(columns.row_start[1], columns.rows, dtype=np.int64)
        self._most = columns.row_replicas[self._rows].astype(np.int64)
        self._devices = ledger._ground.devices
        self._needs = list(self._shares()) if self._devices is not None else []
        self._room = np.zeros((self._rows.size, columns.nodes), np.int32)
        self._total = np.zeros(self._rows.size, np.int64)
        self._stale = np.ones(columns.nodes, bool)

    def changed(self, nodes: IntArray) -> None:
        """Take notice that something came to some nodes, or went."""
        self._stale[nodes] = True

    def fits(self) -> BoolArray:
        """Of each row, whether there is room for all its replicas."""
        nodes = np.flatnonzero(self._stale)
        if nodes.size:
            found = self._found(nodes)
            self._total += (found - self._room[:, nodes]).sum(axis=1)
            self._room[:, nodes] = found
            self._stale[nodes] = False
        return self._total >= self._most

    def _found(self, nodes: IntArray) -> IntArray:
        sites = Sites(nodes, np.ones_like(nodes), self._ledger.free(nodes), "free")
        found = room(self._problem, self._rows, sites, self._most)
        for need in self._needs:
            assert self._devices is not None
            fits = self._devices.room_of(need.parts[:, nodes], need.memory, nodes)
            found[need.rows] = np.minimum(found[need.rows], fits[need.which])
        return found

    def _shares(self) -> Iterator[Need]:
        """What rows need of devices, each need once."""
        found: dict[int, dict[bytes, tuple[IntArray, list[int]]]] = {}
        for k, row in enumerate(self._rows.tolist()):
            share = Share.of(self._problem.columns, row)
            if share is not None:
                alike = found.setdefault(share.memory, {})
                alike.setdefault(share.parts.tobytes(), (share.parts, []))[1].append(k)
        for memory, alike in found.items():
            parts = np.array([parts for parts, _ in alike.values()])
            rows = [rows for _, rows in alike.values()]
            which = np.repeat(np.arange(len(rows)), [len(mine) for mine in rows])
            yield Need(memory, parts, np.concatenate(rows), which)


@dataclass(frozen=True)
class Need:
    """What rows need of devices with so much memory.

    Parameters
    ----------
    memory
        On each device, as in `Share`.
    parts : (needs, nodes)
        Parts of devices, as there.
    rows, which
        Rows, and which of the needs each has.
    """

    memory: int
    parts: IntArray
    rows: IntArray
    which: IntArray
