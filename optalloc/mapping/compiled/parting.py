"""Best ways to part a bundle of cells: one more part for every state of what is left; compiled."""

from __future__ import annotations

import numpy as np

from optalloc.mapping.compiled.base import IntArray, compiled


@compiled
def part(
    values: IntArray,
    states: IntArray,
    parts: IntArray,
    packed: IntArray,
    guard: int,
    worth: IntArray,
) -> IntArray:
    """Take one of some parts out of some states.

    States and parts are numbers whose digits say how many of each cell they hold; a part that
    holds no more of any cell is subtracted without a carry.

    Parameters
    ----------
    values : (codes,)
        Best worth of the parts taken so far for each state, -1 where there are none.
    states, parts
        Which to look at.
    packed, guard : (codes,), number
        The digits as bit fields, and the highest bits of all fields, which no digit uses.
    worth : (codes,)
        Of each part.

    Returns
    -------
    (codes,)
        Best worth afterwards.
    """
    after = np.full(values.size, -1, np.int64)
    for s in states:
        if values[s] < 0:
            continue
        for p in parts:
            if ((packed[s] | guard) - packed[p]) & guard == guard:
                after[s - p] = max(after[s - p], values[s] + worth[p])
    return after
