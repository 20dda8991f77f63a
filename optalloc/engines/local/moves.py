"""Simulated annealing over placements: the compiled loop and its moves.

Energy is the active quantity plus a penalty times the violations. A candidate is priced without
touching the state; what is committed is priced again exactly and undone if the price was wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import choose, move, put
from optalloc.engines.local.pricing import chain_price, leave, put_price, shift_price
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import (
    KINDS,
    TRIES,
    Walk,
    below,
    draw,
    energy,
    judge,
    note,
    tolerated,
)
from optalloc.engines.local.whole import may_run, some_node

Int32 = NDArray[np.int32]

SHIFT, SWAP, HOME, CHAIN, CHANGE = range(5)
DRAWN = 6
"""Nodes among which a replica that is placed anew takes the cheapest."""


@compiled
def anneal(t: Tables, s: State, w: Walk, moves: int) -> None:
    """Try so many replicas at the temperature and penalties of the setting."""
    slots, nodes = np.zeros(2, np.int32), np.zeros(4, np.int32)
    for _ in range(moves):
        kind = _kind(w)
        if kind == SHIFT:
            _try_shifts(t, s, w, slots[:1], nodes)
        elif kind == SWAP:
            _try_swaps(t, s, w, slots, nodes)
        elif kind == HOME:
            _try_home(t, s, w, slots[:1], nodes)
        elif kind == CHAIN:
            _try_chain(t, s, w, slots, nodes)
        else:
            _try_change(t, s, w)


@compiled
def _kind(w: Walk) -> int:
    u = np.float64(draw(w.random) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    kind = 0
    while kind < KINDS - 1 and u >= w.chance[kind]:
        kind += 1
    return kind


@compiled
def _commit(
    t: Tables, s: State, w: Walk, kind: int, slots: Int32, nodes: Int32, most: float
) -> bool:
    """Move replicas; back again if that turns out to cost more than `most`."""
    before = energy(t, s, w)
    for i in range(slots.size):
        nodes[i + slots.size] = s.node[slots[i]]
    for i in range(slots.size):
        note(s, w, slots[i], s.node[slots[i]])
        move(t, s, slots[i], nodes[i])
    if energy(t, s, w) - before > most:
        for i in range(slots.size - 1, -1, -1):
            note(s, w, slots[i], s.node[slots[i]])
            move(t, s, slots[i], nodes[i + slots.size])
        return False
    w.taken[kind] += 1
    judge(t, s, w)
    return True


@compiled
def _may(t: Tables, s: State, slot: int, n: int) -> bool:
    return t.allowed[t.block_kind[s.block[slot]], n]


@compiled
def _away(s: State, w: Walk) -> int:
    """A replica that is not at home, at random; -1 if there is none."""
    if s.away_size[0] == 0:
        return -1
    return s.away[below(w.random, s.away_size[0])]


@compiled
def _home(t: Tables, w: Walk, slot: int) -> int:
    """A node where the slot's class runs now."""
    k = t.slot_class[slot]
    first = t.home_start[k]
    return t.home_node[first + below(w.random, t.home_start[k + 1] - first)]


@compiled
def _try_shifts(t: Tables, s: State, w: Walk, slots: Int32, nodes: Int32) -> None:
    """Try a replica on some nodes, one after the other.

    Going on after a success keeps the balance of the walk: who leaves a bad place at once would
    else be tried less often than who clings to a good one.
    """
    p = below(w.random, s.node.size)
    if s.node[p] < 0:
        return
    left = leave(t, s, w, p)
    for _ in range(np.int64(w.setting[TRIES])):
        n = some_node(t, w, s.block[p])
        if n != s.node[p] and _shift(t, s, w, SHIFT, n, left, slots, nodes, p):
            left = leave(t, s, w, p)


@compiled
def _shift(
    t: Tables,
    s: State,
    w: Walk,
    kind: int,
    n: int,
    left: float,
    slots: Int32,
    nodes: Int32,
    p: int,
) -> bool:
    """Move a replica if the price is right."""
    w.tried[kind] += 1
    most = tolerated(w)
    if shift_price(t, s, w, p, n, left, kind, most) > most:
        return False
    slots[0], nodes[0] = p, n
    return _commit(t, s, w, kind, slots, nodes, most)


