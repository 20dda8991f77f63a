"""A mapping problem as the searches read it: slots that cannot be told apart become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Graph, Traffic

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Vertices to put on blocks: groups of slots of one unit that are all equally far apart.

    Parameters
    ----------
    graph
        The traffic, both directions added up.
    distance : (blocks, blocks)
        Between blocks; on the diagonal that of different slots of one block.
    capacity : (blocks,)
        Of each.
    levels
        The group of each block at each level of a tree, outermost first; empty for others.
    block : (slots,)
        Block of each slot.
    single
        The slots of a block take one unit each, and are handed out on the way back.
    """

    graph: Graph
    distance: FloatArray
    capacity: IntArray
    levels: Sequence[IntArray]
    block: IntArray
    single: bool

    @classmethod
    def of(cls, traffic: Traffic, machine: Machine) -> Layout:
        """Make the layout of a problem whose distances are symmetric."""
        graph = Graph.of_traffic(traffic)
        one = machine.single and bool(np.all(traffic.size == 1))
        leaf = machine.levels[0] if machine.levels else np.arange(machine.slots)
        first = np.unique(leaf, return_index=True)[1]
        if not one or first.size == machine.slots:
            whole = np.arange(machine.slots)
            return cls(
                graph, machine.distance, machine.capacity, machine.levels[::-1], whole, False
            )
        block = np.searchsorted(leaf[first], leaf) if np.all(np.diff(leaf[first]) > 0) else leaf
        first = np.unique(block, return_index=True)[1]
        distance = machine.distance[np.ix_(first, first)].copy()
        for b, s in enumerate(first.tolist()):
            others = np.flatnonzero(block == b)
            distance[b, b] = machine.distance[s, others[-1]] if others.size > 1 else 0.0
        capacity = np.bincount(block).astype(np.int64)
        levels = [level[first] for level in machine.levels[:0:-1]]
        return cls(graph, distance, capacity, levels, block.astype(np.int64), True)

    @cached_property
    def slots_of(self) -> list[IntArray]:
        """The slots of each block."""
        return [np.flatnonzero(self.block == b) for b in range(self.capacity.size)]

    def assignment(self, at: IntArray) -> IntArray:
        """Slots of the vertices from their blocks."""
        if not self.single:
            return at
        found = np.zeros(at.size, np.int64)
        for b, slots in enumerate(self.slots_of):
            mine = np.flatnonzero(at == b)
            found[mine] = slots[: mine.size]
        return found
