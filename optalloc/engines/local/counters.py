"""Counters: aggregates of parts and domains, their shapes, owners and folds.

The value of an owner is the sum of ``factor * shape(counter)`` over its counters, or the largest or
smallest of some of them and the sum of the others; a term folds its owners likewise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.dense import above
from optalloc.engines.local.state import (
    BOUND,
    FACTOR,
    OWNED,
    OWNER,
    PARAMETER,
    SENSE,
    TERM,
    TOP,
    State,
    Y,
)
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import CONVEX, EXCESS, IDENTITY, MISSING, STEPS, Tables

FloatArray = NDArray[np.float64]

NOBODY = -1
"""No owner: it takes no changes."""


@compiled
def _owner(s: State, i: int) -> int:
    return np.int64(s.counter[i, OWNER])  # type: ignore[return-value]


@compiled
def _term(s: State, o: int) -> int:
    return np.int64(s.owner[o, TERM])  # type: ignore[return-value]


@compiled
def _shaped(t: Tables, shape: int, y: float, parameter: float) -> float:
    """Value of a one-place shape."""
    if shape == CONVEX:
        i, value = np.int64(parameter), 0.0
        while y > t.bend_load[i]:
            value += t.bend_slope[i] * (y - t.bend_load[i])
            i += 1
        return value
    if shape == EXCESS:
        return above(y - parameter)
    if shape == STEPS:
        return np.ceil(y / parameter)
    return y


@compiled
def _missing(wants: float, there: float) -> float:
    """Value of the two-place shape."""
    return 1.0 if wants >= 1 and there < 1 else 0.0


@compiled
def _beyond(s: State, o: int, owned: float) -> float:
    """What an owner is worth: its sum, or by how much it breaks its limit."""
    sense = s.owner[o, SENSE]
    if sense == 0.0:
        return owned
    return above(sense * (owned - s.owner[o, BOUND]))


# -- from nothing ----------------------------------------------------------------------------------


@compiled
def start_counters(t: Tables, s: State) -> None:
    """Count nothing but the constants."""
    s.counter[:, Y] = t.counter_base
    s.counter[:, PARAMETER] = t.counter_parameter
    s.counter[:, FACTOR] = t.counter_factor
    s.counter[:, OWNER] = t.counter_owner
    s.owner[:, OWNED] = 0.0
    s.owner[:, TOP] = -np.inf
    s.owner[:, BOUND] = t.owner_bound
    for o in range(t.owner_bound.size):
        s.owner[o, TERM] = t.owner_term[o]
        s.owner[o, SENSE] = t.term_sense[t.owner_term[o]]
    for f in range(t.family_shape.size):
        # The contributions of a term share its counters.
        if f > 0 and t.family_start[f] == t.family_start[f - 1]:
            continue
        for k in range(t.family_half[f]):
            _start_counter(t, s, f, t.family_start[f] + k)
    for term in range(t.term_sense.size):
        _start_term(t, s, term)


@compiled
def _start_counter(t: Tables, s: State, f: int, i: int) -> None:
    y = s.counter[i, Y]
    if t.family_plain[f]:
        s.violation[0] += above(y - s.counter[i, PARAMETER])
        return
    if t.family_shape[f] == MISSING:
        value = _missing(y, s.counter[i + t.family_half[f], Y])
    else:
        value = _shaped(t, t.family_shape[f], y, s.counter[i, PARAMETER])
    o, fold = _owner(s, i), t.family_fold[f]
    if fold == 0:
        s.owner[o, OWNED] += s.counter[i, FACTOR] * value
        return
    top, value = s.owner[o, TOP], fold * s.counter[i, FACTOR] * value
    if value > top:
        s.owner[o, OWNED] += fold * (value - (top if top > -np.inf else 0.0))
        s.owner[o, TOP] = value


@compiled
def _start_term(t: Tables, s: State, term: int) -> None:
    first, last = t.term_start[term], t.term_start[term + 1]
    outer = t.term_outer[term]
    plain = False
    for f in range(t.family_shape.size):
        if t.family_plain[f] and t.counter_owner[t.family_start[f]] == first:
            plain = True
    if plain or first == last:
        return
    if outer != 0:
        size = last - first
        for o in range(first, last):
            s.tree[2 * first + size + o - first] = outer * _beyond(s, o, s.owner[o, OWNED])
        for i in range(size - 1, 0, -1):
            at = 2 * first
            s.tree[at + i] = max(s.tree[at + 2 * i], s.tree[at + 2 * i + 1])
        _worth(t, s, term, outer * s.tree[2 * first + 1])
        return
    for o in range(first, last):
        _worth(t, s, term, _beyond(s, o, s.owner[o, OWNED]))


@compiled
def _worth(t: Tables, s: State, term: int, step: float) -> None:
    """Change the value of a term."""
    s.violation[0] += t.term_rho[term] * step
    for q in range(t.constant.size):
        s.total[q] += t.term_weight[term, q] * step


# -- changes ---------------------------------------------------------------------------------------


@compiled
def count(t: Tables, s: State, f: int, i: int, change: float) -> None:
    """Change a counter; everything follows."""
    y = s.counter[i, Y]
    if t.family_plain[f]:
        cap = s.counter[i, PARAMETER]
        s.violation[0] += above(y + change - cap) - above(y - cap)
        s.counter[i, Y] = y + change
        return
    step = _shape_change(t, s, f, i, change)
    s.counter[i, Y] = y + change
    if step != 0.0:
        if t.family_fold[f] != 0:
            s.owner[_owner(s, i), TOP] += t.family_fold[f] * step
        _own(t, s, _owner(s, i), step)


@compiled
def _own(t: Tables, s: State, o: int, step: float) -> None:
    """Change the sum of an owner; everything follows."""
    term = _term(s, o)
    before = _beyond(s, o, s.owner[o, OWNED])
    s.owner[o, OWNED] += step
    after = _beyond(s, o, s.owner[o, OWNED])
    if t.term_outer[term] != 0:
        top = 2 * t.term_start[term] + 1
        before = t.term_outer[term] * s.tree[top]
        _replay(t, s, term, o, True)
        after = t.term_outer[term] * s.tree[top]
    if after != before:
        _worth(t, s, term, after - before)


@compiled
def _replay(t: Tables, s: State, term: int, o: int, plays: bool) -> None:
    """Play an owner's matches again; who does not play loses them all."""
    first, size = t.term_start[term], t.term_start[term + 1] - t.term_start[term]
    at, i = 2 * first, size + o - first
    s.tree[at + i] = t.term_outer[term] * _beyond(s, o, s.owner[o, OWNED]) if plays else -np.inf
    while i > 1:
        i //= 2
        s.tree[at + i] = max(s.tree[at + 2 * i], s.tree[at + 2 * i + 1])


