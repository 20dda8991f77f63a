"""Simulated annealing of a sparse graph on slots with capacities; compiled.

Minimises ``sum over edges {u, v} of weight * distance[slot u, slot v]`` by moves of a vertex into
free room and by exchanges of two vertices, priced over their edges alone. Distances are symmetric.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np

from optalloc.mapping.compiled.base import FloatArray, IntArray, Words, below, compiled, draw

NEIGHBOUR, NEAR = 0.6, 0.85
"""Chances that a vertex tries the slot of a neighbour, and that or one near to it; else any."""


class Spots(NamedTuple):
    """Vertices on slots.

    Parameters
    ----------
    start, end, weight : (V + 1), (E), (E)
        The graph in rows; every edge is in two of them.
    size : (V)
        Of each vertex.
    distance, near : (S, S), (S, N)
        Between slots, and the nearest slots of each.
    capacity : (S)
        Of each slot.
    slot : (V)
        Where each vertex is.
    load, many, members, place : (S), (S), (S, M), (V)
        Size and number of the vertices on each slot, who they are, and where each is in that list.
    """

    start: IntArray
    end: IntArray
    weight: FloatArray
    size: IntArray
    distance: FloatArray
    near: IntArray
    capacity: IntArray
    slot: IntArray
    load: IntArray
    many: IntArray
    members: IntArray
    place: IntArray


@compiled
def seat(spots: Spots) -> None:
    """Make loads and lists of members from ``spots.slot``."""
    spots.load[:] = 0
    spots.many[:] = 0
    for v in range(spots.slot.size):
        enter(spots, v, spots.slot[v])


@compiled
def enter(spots: Spots, v: int, slot: int) -> None:
    """Put a vertex on a slot."""
    at = spots.many[slot]
    spots.members[slot, at] = v
    spots.place[v] = at
    spots.many[slot] = at + 1
    spots.load[slot] += spots.size[v]
    spots.slot[v] = slot


@compiled
def leave(spots: Spots, v: int) -> None:
    """Take a vertex from its slot; the last of the list takes its place."""
    slot, at = spots.slot[v], spots.place[v]
    last = spots.many[slot] - 1
    other = spots.members[slot, last]
    spots.members[slot, at] = other
    spots.place[other] = at
    spots.many[slot] = last
    spots.load[slot] -= spots.size[v]


@compiled
def cost_of(spots: Spots) -> float:
    """Cost, each edge once."""
    cost = 0.0
    for v in range(spots.slot.size):
        row = spots.distance[spots.slot[v]]
        for e in range(spots.start[v], spots.start[v + 1]):
            cost += spots.weight[e] * row[spots.slot[spots.end[e]]]
    return cost / 2


@compiled
def moving(spots: Spots, v: int, slot: int) -> float:
    """Change of the cost when a vertex goes to a slot."""
    now, then = spots.distance[spots.slot[v]], spots.distance[slot]
    found = 0.0
    for e in range(spots.start[v], spots.start[v + 1]):
        at = spots.slot[spots.end[e]]
        found += spots.weight[e] * (then[at] - now[at])
    return found


@compiled
def exchanging(spots: Spots, u: int, v: int) -> float:
    """Change of the cost when two vertices on different slots change places."""
    a, b = spots.slot[u], spots.slot[v]
    found = moving(spots, u, b) + moving(spots, v, a)
    apart = spots.distance
    for e in range(spots.start[u], spots.start[u + 1]):
        if spots.end[e] == v:
            # Both moves counted the other as staying: on the slot that is left for it.
            found += spots.weight[e] * (2 * apart[a, b] - apart[a, a] - apart[b, b])
    return found


@compiled
def exchange(spots: Spots, u: int, v: int) -> None:
    """Let two vertices change places."""
    a, b = spots.slot[u], spots.slot[v]
    leave(spots, u)
    leave(spots, v)
    enter(spots, u, b)
    enter(spots, v, a)


@compiled
def target(spots: Spots, v: int, random: Words) -> int:
    """Draw a slot that a vertex may want."""
    first, last = spots.start[v], spots.start[v + 1]
    chance = draw(random)
    if last > first and chance < NEAR:
        slot = spots.slot[spots.end[first + below(random, last - first)]]
        if chance < NEIGHBOUR and slot != spots.slot[v]:
            return slot
        return spots.near[slot, below(random, spots.near.shape[1])]
    return below(random, spots.load.size)


@compiled
def scale(spots: Spots, samples: int, random: Words) -> float:
    """Mean of the changes that make it worse, over moves as annealing draws them."""
    worse, many = 0.0, 0
    for _ in range(samples):
        v = below(random, spots.slot.size)
        slot = target(spots, v, random)
        if slot != spots.slot[v]:
            change = moving(spots, v, slot)
            if change > 0:
                worse += change
                many += 1
    return worse / many if many else 0.0


@compiled
def anneal(spots: Spots, hot: float, cold: float, steps: int, random: Words) -> float:
    """Try moves while the temperature falls from `hot` to `cold`; returns the change."""
    vertices, total = spots.slot.size, 0.0
    heat, every = hot, max(steps // 256, 1)
    fall = (cold / hot) ** (1.0 / 256)
    for step in range(steps):
        if step % every == every - 1:
            heat *= fall
        v = below(random, vertices)
        slot = target(spots, v, random)
        if slot == spots.slot[v]:
            continue
        if (
            spots.load[slot] + spots.size[v] <= spots.capacity[slot]
            and spots.many[slot] < spots.members.shape[1]
        ):
            change = moving(spots, v, slot)
            if change <= 0 or draw(random) < exp(-change / heat):
                leave(spots, v)
                enter(spots, v, slot)
                total += change
                continue
        if spots.many[slot] == 0:
            continue
        u = spots.members[slot, below(random, spots.many[slot])]
        old = spots.slot[v]
        more = spots.size[v] - spots.size[u]
        if (
            spots.load[slot] + more > spots.capacity[slot]
            or spots.load[old] - more > spots.capacity[old]
        ):
            continue
        change = exchanging(spots, u, v)
        if change <= 0 or draw(random) < exp(-change / heat):
            exchange(spots, u, v)
            total += change
    return total


@compiled
def descend(spots: Spots, random: Words) -> float:
    """Make every move and exchange that lowers the cost, until none does; returns the change."""
    vertices, slots, total = spots.slot.size, spots.load.size, 0.0
    order = np.arange(vertices)
    better = True
    while better:
        better = False
        for i in range(vertices - 1, 0, -1):
            j = below(random, i + 1)
            order[i], order[j] = order[j], order[i]
        for i in range(vertices):
            v = int(order[i])
            for slot in range(slots):
                if slot == spots.slot[v]:
                    continue
                free = spots.load[slot] + spots.size[v] <= spots.capacity[slot]
                if free and spots.many[slot] < spots.members.shape[1]:
                    change = moving(spots, v, slot)
                    if change < -1e-9:
                        leave(spots, v)
                        enter(spots, v, slot)
                        total += change
                        better = True
                        continue
                old = spots.slot[v]
                for k in range(spots.many[slot]):
                    u = spots.members[slot, k]
                    more = spots.size[v] - spots.size[u]
                    if (
                        spots.load[slot] + more <= spots.capacity[slot]
                        and spots.load[old] - more <= spots.capacity[old]
                    ):
                        change = exchanging(spots, u, v)
                        if change < -1e-9:
                            exchange(spots, u, v)
                            total += change
                            better = True
                            break
    return total


@compiled
def balance(spots: Spots, random: Words) -> bool:
    """Move vertices out of slots that are too full, each time the one that costs least."""
    slots = spots.load.size
    for slot in range(slots):
        while spots.load[slot] > spots.capacity[slot]:
            least, v, to = np.inf, -1, -1
            for k in range(spots.many[slot]):
                u = spots.members[slot, k]
                if spots.size[u] == 0:
                    continue
                for other in range(slots):
                    free = spots.load[other] + spots.size[u] <= spots.capacity[other]
                    if free and spots.many[other] < spots.members.shape[1] and other != slot:
                        change = moving(spots, u, other) / spots.size[u]
                        if change < least:
                            least, v, to = change, u, other
            if v < 0:
                return False
            leave(spots, v)
            enter(spots, v, to)
    return True
