"""How a placement's record changes when a replica comes, goes or moves.

All compiled. Totals are exact: floats hold the integers (weights of violations are powers of two).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.counters import (
    count,
    count_move,
    count_replica,
    empty_counters,
    start_counters,
)
from optalloc.engines.local.dense import above, change_node, start_nodes
from optalloc.engines.local.needs import need_move, start_needs
from optalloc.engines.local.state import NOWHERE, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import NO_HOME, SEVERAL_HOMES, Tables

FloatArray = NDArray[np.float64]


@compiled
def clear(t: Tables, s: State) -> None:
    """Take everything out."""
    empty_counters(t, s)
    s.choice[:] = -1
    s.node[:] = NOWHERE
    s.block[:] = -1
    s.first[:] = -1
    s.replicas[:] = 0
    s.home_count[:] = 0
    s.missing[0] = 0
    for task in range(s.choice.size):
        s.missing[0] += t.class_required[t.task_class[task]]
    s.away_size[0] = 0
    s.away_at[:] = -1
    s.total[:] = t.constant
    s.violation[0] = 0.0
    s.held[0] = 0.0
    start_nodes(t, s)
    start_needs(t, s)
    start_counters(t, s)


@compiled
def variant(t: Tables, s: State, k: int, block: int, n: int, more: int) -> int:
    """The variant of one more (``more = 1``) or one less (0) replica of a class on a node."""
    home = t.class_home[k]
    if home != SEVERAL_HOMES:
        return 2 * block + (n != home)
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
def held(t: Tables, v: int) -> float:
    """Room that a variant holds twice."""
    return t.block_held[v >> 1] if v & 1 else 0.0


@compiled
def step_change(t: Tables, s: State, n: int, change: int) -> int:
    """How many more blocks are begun on a node."""
    block = t.step_block[n]
    if block == 0:
        return 0
    before = (s.replicas[n] + block - 1) // block
    return (s.replicas[n] + change + block - 1) // block - before


@compiled
def put(t: Tables, s: State, slot: int, n: int, sign: int) -> None:
    """Put the replica of a slot on a node (``sign = 1``) or take it off (-1)."""
    v = variant(t, s, t.slot_class[slot], s.block[slot], n, 1 if sign > 0 else 0)
    _settle(t, s, slot, v, n, sign)
    count_replica(t, s, v, n, sign)
    need_move(t, s, s.block[slot], n if sign < 0 else NOWHERE, n if sign > 0 else NOWHERE)
    s.node[slot] = n if sign > 0 else NOWHERE
    if sign > 0:
        _link(s, slot, n)
    else:
        _unlink(s, slot, n)
    _note_away(t, s, slot)


@compiled
def move(t: Tables, s: State, slot: int, n2: int) -> None:
    """Move the replica of a slot from its node to another."""
    k, block, n1 = t.slot_class[slot], s.block[slot], s.node[slot]
    v1, v2 = variant(t, s, k, block, n1, 0), variant(t, s, k, block, n2, 1)
    _settle(t, s, slot, v1, n1, -1)
    _settle(t, s, slot, v2, n2, 1)
    count_move(t, s, v1, n1, v2, n2)
    need_move(t, s, block, n1, n2)
    s.node[slot] = n2
    _unlink(s, slot, n1)
    _link(s, slot, n2)
    _note_away(t, s, slot)


@compiled
def _link(s: State, slot: int, n: int) -> None:
    """Put a slot at the head of a node's list."""
    head = s.first[n]
    s.later[slot], s.sooner[slot], s.first[n] = head, -1, slot
    if head >= 0:
        s.sooner[head] = slot


@compiled
def _unlink(s: State, slot: int, n: int) -> None:
    """Take a slot out of a node's list."""
    later, sooner = s.later[slot], s.sooner[slot]
    if later >= 0:
        s.sooner[later] = sooner
    if sooner >= 0:
        s.later[sooner] = later
    else:
        s.first[n] = later


@compiled
def _settle(t: Tables, s: State, slot: int, v: int, n: int, sign: int) -> None:
    """Add a replica to all that is kept by node."""
    change_node(t, s, n, v, float(sign))
    unary_cost(t, v, n, float(sign), s.total)
    s.held[0] += sign * held(t, v)
    blocks = step_change(t, s, n, sign)
    if blocks != 0:
        for q in range(s.total.size):
            s.total[q] += t.step_weight[q, n] * blocks
    s.replicas[n] += sign
    k = t.slot_class[slot]
    if t.class_home[k] == SEVERAL_HOMES:
        for h in range(t.home_start[k], t.home_start[k + 1]):
            if t.home_node[h] == n:
                s.home_count[h] += sign


@compiled
def _at_home(t: Tables, k: int, n: int) -> bool:
    """Whether replicas of a class run on a node now."""
    home = t.class_home[k]
    if home != SEVERAL_HOMES:
        return home == n
    found = False
    for h in range(t.home_start[k], t.home_start[k + 1]):
        found = found or t.home_node[h] == n
    return found


@compiled
def _note_away(t: Tables, s: State, slot: int) -> None:
    """Keep the list of slots that are not at home."""
    k, n = t.slot_class[slot], s.node[slot]
    if t.class_home[k] == NO_HOME:
        return
    away = n >= 0 and not _at_home(t, k, n)
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
def choose(t: Tables, s: State, task: int, c: int) -> None:
    """Give a task another choice (-1: none); none of its replicas may be placed."""
    if s.choice[task] >= 0:
        _count_choice(t, s, task, s.choice[task], -1)
    if c >= 0:
        _count_choice(t, s, task, c, 1)
    s.choice[task] = c
    for slot in range(t.task_slot[task], t.task_slot[task + 1]):
        used = c >= 0 and slot - t.task_slot[task] < t.choice_replicas[c]
        s.block[slot] = t.choice_block[c] if used else -1


@compiled
def _count_choice(t: Tables, s: State, task: int, c: int, sign: int) -> None:
    """Count a task in a choice, or no longer (-1)."""
    k = t.task_class[task]
    s.missing[0] -= sign * t.class_required[k]
    for q in range(s.total.size):
        s.total[q] += sign * t.choice_cost[q, c]
    for e in range(t.chosen_start[k], t.chosen_start[k + 1]):
        f = t.chosen_family[e]
        change = sign * t.choice_coefficient[f, c]
        if change != 0.0:
            count(t, s, f, t.chosen_base[e], t.chosen_row[e], change)


@compiled
def excess(t: Tables, s: State, delta: FloatArray) -> float:
    """By how much the quantities with limits would pass them."""
    over = 0.0
    for q in range(1, delta.size):
        over += above(s.total[q] + delta[q] - t.limit[q])
    return over