@compiled
def _try_home(t: Tables, s: State, w: Walk, slots: Int32, nodes: Int32) -> None:
    """Try to send a replica home."""
    p = _away(s, w)
    if p >= 0:
        n = _home(t, w, p)
        if _may(t, s, p, n):
            _shift(t, s, w, HOME, n, leave(t, s, w, p), slots, nodes, p)


@compiled
def _try_swaps(t: Tables, s: State, w: Walk, slots: Int32, nodes: Int32) -> None:
    """Try a replica in the place of some others, which take its place."""
    p = below(w.random, s.node.size)
    if s.node[p] < 0:
        return
    for _ in range(np.int64(w.setting[TRIES])):
        q = below(w.random, s.node.size)
        if s.node[q] >= 0:
            _chain(t, s, w, SWAP, q, s.node[p], slots, nodes, p)


@compiled
def _try_chain(t: Tables, s: State, w: Walk, slots: Int32, nodes: Int32) -> None:
    """Try a replica in the place of another, which goes home."""
    p, q = below(w.random, s.node.size), _away(s, w)
    if q >= 0 and s.node[p] >= 0:
        _chain(t, s, w, CHAIN, q, _home(t, w, q), slots, nodes, p)


@compiled
def _chain(
    t: Tables, s: State, w: Walk, kind: int, q: int, third: int, slots: Int32, nodes: Int32, p: int
) -> bool:
    """Let a replica p take the place of q, which goes to a third node, if the price is right."""
    first, second = s.node[p], s.node[q]
    if second in (first, third) or s.block[p] == s.block[q]:
        return False
    if not _may(t, s, p, second) or not _may(t, s, q, third):
        return False
    w.tried[kind] += 1
    most = tolerated(w)
    if chain_price(t, s, w, p, q, third, kind, most) > most:
        return False
    slots[0], slots[1], nodes[0], nodes[1] = p, q, second, third
    return _commit(t, s, w, kind, slots, nodes, most)


# -- other choices ---------------------------------------------------------------------------------


@compiled
def _try_change(t: Tables, s: State, w: Walk) -> None:
    """Let a task run in another way, or leave it out, or take it in: each replica anew."""
    task = below(w.random, s.choice.size)
    k = t.task_class[task]
    first, last, old = t.class_choice[k], t.class_choice[k + 1], s.choice[task]
    options = last - first + (not t.class_required[k])
    if options < 2:
        return
    c = first + below(w.random, options)
    c = -1 if c == last else c
    if c == old or (c >= 0 and not may_run(t, c)):
        return
    w.tried[CHANGE] += 1
    before, slot, size = energy(t, s, w), t.task_slot[task], t.task_slot[task + 1]
    w.nodes[: size - slot] = s.node[slot:size]
    _rechoose(t, s, w, task, c)
    if c >= 0:
        for i in range(t.choice_replicas[c]):
            note(s, w, slot + i, -1)
            put(t, s, slot + i, _cheap_node(t, s, w, slot + i), 1)
    if energy(t, s, w) - before <= tolerated(w):
        w.taken[CHANGE] += 1
        judge(t, s, w)
        return
    _rechoose(t, s, w, task, old)
    for i in range(size - slot):
        if w.nodes[i] >= 0:
            note(s, w, slot + i, -1)
            put(t, s, slot + i, w.nodes[i], 1)


@compiled
def _rechoose(t: Tables, s: State, w: Walk, task: int, c: int) -> None:
    """Take all replicas of a task off and give it another choice."""
    for slot in range(t.task_slot[task], t.task_slot[task + 1]):
        if s.node[slot] >= 0:
            note(s, w, slot, s.node[slot])
            put(t, s, slot, s.node[slot], -1)
    note(s, w, -task - 1, s.choice[task])
    choose(t, s, task, c)


@compiled
def _cheap_node(t: Tables, s: State, w: Walk, slot: int) -> int:
    """The cheapest of some allowed nodes, drawn at random, for a replica."""
    block = s.block[slot]
    best, at = np.inf, -1
    for _ in range(DRAWN):
        n = some_node(t, w, block)
        price = put_price(t, s, w, slot, n)
        if price < best or at < 0:
            best, at = price, n
    return at
