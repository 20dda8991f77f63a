"""Simulated annealing over placements: the compiled loop and its moves.

Energy is the active quantity plus a penalty times the violations. A candidate is priced without
touching the state; what is committed is priced again exactly and undone if the price was wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import move, put
from optalloc.engines.local.ejection import try_ejection
from optalloc.engines.local.grouping import try_group
from optalloc.engines.local.pricing import chain_price, leave, put_price, shift_price
from optalloc.engines.local.rows import Rows
from optalloc.engines.local.scanning import scan_nodes, scan_slots
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import (
    CHAIN,
    CHANGE,
    EJECT,
    GROUP,
    HOME,
    KINDS,
    RETURN,
    SHIFT,
    SWAP,
    Walk,
    below,
    draw,
    energy,
    judge,
    note,
    tolerated,
)
from optalloc.engines.local.whole import may_be, may_run, rechoose, some_node

Int32 = NDArray[np.int32]

SLOT, TO, FROM = range(3)
"""Columns of the moves in hand."""
NEWEST = 32
"""Replicas of a node, from the last that came, one of which makes room for who returns home."""
SINGLE_TRIES = 8
"""Up to so many places are tried one by one; more of them side by side, all or those of a part."""
DRAWN = 6
"""Nodes among which a replica that is placed anew takes the cheapest."""


@compiled
def anneal(t: Tables, s: State, w: Walk, r: Rows, turns: int) -> None:
    """Take so many turns at the temperature and penalties of the setting."""
    moved = np.zeros((2, 3), np.int32)
    for _ in range(turns):
        kind = _kind(w)
        if kind == CHANGE:
            _try_change(t, s, w)
        elif kind == EJECT:
            try_ejection(t, s, w)
        elif kind == GROUP:
            try_group(t, s, w)
        else:
            _try_moves(t, s, w, r, kind, moved)


@compiled
def _kind(w: Walk) -> int:
    u = np.float64(draw(w.random) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    kind = 0
    while kind < KINDS - 1 and u >= w.chance[kind]:
        kind += 1
    return kind


@compiled
def _try_moves(t: Tables, s: State, w: Walk, r: Rows, kind: int, moved: Int32) -> None:
    """Try a replica in some places, one after the other or side by side.

    Going on after a success keeps the balance of the walk: who leaves a bad place at once would
    else be tried less often than who clings to a good one. There is one call of each large
    function, because each is compiled into this one.
    """
    p = _who(t, s, w, kind)
    if p < 0 or s.node[p] < 0:
        return
    left, stale, tries = 0.0, True, w.tries[kind]
    wide = tries > SINGLE_TRIES and _wide(t, s, r, kind, p)
    if wide and kind == SHIFT:
        left, stale = leave(t, s, w, p), False
        tries = scan_nodes(t, s, w, r, p, left, tries)
    elif wide:
        tries = scan_slots(t, s, w, r, p, tries)
    elif kind == SHIFT:
        tries = min(tries, _nodes(t, s, p))
    for i in range(tries):
        count = _take(t, s, r, kind, p, i, moved) if wide else _propose(t, s, w, kind, p, moved)
        if count == 0:
            continue
        if not wide:
            w.tried[kind] += 1
        most = r.most[i] if wide else tolerated(w)
        if count == 1:
            if stale:
                left, stale = leave(t, s, w, p), False
            price = shift_price(t, s, w, p, moved[0, TO], left, kind, most)
        else:
            price = chain_price(t, s, w, p, moved[1, SLOT], moved[1, TO], kind, most)
        if price <= most and _commit(t, s, w, kind, count, moved, most):
            stale = True
            if wide:
                break


@compiled
def _who(t: Tables, s: State, w: Walk, kind: int) -> int:
    """Draw a replica for a move; -1 if there is none."""
    if kind in (HOME, RETURN):
        return _away(s, w)
    p = below(w.random, s.node.size)
    return _larger(t, s, p, below(w.random, s.node.size)) if kind in (SHIFT, SWAP) else p


@compiled
def _wide(t: Tables, s: State, r: Rows, kind: int, p: int) -> bool:
    """Whether many places of a replica are looked at side by side: not where few are allowed."""
    if kind == SHIFT:
        return r.node_line.size > 0 and _nodes(t, s, p) * SINGLE_TRIES > s.replicas.size
    return r.slot_line.size > 0


@compiled
def _nodes(t: Tables, s: State, p: int) -> int:
    """How many nodes labels allow a replica."""
    kind = t.block_kind[s.block[p]]
    return t.allow_end[kind] - t.allow_start[kind]


@compiled
def _take(t: Tables, s: State, r: Rows, kind: int, p: int, i: int, moved: Int32) -> int:
    """Write down a move that a scan found; how many replicas move, 0 if that is not allowed."""
    moved[0, SLOT] = p
    if kind == SHIFT:
        moved[0, TO] = r.found[i]
        return 1
    q = r.found[i]
    moved[0, TO], moved[1, SLOT], moved[1, TO] = s.node[q], q, s.node[p]
    allowed = s.block[p] != s.block[q] and may_be(t, s, p, s.node[q]) and may_be(t, s, q, s.node[p])
    return 2 if allowed else 0


@compiled
def _larger(t: Tables, s: State, p: int, q: int) -> int:
    """The larger of two replicas: large ones are few, and decide what the others can do.

    Who is drawn does not depend on the nodes of those in use, so the walk stays balanced.
    """
    if s.node[p] < 0 or s.node[q] < 0:
        return p
    return q if t.block_bulk[s.block[q]] > t.block_bulk[s.block[p]] else p


@compiled
def _propose(t: Tables, s: State, w: Walk, kind: int, p: int, moved: Int32) -> int:
    """Write down a move of a replica, and of another that makes room; how many, 0 if none."""
    moved[0, SLOT] = p
    if kind in (SHIFT, HOME):
        to = some_node(t, w, s.block[p]) if kind == SHIFT else _home(t, w, p)
        moved[0, TO] = to
        return 1 if to != s.node[p] and may_be(t, s, p, to) else 0
    q = _partner(t, s, w, kind, p)
    if q < 0 or s.node[q] < 0 or s.block[p] == s.block[q]:
        return 0
    second, third = s.node[q], _home(t, w, q) if kind == CHAIN else s.node[p]
    moved[0, TO], moved[1, SLOT], moved[1, TO] = second, q, third
    if second in (s.node[p], third):
        return 0
    return 2 if may_be(t, s, p, second) and may_be(t, s, q, third) else 0


@compiled
def _partner(t: Tables, s: State, w: Walk, kind: int, p: int) -> int:
    """The other replica of a move of two; -1 if there is none.

    Who returns home takes the place of one that came there not long ago: new ones head the list.
    """
    if kind == SWAP:
        return below(w.random, s.node.size)
    if kind == CHAIN:
        return _away(s, w)
    n = _home(t, w, p)
    q = s.first[n]
    for _ in range(below(w.random, min(s.replicas[n], NEWEST)) if q >= 0 else 0):
        q = s.later[q]
    return q


@compiled
def _commit(t: Tables, s: State, w: Walk, kind: int, count: int, moved: Int32, most: float) -> bool:
    """Move replicas; back again if that turns out to cost more than `most`."""
    before = energy(t, s, w)
    for i in range(count):
        moved[i, FROM] = s.node[moved[i, SLOT]]
    for i in range(2 * count):
        back = i >= count
        if i == count and energy(t, s, w) - before <= most:
            break
        line = 2 * count - 1 - i if back else i
        slot, to = moved[line, SLOT], moved[line, FROM if back else TO]
        note(s, w, slot, s.node[slot])
        move(t, s, slot, to)
    if s.node[moved[0, SLOT]] == moved[0, FROM]:
        return False
    w.taken[kind] += 1
    judge(t, s, w)
    return True


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
    rechoose(t, s, w, task, c)
    if c >= 0:
        for i in range(t.choice_replicas[c]):
            note(s, w, slot + i, -1)
            put(t, s, slot + i, _cheap_node(t, s, w, slot + i), 1)
    if energy(t, s, w) - before <= tolerated(w):
        w.taken[CHANGE] += 1
        judge(t, s, w)
        return
    rechoose(t, s, w, task, old)
    for i in range(size - slot):
        if w.nodes[i] >= 0:
            note(s, w, slot + i, -1)
            put(t, s, slot + i, w.nodes[i], 1)


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
