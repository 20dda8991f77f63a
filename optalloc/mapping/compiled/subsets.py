"""The group of few vertices that is worth most: traffic kept inside less prices; compiled.

Maximises ``sum of weights of edges inside S - sum of price over S`` over sets S of at most c
vertices, exactly: vertices are taken in or left out in turn, and what r more can add is at most the
sum of the r largest of ``weight to S + half of the r - 1 heaviest other edges - price``. Exact
where weights are even and prices whole numbers, and all of them together below 2^53.
"""

from __future__ import annotations

import numpy as np

from optalloc.mapping.compiled.base import FloatArray, IntArray, compiled


@compiled
def falling(values: FloatArray, order: IntArray) -> None:
    """List places by falling value."""
    for i in range(values.size):
        j = i
        while j > 0 and values[order[j - 1]] < values[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@compiled
def gain_of(
    u: int, left: int, weight: FloatArray, order: IntArray, state: IntArray, own: float
) -> float:
    """What a vertex can add at most, with left - 1 more: its own, and half of the heaviest."""
    gain, taken = own, 0
    for k in range(state.size):
        v = order[u, k]
        if taken >= left - 1 or weight[u, v] <= 0:
            break
        if state[v] == 0:
            gain += 0.5 * weight[u, v]
            taken += 1
    return gain


@compiled
def keep_largest(top: FloatArray, filled: int, most: int, gain: float) -> int:
    """Insert a number into the few largest, in falling order; how many there are now."""
    k = filled
    while k > 0 and top[k - 1] < gain:
        if k < most:
            top[k] = top[k - 1]
        k -= 1
    if k < most:
        top[k] = gain
    return min(filled + 1, most)


@compiled
def look(
    left: int,
    weight: FloatArray,
    price: FloatArray,
    order: IntArray,
    state: IntArray,
    to_set: FloatArray,
    top: FloatArray,
) -> tuple[int, float]:
    """Find the vertex that is tied most to the set (-1: none), and what `left` more can add."""
    pick, value, filled = -1, -np.inf, 0
    if left == 0:
        return pick, 0.0
    for u in range(price.size):
        if state[u] != 0:
            continue
        if pick < 0 or to_set[u] > value:
            value, pick = to_set[u], u
        gain = gain_of(u, left, weight, order, state, to_set[u] - price[u])
        if gain > 0:
            filled = keep_largest(top, filled, left, gain)
    return pick, top[:filled].sum()


@compiled
def dearest(
    weight: FloatArray, price: FloatArray, most: int, floor: float, nodes: int, flag: IntArray
) -> tuple[float, IntArray, bool]:
    """Find a set worth more than `floor`, the best there is.

    Parameters
    ----------
    weight : (n, n)
        Symmetric, 0 on the diagonal.
    price : (n)
        Of each vertex.
    most
        Largest size c of the set.
    nodes
        Nodes of the search after which it gives up.
    flag : (1)
        Ends the search when it is not 0.

    Returns
    -------
    float, array, bool
        Its worth (`floor` where there is none), its members, and whether that is exact.
    """
    n = price.size
    order = np.zeros((n, n), np.int64)
    for i in range(n):
        falling(weight[i], order[i])
    state = np.zeros(n, np.int64)
    to_set = np.zeros(n)
    chosen, side = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    best, members = floor, np.zeros(0, np.int64)
    depth, size, worth, count = 0, 0, 0.0, 0
    top = np.zeros(most + 1)
    down = True
    while True:
        if down:
            count += 1
            if count > nodes or flag[0] != 0:
                return best, members, False
            if worth > best and size > 0:
                best, members = worth, np.flatnonzero(state == 1)
            pick, more = look(most - size, weight, price, order, state, to_set, top)
            if pick >= 0 and worth + more > best:
                chosen[depth], side[depth] = pick, 1
                depth += 1
                state[pick] = 1
                worth += to_set[pick] - price[pick]
                size += 1
                for v in range(n):
                    to_set[v] += weight[pick, v]
                continue
            down = False
        if depth == 0:
            return best, members, True
        u = chosen[depth - 1]
        if side[depth - 1] == 1:
            for v in range(n):
                to_set[v] -= weight[u, v]
            worth -= to_set[u] - price[u]
            size -= 1
            state[u] = 2
            side[depth - 1] = 2
            down = True
        else:
            state[u] = 0
            depth -= 1