@compiled
def oblige(t: Tables, s: State, f: int, o: int, number: float, obliged: bool) -> None:
    """Let a task that must be placed bring about an owner's limit, or what is placed alone."""
    i, before = t.owner_whole[o], _beyond(s, o, s.owner[o, OWNED])
    shaped = _shaped(t, t.family_shape[f], s.counter[i, Y], s.counter[i, PARAMETER])
    factor = 0.0 if obliged else -number
    s.owner[o, OWNED] += (factor - s.counter[i, FACTOR]) * shaped
    s.counter[i, FACTOR] = factor
    s.owner[o, BOUND] = number if obliged else 0.0
    _worth(t, s, _term(s, o), _beyond(s, o, s.owner[o, OWNED]) - before)


@compiled
def play(t: Tables, s: State, o: int, plays: bool) -> None:
    """Let an owner play in the fold of its term, or not; a fold of none is 0."""
    term = _term(s, o)
    top = 2 * t.term_start[term] + 1
    before = s.tree[top]
    _replay(t, s, term, o, plays)
    after = s.tree[top]
    step = (after if after > -np.inf else 0.0) - (before if before > -np.inf else 0.0)
    _worth(t, s, term, t.term_outer[term] * step)


@compiled
def entry_value(t: Tables, e: int, v: int, n: int) -> float:
    """What a replica in a variant on a node adds to the counter of an entry."""
    value = t.entry_arrive[e] if v & 1 else t.entry_stay[e]
    if t.entry_table[e] >= 0:
        value *= t.node_value[t.entry_table[e] + t.node_column[t.entry_map[e], n]]
    return value


