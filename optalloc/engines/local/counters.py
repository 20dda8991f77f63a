"""Counters: aggregates of parts and domains, their shapes, owners and folds.

The value of an owner is the sum of ``factor * shape(counter)`` over its counters, or the largest or
smallest of some of them and the sum of the others; a term folds its owners likewise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.dense import above
from optalloc.engines.local.state import BOUND, OWNED, SENSE, TERM, TOP, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import (
    BASE,
    CONVEX,
    EXCESS,
    FACTOR,
    IDENTITY,
    MISSING,
    OWNER,
    PARAMETER,
    PARTLY,
    STEPS,
    Tables,
)

FloatArray = NDArray[np.float64]

NOBODY = -1
"""No owner: it takes no changes."""


@compiled
def _row(t: Tables, f: int, i: int) -> int:
    """The row of a counter of a family."""
    return t.family_row[f] + (i - t.family_start[f]) // t.family_width[f]


@compiled
def _step(t: Tables, f: int, domain: int) -> int:
    """How far the row of a domain's counter is from that of the first."""
    return domain if t.family_width[f] == 1 else 0


@compiled
def _owner(s: State, row: int) -> int:
    return np.int64(s.row[row, OWNER])  # type: ignore[return-value]


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
    if shape == PARTLY:
        return 1.0 if 1 <= y < parameter else 0.0
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
def empty_counters(t: Tables, s: State) -> None:
    """Set to nothing what is counted, at what is placed: there may be millions of others."""
    for slot in range(s.node.size):
        block, n = s.block[slot], s.node[slot]
        if n >= 0:
            for e in range(t.entry_start[block], t.entry_start[block + 1]):
                at = t.domain[t.family_domain[t.entry_family[e]], n]
                if at >= 0:
                    s.counter[t.entry_base[e] + at] = 0.0
    for task in range(s.choice.size):
        if s.choice[task] >= 0:
            k = t.task_class[task]
            for e in range(t.chosen_start[k], t.chosen_start[k + 1]):
                s.counter[t.chosen_base[e]] = 0.0


@compiled
def start_counters(t: Tables, s: State) -> None:
    """Count nothing but the constants, where nothing is counted."""
    s.row[:] = t.counter_row
    s.owner[:, OWNED] = 0.0
    s.owner[:, TOP] = -np.inf
    s.owner[:, BOUND] = t.owner_bound
    for o in range(t.owner_bound.size):
        s.owner[o, TERM] = t.owner_term[o]
        s.owner[o, SENSE] = t.term_sense[t.owner_term[o]]
    for f in range(t.family_shape.size):
        # The contributions of a term share its counters.
        if t.family_idle[f] or (f > 0 and t.family_start[f] == t.family_start[f - 1]):
            continue
        size = t.family_half[f]
        for k in range(2 * size if t.family_shape[f] == MISSING else size):
            i = t.family_start[f] + k
            s.counter[i] = s.row[_row(t, f, i), BASE]
        for k in range(size):
            _start_counter(t, s, f, t.family_start[f] + k)
    for term in range(t.term_sense.size):
        _start_term(t, s, term)


@compiled
def _start_counter(t: Tables, s: State, f: int, i: int) -> None:
    y, row = s.counter[i], _row(t, f, i)
    if t.family_plain[f]:
        s.violation[0] += above(y - s.row[row, PARAMETER])
        return
    if t.family_shape[f] == MISSING:
        value = _missing(y, s.counter[i + t.family_half[f]])
    else:
        value = _shaped(t, t.family_shape[f], y, s.row[row, PARAMETER])
    o, fold = _owner(s, row), t.family_fold[f]
    if fold == 0:
        s.owner[o, OWNED] += s.row[row, FACTOR] * value
        return
    top, value = s.owner[o, TOP], fold * s.row[row, FACTOR] * value
    if value > top:
        s.owner[o, OWNED] += fold * (value - (top if top > -np.inf else 0.0))
        s.owner[o, TOP] = value


@compiled
def _start_term(t: Tables, s: State, term: int) -> None:
    first, last = t.term_start[term], t.term_start[term + 1]
    outer = t.term_outer[term]
    plain = False
    for f in range(t.family_shape.size):
        if t.family_plain[f] and t.counter_row[t.family_row[f], OWNER] == first:
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
def count(t: Tables, s: State, f: int, i: int, row: int, change: float) -> None:
    """Change a counter, which has a row; everything follows."""
    y = s.counter[i]
    if t.family_plain[f]:
        cap = s.row[row, PARAMETER]
        s.violation[0] += above(y + change - cap) - above(y - cap)
        s.counter[i] = y + change
        return
    step = _shape_change(t, s, f, i, row, change)
    s.counter[i] = y + change
    if step != 0.0:
        if t.family_fold[f] != 0:
            s.owner[_owner(s, row), TOP] += t.family_fold[f] * step
        _own(t, s, _owner(s, row), step)


