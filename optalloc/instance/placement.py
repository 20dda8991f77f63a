"""A placement: which replicas of which task run where, and in which configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Placement:
    """Replicas placed, as sparse counts over (row, node).

    A *row* is one way of running a task entry: entry ``t`` of `Columns` has the rows
    ``row_start[t]:row_start[t + 1]``, one per configuration, or one if it has no table. *Nodes*
    are concrete (entries with a count are expanded).

    Parameters
    ----------
    chosen : (rows,)
        Number of the entry's tasks that run in this row.
    row, node, replicas : (placed,)
        Replicas of a row on a node, each pair once, all positive, sorted by row, then node.
    """

    chosen: IntArray
    row: IntArray
    node: IntArray
    replicas: IntArray

    def equals(self, other: Placement) -> bool:
        """Whether all counts are the same."""
        mine = (self.chosen, self.row, self.node, self.replicas)
        theirs = (other.chosen, other.row, other.node, other.replicas)
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    @classmethod
    def of(cls, chosen: IntArray, row: IntArray, node: IntArray, replicas: IntArray) -> Placement:
        """Make one from pairs in any order, adding up repeated ones and dropping empty ones."""
        row, node = np.asarray(row, np.int64), np.asarray(node, np.int64)
        width = int(node.max()) + 1 if node.size else 1
        keys, inverse = np.unique(row * width + node, return_inverse=True)
        total = np.zeros(keys.size, np.int64)
        np.add.at(total, inverse, np.asarray(replicas, np.int64))
        kept = total > 0
        keys, total = keys[kept], total[kept]
        return cls(np.asarray(chosen, np.int64), keys // width, keys % width, total)
