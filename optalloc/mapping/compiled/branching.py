"""Exact quadratic assignment: depth-first search under the Gilmore-Lawler bound; compiled.

With some ranks placed, each other rank i on each free slot k costs at least l[i, k]: its own term,
its traffic with placed ranks, and the smallest scalar product of its flows to the others with the
distances of k to the free slots (one sorted up, the other down). The cheapest assignment under l
bounds what is left. Sources: Gilmore, SIAM J. 10, 1962; Lawler, Management Science 9, 1963.
"""

from __future__ import annotations

import numpy as np

from optalloc.mapping.compiled.base import FloatArray, IntArray, compiled


@compiled
def assign(cost: FloatArray, many: int, dual: FloatArray, other: FloatArray) -> float:
    """Value of the cheapest assignment of a square matrix; reduces by shortest augmenting paths."""
    row_of = np.full(many + 1, -1, np.int64)
    u, v = np.zeros(many + 1), np.zeros(many + 1)
    for i in range(many):
        row_of[many] = i
        j0 = many
        least, way = np.full(many, np.inf), np.full(many, -1, np.int64)
        used = np.zeros(many + 1, np.bool_)
        while True:
            used[j0] = True
            i0, step, j1 = row_of[j0], np.inf, -1
            for j in range(many):
                if not used[j]:
                    reduced = cost[i0, j] - u[i0] - v[j]
                    if reduced < least[j]:
                        least[j], way[j] = reduced, j0
                    if least[j] < step:
                        step, j1 = least[j], j
            for j in range(many + 1):
                if used[j]:
                    u[row_of[j]] += step
                    v[j] -= step
                elif j < many:
                    least[j] -= step
            j0 = j1
            if row_of[j0] < 0:
                break
        while j0 != many:
            j1 = way[j0]
            row_of[j0] = row_of[j1]
            j0 = j1
    total = 0.0
    for j in range(many):
        total += cost[row_of[j], j]
    dual[:many], other[:many] = u[:many], v[:many]
    return total


@compiled
def ascending(values: FloatArray) -> None:
    """Sort a few values."""
    for i in range(1, values.size):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@compiled
def bound(
    a: FloatArray,
    b: FloatArray,
    slot: IntArray,
    taken: IntArray,
    cost: FloatArray,
    ranks: IntArray,
    free: IntArray,
    dual: FloatArray,
    other: FloatArray,
) -> tuple[float, int]:
    """Gilmore-Lawler bound on what unplaced ranks add; fills `cost`, and who and what is free."""
    n, many, spare = slot.size, 0, 0
    for i in range(n):
        if slot[i] < 0:
            ranks[many] = i
            many += 1
        if taken[i] < 0:
            free[spare] = i
            spare += 1
    rest = max(many - 1, 0)
    out, into = np.zeros((many, rest)), np.zeros((many, rest))
    far, back = np.zeros((many, rest)), np.zeros((many, rest))
    for p in range(many):
        at = 0
        for q in range(many):
            if q != p:
                out[p, at], into[p, at] = a[ranks[p], ranks[q]], a[ranks[q], ranks[p]]
                far[p, at], back[p, at] = b[free[p], free[q]], b[free[q], free[p]]
                at += 1
        ascending(out[p])
        ascending(into[p])
        ascending(far[p])
        ascending(back[p])
    for p in range(many):
        i = ranks[p]
        for q in range(many):
            k = free[q]
            fixed, least = a[i, i] * b[k, k], 0.0
            for j in range(n):
                if slot[j] >= 0:
                    fixed += a[i, j] * b[k, slot[j]] + a[j, i] * b[slot[j], k]
            for r in range(rest):
                # Each pair of unplaced ranks is counted by both of them: half each way.
                least += out[p, r] * far[q, rest - 1 - r] + into[p, r] * back[q, rest - 1 - r]
            cost[p, q] = fixed + 0.5 * least
    return assign(cost, many, dual, other), many