@compiled
def count_constant(t: Tables, s: State, f: int, i: int, change: float) -> None:
    """Change the constant of a counter."""
    count(t, s, f, i, _row(t, f, i), change)


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
    row = _row(t, f, i)
    shaped = _shaped(t, t.family_shape[f], s.counter[i], s.row[row, PARAMETER])
    factor = 0.0 if obliged else -number
    s.owner[o, OWNED] += (factor - s.row[row, FACTOR]) * shaped
    s.row[row, FACTOR] = factor
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
            row = t.entry_row[e] + _step(t, f, at)
            count(t, s, f, t.entry_base[e] + at, row, change)


@compiled
def count_move(t: Tables, s: State, v1: int, n1: int, v2: int, n2: int) -> None:
    """Count a replica on another node than before."""
    block = v1 >> 1
    for e in range(t.entry_start[block], t.entry_start[block + 1]):
        f, base, row = t.entry_family[e], t.entry_base[e], t.entry_row[e]
        domain = t.domain[t.family_domain[f]]
        d1, d2 = domain[n1], domain[n2]
        c1 = entry_value(t, e, v1, n1) if d1 >= 0 else 0.0
        c2 = entry_value(t, e, v2, n2) if d2 >= 0 else 0.0
        if d1 == d2:
            c2 -= c1
        elif c1 != 0.0:
            count(t, s, f, base + d1, row + _step(t, f, d1), -c1)
        if c2 != 0.0:
            count(t, s, f, base + d2, row + _step(t, f, d2), c2)


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
def _folded(t: Tables, s: State, f: int, i: int, row: int, change: float) -> float:
    """What a counter that changes is worth in its owner's fold: the largest counts."""
    y = s.counter[i] + change
    shaped = _shaped(t, t.family_shape[f], y, s.row[row, PARAMETER])
    return t.family_fold[f] * s.row[row, FACTOR] * shaped


@compiled
def _fold_change(t: Tables, s: State, f: int, i: int, row: int, change: float) -> float:
    """What a change of a counter does to its owner, where the largest or smallest counts."""
    o = _owner(s, row)
    top, value = s.owner[o, TOP], _folded(t, s, f, i, row, change)
    if value < top:
        if _folded(t, s, f, i, row, 0.0) < top:
            return 0.0
        for k in range(t.fold_start[o], t.fold_start[o + 1]):
            other = t.fold_counter[k]
            if other != i:
                value = max(value, _folded(t, s, f, other, _row(t, f, other), 0.0))
    return t.family_fold[f] * (value - top)


@compiled
def _shape_change(t: Tables, s: State, f: int, i: int, row: int, change: float) -> float:
    """What a change of a counter does to its owner."""
    shape = t.family_shape[f]
    y = s.counter[i]
    if t.family_fold[f] != 0:
        return _fold_change(t, s, f, i, row, change)
    if shape == IDENTITY:
        return s.row[row, FACTOR] * change
    if shape == MISSING:
        half = t.family_half[f]
        if i - t.family_start[f] < half:
            other = s.counter[i + half]
            step = _missing(y + change, other) - _missing(y, other)
        else:
            other = s.counter[i - half]
            step = _missing(other, y + change) - _missing(other, y)
        return s.row[row, FACTOR] * step
    parameter = s.row[row, PARAMETER]
    return s.row[row, FACTOR] * (
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
            i, row = t.entry_base[e] + at, t.entry_row[e] + _step(t, f, at)
            if t.family_plain[f]:
                violation += _plain_delta(s, i, row, change)
                continue
            step = _shape_change(t, s, f, i, row, change)
            if step != 0.0:
                if _owner(s, row) != owner:
                    violation += _owner_delta(t, s, owner, pending, delta)
                    owner, pending = _owner(s, row), 0.0
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
        r1, r2 = t.entry_row[e] + _step(t, f, d1), t.entry_row[e] + _step(t, f, d2)
        if t.family_plain[f]:
            violation += _plain_delta(s, base + d1, r1, -c1) + _plain_delta(s, base + d2, r2, c2)
            continue
        change1 = _shape_change(t, s, f, base + d1, r1, -c1) if c1 != 0.0 else 0.0
        change2 = _shape_change(t, s, f, base + d2, r2, c2) if c2 != 0.0 else 0.0
        o1 = _owner(s, r1) if change1 != 0.0 else owner1
        o2 = _owner(s, r2) if change2 != 0.0 else owner2
        if o1 != owner1 or o2 != owner2:
            violation += _both_deltas(t, s, owner1, pending1, owner2, pending2, delta)
            pending1, pending2 = 0.0, 0.0
            owner1, owner2 = o1, o2
        pending1 += change1
        pending2 += change2
    return violation + _both_deltas(t, s, owner1, pending1, owner2, pending2, delta)


@compiled
def _plain_delta(s: State, i: int, row: int, change: float) -> float:
    """Change of violation of a counter that has a cap and nothing else."""
    if change == 0.0:
        return 0.0
    beyond = s.counter[i] - s.row[row, PARAMETER]
    return above(beyond + change) - above(beyond)