@compiled
def count_replica(t: Tables, s: State, v: int, n: int, sign: float) -> None:
    """Count a replica on a node, or no longer (-1)."""
    block = v >> 1
    for e in range(t.entry_start[block], t.entry_start[block + 1]):
        f = t.entry_family[e]
        at, change = t.domain[t.family_domain[f], n], sign * entry_value(t, e, v, n)
        if at >= 0 and change != 0.0:
            count(t, s, f, t.entry_base[e] + at, change)


@compiled
def count_move(t: Tables, s: State, v1: int, n1: int, v2: int, n2: int) -> None:
    """Count a replica on another node than before."""
    block = v1 >> 1
    for e in range(t.entry_start[block], t.entry_start[block + 1]):
        f, base = t.entry_family[e], t.entry_base[e]
        domain = t.domain[t.family_domain[f]]
        d1, d2 = domain[n1], domain[n2]
        c1 = entry_value(t, e, v1, n1) if d1 >= 0 else 0.0
        c2 = entry_value(t, e, v2, n2) if d2 >= 0 else 0.0
        if d1 == d2:
            c2 -= c1
        elif c1 != 0.0:
            count(t, s, f, base + d1, -c1)
        if c2 != 0.0:
            count(t, s, f, base + d2, c2)


# -- prices ----------------------------------------------------------------------------------------


@compiled
def _fold_without(t: Tables, s: State, term: int, o: int, value: float) -> float:
    """The largest of a tournament if one player had another value."""
    first, size = t.term_start[term], t.term_start[term + 1] - t.term_start[term]
    at = 2 * first
    top = s.tree[at + 1]
    i = size + o - first
    if value >= top:
        return value
    if s.tree[at + i] < top:
        return top
    while i > 1:
        value = max(value, s.tree[at + (i ^ 1)])
        i //= 2
    return value


@compiled
def _owner_delta(t: Tables, s: State, o: int, change: float, delta: FloatArray) -> float:
    """Add what a change of an owner does to the quantities; return the change of violation."""
    if change == 0.0:
        return 0.0
    term = _term(s, o)
    before, after = _beyond(s, o, s.owner[o, OWNED]), _beyond(s, o, s.owner[o, OWNED] + change)
    outer = t.term_outer[term]
    step = after - before
    if outer != 0:
        top = s.tree[2 * t.term_start[term] + 1]
        step = outer * (_fold_without(t, s, term, o, outer * after) - top)
    if step == 0.0:
        return 0.0
    for q in range(delta.size):
        delta[q] += t.term_weight[term, q] * step
    return t.term_rho[term] * step


@compiled
def _folded(t: Tables, s: State, f: int, i: int, change: float) -> float:
    """What a counter that changes is worth in its owner's fold: the largest counts."""
    y = s.counter[i, Y] + change
    shaped = _shaped(t, t.family_shape[f], y, s.counter[i, PARAMETER])
    return t.family_fold[f] * s.counter[i, FACTOR] * shaped


@compiled
def _fold_change(t: Tables, s: State, f: int, i: int, change: float) -> float:
    """What a change of a counter does to its owner, where the largest or smallest counts."""
    o = _owner(s, i)
    top, value = s.owner[o, TOP], _folded(t, s, f, i, change)
    if value < top:
        if _folded(t, s, f, i, 0.0) < top:
            return 0.0
        for k in range(t.fold_start[o], t.fold_start[o + 1]):
            other = t.fold_counter[k]
            if other != i:
                value = max(value, _folded(t, s, f, other, 0.0))
    return t.family_fold[f] * (value - top)