@compiled
def search(
    a: FloatArray,
    b: FloatArray,
    best: IntArray,
    least: float,
    margin: float,
    stack: IntArray,
    flag: IntArray,
    most: int,
) -> tuple[float, bool]:
    """Place ranks one by one wherever the bound lets a better answer be; depth first.

    Parameters
    ----------
    best, least
        The best permutation and its cost so far; the permutation is written over.
    margin
        How much better another must be to be looked for.
    stack : (n + 1, n + 2)
        Of each depth: the rank that is placed, how many of its slots are tried, and these.
    flag : (2)
        The depth to go on from, and what ends the search when it is not 0.
    most
        Nodes after which it pauses.

    Returns
    -------
    float, bool
        The cost of `best`, and whether everything has been searched.
    """
    n = a.shape[0]
    slot, taken = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    cost, ranks, free = np.zeros((n, n)), np.zeros(n, np.int64), np.zeros(n, np.int64)
    dual, other = np.zeros(n), np.zeros(n)
    depth, nodes = flag[0], 0
    value = np.zeros(n + 1)
    replay(a, b, stack, depth, slot, taken, value)
    fresh = stack[depth, 1] < 0
    while True:
        if fresh:
            nodes += 1
            below, many = bound(a, b, slot, taken, cost, ranks, free, dual, other)
            stack[depth, 1] = n + 1
            if many == 0:
                if value[depth] < least - margin:
                    least = value[depth]
                    best[:] = slot
            elif value[depth] + below <= least - margin + 1e-9:
                here = value[depth] + below
                branch(cost, many, here, least - margin, dual, other, ranks, free, stack[depth])
            fresh = False
        line = stack[depth]
        line[1] += 1
        if line[1] > n or line[1 + line[1]] < 0:
            if depth == 0:
                return least, True
            depth -= 1
            i = stack[depth, 0]
            taken[slot[i]] = -1
            slot[i] = -1
            continue
        if nodes >= most or flag[1] != 0:
            line[1] -= 1
            flag[0] = depth
            return least, False
        i, k = line[0], line[1 + line[1]]
        slot[i], taken[k] = k, i
        value[depth + 1] = value[depth] + added(a, b, slot, i, k)
        depth += 1
        stack[depth, 1] = -1
        fresh = True


@compiled
def replay(
    a: FloatArray,
    b: FloatArray,
    stack: IntArray,
    depth: int,
    slot: IntArray,
    taken: IntArray,
    value: FloatArray,
) -> None:
    """Place again what was placed down to a depth, and add up what it costs."""
    for d in range(depth):
        i, k = stack[d, 0], stack[d, 1 + stack[d, 1]]
        slot[i], taken[k] = k, i
        value[d + 1] = value[d] + added(a, b, slot, i, k)


@compiled
def added(a: FloatArray, b: FloatArray, slot: IntArray, i: int, k: int) -> float:
    """Cost that a rank on a slot adds to that of the ranks placed."""
    found = a[i, i] * b[k, k]
    for j in range(slot.size):
        if j != i and slot[j] >= 0:
            found += a[i, j] * b[k, slot[j]] + a[j, i] * b[slot[j], k]
    return found


@compiled
def branch(
    cost: FloatArray,
    many: int,
    below: float,
    limit: float,
    dual: FloatArray,
    other: FloatArray,
    ranks: IntArray,
    free: IntArray,
    line: IntArray,
) -> None:
    """Choose the rank whose slots are excluded most, and list the others, cheapest first."""
    chosen, excess = 0, -1.0
    for p in range(many):
        total = 0.0
        for q in range(many):
            total += min(cost[p, q] - dual[p] - other[q], limit - below + 1.0)
        if total > excess:
            chosen, excess = p, total
    line[0], line[1] = ranks[chosen], 0
    reduced = np.full(many + 1, np.inf)
    for q in range(many):
        reduced[q] = cost[chosen, q] - dual[chosen] - other[q]
    at = 2
    while True:
        q = int(np.argmin(reduced[:many]))
        if below + reduced[q] > limit + 1e-9:
            break
        line[at] = free[q]
        reduced[q] = np.inf
        at += 1
    if at < line.size:
        line[at] = -1
