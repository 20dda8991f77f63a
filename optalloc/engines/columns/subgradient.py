"""Prices by a subgradient method, where the best contents for any prices are found exactly.

The bound is a concave function of the prices, and what is needed less what the contents for some
prices hold is a subgradient of it: steps along it reach prices close to the best long before a
linear program over contents does, and what they meet on the way is most of what that program wants
(Held, Wolfe and Crowder 1974; momentum as in Camerini, Fratta and Maffioli 1975).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.protocol import Clock

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

STEPS, KEPT, MOST_KEPT = 400, 250, 10_000
"""Steps; those with the best bounds of which the contents are kept, and how many contents."""
LENGTH = 0.02
"""First length of a step: the bound would rise by so much of itself if it were linear."""
LONGER, SHORTER, PATIENCE = 1.1, 0.7, 5
"""Steps grow by gains, and shrink, from the best prices, after so many without any."""
MOMENTUM = 0.7


@dataclass(frozen=True)
class Ascent:
    """Where an ascent came to: the best prices, and contents (kinds, blocks) of the best steps."""

    worth: FloatArray
    contents: list[IntArray]


def ascend(
    tables: ClassTables,
    price: Callable[[FloatArray], tuple[float, IntArray]],
    worth: FloatArray,
    clock: Clock,
) -> Ascent:
    """Improve prices while there are steps and time left.

    Parameters
    ----------
    tables
        The problem.
    price
        Gives the bound at some prices (B), and the best content of each kind (T, B).
    worth
        First prices.
    clock
        The time.
    """
    best, at, length, idle = -np.inf, worth, LENGTH, 0
    direction, dearest = np.zeros(worth.size), max(tables.dearest, 1)
    met: list[tuple[float, IntArray]] = []
    for _ in range(STEPS):
        if clock.left <= 0:
            break
        bound, content = price(worth)
        met.append((bound, content))
        gained = bound > best
        if gained:
            best, at, length, idle = bound, worth, length * LONGER, 0
        else:
            idle += 1
        if idle >= PATIENCE:
            worth, length, idle, direction = at, length * SHORTER, 0, np.zeros(worth.size)
            continue
        direction = MOMENTUM * direction + needed_at(tables, worth) - tables.kind_nodes @ content
        square = float(direction @ direction)
        if square == 0:
            break
        worth = np.maximum(worth + length * max(abs(best), dearest) / square * direction, 0.0)
    met.sort(key=lambda step: -step[0])
    return Ascent(at, [content for _, content in met[: min(KEPT, MOST_KEPT // tables.kinds + 1)]])


def needed_at(tables: ClassTables, worth: FloatArray) -> FloatArray:
    """Replicas of each block that are needed if every class takes its cheapest choice."""
    cost = tables.choice_cost + tables.choice_replicas * worth[tables.choice_block]
    order = np.lexsort((cost, tables.choice_class))
    first = order[np.searchsorted(tables.choice_class[order], np.arange(tables.class_count.size))]
    placed = tables.class_required | (cost[first] < 0)
    need = np.zeros(tables.blocks)
    replicas = np.where(placed, tables.class_count * tables.choice_replicas[first], 0)
    np.add.at(need, tables.choice_block[first], replicas)
    return need
