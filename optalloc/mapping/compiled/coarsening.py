"""Smaller graphs from larger ones, and how the smallest is divided; compiled.

Pairs of heavily joined vertices become one; a part grows from a vertex over those most joined to
it.
"""

from __future__ import annotations

import numpy as np

from optalloc.mapping.compiled.base import FloatArray, IntArray, Words, below, compiled, shuffle


@compiled
def match(
    start: IntArray,
    end: IntArray,
    weight: FloatArray,
    size: IntArray,
    part: IntArray,
    largest: int,
    random: Words,
) -> tuple[IntArray, int]:
    """Pair vertices of the same part with the neighbour of the largest ``weight / size``.

    Returns the coarse vertex of each vertex, and their number.
    """
    vertices = size.size
    order = np.arange(vertices)
    shuffle(order, random)
    coarse = np.full(vertices, -1, np.int64)
    many = 0
    for v in order:
        if coarse[v] >= 0:
            continue
        best, mate = 0.0, -1
        for e in range(start[v], start[v + 1]):
            u = end[e]
            if coarse[u] < 0 and u != v and part[u] == part[v] and size[u] + size[v] <= largest:
                value = weight[e] * weight[e] / max(size[u], 1)
                if value > best:
                    best, mate = value, u
        coarse[v] = many
        if mate >= 0:
            coarse[mate] = many
        many += 1
    return coarse, many


@compiled
def contract(
    start: IntArray,
    end: IntArray,
    weight: FloatArray,
    size: IntArray,
    coarse: IntArray,
    many: int,
) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Make the graph of the coarse vertices: start, end, weight, size."""
    vertices = size.size
    sizes, first = np.zeros(many, np.int64), np.zeros(many + 1, np.int64)
    for v in range(vertices):
        sizes[coarse[v]] += size[v]
        first[coarse[v] + 1] += 1
    for c in range(many):
        first[c + 1] += first[c]
    inside, fill = np.zeros(vertices, np.int64), first[:-1].copy()
    for v in range(vertices):
        inside[fill[coarse[v]]] = v
        fill[coarse[v]] += 1
    starts = np.zeros(many + 1, np.int64)
    ends, weights = np.zeros(end.size, np.int64), np.zeros(end.size, np.float64)
    seen, written = np.full(many, -1, np.int64), 0
    for c in range(many):
        begin = written
        for k in range(first[c], first[c + 1]):
            v = inside[k]
            for e in range(start[v], start[v + 1]):
                other = coarse[end[e]]
                if other == c:
                    continue
                if seen[other] >= begin:
                    weights[seen[other]] += weight[e]
                else:
                    seen[other] = written
                    ends[written], weights[written] = other, weight[e]
                    written += 1
        starts[c + 1] = written
    return starts, ends[:written].copy(), weights[:written].copy(), sizes


@compiled
def grow(
    start: IntArray, end: IntArray, weight: FloatArray, size: IntArray, share: int, random: Words
) -> IntArray:
    """Divide in two: 0 for what grows from a random vertex up to a size, 1 for the rest.

    The next vertex is always the one that adds least to the cut. For graphs of few vertices.
    """
    vertices, load = size.size, 0
    part, reached = np.ones(vertices, np.int64), np.zeros(vertices, np.bool_)
    added = np.zeros(vertices)
    for v in range(vertices):
        added[v] = weight[start[v] : start[v + 1]].sum()
    v = below(random, vertices)
    while v >= 0:
        part[v] = 0
        load += size[v]
        if load >= share:
            break
        for e in range(start[v], start[v + 1]):
            added[end[e]] -= 2 * weight[e]
            reached[end[e]] = True
        v, least = -1, np.inf
        for u in range(vertices):
            if part[u] == 1 and reached[u] and added[u] < least:
                least, v = added[u], u
        if v < 0:
            rest = np.flatnonzero(part == 1)
            v = rest[below(random, rest.size)] if rest.size else -1
    return part
