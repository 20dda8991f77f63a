"""Whole placements: going to one, completing one, and measuring how much moves change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import choose, put
from optalloc.engines.local.pricing import leave, put_price, shift_price
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import Walk, below, forget, note

Int32 = NDArray[np.int32]


@compiled
def may_be(t: Tables, s: State, slot: int, n: int) -> bool:
    """Whether a replica may come to a node."""
    return t.allowed[t.block_kind[s.block[slot]], n]


@compiled
def some_node(t: Tables, w: Walk, block: int) -> int:
    """A node that labels allow, at random; any where all of those are closed."""
    kind = t.block_kind[block]
    first = t.allow_start[kind]
    return t.allow_node[first + below(w.random, t.allow_end[kind] - first)]


@compiled
def may_run(t: Tables, c: int) -> bool:
    """Whether labels allow a choice any node."""
    kind = t.block_kind[t.choice_block[c]]
    return t.allow_start[kind] < t.allow_end[kind]


@compiled
def load(t: Tables, s: State, w: Walk, choice: Int32, node: Int32) -> None:
    """Go to a placement from nothing; replicas without a node stay out."""
    for task in range(s.choice.size):
        if choice[task] >= 0:
            choose(t, s, task, choice[task])
    for slot in range(s.node.size):
        if node[slot] >= 0:
            put(t, s, slot, node[slot], 1)
    forget(t, s, w)


@compiled
def complete(t: Tables, s: State, w: Walk) -> None:
    """Place what must run and does not: each replica where it costs the least."""
    for task in range(s.choice.size):
        k = t.task_class[task]
        if s.choice[task] < 0 and t.class_required[k] and _some_choice(t, k) >= 0:
            choose(t, s, task, _some_choice(t, k))
        if s.choice[task] >= 0:
            place(t, s, w, task)
    forget(t, s, w)


@compiled
def place(t: Tables, s: State, w: Walk, task: int) -> None:
    """Place the replicas of a task that are nowhere, each where it costs the least."""
    for i in range(t.choice_replicas[s.choice[task]]):
        slot = t.task_slot[task] + i
        if s.node[slot] < 0:
            put(t, s, slot, _cheapest(t, s, w, slot), 1)


@compiled
def rechoose(t: Tables, s: State, w: Walk, task: int, c: int) -> None:
    """Take all replicas of a task off and give it another choice."""
    for slot in range(t.task_slot[task], t.task_slot[task + 1]):
        if s.node[slot] >= 0:
            note(s, w, slot, s.node[slot])
            put(t, s, slot, s.node[slot], -1)
    note(s, w, -task - 1, s.choice[task])
    choose(t, s, task, c)


@compiled
def _some_choice(t: Tables, k: int) -> int:
    """The first choice of a class that may run somewhere; -1 if none may."""
    for c in range(t.class_choice[k], t.class_choice[k + 1]):
        if may_run(t, c):
            return c
    return -1


@compiled
def _cheapest(t: Tables, s: State, w: Walk, slot: int) -> int:
    kind = t.block_kind[s.block[slot]]
    best, at = np.inf, t.allow_node[t.allow_start[kind]]
    for i in range(t.allow_start[kind], t.allow_end[kind]):
        price = put_price(t, s, w, slot, t.allow_node[i])
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
        n2 = some_node(t, w, s.block[slot])
        if n2 == n1:
            continue
        shift_price(t, s, w, slot, n2, leave(t, s, w, slot), 0, np.inf)
        change = abs(w.delta[0])
        if change > 0.0:
            total += change
            changes += 1
    return total / changes if changes else 1.0
