"""How a placement's record changes when a replica comes or goes, and what a move would change.

All compiled. Totals are exact: floats hold the integers (weights of violations are powers of two).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.state import NOWHERE, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables

FloatArray = NDArray[np.float64]

IDENTITY, EXCESS, STEPS, MISSING = 0, 1, 2, 3


@compiled
def above(x: float) -> float:
    """The part above 0 (written so that it becomes one instruction for several numbers)."""
    return x if x > 0.0 else 0.0


@compiled
def clear(t: Tables, s: State) -> None:
    """Take everything out."""
    s.choice[:] = -1
    s.node[:] = NOWHERE
    s.y[:] = t.base
    s.replicas[:] = 0
    s.home_count[:] = 0
    s.missing[0] = 0
    for task in range(s.choice.size):
        s.missing[0] += t.class_required[t.task_class[task]]
    s.away_size[0] = 0
    s.away_at[:] = -1
    s.total[:] = t.constant
    s.violation[0] = 0.0
    s.over_total[0] = 0.0
    for n in range(s.replicas.size):
        s.cost[n, :] = 0.0
        s.over[n] = 0.0
        _renew_node(t, s, n)
    _start_counters(t, s)


@compiled
def _renew_node(t: Tables, s: State, n: int) -> None:
    """Recompute what the dense dimensions of a node cost; the totals follow."""
    over = 0.0
    for d in range(t.rho.size):
        over += t.rho[d] * above(s.y[n, d] - t.cap[n, d])
    s.violation[0] += over - s.over[n]
    s.over_total[0] += over - s.over[n]
    s.over[n] = over
    for q in range(t.constant.size):
        cost = 0.0
        for d in range(t.rho.size):
            cost += t.weight[q, d] * above(s.y[n, d] - t.threshold[n, d])
        s.total[q] += cost - s.cost[n, q]
        s.cost[n, q] = cost


# -- counters --------------------------------------------------------------------------------------


@compiled
def _shaped(shape: int, y: float, parameter: float) -> float:
    """Value of a one-place shape."""
    if shape == EXCESS:
        return above(y - parameter)
    if shape == STEPS:
        return np.ceil(y / parameter)
    return y


@compiled
def _beyond(t: Tables, o: int, owned: float) -> float:
    """What an owner is worth: its sum, or by how much it breaks its limit."""
    sense = t.term_sense[t.owner_term[o]]
    if sense == 0:
        return owned
    return max(sense * (owned - t.owner_bound[o]), 0.0)


@compiled
def _start_counters(t: Tables, s: State) -> None:
    s.counter[:] = t.counter_base
    s.owned[:] = 0.0
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
    y = s.counter[i]
    if t.family_plain[f]:
        s.violation[0] += above(y - t.counter_parameter[i])
        return
    if t.family_shape[f] == MISSING:
        value = 1.0 if y >= 1 and s.counter[i + t.family_half[f]] < 1 else 0.0
    else:
        value = _shaped(t.family_shape[f], y, t.counter_parameter[i])
    s.owned[t.counter_owner[i]] += t.counter_factor[i] * value


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
            s.tree[2 * first + size + o - first] = outer * _beyond(t, o, s.owned[o])
        for i in range(size - 1, 0, -1):
            at = 2 * first
            s.tree[at + i] = max(s.tree[at + 2 * i], s.tree[at + 2 * i + 1])
        top = s.tree[2 * first + 1]
        for q in range(t.constant.size):
            s.total[q] += t.term_weight[term, q] * outer * top
        return
    for o in range(first, last):
        value = _beyond(t, o, s.owned[o])
        s.violation[0] += t.term_rho[term] * value
        for q in range(t.constant.size):
            s.total[q] += t.term_weight[term, q] * value


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
def owner_delta(t: Tables, s: State, o: int, change: float, delta: FloatArray) -> float:
    """Add what a change of an owner does to the quantities; return the change of violation."""
    if change == 0.0:
        return 0.0
    term = t.owner_term[o]
    before, after = _beyond(t, o, s.owned[o]), _beyond(t, o, s.owned[o] + change)
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
def shape_change(t: Tables, s: State, f: int, i: int, change: float) -> float:
    """What a change of a counter does to its owner."""
    shape = t.family_shape[f]
    y = s.counter[i]
    if shape == IDENTITY:
        return t.counter_factor[i] * change
    if shape == MISSING:
        half = t.family_half[f]
        if i - t.family_start[f] < half:
            lacks = s.counter[i + half] < 1
            before, after = y >= 1 and lacks, y + change >= 1 and lacks
        else:
            wants = s.counter[i - half] >= 1
            before, after = wants and y < 1, wants and y + change < 1
        return t.counter_factor[i] * ((1.0 if after else 0.0) - (1.0 if before else 0.0))
    parameter = t.counter_parameter[i]
    return t.counter_factor[i] * (
        _shaped(shape, y + change, parameter) - _shaped(shape, y, parameter)
    )


@compiled
def counter_delta(t: Tables, s: State, f: int, i: int, change: float, delta: FloatArray) -> float:
    """What a change of one counter does: added to the quantities, returned for the violation."""
    if t.family_plain[f]:
        y, cap = s.counter[i], t.counter_parameter[i]
        return above(y + change - cap) - above(y - cap)
    return owner_delta(t, s, t.counter_owner[i], shape_change(t, s, f, i, change), delta)


@compiled
def _count(t: Tables, s: State, f: int, i: int, change: float, delta: FloatArray) -> None:
    """Change a counter; everything follows."""
    delta[:] = 0.0
    s.violation[0] += counter_delta(t, s, f, i, change, delta)
    for q in range(delta.size):
        s.total[q] += delta[q]
    if not t.family_plain[f]:
        o = t.counter_owner[i]
        s.owned[o] += shape_change(t, s, f, i, change)
        term = t.owner_term[o]
        if t.term_outer[term] != 0:
            _replay(t, s, term, o)
    s.counter[i] += change


@compiled
def _replay(t: Tables, s: State, term: int, o: int) -> None:
    """Play an owner's matches again."""
    first, size = t.term_start[term], t.term_start[term + 1] - t.term_start[term]
    at, i = 2 * first, size + o - first
    s.tree[at + i] = t.term_outer[term] * _beyond(t, o, s.owned[o])
    while i > 1:
        i //= 2
        s.tree[at + i] = max(s.tree[at + 2 * i], s.tree[at + 2 * i + 1])