@compiled
def _shape_change(t: Tables, s: State, f: int, i: int, change: float) -> float:
    """What a change of a counter does to its owner."""
    shape = t.family_shape[f]
    y = s.counter[i, Y]
    if t.family_fold[f] != 0:
        return _fold_change(t, s, f, i, change)
    if shape == IDENTITY:
        return s.counter[i, FACTOR] * change
    if shape == MISSING:
        half = t.family_half[f]
        if i - t.family_start[f] < half:
            other = s.counter[i + half, Y]
            step = _missing(y + change, other) - _missing(y, other)
        else:
            other = s.counter[i - half, Y]
            step = _missing(other, y + change) - _missing(other, y)
        return s.counter[i, FACTOR] * step
    parameter = s.counter[i, PARAMETER]
    return s.counter[i, FACTOR] * (
        _shaped(t, shape, y + change, parameter) - _shaped(t, shape, y, parameter)
    )


@compiled
def _both_deltas(
    t: Tables, s: State, o1: int, change1: float, o2: int, change2: float, delta: FloatArray
) -> float:
    """Add what changes of two owners do to the quantities; they can be the same one."""
    if o1 == o2:
        return _owner_delta(t, s, o1, change1 + change2, delta)
    return _owner_delta(t, s, o1, change1, delta) + _owner_delta(t, s, o2, change2, delta)


@compiled
def arrival_delta(t: Tables, s: State, v: int, n: int, delta: FloatArray) -> float:
    """Evaluate the counters if one more replica comes to a node."""
    block, violation = v >> 1, 0.0
    owner, pending = NOBODY, 0.0
    for e in range(t.entry_start[block], t.entry_start[block + 1]):
        f = t.entry_family[e]
        at, change = t.domain[t.family_domain[f], n], entry_value(t, e, v, n)
        if at >= 0 and change != 0.0:
            i = t.entry_base[e] + at
            if t.family_plain[f]:
                violation += _plain_delta(s, i, change)
                continue
            step = _shape_change(t, s, f, i, change)
            if step != 0.0:
                if _owner(s, i) != owner:
                    violation += _owner_delta(t, s, owner, pending, delta)
                    owner, pending = _owner(s, i), 0.0
                pending += step
    return violation + _owner_delta(t, s, owner, pending, delta)


@compiled
def move_delta(t: Tables, s: State, v1: int, n1: int, v2: int, n2: int, delta: FloatArray) -> float:
    """Evaluate the counters if a replica goes from one node to another.

    Contributions that reach one owner one after the other are seen together: exact unless several
    reach one counter, or one owner by others in between.
    """
    block, violation = v1 >> 1, 0.0
    owner1, owner2, pending1, pending2 = NOBODY, NOBODY, 0.0, 0.0
    for e in range(t.entry_start[block], t.entry_start[block + 1]):
        f, base = t.entry_family[e], t.entry_base[e]
        domain = t.domain[t.family_domain[f]]
        d1, d2 = domain[n1], domain[n2]
        c1 = entry_value(t, e, v1, n1) if d1 >= 0 else 0.0
        c2 = entry_value(t, e, v2, n2) if d2 >= 0 else 0.0
        if d1 == d2:
            c1, c2 = 0.0, c2 - c1
        if t.family_plain[f]:
            violation += _plain_delta(s, base + d1, -c1) + _plain_delta(s, base + d2, c2)
            continue
        change1 = _shape_change(t, s, f, base + d1, -c1) if c1 != 0.0 else 0.0
        change2 = _shape_change(t, s, f, base + d2, c2) if c2 != 0.0 else 0.0
        o1 = _owner(s, base + d1) if change1 != 0.0 else owner1
        o2 = _owner(s, base + d2) if change2 != 0.0 else owner2
        if o1 != owner1 or o2 != owner2:
            violation += _both_deltas(t, s, owner1, pending1, owner2, pending2, delta)
            pending1, pending2 = 0.0, 0.0
            owner1, owner2 = o1, o2
        pending1 += change1
        pending2 += change2
    return violation + _both_deltas(t, s, owner1, pending1, owner2, pending2, delta)


@compiled
def _plain_delta(s: State, i: int, change: float) -> float:
    """Change of violation of a counter that has a cap and nothing else."""
    if change == 0.0:
        return 0.0
    beyond = s.counter[i, Y] - s.counter[i, PARAMETER]
    return above(beyond + change) - above(beyond)
