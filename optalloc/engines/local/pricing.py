"""What a move would cost: the complete change of energy, without touching the record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import excess, held, step_change, unary_cost, variant
from optalloc.engines.local.counters import arrival_delta, move_delta
from optalloc.engines.local.dense import node_delta
from optalloc.engines.local.needs import need_delta
from optalloc.engines.local.state import FEASIBLE, NOWHERE, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import HELD, LIMIT, VIOLATION, Walk

FloatArray = NDArray[np.float64]

MENDING = np.uint64(7)
"""One candidate in so many and one is looked at in full while counters break rules."""


@compiled
def nothing(t: Tables) -> int:
    """The variant of a replica that is not there."""
    return t.size.shape[1] - 1


@compiled
def _price(t: Tables, s: State, w: Walk, violation: float) -> float:
    """Change of energy from the changes in `Walk.delta` and of the violation."""
    price = w.delta[0] + w.setting[VIOLATION] * violation
    if w.delta.size > 1:
        price += w.setting[LIMIT] * (excess(t, s, w.delta) - excess(t, s, w.none))
    return price


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
    return w.delta[0] + w.setting[VIOLATION] * violation - hope(t, s, w, MENDING) > most


@compiled
def hope(t: Tables, s: State, w: Walk, mending: np.uint64) -> float:
    """The most that a move may gain by counters, needs and limits on other quantities.

    While counters break rules, any move may mend one; only one of ``mending + 1`` hopes for that.
    """
    if w.delta.size > 1:
        return np.inf
    gain, counters = t.counter_gain[0], s.violation[0] - s.over_total[0]
    if counters > FEASIBLE and w.random[0] & mending == np.uint64(0):
        gain += w.setting[VIOLATION] * counters
    return gain


@compiled
def _spent(s: State, w: Walk, n: int) -> float:
    """What the dense dimensions of a node cost: no move saves more on it."""
    return s.cost[n, 0] + w.setting[VIOLATION] * s.over[n]


@compiled
def leave(t: Tables, s: State, w: Walk, slot: int) -> float:
    """Evaluate what a replica leaves behind, but for the counters: `Walk.leaving`, and violation.

    That is the same wherever it goes.
    """
    n, delta = s.node[slot], w.leaving
    v = variant(t, s, t.slot_class[slot], s.block[slot], n, 0)
    delta[:] = 0.0
    violation = node_delta(t, s, n, v, nothing(t), delta)
    unary_cost(t, v, n, -1.0, delta)
    return violation


@compiled
def shift_price(
    t: Tables, s: State, w: Walk, slot: int, n2: int, left: float, kind: int, most: float
) -> float:
    """Price of moving a replica that leaves `left` behind to another node.

    Infinite if it surely is above `most`, but for what it may mend (see `MENDING`).
    """
    k, block, n1 = t.slot_class[slot], s.block[slot], s.node[slot]
    v2 = variant(t, s, k, block, n2, 1)
    delta = w.delta
    delta[:] = w.leaving
    violation = left + node_delta(t, s, n2, nothing(t), v2, delta)
    unary_cost(t, v2, n2, 1.0, delta)
    _steps(t, s, n1, n2, delta)
    v1 = variant(t, s, k, block, n1, 0)
    more = w.setting[HELD] * (held(t, v2) - held(t, v1))
    if _hopeless(t, s, w, violation, most - more):
        w.early[kind] += 1
        return np.inf
    violation += need_delta(t, s, block, n1, n2)
    violation += move_delta(t, s, v1, n1, v2, n2, delta)
    return more + _price(t, s, w, violation)


@compiled
def chain_price(
    t: Tables, s: State, w: Walk, p: int, q: int, n3: int, kind: int, most: float
) -> float:
    """Price of a replica p taking the place of q, which goes to n3 (a swap if p was there)."""
    kp, kq, bp, bq = t.slot_class[p], t.slot_class[q], s.block[p], s.block[q]
    n1, n2 = s.node[p], s.node[q]
    p1, p2 = variant(t, s, kp, bp, n1, 0), variant(t, s, kp, bp, n2, 1)
    q2, q3 = variant(t, s, kq, bq, n2, 0), variant(t, s, kq, bq, n3, 1)
    delta = w.delta
    delta[:] = 0.0
    unary_cost(t, p1, n1, -1.0, delta)
    unary_cost(t, p2, n2, 1.0, delta)
    unary_cost(t, q2, n2, -1.0, delta)
    unary_cost(t, q3, n3, 1.0, delta)
    saved = _spent(s, w, n1)
    if n1 != n3:
        saved += _spent(s, w, n3)
        _steps(t, s, n1, n3, delta)
    more = w.setting[HELD] * (held(t, p2) - held(t, p1) + held(t, q3) - held(t, q2))
    violation = node_delta(t, s, n2, q2, p2, delta)
    if _hopeless(t, s, w, violation, most - more + saved):
        w.early[kind] += 1
        return np.inf
    violation += node_delta(t, s, n1, p1, q3 if n1 == n3 else nothing(t), delta)
    if n1 != n3:
        violation += node_delta(t, s, n3, nothing(t), q3, delta)
    if _hopeless(t, s, w, violation, most - more):
        w.early[kind] += 1
        return np.inf
    violation += need_delta(t, s, bp, n1, n2) + need_delta(t, s, bq, n2, n3)
    violation += move_delta(t, s, p1, n1, p2, n2, delta)
    violation += move_delta(t, s, q2, n2, q3, n3, delta)
    return more + _price(t, s, w, violation)


@compiled
def put_price(t: Tables, s: State, w: Walk, slot: int, n: int) -> float:
    """Price of putting a replica that is nowhere on a node."""
    v = variant(t, s, t.slot_class[slot], s.block[slot], n, 1)
    delta = w.delta
    delta[:] = 0.0
    violation = node_delta(t, s, n, nothing(t), v, delta)
    violation += need_delta(t, s, s.block[slot], NOWHERE, n)
    violation += arrival_delta(t, s, v, n, delta)
    unary_cost(t, v, n, 1.0, delta)
    more = step_change(t, s, n, 1)
    for q in range(delta.size):
        delta[q] += t.step_weight[q, n] * more
    return w.setting[HELD] * held(t, v) + _price(t, s, w, violation)
