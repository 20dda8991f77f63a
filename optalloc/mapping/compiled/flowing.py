"""Best exchange between two slots: a smallest cut of the vertices along their border; compiled.

Vertices near the border of two slots a and b may each be on either of them, all others stay. What
that costs is one term for each vertex and one for each edge between two of them, largest where the
ends are apart: the best choice is a smallest cut between a and b, found by a largest flow. How far
the vertices reach is limited, so that the slots do not become too full too often.
Sources: Sanders and Schulz, ESA 2011 (flows between blocks); Boykov, Veksler and Zabih, PAMI 23,
2001 (exchanges of two labels); Dinitz, Soviet Math. Doklady 11, 1970 (flows in layers).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optalloc.mapping.compiled.annealing import Spots, enter, leave
from optalloc.mapping.compiled.base import FloatArray, IntArray, compiled

LEAST = 1e-9
"""Capacity, in units of the largest one, below which an arc counts as full."""
SLACK = 0.02
"""Share of a slot's load that may move at least, however full the other is."""


class Net(NamedTuple):
    """Vertices along a border, numbered from 0, and the arcs among them and to both ends.

    Parameters
    ----------
    first, follow, head, room : (N + 2), (A), (A), (A)
        Arcs as linked lists: the first of each vertex, the next, where it leads, and what more it
        takes; arc ``i ^ 1`` is the way back. The last two vertices are the ends: slots a and b.
    """

    first: IntArray
    follow: IntArray
    head: IntArray
    room: FloatArray


@compiled
def border(
    spots: Spots, a: int, b: int, limit: int, number: IntArray, inner: IntArray, count: int
) -> int:
    """List vertices on a near vertices on b, nearest first, up to a size; returns the new count."""
    begin, taken = count, 0
    for k in range(spots.many[a]):
        v = spots.members[a, k]
        for e in range(spots.start[v], spots.start[v + 1]):
            if spots.slot[spots.end[e]] == b:
                if taken + spots.size[v] <= limit:
                    number[v], inner[count] = count, v
                    taken += spots.size[v]
                    count += 1
                break
    at = begin
    while at < count:
        v = inner[at]
        at += 1
        for e in range(spots.start[v], spots.start[v + 1]):
            u = spots.end[e]
            if spots.slot[u] == a and number[u] < 0 and taken + spots.size[u] <= limit:
                number[u], inner[count] = count, u
                taken += spots.size[u]
                count += 1
    return count


@compiled
def _join(net: Net, many: int, u: int, v: int, out: float, back: float) -> int:
    for tail, to, room in ((u, v, out), (v, u, back)):
        net.head[many], net.room[many] = to, room
        net.follow[many], net.first[tail] = net.first[tail], many
        many += 1
    return many


@compiled
def network(spots: Spots, a: int, b: int, number: IntArray, inner: IntArray) -> tuple[Net, float]:
    """Make the arcs, and the value of the cut as the vertices are now."""
    n, arcs = inner.size, 2 * inner.size
    for v in inner:
        arcs += spots.start[v + 1] - spots.start[v]
    net = Net(
        np.full(n + 2, -1, np.int64),
        np.zeros(2 * arcs, np.int64), np.zeros(2 * arcs, np.int64), np.zeros(2 * arcs),
    )  # fmt: skip
    distance, many, now = spots.distance, 0, 0.0
    half_a, half_b = distance[a, a] / 2, distance[b, b] / 2
    for i in range(n):
        v, on_a, on_b = inner[i], 0.0, 0.0
        for e in range(spots.start[v], spots.start[v + 1]):
            u, w = spots.end[e], spots.weight[e]
            j = number[u]
            if j < 0:
                on_a += w * distance[a, spots.slot[u]]
                on_b += w * distance[b, spots.slot[u]]
                continue
            on_a += w * half_a
            on_b += w * half_b
            if j > i:
                apart = w * (distance[a, b] - half_a - half_b)
                many = _join(net, many, i, j, apart, apart)
                if spots.slot[v] != spots.slot[u]:
                    now += apart
        least = min(on_a, on_b)
        now += (on_a if spots.slot[v] == a else on_b) - least
        if on_b > least:
            many = _join(net, many, n, i, on_b - least, 0.0)
        elif on_a > least:
            many = _join(net, many, i, n + 1, on_a - least, 0.0)
    return net, now


@compiled
def layers(net: Net, source: int, least: float, layer: IntArray, line: IntArray) -> bool:
    """Number vertices by their steps from an end; whether the other end is among them."""
    layer[:] = -1
    layer[source], line[0] = 0, source
    at, many = 0, 1
    while at < many:
        v = line[at]
        at += 1
        arc = net.first[v]
        while arc >= 0:
            u = net.head[arc]
            if layer[u] < 0 and net.room[arc] > least:
                layer[u] = layer[v] + 1
                line[many] = u
                many += 1
            arc = net.follow[arc]
    return bool(layer[layer.size - 1] >= 0)


