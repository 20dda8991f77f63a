"""Simulated annealing over placements: the compiled loop and its moves.

Energy is the active quantity plus a penalty times the violations. A candidate is priced without
touching the state; what is committed is priced again exactly and undone if the price was wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import (
    above,
    choose,
    counter_delta,
    counters_delta,
    excess,
    node_delta,
    put,
    step_change,
    unary_cost,
    variant,
)
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import KINDS, Walk

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]

SHIFT, SWAP, HOME, CHAIN, CHANGE = range(5)
FEASIBLE = 1e-9
DRAWN = 6
"""Nodes among which a replica that is placed anew takes the cheapest."""
REMEMBERED = 0
"""Index in `Walk.mark`: moves since the best placement, or -1 when it was copied."""


# -- chance ----------------------------------------------------------------------------------------


@compiled
def draw(random: Words) -> Any:
    """The next 64 random bits (xoroshiro128+, Blackman and Vigna 2018)."""
    a, b = random[0], random[1]
    result = a + b
    b ^= a
    random[0] = ((a << np.uint64(24)) | (a >> np.uint64(40))) ^ b ^ (b << np.uint64(16))
    random[1] = (b << np.uint64(37)) | (b >> np.uint64(27))
    return result


@compiled
def below(random: Words, n: int) -> int:
    """A random number in ``range(n)``, n < 2**31."""
    return np.int64(((draw(random) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))  # type: ignore[return-value]


@compiled
def _threshold(w: Walk) -> float:
    """The largest rise of energy that is accepted this time."""
    return w.setting[0] * w.logs[np.int64(draw(w.random) >> np.uint64(52))]


# -- the best placement ------------------------------------------------------------------------


@compiled
def _record(s: State, w: Walk, slot: int, before: int) -> None:
    """Note what is about to change, so that the best placement can be had back."""
    marked = w.mark[0]
    if marked < 0:
        return
    if marked == w.slots.size:
        recall(s, w, w.best_choice, w.best_node)
        w.mark[0] = -1
        return
    w.slots[marked], w.froms[marked] = slot, before
    w.mark[0] = marked + 1


@compiled
def recall(s: State, w: Walk, choice: Int32, node: Int32) -> None:
    """Write the best placement to two arrays."""
    if w.mark[0] < 0:
        choice[:], node[:] = w.best_choice, w.best_node
        return
    choice[:], node[:] = s.choice, s.node
    for i in range(w.mark[0] - 1, -1, -1):
        slot = w.slots[i]
        if slot < 0:
            choice[-slot - 1] = w.froms[i]
        else:
            node[slot] = w.froms[i]


@compiled
def _judge(t: Tables, s: State, w: Walk) -> None:
    """Remember the placement if it is the best that keeps everything."""
    if s.total[0] < w.best[0] and s.violation[0] <= FEASIBLE and s.missing[0] == 0:
        for q in range(1, s.total.size):
            if s.total[q] > t.limit[q]:
                return
        w.best[0] = s.total[0]
        w.mark[0] = 0


# -- moves -----------------------------------------------------------------------------------------


@compiled
def energy(t: Tables, s: State, w: Walk) -> float:
    """What is minimised."""
    over = 0.0
    for q in range(1, s.total.size):
        over += above(s.total[q] - t.limit[q])
    return s.total[0] + w.setting[1] * s.violation[0] + w.setting[2] * over


@compiled
def _price(t: Tables, s: State, w: Walk, violation: float) -> float:
    """Change of energy from the changes in `Walk.delta` and of the violation."""
    price = w.delta[0] + w.setting[1] * violation
    if w.delta.size > 1:
        none = w.other
        none[:] = 0.0
        price += w.setting[2] * (excess(t, s, w.delta) - excess(t, s, none))
    return price


@compiled
def _block(t: Tables, s: State, slot: int) -> int:
    return t.choice_block[s.choice[t.slot_task[slot]]]


@compiled
def _class(t: Tables, slot: int) -> int:
    return t.task_class[t.slot_task[slot]]


@compiled
def _steps(t: Tables, s: State, n1: int, n2: int, delta: FloatArray) -> None:
    """Add what one replica less on a node and one more on another does to the begun blocks."""
    less, more = step_change(t, s, n1, -1), step_change(t, s, n2, 1)
    if less != 0 or more != 0:
        for q in range(delta.size):
            delta[q] += t.step_weight[q, n1] * less + t.step_weight[q, n2] * more


@compiled
def _hopeless(t: Tables, s: State, w: Walk, violation: float, most: float) -> bool:
    """Whether no change of counters can bring a price down to what is accepted."""
    counters = s.violation[0] - s.over_total[0]
    gain = w.setting[1] * counters + t.counter_gain[0] if counters > FEASIBLE else t.counter_gain[0]
    return w.delta.size == 1 and w.delta[0] + w.setting[1] * violation - gain > most


@compiled
def shift_price(t: Tables, s: State, w: Walk, slot: int, n2: int, most: float) -> float:
    """Price of moving a replica to another node; infinite if it surely is above `most`."""
    k, block, n1 = _class(t, slot), _block(t, s, slot), s.node[slot]
    v1, v2 = variant(t, s, k, block, n1, 0), variant(t, s, k, block, n2, 1)
    nothing = t.size.shape[1] - 1
    delta = w.delta
    delta[:] = 0.0
    violation = node_delta(t, s, n1, v1, nothing, delta)
    violation += node_delta(t, s, n2, nothing, v2, delta)
    unary_cost(t, v1, n1, -1.0, delta)
    unary_cost(t, v2, n2, 1.0, delta)
    _steps(t, s, n1, n2, delta)
    if _hopeless(t, s, w, violation, most):
        return np.inf
    violation += counters_delta(t, s, k, v1, n1, v2, n2, delta)
    return _price(t, s, w, violation)


@compiled
def chain_price(t: Tables, s: State, w: Walk, p: int, q: int, n3: int, most: float) -> float:
    """Price of a replica p taking the place of q, which goes to n3 (a swap if p was there)."""
    kp, kq, bp, bq = _class(t, p), _class(t, q), _block(t, s, p), _block(t, s, q)
    n1, n2 = s.node[p], s.node[q]
    p1, p2 = variant(t, s, kp, bp, n1, 0), variant(t, s, kp, bp, n2, 1)
    q2, q3 = variant(t, s, kq, bq, n2, 0), variant(t, s, kq, bq, n3, 1)
    nothing = t.size.shape[1] - 1
    delta = w.delta
    delta[:] = 0.0
    violation = node_delta(t, s, n2, q2, p2, delta)
    if n1 == n3:
        violation += node_delta(t, s, n1, p1, q3, delta)
    else:
        violation += node_delta(t, s, n1, p1, nothing, delta)
        violation += node_delta(t, s, n3, nothing, q3, delta)
        _steps(t, s, n1, n3, delta)
    unary_cost(t, p1, n1, -1.0, delta)
    unary_cost(t, p2, n2, 1.0, delta)
    unary_cost(t, q2, n2, -1.0, delta)
    unary_cost(t, q3, n3, 1.0, delta)
    if _hopeless(t, s, w, violation, most):
        return np.inf
    violation += counters_delta(t, s, kp, p1, n1, p2, n2, delta)
    violation += counters_delta(t, s, kq, q2, n2, q3, n3, delta)
    return _price(t, s, w, violation)


@compiled
def _move(t: Tables, s: State, w: Walk, slot: int, n: int) -> None:
    """Move a replica, for good or until undone."""
    _record(s, w, slot, s.node[slot])
    put(t, s, slot, s.node[slot], -1, w.delta)
    put(t, s, slot, n, 1, w.delta)


@compiled
def _commit(
    t: Tables, s: State, w: Walk, kind: int, slots: Int32, nodes: Int32, most: float
) -> bool:
    """Move replicas; back again if that turns out to cost more than `most`."""
    before = energy(t, s, w)
    for i in range(slots.size):
        nodes[i + slots.size] = s.node[slots[i]]
    for i in range(slots.size):
        _move(t, s, w, slots[i], nodes[i])
    if energy(t, s, w) - before > most:
        for i in range(slots.size - 1, -1, -1):
            _move(t, s, w, slots[i], nodes[i + slots.size])
        return False
    w.taken[kind] += 1
    _judge(t, s, w)
    return True


@compiled
def _some_node(t: Tables, w: Walk, block: int) -> int:
    """A node that labels allow, at random."""
    kind = t.block_kind[block]
    first = t.allow_start[kind]
    return t.allow_node[first + below(w.random, t.allow_start[kind + 1] - first)]


@compiled
def _may(t: Tables, s: State, slot: int, n: int) -> bool:
    return t.allowed[t.block_kind[_block(t, s, slot)], n]


@compiled
def _kind(w: Walk) -> int:
    u = np.float64(draw(w.random) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    kind = 0
    while kind < KINDS - 1 and u >= w.chance[kind]:
        kind += 1
    return kind


@compiled
def anneal(t: Tables, s: State, w: Walk, moves: int) -> None:
    """Try so many moves at the temperature and penalties of the setting."""
    slots, nodes = np.zeros(2, np.int32), np.zeros(4, np.int32)
    for _ in range(moves):
        kind = _kind(w)
        if kind in (SHIFT, HOME):
            _try_shift(t, s, w, kind, slots[:1], nodes)
        elif kind in (SWAP, CHAIN):
            _try_chain(t, s, w, kind, slots, nodes)
        else:
            _try_change(t, s, w)


@compiled
def _some_slot(s: State, w: Walk, away: bool) -> int:
    """A slot at random, of all or of those away from home; -1 if there is none."""
    if not away:
        return below(w.random, s.node.size)
    if s.away_size[0] == 0:
        return -1
    return s.away[below(w.random, s.away_size[0])]


@compiled
def _try_shift(t: Tables, s: State, w: Walk, kind: int, slots: Int32, nodes: Int32) -> None:
    """Move a replica to some node, or home."""
    p = _some_slot(s, w, kind == HOME)
    if p < 0 or s.node[p] < 0:
        return
    to = _home(t, w, p) if kind == HOME else _some_node(t, w, _block(t, s, p))
    if to == s.node[p] or not _may(t, s, p, to):
        return
    w.tried[kind] += 1
    most = _threshold(w)
    if shift_price(t, s, w, p, to, most) <= most:
        slots[0], nodes[0] = p, to
        _commit(t, s, w, kind, slots, nodes, most)


@compiled
def _try_chain(t: Tables, s: State, w: Walk, kind: int, slots: Int32, nodes: Int32) -> None:
    """Let a replica take the place of another, which goes where that was, or home."""
    p, q = _some_slot(s, w, False), _some_slot(s, w, kind == CHAIN)
    if q < 0 or s.node[p] < 0 or s.node[q] < 0 or _block(t, s, p) == _block(t, s, q):
        return
    first, second = s.node[p], s.node[q]
    third = first if kind == SWAP else _home(t, w, q)
    if second in (first, third) or not _may(t, s, p, second) or not _may(t, s, q, third):
        return
    w.tried[kind] += 1
    most = _threshold(w)
    if chain_price(t, s, w, p, q, third, most) <= most:
        slots[0], slots[1], nodes[0], nodes[1] = p, q, second, third
        _commit(t, s, w, kind, slots, nodes, most)


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
    if c == old or (c >= 0 and not _may_run(t, c)):
        return
    w.tried[CHANGE] += 1
    before, slot, size = energy(t, s, w), t.task_slot[task], t.task_slot[task + 1]
    w.nodes[: size - slot] = s.node[slot:size]
    _rechoose(t, s, w, task, c)
    if c >= 0:
        for i in range(t.choice_replicas[c]):
            _record(s, w, slot + i, -1)
            put(t, s, slot + i, _cheap_node(t, s, w, slot + i), 1, w.delta)
    if energy(t, s, w) - before <= _threshold(w):
        w.taken[CHANGE] += 1
        _judge(t, s, w)
        return
    _rechoose(t, s, w, task, old)
    for i in range(size - slot):
        if w.nodes[i] >= 0:
            _record(s, w, slot + i, -1)
            put(t, s, slot + i, w.nodes[i], 1, w.delta)


@compiled
def _rechoose(t: Tables, s: State, w: Walk, task: int, c: int) -> None:
    """Take all replicas of a task off and give it another choice."""
    for slot in range(t.task_slot[task], t.task_slot[task + 1]):
        if s.node[slot] >= 0:
            _record(s, w, slot, s.node[slot])
            put(t, s, slot, s.node[slot], -1, w.delta)
    _record(s, w, -task - 1, s.choice[task])
    choose(t, s, task, c, w.delta)


@compiled
def _cheap_node(t: Tables, s: State, w: Walk, slot: int) -> int:
    """The cheapest of some allowed nodes, drawn at random, for a replica."""
    block = _block(t, s, slot)
    best, at = np.inf, -1
    for _ in range(DRAWN):
        n = _some_node(t, w, block)
        price = _put_price(t, s, w, slot, n)
        if price < best or at < 0:
            best, at = price, n
    return at


@compiled
def _home(t: Tables, w: Walk, slot: int) -> int:
    """A node where the slot's class runs now."""
    k = _class(t, slot)
    first = t.home_start[k]
    return t.home_node[first + below(w.random, t.home_start[k + 1] - first)]