# -- replicas --------------------------------------------------------------------------------------


@compiled
def variant(t: Tables, s: State, k: int, block: int, n: int, more: int) -> int:
    """The variant of one more (``more = 1``) or one less (0) replica of a class on a node."""
    for h in range(t.home_start[k], t.home_start[k + 1]):
        if t.home_node[h] == n:
            return 2 * block + (s.home_count[h] + more > t.home_running[h])
    return 2 * block + 1


@compiled
def unary_cost(t: Tables, v: int, n: int, sign: float, delta: FloatArray) -> None:
    """Add the unary costs of a variant on a node, times a sign."""
    for q in range(delta.size):
        delta[q] += sign * t.unary[q, v]
    for p in range(t.part_quantity.size):
        line = t.part_index[p, v]
        if line >= 0:
            at = t.part_start[p] + line * t.part_stride[p] + t.part_column[p, n]
            delta[t.part_quantity[p]] += sign * t.part_value[at]


@compiled
def put(t: Tables, s: State, slot: int, n: int, sign: int, delta: FloatArray) -> None:
    """Put the replica of a slot on a node (``sign = 1``) or take it off (-1)."""
    task = t.slot_task[slot]
    k = t.task_class[task]
    block = t.choice_block[s.choice[task]]
    v = variant(t, s, k, block, n, 1 if sign > 0 else 0)
    kind = t.node_kind[n]
    for d in range(t.rho.size):
        s.y[n, d] += sign * t.size[kind, v, d]
    _renew_node(t, s, n)
    delta[:] = 0.0
    unary_cost(t, v, n, sign, delta)
    for q in range(delta.size):
        s.total[q] += delta[q] + t.step_weight[q, n] * step_change(t, s, n, sign)
    s.replicas[n] += sign
    for h in range(t.home_start[k], t.home_start[k + 1]):
        if t.home_node[h] == n:
            s.home_count[h] += sign
    for e in range(t.entry_start[k], t.entry_start[k + 1]):
        f = t.entry_family[e]
        at, change = t.domain[t.family_domain[f], n], sign * t.coefficient[f, v]
        if at >= 0 and change != 0.0:
            _count(t, s, f, t.entry_base[e] + at, change, delta)
    s.node[slot] = n if sign > 0 else NOWHERE
    _note_away(t, s, slot, k)


@compiled
def step_change(t: Tables, s: State, n: int, change: int) -> int:
    """How many more blocks are begun on a node."""
    block = t.step_block[n]
    before = (s.replicas[n] + block - 1) // block
    return (s.replicas[n] + change + block - 1) // block - before


@compiled
def _note_away(t: Tables, s: State, slot: int, k: int) -> None:
    """Keep the list of slots that are not at home."""
    if t.home_start[k] == t.home_start[k + 1]:
        return
    away = s.node[slot] >= 0
    for h in range(t.home_start[k], t.home_start[k + 1]):
        away = away and t.home_node[h] != s.node[slot]
    at = s.away_at[slot]
    if away and at < 0:
        s.away_at[slot] = s.away_size[0]
        s.away[s.away_size[0]] = slot
        s.away_size[0] += 1
    elif not away and at >= 0:
        last = s.away[s.away_size[0] - 1]
        s.away[at] = last
        s.away_at[last] = at
        s.away_at[slot] = -1
        s.away_size[0] -= 1