@compiled
def flow(net: Net, layer: IntArray, line: IntArray, most: float) -> float:
    """Send as much as the arcs take from end to end, at most up to a value; returns the value."""
    n = layer.size - 2
    source, sink, value = n, n + 1, 0.0
    least = LEAST * max(net.room.max(), 1e-300)
    arc_of, path = np.zeros(n + 2, np.int64), np.zeros(n + 2, np.int64)
    while value < most and layers(net, source, least, layer, line):
        arc_of[:] = net.first
        v, depth = source, 0
        while True:
            if v == sink:
                sent, back = np.inf, 0
                for k in range(depth):
                    if net.room[path[k]] < sent:
                        sent, back = net.room[path[k]], k
                for k in range(depth):
                    net.room[path[k]] -= sent
                    net.room[path[k] ^ 1] += sent
                value += sent
                depth = back
                v = net.head[path[back] ^ 1]
                continue
            arc = arc_of[v]
            while arc >= 0:
                u = net.head[arc]
                if net.room[arc] > least and layer[u] == layer[v] + 1:
                    break
                arc = net.follow[arc]
            arc_of[v] = arc
            if arc >= 0:
                path[depth] = arc
                depth += 1
                v = net.head[arc]
            elif depth == 0:
                break
            else:
                depth -= 1
                v = net.head[path[depth] ^ 1]
                arc_of[v] = net.follow[arc_of[v]]
    return value


@compiled
def far_side(net: Net, least: float, beyond: IntArray, line: IntArray) -> None:
    """Mark with 1 the vertices from which the last end can still be reached."""
    beyond[:] = 0
    sink = beyond.size - 1
    beyond[sink], line[0] = 1, sink
    at, many = 0, 1
    while at < many:
        v = line[at]
        at += 1
        arc = net.first[v]
        while arc >= 0:
            u = net.head[arc]
            if beyond[u] == 0 and net.room[arc ^ 1] > least:
                beyond[u] = 1
                line[many] = u
                many += 1
            arc = net.follow[arc]


@compiled
def fits(spots: Spots, a: int, b: int, inner: IntArray, on_b: IntArray) -> bool:
    """Whether both slots take the vertices so."""
    load_a, load_b, many_a, many_b = spots.load[a], spots.load[b], spots.many[a], spots.many[b]
    for i in range(inner.size):
        v = inner[i]
        step = int(on_b[i] != 0) - int(spots.slot[v] == b)
        load_a -= step * spots.size[v]
        load_b += step * spots.size[v]
        many_a -= step
        many_b += step
    room = spots.members.shape[1]
    return (
        load_a <= max(spots.capacity[a], spots.load[a])
        and load_b <= max(spots.capacity[b], spots.load[b])
        and many_a <= room
        and many_b <= room
    )


@compiled
def divide(spots: Spots, a: int, b: int, reach: float, number: IntArray) -> float:
    """Put the vertices along the border of two slots where they cost least, if they fit there.

    The slots are at least as far from one another as vertices within them.

    Parameters
    ----------
    reach
        How much of each slot may move, in what the other has free.
    number : (V)
        All -1, and so again in the end.

    Returns
    -------
    float
        The change of the cost.
    """
    inner = np.zeros(spots.many[a] + spots.many[b], np.int64)
    count = 0
    for one, other in ((a, b), (b, a)):
        free = max(float(spots.capacity[other] - spots.load[other]), SLACK * spots.load[one])
        count = border(spots, one, other, int(reach * free), number, inner, count)
    inner = inner[:count]
    change = 0.0
    if count:
        net, now = network(spots, a, b, number, inner)
        layer, line = np.zeros(count + 2, np.int64), np.zeros(count + 2, np.int64)
        value = flow(net, layer, line, now)
        if value < now - 1e-9 * max(now, 1.0):
            least = LEAST * max(net.room.max(), 1e-300)
            layers(net, count, least, layer, line)
            on_b = np.zeros(count + 2, np.int64)
            on_b[:] = layer < 0
            good = fits(spots, a, b, inner, on_b)
            if not good:
                far_side(net, least, on_b, line)
                good = fits(spots, a, b, inner, on_b)
            if good:
                change = value - now
                settle(spots, a, b, inner, on_b)
    for v in inner:
        number[v] = -1
    return change


@compiled
def settle(spots: Spots, a: int, b: int, inner: IntArray, on_b: IntArray) -> None:
    """Move the vertices to where the cut has them."""
    for turn in range(2):
        for i in range(inner.size):
            v, to = inner[i], b if on_b[i] != 0 else a
            if turn == 0 and spots.slot[v] != to:
                leave(spots, v)
                spots.slot[v] = -1 - to
            elif turn == 1 and spots.slot[v] < 0:
                enter(spots, v, to)


@compiled
def divide_well(spots: Spots, a: int, b: int, reach: float, number: IntArray) -> float:
    """Divide two slots again and again, reaching less far where what is found does not fit."""
    total = 0.0
    while reach >= 1.0:
        change = divide(spots, a, b, reach, number)
        total += change
        if change > -1e-9:
            reach /= 2
    return total
