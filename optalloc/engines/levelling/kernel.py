"""Annealing of cubed excesses over the means, with a price on moves; compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.levelling.fleet import Fleet
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.walk import below, draw

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]

EXCHANGES, FROM_FULL, FROM_ALL, HOMEWARD = 0.6, 0.1, 0.3, 0.04
"""Chances that two tasks change places, that the first is one of the fullest nodes, else any task
rather than one that has moved, and that one that has moved is sent home."""


class Spots(NamedTuple):
    """Where tasks are, and what follows from it.

    Parameters
    ----------
    node : (T)
        Node of each task.
    room, unit : (N, K)
        How far each peak is below the level aimed at on a node, and what a unit of need takes.
    weight, most : (K), (K)
        Of cubed excesses, and the most that a task may add to a node.
    space : (N, D)
        Capacity left.
    away, place, many : (T), (T), (1)
        Tasks that are not at home, where each is in that list, and how many there are.
    full, full_many : (T), (1)
        Tasks that were on the fullest nodes when these were last looked for, and their number.
    left : (1)
        Budget left.
    random : (2)
        State of the generator.
    """

    node: IntArray
    room: FloatArray
    unit: FloatArray
    weight: FloatArray
    most: FloatArray
    space: FloatArray
    away: IntArray
    place: IntArray
    many: IntArray
    full: IntArray
    full_many: IntArray
    left: FloatArray
    random: Words


@compiled
def anneal(f: Fleet, s: Spots, turns: int, temperature: float, price: float) -> None:
    """Try so many moves; each unit of the budget costs a price."""
    for _ in range(turns):
        p, q = _first(s), -1
        a = s.node[p]
        if s.many[0] > 0 and _chance(s.random) < EXCHANGES:
            q = s.away[below(s.random, s.many[0])]
            b = s.node[q]
        elif f.home[p] >= 0 and a != f.home[p] and _chance(s.random) < HOMEWARD / (1 - EXCHANGES):
            b = np.int64(f.home[p])
        else:
            b = below(s.random, s.room.shape[0])
        if a == b:
            continue
        fee = _fee(f, p, b) - _fee(f, p, a)
        if q >= 0:
            fee += _fee(f, q, a) - _fee(f, q, b)
        if fee > max(s.left[0], 0.0):
            continue
        most = -temperature * np.log(1.0 - _chance(s.random)) - price * fee
        if _change(f, s, p, q, a, b) <= most and _may(f, s, p, q, a, b):
            s.left[0] -= fee
            _bring(f, s, p, b)
            if q >= 0:
                _bring(f, s, q, a)


@compiled
def unsettle(f: Fleet, s: Spots) -> None:
    """Bring tasks that are too large for their nodes to those where they add the least."""
    for t in range(s.node.size):
        a, over = s.node[t], 0.0
        for k in range(s.most.size):
            over = max(over, f.need[t, k] * s.unit[a, k] - s.most[k])
        if over <= 0.0:
            continue
        least, at = np.inf, -1
        for b in range(s.room.shape[0]):
            if b != a and _fee(f, t, b) - _fee(f, t, a) <= s.left[0] and _may(f, s, t, -1, a, b):
                change = _change(f, s, t, -1, a, b)
                if change < least:
                    least, at = change, b
        if at >= 0:
            s.left[0] -= _fee(f, t, at) - _fee(f, t, a)
            _bring(f, s, t, at)


@compiled
def _chance(random: Words) -> float:
    return np.float64(draw(random) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def _first(s: Spots) -> int:
    """A task, more often one that has moved or is on a node that is among the fullest."""
    if s.full_many[0] > 0 and _chance(s.random) < FROM_FULL:
        return s.full[below(s.random, s.full_many[0])]  # type: ignore[no-any-return]
    if s.many[0] == 0 or _chance(s.random) < FROM_ALL:
        return below(s.random, s.node.size)
    return s.away[below(s.random, s.many[0])]  # type: ignore[no-any-return]


@compiled
def _variant(f: Fleet, t: int, n: int) -> int:
    return 2 * np.int64(f.block[t]) + np.int64(f.home[t] != n)  # type: ignore[return-value]


@compiled
def _fee(f: Fleet, t: int, n: int) -> float:
    return f.fee[_variant(f, t, n)]  # type: ignore[no-any-return]


@compiled
def _cube(room: float) -> float:
    over = max(-room, 0.0)
    return over * over * over


@compiled
def _change(f: Fleet, s: Spots, p: int, q: int, a: int, b: int) -> float:
    """Change of the cubed excesses when a task goes from a to b, another one back."""
    total = 0.0
    for k in range(s.weight.size):
        need = f.need[p, k]
        if q >= 0:
            need -= f.need[q, k]
        at_a, at_b = s.room[a, k], s.room[b, k]
        before = _cube(at_a) + _cube(at_b)
        after = _cube(at_a + need * s.unit[a, k]) + _cube(at_b - need * s.unit[b, k])
        total += s.weight[k] * (after - before)
    return total


@compiled
def _may(f: Fleet, s: Spots, p: int, q: int, a: int, b: int) -> bool:
    """Whether labels allow it, the task is not too large for the node, and there is space."""
    if not f.allowed[f.kind[p], b] or (q >= 0 and not f.allowed[f.kind[q], a]):
        return False
    for k in range(s.most.size):
        if f.need[p, k] * s.unit[b, k] > s.most[k]:
            return False
    for d in range(s.space.shape[1]):
        at_a = f.size[f.node_kind[a], _variant(f, p, a), d]
        at_b = -f.size[f.node_kind[b], _variant(f, p, b), d]
        if q >= 0:
            at_a -= f.size[f.node_kind[a], _variant(f, q, a), d]
            at_b += f.size[f.node_kind[b], _variant(f, q, b), d]
        if s.space[a, d] + at_a < 0 or s.space[b, d] + at_b < 0:
            return False
    return True


@compiled
def _bring(f: Fleet, s: Spots, t: int, n: int) -> None:
    """Bring a task to a node."""
    old, home = s.node[t], f.home[t]
    for k in range(s.weight.size):
        s.room[old, k] += f.need[t, k] * s.unit[old, k]
        s.room[n, k] -= f.need[t, k] * s.unit[n, k]
    for d in range(s.space.shape[1]):
        s.space[old, d] += f.size[f.node_kind[old], _variant(f, t, old), d]
        s.space[n, d] -= f.size[f.node_kind[n], _variant(f, t, n), d]
    s.node[t] = n
    if n != home and s.place[t] < 0:
        s.place[t] = s.many[0]
        s.away[s.many[0]] = t
        s.many[0] += 1
    elif n == home and s.place[t] >= 0:
        s.many[0] -= 1
        last = s.away[s.many[0]]
        s.away[s.place[t]] = last
        s.place[last] = s.place[t]
        s.place[t] = -1