# -- whole placements ------------------------------------------------------------------------------


@compiled
def load(t: Tables, s: State, w: Walk, choice: Int32, node: Int32) -> None:
    """Go to a placement; replicas without a node stay out."""
    for task in range(s.choice.size):
        if choice[task] >= 0:
            choose(t, s, task, choice[task], w.delta)
    for slot in range(s.node.size):
        if node[slot] >= 0:
            put(t, s, slot, node[slot], 1, w.delta)
    w.mark[0] = -1
    w.best[0] = np.inf
    _judge(t, s, w)


@compiled
def _put_price(t: Tables, s: State, w: Walk, slot: int, n: int) -> float:
    """Price of putting a replica on a node."""
    k, block = _class(t, slot), _block(t, s, slot)
    v = variant(t, s, k, block, n, 1)
    nothing = t.size.shape[1] - 1
    delta = w.delta
    delta[:] = 0.0
    violation = node_delta(t, s, n, nothing, v, delta)
    # From a node that is in no domain: only what it adds counts.
    for e in range(t.entry_start[k], t.entry_start[k + 1]):
        f = t.entry_family[e]
        at = t.domain[t.family_domain[f], n]
        if at >= 0 and t.coefficient[f, v] != 0.0:
            violation += counter_delta(t, s, f, t.entry_base[e] + at, t.coefficient[f, v], delta)
    unary_cost(t, v, n, 1.0, delta)
    more = step_change(t, s, n, 1)
    for q in range(delta.size):
        delta[q] += t.step_weight[q, n] * more
    return _price(t, s, w, violation)


