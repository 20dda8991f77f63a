"""Dense dimensions: aggregates of each node, kept as the room below their caps and thresholds.

A node costs ``sum over d of weight[q, d] * max(0, y[n, d] - threshold[n, d])`` in quantity q and
breaks rules by ``dear[n] * (FIXED + sum over d of rho[d] * max(0, y[n, d] - cap[n, d]))`` where the
sum is above 0. Rows of the first quantity, the one that is searched, are summed on several numbers
at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.state import CAP, FEASIBLE, THRESHOLD, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import excesses, shrink

FloatArray = NDArray[np.float64]

FIXED = 1 / 8
"""What a node breaks rules by beyond the sum."""
CHEAPEST, DEAREST, FINEST = 1 / 8, 1024.0, 1 / 256
"""How many times dearer than usual violations on a node may be, and the steps of that."""


@compiled
def above(x: float) -> float:
    """The part above 0 (written so that it becomes one instruction for several numbers)."""
    return x if x > 0.0 else 0.0


@compiled
def charged(over: float) -> float:
    """What a node's excess counts.

    Without the fixed part one that is next to nothing costs next to nothing as well: it stays until
    it is too cold to mend it well.
    """
    return over + FIXED if over > FEASIBLE else over


@compiled
def start_nodes(t: Tables, s: State) -> None:
    """Leave the base alone on every node."""
    s.over_total[0] = 0.0
    for n in range(s.replicas.size):
        s.cost[n, :] = 0.0
        s.over[n] = 0.0
        empty_node(t, s, n, True)


@compiled
def empty_node(t: Tables, s: State, n: int, there: bool) -> None:
    """Leave the base alone on a node, or not even that: nothing limits one that is not there."""
    for d in range(t.rho.size):
        s.room[n, CAP, d] = t.cap[n, d] - t.base[n, d] if there else np.inf
        s.room[n, THRESHOLD, d] = t.threshold[n, d] - t.base[n, d] if there else np.inf
    change_node(t, s, n, t.size.shape[1] - 1, 0.0)


@compiled
def rebase_node(t: Tables, s: State, n: int, change: FloatArray) -> None:
    """Change the base of a node."""
    for d in range(t.rho.size):
        t.base[n, d] += change[d]
        s.room[n, CAP, d] -= change[d]
        s.room[n, THRESHOLD, d] -= change[d]
    change_node(t, s, n, t.size.shape[1] - 1, 0.0)


@compiled
def change_node(t: Tables, s: State, n: int, v: int, sign: float) -> None:
    """Add a variant to a node (``sign = 1``) or take it away (-1); the totals follow."""
    s.stamp[n] = s.ticks[0]
    s.ticks[0] += 1
    width = t.rho.size
    row = (t.node_kind[n] * t.size.shape[1] + v) * width
    over, cost = shrink(t.size, row, sign, s.room, 2 * n * width, t.rho, t.weight, width)
    over = s.dear[n] * charged(over)
    s.violation[0] += over - s.over[n]
    s.over_total[0] += over - s.over[n]
    s.over[n] = over
    _spend(s, n, 0, cost)
    for q in range(1, t.constant.size):
        cost = 0.0
        for d in range(t.rho.size):
            cost += t.weight[q, d] * above(-s.room[n, THRESHOLD, d])
        _spend(s, n, q, cost)


@compiled
def reprice(t: Tables, s: State, price: FloatArray, dearer: float, cheaper: float) -> None:
    """Make violations dearer on nodes that break rules now, cheaper on the others.

    Nodes are charged their `price` in whole steps of `FINEST`: the record stays exact.
    """
    for n in range(s.dear.size):
        price[n] = price[n] * (dearer if s.over[n] > 0.0 else cheaper)
        price[n] = min(max(price[n], CHEAPEST), DEAREST)
        dear = np.rint(price[n] / FINEST) * FINEST
        if dear != s.dear[n]:
            s.dear[n] = dear
            change_node(t, s, n, t.size.shape[1] - 1, 0.0)


@compiled
def _spend(s: State, n: int, q: int, cost: float) -> None:
    s.total[q] += cost - s.cost[n, q]
    s.cost[n, q] = cost


@compiled
def node_delta(t: Tables, s: State, n: int, out: int, into: int, delta: FloatArray) -> float:
    """Evaluate a node if one variant goes and another comes.

    What that does to the quantities is added to `delta`, to the violation returned.
    """
    kind, width = t.node_kind[n], t.rho.size
    first = kind * t.size.shape[1]
    over, cost = excesses(
        t.size,
        (first + into) * width,
        (first + out) * width,
        s.room,
        2 * n * width,
        t.rho,
        t.weight,
        width,
    )
    over = s.dear[n] * charged(over)
    delta[0] += cost - s.cost[n, 0]
    for q in range(1, delta.size):
        cost = 0.0
        for d in range(t.rho.size):
            change = t.size[kind, into, d] - t.size[kind, out, d]
            cost += t.weight[q, d] * above(change - s.room[n, THRESHOLD, d])
        delta[q] += cost - s.cost[n, q]
    return over - s.over[n]
