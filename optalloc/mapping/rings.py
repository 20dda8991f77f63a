"""The order in which the members of a group form a ring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.machine import Machine

IntArray = NDArray[np.int64]
ROUNDS = 50


def ring_order(machine: Machine, slots: Sequence[int]) -> list[int]:
    """Order slots so that the way around them is short.

    On a tree the order is that of the tree, domain after domain, which is the shortest ring there
    is: every domain is entered and left once. Elsewhere the nearest slot follows each, and the ring
    is then improved by turning parts of it round (2-opt).

    Returns
    -------
    list
        The slots; the last one is followed by the first.
    """
    wanted = np.asarray(slots, np.int64)
    if machine.levels:
        keys = [wanted, *(level[wanted] for level in machine.levels)]
        return [int(s) for s in wanted[np.lexsort(keys)]]
    return _turned(machine, _nearest(machine, wanted.tolist()))


def ring_length(machine: Machine, order: Sequence[int]) -> float:
    """Sum of the distances from each to the next, and from the last to the first."""
    ring = np.asarray(order, np.int64)
    return float(machine.distance[ring, np.roll(ring, -1)].sum())


def _nearest(machine: Machine, slots: list[int]) -> list[int]:
    left, order = slots[1:], slots[:1]
    while left:
        row = machine.distance[order[-1]]
        order.append(min(left, key=lambda s: (row[s], s)))
        left.remove(order[-1])
    return order


def _turned(machine: Machine, order: list[int]) -> list[int]:
    n = len(order)
    best, length = order, ring_length(machine, order)
    for _ in range(ROUNDS):
        before = length
        for i in range(n - 1):
            for j in range(i + 2, n + 1):
                turned = best[:i] + best[i:j][::-1] + best[j:]
                found = ring_length(machine, turned)
                if found < length - 1e-12:
                    best, length = turned, found
        if length >= before:
            break
    return best