@compiled
def choose(t: Tables, s: State, task: int, c: int, delta: FloatArray) -> None:
    """Give a task another choice (-1: none); none of its replicas may be placed."""
    if s.choice[task] >= 0:
        _count_choice(t, s, task, s.choice[task], -1, delta)
    if c >= 0:
        _count_choice(t, s, task, c, 1, delta)
    s.choice[task] = c


@compiled
def _count_choice(t: Tables, s: State, task: int, c: int, sign: int, delta: FloatArray) -> None:
    """Count a task in a choice, or no longer (-1)."""
    k = t.task_class[task]
    s.missing[0] -= sign * t.class_required[k]
    for q in range(delta.size):
        s.total[q] += sign * t.choice_cost[q, c]
    for e in range(t.chosen_start[k], t.chosen_start[k + 1]):
        f = t.chosen_family[e]
        change = sign * t.choice_coefficient[f, c]
        if change != 0.0:
            _count(t, s, f, t.chosen_base[e], change, delta)


# -- what a move would change ----------------------------------------------------------------------


@compiled
def node_delta(t: Tables, s: State, n: int, out: int, into: int, delta: FloatArray) -> float:
    """Evaluate the dense dimensions of a node if one variant goes and another comes."""
    kind = t.node_kind[n]
    leaving, coming = t.size[kind, out], t.size[kind, into]
    y, cap, threshold = s.y[n], t.cap[n], t.threshold[n]
    over = 0.0
    for d in range(t.rho.size):
        over += t.rho[d] * above(y[d] - leaving[d] + coming[d] - cap[d])
    for q in range(delta.size):
        cost = 0.0
        for d in range(t.rho.size):
            cost += t.weight[q, d] * above(y[d] - leaving[d] + coming[d] - threshold[d])
        delta[q] += cost - s.cost[n, q]
    return over - s.over[n]


@compiled
def counters_delta(
    t: Tables, s: State, k: int, v1: int, n1: int, v2: int, n2: int, delta: FloatArray
) -> float:
    """Evaluate the counters if a replica goes from one node to another.

    Exact unless several contributions of a class reach one owner.
    """
    violation = 0.0
    for e in range(t.entry_start[k], t.entry_start[k + 1]):
        f, base = t.entry_family[e], t.entry_base[e]
        domain = t.domain[t.family_domain[f]]
        d1, d2 = domain[n1], domain[n2]
        c1 = t.coefficient[f, v1] if d1 >= 0 else 0.0
        c2 = t.coefficient[f, v2] if d2 >= 0 else 0.0
        if d1 == d2:
            if c1 != c2:
                violation += counter_delta(t, s, f, base + d1, c2 - c1, delta)
        elif t.family_plain[f]:
            if c1 != 0.0:
                violation += counter_delta(t, s, f, base + d1, -c1, delta)
            if c2 != 0.0:
                violation += counter_delta(t, s, f, base + d2, c2, delta)
        else:
            violation += _owners_delta(t, s, f, base, d1, -c1, d2, c2, delta)
    return violation


@compiled
def _owners_delta(
    t: Tables,
    s: State,
    f: int,
    base: int,
    d1: int,
    c1: float,
    d2: int,
    c2: float,
    delta: FloatArray,
) -> float:
    """Evaluate two counters of one part, which may have the same owner."""
    change1 = shape_change(t, s, f, base + d1, c1) if c1 != 0.0 else 0.0
    change2 = shape_change(t, s, f, base + d2, c2) if c2 != 0.0 else 0.0
    if change1 != 0.0 and change2 != 0.0:
        o1, o2 = t.counter_owner[base + d1], t.counter_owner[base + d2]
        if o1 == o2:
            return owner_delta(t, s, o1, change1 + change2, delta)
        return owner_delta(t, s, o1, change1, delta) + owner_delta(t, s, o2, change2, delta)
    if change1 != 0.0:
        return owner_delta(t, s, t.counter_owner[base + d1], change1, delta)
    if change2 != 0.0:
        return owner_delta(t, s, t.counter_owner[base + d2], change2, delta)
    return 0.0


@compiled
def excess(t: Tables, s: State, delta: FloatArray) -> float:
    """By how much the quantities with limits would pass them."""
    over = 0.0
    for q in range(1, delta.size):
        over += above(s.total[q] + delta[q] - t.limit[q])
    return over
