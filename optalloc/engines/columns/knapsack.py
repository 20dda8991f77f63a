"""The best content of one node: a bounded knapsack of several dimensions, compiled.

For multipliers ``m >= 0`` of the dimensions, a content ``a`` with ``sum of size * a <= capacity``
and ``0 <= a <= most`` is worth ``v a = m capacity - m slack + sum of (v - m size) a``: at most
``bound(m) = m capacity + sum of most * max(0, v - m size)``, in integers, whatever m is. The best
multipliers are those of the relaxation. Contents come from what the relaxation takes whole, filled
up in the order of worth per weighted size; then a little is taken out at random and filled again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.local.structs import by_reference, compiled

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Words = NDArray[np.uint64]

PIVOTS = 2000
"""Most steps of the simplex method; its multipliers bound the worth whenever it ends."""
NEAR = 120
"""Blocks of the largest ratios, among which a node is filled again."""
NOISE = 0.3
"""How far their ratios are shifted at random, as a part of them."""
EPSILON = 1e-9


class Kinds(NamedTuple):
    """What the compiled functions know of kinds of nodes: see `ClassTables`.

    Parameters
    ----------
    group_of, group_start, group_amount : (members), (B + 1), (members)
        The groups of block b are ``group_of[group_start[b]:group_start[b + 1]]``.
    """

    price: IntArray
    most: IntArray
    dealt: IntArray
    size: IntArray
    capacity: IntArray
    group_of: IntArray
    group_start: IntArray
    group_amount: IntArray
    group_limit: IntArray


class Content(NamedTuple):
    """A node being filled: what is free, the replicas of each block, and the state of chance."""

    free: IntArray
    group_free: IntArray
    replicas: IntArray
    chance: Words


def kinds_of(tables: ClassTables, unit: int) -> Kinds:
    """Make the record that compiled functions take, with prices in `unit` parts of a quantum."""
    group = np.repeat(np.arange(tables.group_limit.size), np.diff(tables.group_start))
    order = np.argsort(tables.group_block, kind="stable")
    start = np.searchsorted(tables.group_block[order], np.arange(tables.blocks + 1))
    arrays = (
        tables.price * unit,
        tables.most,
        tables.dealt,
        tables.size,
        tables.capacity,
        group[order].astype(np.int64),
        start.astype(np.int64),
        tables.group_amount[order],
        tables.group_limit,
    )
    return by_reference(Kinds(*(np.ascontiguousarray(array) for array in arrays)))


@compiled
def below(chance: Words, n: int) -> int:
    """A random number in ``range(n)``, n < 2**31 (xorshift64*, Vigna 2016)."""
    x = chance[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    chance[0] = x
    high = (x * np.uint64(2685821657736338717)) >> np.uint64(32)
    return np.int64((high * np.uint64(n)) >> np.uint64(32))  # type: ignore[return-value]


@compiled
def put(kinds: Kinds, t: int, node: Content, b: int, k: int) -> None:
    """Add replicas of a block to a node of a kind, or take them out."""
    node.replicas[b] += k
    for d in range(node.free.size):
        node.free[d] -= k * kinds.size[t, b, d]
    for g in range(kinds.group_start[b], kinds.group_start[b + 1]):
        node.group_free[kinds.group_of[g]] -= k * kinds.group_amount[g]


@compiled
def room(kinds: Kinds, t: int, node: Content, b: int, wanted: int) -> int:
    """How many more replicas of a block fit, at most as many as wanted."""
    k = wanted
    for d in range(node.free.size):
        if kinds.size[t, b, d] > 0 and k > 0:
            k = min(k, node.free[d] // kinds.size[t, b, d])
    for g in range(kinds.group_start[b], kinds.group_start[b + 1]):
        if kinds.group_amount[g] > 0 and k > 0:
            k = min(k, node.group_free[kinds.group_of[g]] // kinds.group_amount[g])
    return k


@compiled
def fill(kinds: Kinds, t: int, node: Content, order: IntArray, most: IntArray) -> None:
    """Put as many replicas as fit into a node, block by block."""
    for i in range(order.size):
        b = order[i]
        k = room(kinds, t, node, b, most[b] - node.replicas[b])
        if k > 0:
            put(kinds, t, node, b, k)


@compiled
def bound(kinds: Kinds, t: int, value: IntArray, m: IntArray) -> int:
    """Most that any content of a kind is worth, by multipliers: exact in integers."""
    total = np.int64(0)
    for d in range(m.size):
        total += m[d] * kinds.capacity[t, d]
    for b in range(value.size):
        if kinds.most[t, b] > 0 and value[b] > 0:
            reduced = value[b]
            for d in range(m.size):
                reduced -= m[d] * kinds.size[t, b, d]
            if reduced > 0:
                total += kinds.most[t, b] * reduced
    return total  # type: ignore[return-value]


@compiled
def ratios(kinds: Kinds, t: int, value: IntArray, most: IntArray, m: FloatArray) -> FloatArray:
    """Worth of each block per weighted size; 0 for what is of no use."""
    ratio = np.zeros(value.size)
    for b in range(value.size):
        if most[b] > 0 and value[b] > 0:
            weighted = EPSILON * value[b]
            for d in range(m.size):
                weighted += m[d] * kinds.size[t, b, d]
            ratio[b] = value[b] / weighted
    return ratio


@compiled
def ranked(ratio: FloatArray) -> IntArray:
    """Blocks of any use, those of the largest ratio first."""
    order = np.argsort(-ratio)
    count = 0
    while count < order.size and ratio[order[count]] > 0:
        count += 1
    return order[:count].astype(np.int64)


@compiled
def improve(
    kinds: Kinds, t: int, node: Content, value: IntArray, most: IntArray, ratio: FloatArray,
    tries: int,
) -> None:  # fmt: skip
    """Take something out of a filled node at random and fill it again, where that is worth more."""
    near = ranked(ratio)[:NEAR]
    old, old_free = node.replicas.copy(), node.free.copy()
    old_group, noisy = node.group_free.copy(), ratio.copy()
    for _ in range(tries if near.size else 0):
        for _ in range(1 + below(node.chance, 2)):
            inside = np.flatnonzero(node.replicas)
            if inside.size:
                b = inside[below(node.chance, inside.size)]
                put(kinds, t, node, b, -1 - below(node.chance, node.replicas[b]))
        noisy[:] = 0
        for b in near:
            noisy[b] = ratio[b] * (1 + NOISE * below(node.chance, 1024) / 1024)
        fill(kinds, t, node, ranked(noisy), most)
        gain = np.int64(0)
        for b in range(value.size):
            gain += value[b] * (node.replicas[b] - old[b])
        if gain >= 0:
            old[:], old_free[:], old_group[:] = node.replicas, node.free, node.group_free
        else:
            node.replicas[:], node.free[:], node.group_free[:] = old, old_free, old_group
