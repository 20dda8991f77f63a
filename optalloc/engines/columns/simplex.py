"""The relaxation of a knapsack of several dimensions, by a small simplex method, compiled.

``max v x, sum of size * x <= capacity, 0 <= x <= most``: the basis has as many columns as there are
dimensions, of blocks or (numbered after them) slacks; every other block is at 0 or at its most.
"""

from __future__ import annotations

import numpy as np

from optalloc.engines.columns.knapsack import (
    EPSILON,
    PIVOTS,
    BoolArray,
    FloatArray,
    IntArray,
    Kinds,
)
from optalloc.engines.local.structs import compiled


@compiled
def relaxed(kinds: Kinds, t: int, value: IntArray, most: IntArray, m: FloatArray) -> FloatArray:
    """Solve the relaxation for a kind: a fractional content; the multipliers are left in `m`.

    Rounding errors and an early end cost nothing but tightness: `knapsack.bound` holds for any
    multipliers.
    """
    blocks, dims = value.size, m.size
    inverse, basic = np.eye(dims), np.arange(blocks, blocks + dims)
    level, x = kinds.capacity[t].astype(np.float64), np.zeros(blocks)
    full, inside = np.zeros(blocks, np.bool_), np.zeros(blocks + dims, np.bool_)
    inside[blocks:] = True
    column, worth = np.zeros(dims), np.zeros(dims)
    for _ in range(PIVOTS):
        m[:] = 0.0
        for i in range(dims):
            m += worth[i] * inverse[i]
        enter = _entering(kinds, t, value, most, m, inside, full)
        if enter < 0:
            break
        up = enter >= blocks or not full[enter]
        sign = 1.0 if up else -1.0
        _column(kinds, t, inverse, enter, blocks, column)
        longest = float(most[enter]) if enter < blocks else np.inf
        step, leave, to_full = _step(sign, column, level, basic, most, longest)
        if step == np.inf:
            break
        level -= sign * step * column
        if leave < 0:
            full[enter] = up
            x[enter] = most[enter] if up else 0.0
            continue
        gone = basic[leave]
        inside[gone], inside[enter] = False, True
        if gone < blocks:
            full[gone] = to_full
            x[gone] = most[gone] if to_full else 0.0
        basic[leave] = enter
        level[leave] = (0.0 if up else float(most[enter])) + sign * step
        worth[leave] = float(value[enter]) if enter < blocks else 0.0
        _pivot(inverse, column, leave)
    for i in range(dims):
        if basic[i] < blocks:
            x[basic[i]] = level[i]
        m[i] = max(m[i], 0.0)
    return x


@compiled
def _column(
    kinds: Kinds, t: int, inverse: FloatArray, enter: int, blocks: int, column: FloatArray
) -> None:
    """The entering column in terms of the basis."""
    for i in range(column.size):
        if enter >= blocks:
            column[i] = inverse[i, enter - blocks]
        else:
            column[i] = 0.0
            for d in range(column.size):
                column[i] += inverse[i, d] * kinds.size[t, enter, d]


@compiled
def _step(
    sign: float,
    column: FloatArray,
    level: FloatArray,
    basic: IntArray,
    most: IntArray,
    longest: float,
) -> tuple[float, int, bool]:
    """How far the entering column goes, who leaves for it (-1: none), and whether at its most."""
    step, leave, to_full = longest, -1, False
    for i in range(column.size):
        slope = sign * column[i]
        if slope > EPSILON and max(level[i], 0.0) < step * slope:
            step, leave, to_full = max(level[i], 0.0) / slope, i, False
        elif slope < -EPSILON and basic[i] < most.size:
            above = max(most[basic[i]] - level[i], 0.0)
            if above < step * -slope:
                step, leave, to_full = above / -slope, i, True
    return step, leave, to_full


@compiled
def _entering(
    kinds: Kinds, t: int, value: IntArray, most: IntArray, m: FloatArray, inside: BoolArray,
    full: BoolArray,
) -> int:  # fmt: skip
    """The column that gains most in proportion to its weighted size; -1 if none gains."""
    enter, best, total = -1, EPSILON, 0.0
    for b in range(value.size):
        if most[b] > 0 and not inside[b]:
            weighted = 0.0
            for d in range(m.size):
                weighted += m[d] * kinds.size[t, b, d]
            gain = weighted - value[b] if full[b] else value[b] - weighted
            gain /= max(weighted, abs(value[b]) * 1e-3) + 1e-30
            if gain > best:
                enter, best = b, gain
    for d in range(m.size):
        total += abs(m[d]) * kinds.capacity[t, d]
    for d in range(m.size):
        if not inside[value.size + d] and -m[d] * kinds.capacity[t, d] > EPSILON * total:
            return value.size + d
    return enter


@compiled
def _pivot(inverse: FloatArray, column: FloatArray, leave: int) -> None:
    """Bring a column into the basis."""
    for d in range(column.size):
        inverse[leave, d] /= column[leave]
    for i in range(column.size):
        if i != leave:
            for d in range(column.size):
                inverse[i, d] -= column[i] * inverse[leave, d]
