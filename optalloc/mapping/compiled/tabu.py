"""Robust tabu search for the quadratic assignment problem; compiled.

Minimises ``sum_ij a[i, j] b[p(i), p(j)]`` over permutations p by exchanges of two, with the change
of every exchange at hand: after a move only the pairs that touch it are priced anew in O(n), all
others in O(1). The distances are kept in the order of the permutation, so that rows are read in a
line. Source: Taillard, Parallel Computing 17, 1991 (with the tenures of his later code).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optalloc.mapping.compiled.base import FloatArray, IntArray, Words, below, compiled, draw

NOW, BEST, TURN, SINCE = range(4)
"""Places in `Walk.number`: cost now, best cost of this walk, moves made, move of the best."""
TENURE, ASPIRATION = 8.0, 5.0
"""Most moves that an exchange is forbidden, in n, and after how many it is forced, in n^2."""


class Walk(NamedTuple):
    """A permutation and what the search knows of it.

    Parameters
    ----------
    a, b : (n, n)
        Flows, and distances in the order of the permutation: ``b[i, j]`` is that of i and j.
    slot, best : (n)
        The permutation, and the best one of this walk.
    delta : (n, n)
        Change of the cost by each exchange i < j.
    until : (n, n)
        Until which move each is forbidden to go back to a slot.
    number : (4)
        See `NOW`.
    """

    a: FloatArray
    b: FloatArray
    slot: IntArray
    best: IntArray
    delta: FloatArray
    until: FloatArray
    number: FloatArray


@compiled
def total(a: FloatArray, b: FloatArray) -> float:
    """Cost where the distances are in the order of the permutation."""
    cost = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[0]):
            cost += a[i, j] * b[i, j]
    return cost


@compiled
def change(a: FloatArray, b: FloatArray, i: int, j: int) -> float:
    """Change of the cost when i and j change places, afresh in O(n)."""
    found = (a[i, i] - a[j, j]) * (b[j, j] - b[i, i]) + (a[i, j] - a[j, i]) * (b[j, i] - b[i, j])
    for k in range(a.shape[0]):
        if k not in (i, j):
            found += (a[k, i] - a[k, j]) * (b[k, j] - b[k, i])
            found += (a[i, k] - a[j, k]) * (b[j, k] - b[i, k])
    return found


@compiled
def begin(walk: Walk, distance: FloatArray) -> None:
    """Make everything that follows from ``walk.slot``, and forget what is forbidden."""
    n = walk.slot.size
    for i in range(n):
        for j in range(n):
            walk.b[i, j] = distance[walk.slot[i], walk.slot[j]]
    for i in range(n):
        for j in range(i + 1, n):
            walk.delta[i, j] = change(walk.a, walk.b, i, j)
    walk.until[:, :] = walk.number[TURN] - np.float64(n) * np.arange(1, n + 1)
    walk.number[NOW] = walk.number[BEST] = total(walk.a, walk.b)
    walk.number[SINCE] = walk.number[TURN]
    walk.best[:] = walk.slot


@compiled
def exchange(walk: Walk, r: int, s: int, symmetric: bool) -> None:
    """Let r and s change places, and bring the changes of all exchanges up to date."""
    a, b, delta, n = walk.a, walk.b, walk.delta, walk.slot.size
    walk.number[NOW] += delta[r, s]
    walk.slot[r], walk.slot[s] = walk.slot[s], walk.slot[r]
    for k in range(n):
        b[r, k], b[s, k] = b[s, k], b[r, k]
    for k in range(n):
        b[k, r], b[k, s] = b[k, s], b[k, r]
    out, far = a[r] - a[s], b[s] - b[r]
    if symmetric:
        for i in range(n):
            u, v, row = out[i], far[i], delta[i]
            for j in range(i + 1, n):
                row[j] += 2.0 * (u - out[j]) * (v - far[j])
    else:
        into, back = a[:, r] - a[:, s], b[:, s] - b[:, r]
        for i in range(n):
            u, v, w, x, row = out[i], far[i], into[i], back[i], delta[i]
            for j in range(i + 1, n):
                row[j] += (u - out[j]) * (v - far[j]) + (w - into[j]) * (x - back[j])
    for k in range(n):
        if k not in (r, s):
            delta[min(k, r), max(k, r)] = change(a, b, k, r)
            delta[min(k, s), max(k, s)] = change(a, b, k, s)
    delta[r, s] = change(a, b, r, s)


@compiled
def walk_on(walk: Walk, moves: int, symmetric: bool, random: Words) -> None:
    """Make moves: each the best exchange that is not forbidden, or that is better than ever."""
    n, number, until, slot = walk.slot.size, walk.number, walk.until, walk.slot
    for _ in range(moves):
        turn = number[TURN] + 1
        number[TURN] = turn
        forced = turn - ASPIRATION * n * n
        least, r, s, asked = np.inf, -1, -1, False
        for i in range(n):
            row = walk.delta[i]
            for j in range(i + 1, n):
                d = row[j]
                if d < least or asked or until[i, slot[j]] < forced:
                    one, two = until[i, slot[j]], until[j, slot[i]]
                    allowed = one < turn or two < turn
                    aspired = number[NOW] + d < number[BEST] or (one < forced and two < forced)
                    if aspired and not asked:
                        asked, least, r, s = True, d, i, j
                    elif d < least and (aspired or (allowed and not asked)):
                        least, r, s = d, i, j
        if r < 0:
            continue
        until[r, slot[r]] = turn + TENURE * n * draw(random) ** 3
        until[s, slot[s]] = turn + TENURE * n * draw(random) ** 3
        exchange(walk, r, s, symmetric)
        if number[NOW] < number[BEST] - 1e-9 * abs(number[BEST]):
            number[BEST], number[SINCE] = number[NOW], turn
            walk.best[:] = slot


@compiled
def kick(walk: Walk, many: int, random: Words) -> None:
    """Move some of the permutation round in a circle of random members."""
    n = walk.slot.size
    first = below(random, n)
    held = walk.slot[first]
    place = first
    for _ in range(many):
        other = below(random, n)
        if other not in (first, place):
            walk.slot[place] = walk.slot[other]
            place = other
    walk.slot[place] = held