@compiled
def _some_choice(t: Tables, k: int) -> int:
    """The first choice of a class that may run somewhere; -1 if none may."""
    for c in range(t.class_choice[k], t.class_choice[k + 1]):
        if _may_run(t, c):
            return c
    return -1


@compiled
def _may_run(t: Tables, c: int) -> bool:
    """Whether labels allow a choice any node."""
    kind = t.block_kind[t.choice_block[c]]
    return t.allow_start[kind] < t.allow_start[kind + 1]


@compiled
def complete(t: Tables, s: State, w: Walk) -> None:
    """Place what must run and does not: each replica where it costs the least."""
    for task in range(s.choice.size):
        k = t.task_class[task]
        if s.choice[task] < 0 and t.class_required[k] and _some_choice(t, k) >= 0:
            choose(t, s, task, _some_choice(t, k), w.delta)
        if s.choice[task] < 0:
            continue
        for i in range(t.choice_replicas[s.choice[task]]):
            slot = t.task_slot[task] + i
            if s.node[slot] < 0:
                put(t, s, slot, _cheapest(t, s, w, slot), 1, w.delta)
    w.mark[0] = -1
    w.best[0] = np.inf
    _judge(t, s, w)


@compiled
def _cheapest(t: Tables, s: State, w: Walk, slot: int) -> int:
    kind = t.block_kind[_block(t, s, slot)]
    best, at = np.inf, t.allow_node[t.allow_start[kind]]
    for i in range(t.allow_start[kind], t.allow_start[kind + 1]):
        price = _put_price(t, s, w, slot, t.allow_node[i])
        if price < best:
            best, at = price, t.allow_node[i]
    return at


@compiled
def scale(t: Tables, s: State, w: Walk, samples: int) -> float:
    """Mean change of the first quantity by moving a random replica, where there is a change."""
    total, changes = 0.0, 0
    for _ in range(samples):
        slot = below(w.random, s.node.size)
        n1 = s.node[slot]
        if n1 < 0:
            continue
        n2 = _some_node(t, w, _block(t, s, slot))
        if n2 == n1:
            continue
        shift_price(t, s, w, slot, n2, np.inf)
        change = abs(w.delta[0])
        if change > 0.0:
            total += change
            changes += 1
    return total / changes if changes else 1.0
