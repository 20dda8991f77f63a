"""Passes of the best moves, good or bad, kept up to where they were best; compiled.

After Fiduccia and Mattheyses (DAC 1982), for any distances between slots: from a queue of vertices
the one whose best move costs least is moved, once in a pass, and its neighbours are priced anew.
What follows the best moment is taken back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optalloc.mapping.compiled.annealing import Spots, enter, leave, moving
from optalloc.mapping.compiled.base import FloatArray, IntArray, Words, below, compiled, shuffle


class Queue(NamedTuple):
    """Vertices by the cost of their best moves, a binary heap, and marks.

    Parameters
    ----------
    heap, at, cost, to : (V)
        Vertices in heap order; where each is in it, or -1; cost and slot of its best move.
    many : (1)
        Vertices in the heap.
    moved : (V)
        Pass in which each vertex was last moved.
    seen : (S)
        Marks of slots, for pricing.
    """

    heap: IntArray
    at: IntArray
    cost: FloatArray
    to: IntArray
    many: IntArray
    moved: IntArray
    seen: IntArray


def new_queue(vertices: int, slots: int) -> Queue:
    """Make an empty queue."""
    return Queue(
        np.zeros(vertices, np.int64),
        np.full(vertices, -1, np.int64),
        np.zeros(vertices),
        np.zeros(vertices, np.int64),
        np.zeros(1, np.int64),
        np.full(vertices, -1, np.int64),
        np.full(slots, -1, np.int64),
    )


@compiled
def _up(q: Queue, i: int) -> None:
    v = q.heap[i]
    while i > 0:
        above = (i - 1) // 2
        if q.cost[q.heap[above]] <= q.cost[v]:
            break
        q.heap[i] = q.heap[above]
        q.at[q.heap[i]] = i
        i = above
    q.heap[i] = v
    q.at[v] = i


@compiled
def _down(q: Queue, i: int) -> None:
    v, many = q.heap[i], q.many[0]
    while 2 * i + 1 < many:
        child = 2 * i + 1
        if child + 1 < many and q.cost[q.heap[child + 1]] < q.cost[q.heap[child]]:
            child += 1
        if q.cost[v] <= q.cost[q.heap[child]]:
            break
        q.heap[i] = q.heap[child]
        q.at[q.heap[i]] = i
        i = child
    q.heap[i] = v
    q.at[v] = i


@compiled
def _remove(q: Queue, v: int) -> None:
    i = q.at[v]
    if i < 0:
        return
    q.at[v] = -1
    q.many[0] -= 1
    last = q.heap[q.many[0]]
    if last != v:
        q.heap[i] = last
        q.at[last] = i
        _down(q, i)
        _up(q, q.at[last])


@compiled
def price(spots: Spots, q: Queue, v: int) -> None:
    """Find the cheapest move of a vertex to a slot of its neighbours; queue it if there is one."""
    least, to, here = np.inf, -1, spots.slot[v]
    for e in range(spots.start[v], spots.start[v + 1]):
        slot = spots.slot[spots.end[e]]
        if slot == here or q.seen[slot] == v:
            continue
        q.seen[slot] = v
        full = spots.load[slot] + spots.size[v] > spots.capacity[slot]
        if full or spots.many[slot] >= spots.members.shape[1]:
            continue
        cost = moving(spots, v, slot)
        if cost < least:
            least, to = cost, slot
    for e in range(spots.start[v], spots.start[v + 1]):
        q.seen[spots.slot[spots.end[e]]] = -1
    if to < 0:
        _remove(q, v)
        return
    q.cost[v], q.to[v] = least, to
    if q.at[v] < 0:
        q.heap[q.many[0]] = v
        q.at[v] = q.many[0]
        q.many[0] += 1
        _up(q, q.at[v])
    else:
        _down(q, q.at[v])
        _up(q, q.at[v])


@compiled
def on_border(spots: Spots, v: int) -> bool:
    """Whether a vertex has a neighbour on another slot."""
    for e in range(spots.start[v], spots.start[v + 1]):
        if spots.slot[spots.end[e]] != spots.slot[v]:
            return True
    return False


@compiled
def climb(
    spots: Spots, q: Queue, first: IntArray, patience: int, turn: int, journal: IntArray
) -> float:
    """One pass that begins with some vertices; returns the change of the cost, at most 0.

    Parameters
    ----------
    first
        Vertices to begin with.
    patience
        Moves without a better cost after which it ends.
    turn
        Number of this pass, different for each pass with this queue.
    journal : (V, 2)
        Room for the moves.
    """
    for v in first:
        if q.moved[v] != turn:
            price(spots, q, v)
    total, best, made, kept = 0.0, 0.0, 0, 0
    while q.many[0] > 0 and made - kept < patience:
        v = q.heap[0]
        slot = q.to[v]
        if spots.load[slot] + spots.size[v] > spots.capacity[slot]:
            price(spots, q, v)
            continue
        _remove(q, v)
        change = moving(spots, v, slot)
        journal[made, 0], journal[made, 1] = v, spots.slot[v]
        q.moved[v] = turn
        leave(spots, v)
        enter(spots, v, slot)
        total += change
        made += 1
        if total < best - 1e-9:
            best, kept = total, made
        for e in range(spots.start[v], spots.start[v + 1]):
            u = spots.end[e]
            if q.moved[u] != turn:
                price(spots, q, u)
    while q.many[0] > 0:
        _remove(q, q.heap[q.many[0] - 1])
    for k in range(made - 1, kept - 1, -1):
        leave(spots, journal[k, 0])
        enter(spots, journal[k, 0], journal[k, 1])
    return best


@compiled
def climb_all(
    spots: Spots, q: Queue, passes: int, patience: int, turn: int, journal: IntArray, random: Words
) -> float:
    """Passes that begin with all vertices on borders, while they lower the cost."""
    total = 0.0
    for k in range(passes):
        border = np.array([v for v in range(spots.slot.size) if on_border(spots, v)])
        if border.size == 0:
            break
        shuffle(border, random)
        gained = climb(spots, q, border, patience, turn + k, journal)
        total += gained
        if gained > -1e-9:
            break
    return total


@compiled
def climb_here(
    spots: Spots, q: Queue, seeds: int, patience: int, turn: int, journal: IntArray, random: Words
) -> float:
    """Short passes that each begin with one random vertex on a border."""
    total, first = 0.0, np.zeros(1, np.int64)
    for k in range(seeds):
        v = below(random, spots.slot.size)
        if on_border(spots, v):
            first[0] = v
            total += climb(spots, q, first, patience, turn + k, journal)
    return total
