"""The best content of a node of one dimension, exactly: dynamic programming over its capacity.

``best[c]`` is the most that the items so far are worth in a capacity of c (Bellman 1957; Kellerer,
Pferschy and Pisinger 2004, Knapsack Problems, section 2.3). Several replicas of a block are items
of 1, 2, 4, ... of them, the last of what remains.
"""

from __future__ import annotations

import numpy as np

from optalloc.engines.columns.knapsack import BoolArray, Content, IntArray, Kinds, put
from optalloc.engines.local.structs import compiled


@compiled
def items(most: IntArray) -> IntArray:
    """Blocks and replicas of the items that make up any number of replicas, (items, 2)."""
    count = 0
    for b in range(most.size):
        left, step = most[b], 1
        while left > 0:
            left -= min(step, left)
            step *= 2
            count += 1
    listed = np.zeros((count, 2), np.int64)
    count = 0
    for b in range(most.size):
        left, step = most[b], 1
        while left > 0:
            listed[count, 0], listed[count, 1] = b, min(step, left)
            left -= listed[count, 1]
            step *= 2
            count += 1
    return listed


@compiled
def _take(best: IntArray, former: IntArray, taken: BoolArray, size: int, worth: int) -> None:
    """Offer an item to every capacity."""
    most = min(size, best.size)
    best[:most] = former[:most]
    for c in range(best.size - most):
        without, reached = former[c + size], former[c] + worth
        taken[c + size] = reached > without
        best[c + size] = max(reached, without)


@compiled
def fill_best(kinds: Kinds, t: int, node: Content, value: IntArray, most: IntArray) -> int:
    """Fill a node of a kind with what is worth most; what that is."""
    capacity = max(kinds.capacity[t, 0], 0)
    node.free[:], node.replicas[:] = kinds.capacity[t], 0
    useful = np.where(value > 0, most, 0)
    listed = items(useful)
    best, former = np.zeros(capacity + 1, np.int64), np.zeros(capacity + 1, np.int64)
    taken = np.zeros((listed.shape[0], capacity + 1), np.bool_)
    for i in range(listed.shape[0]):
        b, k = listed[i, 0], listed[i, 1]
        # From one array to another, so that many capacities are looked at side by side.
        best, former = former, best
        _take(best, former, taken[i], k * kinds.size[t, b, 0], k * value[b])
    c = capacity
    for i in range(listed.shape[0] - 1, -1, -1):
        if taken[i, c]:
            put(kinds, t, node, listed[i, 0], listed[i, 1])
            c -= listed[i, 1] * kinds.size[t, listed[i, 0], 0]
    return best[capacity]
