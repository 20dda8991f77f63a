"""Contents of single nodes: the best for prices of the blocks, and covers of all that is needed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optalloc.engines.columns.dynamic import fill_best
from optalloc.engines.columns.knapsack import (
    Content,
    FloatArray,
    IntArray,
    Kinds,
    bound,
    fill,
    improve,
    ranked,
    ratios,
)
from optalloc.engines.columns.simplex import relaxed
from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.local.structs import by_reference, compiled


class Priced(NamedTuple):
    """For each kind: a content, its worth, and what no content exceeds."""

    content: IntArray
    worth: IntArray
    bound: IntArray


class Cover(NamedTuple):
    """What is needed and the nodes left, changed on the way; the contents and how often each."""

    need: IntArray
    nodes: IntArray
    kind: IntArray
    times: IntArray
    content: IntArray


def new_node(tables: ClassTables, seed: int) -> Content:
    """Make room for a node being filled."""
    empty = np.zeros(tables.blocks, np.int64)
    chance = np.array([2 * seed + 1], np.uint64)
    return by_reference(
        Content(tables.capacity[0].copy(), tables.group_limit.copy(), empty, chance)
    )


@compiled
def content(
    kinds: Kinds, t: int, node: Content, value: IntArray, most: IntArray, m: FloatArray, tries: int
) -> None:
    """Fill a node of a kind with what is worth much; leaves the multipliers in `m`."""
    x = relaxed(kinds, t, value, most, m)
    ratio = ratios(kinds, t, value, most, m)
    node.free[:], node.group_free[:] = kinds.capacity[t], kinds.group_limit
    node.replicas[:] = 0
    whole = np.zeros(value.size, np.int64)
    for b in range(value.size):
        whole[b] = min(np.int64(x[b] + 1e-6), most[b])
    order = ranked(ratio)
    fill(kinds, t, node, order, whole)
    fill(kinds, t, node, order, most)
    improve(kinds, t, node, value, most, ratio, tries)


@compiled
def price(
    kinds: Kinds, node: Content, value: IntArray, exact: bool, tries: int, priced: Priced
) -> None:
    """Find a content for each kind, and bound what any is worth, for values (kinds, blocks).

    The best one if `exact`, see `ClassTables.exact`; else in so many tries to improve one.
    """
    m = np.zeros(node.free.size)
    for t in range(value.shape[0]):
        if exact:
            priced.bound[t] = fill_best(kinds, t, node, value[t], kinds.dealt[t])
        else:
            content(kinds, t, node, value[t], kinds.dealt[t], m, tries)
            priced.bound[t] = bound(kinds, t, value[t], m.astype(np.int64))
        priced.content[t] = node.replicas
        priced.worth[t] = (value[t] * node.replicas).sum()


@compiled
def cover(kinds: Kinds, node: Content, value: IntArray, goal: Cover) -> int:
    """Cover what is needed by contents, those worth most for their price first, as often as can be.

    Returns how many different contents were taken.
    """
    known, rate = np.zeros(value.shape, np.int64), np.zeros(value.shape[0])
    m, count = np.zeros(node.free.size), 0
    stale = np.ones(value.shape[0], np.bool_)
    while count < goal.kind.size:
        best = -1
        for t in range(value.shape[0]):
            if goal.nodes[t] > 0:
                if stale[t] or np.any(known[t] > goal.need):
                    most = np.minimum(kinds.dealt[t], goal.need)
                    content(kinds, t, node, value[t], most, m, 0)
                    known[t], stale[t] = node.replicas, False
                    rate[t] = (value[t] * known[t]).sum() / max(kinds.price[t], 1)
                if rate[t] > 0 and (best < 0 or rate[t] > rate[best]):
                    best = t
        if best < 0:
            break
        often = goal.nodes[best]
        for b in range(goal.need.size):
            if known[best, b] > 0:
                often = min(often, goal.need[b] // known[best, b])
        goal.kind[count], goal.times[count] = best, often
        goal.content[count] = known[best]
        goal.nodes[best] -= often
        goal.need[:] -= often * known[best]
        count += 1
    return count
