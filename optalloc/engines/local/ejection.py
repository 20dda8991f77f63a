"""Large replicas change places with several small ones: force one in, then send out what is worst.

Single moves and swaps rarely bring a large replica anywhere, as it fits nowhere before others go.
"""

from __future__ import annotations

from optalloc.engines.local.changing import move
from optalloc.engines.local.pricing import leave, shift_price
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import (
    CHAIN_LENGTH,
    EJECT,
    Walk,
    below,
    energy,
    judge,
    note,
    tolerated,
)
from optalloc.engines.local.whole import may_be, some_node

DRAWN = 3
"""Replicas among which the largest is forced in."""
LOOKED_AT = 48
"""Replicas of a node that may make room, at most."""


@compiled
def try_ejection(t: Tables, s: State, w: Walk) -> None:
    """Force a large replica on a node, and send from there to its old node what gains most."""
    p = _large(t, s, w)
    if p < 0:
        return
    origin, target = s.node[p], some_node(t, w, s.block[p])
    if origin == target or not may_be(t, s, p, target):
        return
    w.tried[EJECT] += 1
    most, before = tolerated(w), energy(t, s, w)
    slot, to, count = p, target, 0
    while slot >= 0 and count < CHAIN_LENGTH:
        w.displaced[count, 0], w.displaced[count, 1] = slot, s.node[slot]
        count += 1
        note(s, w, slot, s.node[slot])
        move(t, s, slot, to)
        if energy(t, s, w) - before <= most:
            w.taken[EJECT] += 1
            judge(t, s, w)
            return
        slot, to = _worst(t, s, w, target, origin, p), origin
    for i in range(count - 1, -1, -1):
        slot = w.displaced[i, 0]
        note(s, w, slot, s.node[slot])
        move(t, s, slot, w.displaced[i, 1])


@compiled
def _large(t: Tables, s: State, w: Walk) -> int:
    """The largest of some replicas drawn at random; -1 if none is placed."""
    found = -1
    for _ in range(DRAWN):
        slot = below(w.random, s.node.size)
        larger = found < 0 or t.block_bulk[s.block[slot]] > t.block_bulk[s.block[found]]
        if s.node[slot] >= 0 and larger:
            found = slot
    return found


@compiled
def _worst(t: Tables, s: State, w: Walk, n: int, to: int, kept: int) -> int:
    """The replica whose move from one node to another gains most; -1 if none gains."""
    skipped = max(s.replicas[n] - LOOKED_AT, 0)
    if skipped > 0:
        skipped = below(w.random, skipped + 1)
    slot, found, least = s.first[n], -1, 0.0
    for _ in range(skipped):
        slot = s.later[slot]
    for _ in range(LOOKED_AT):
        if slot < 0:
            break
        if slot != kept and may_be(t, s, slot, to):
            w.tried[EJECT] += 1
            price = shift_price(t, s, w, slot, to, leave(t, s, w, slot), EJECT, least)
            if price < least:
                least, found = price, slot
        slot = s.later[slot]
    return found
