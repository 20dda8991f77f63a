"""What a walk through placements keeps beside the placement: settings, counts, the best so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.dense import above
from optalloc.engines.local.state import FEASIBLE, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import LANES

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]

LOGS = 4096
SHIFT, SWAP, HOME, CHAIN, RETURN, EJECT, CHANGE, GROUP = range(8)
"""Kinds of moves."""
KINDS = 8
CHAIN_LENGTH = 8
"""Most replicas that one move displaces."""
BUNDLE = 16
"""No group of so many replicas moves."""
TEMPERATURE, VIOLATION, LIMIT, HELD = range(4)
"""Places in `Walk.setting`."""


class Walk(NamedTuple):
    """What the loop keeps beside the state.

    Parameters
    ----------
    random : (2)
        State of the generator.
    logs : (LOGS + LANES)
        ``-log`` of evenly spaced numbers in (0, 1), in random order; the first ones follow again.
    setting : (4)
        Temperature, penalty of a unit of violation, of a unit above a limit, of a unit of room that
        is held twice.
    tries : (KINDS)
        How many places are tried for a replica before another is drawn.
    chance : (KINDS)
        Cumulative chances of the kinds of moves.
    tried, early, taken : (KINDS)
        Candidates priced, those of them rejected before all terms were looked at, and committed.
    best : (2)
        Active quantity of the best placement that keeps everything; its violation is 0.
    best_choice, best_node : (tasks), (slots)
        That placement, where it was copied.
    slots, froms, choices : (journal)
        Moves since the best placement: what moved and where it was before.
    mark : (1)
        Moves since the best placement, or -1 when it was copied.
    delta, leaving, none : (Z)
        Room for prices; the last stays 0.
    nodes : (most slots of a task)
        Room for where a task was.
    displaced, bundle : (CHAIN_LENGTH, 2), (BUNDLE, 2)
        Room for slots that made room, or moved together, and where they were.
    """

    random: Words
    logs: FloatArray
    setting: FloatArray
    tries: IntArray
    chance: FloatArray
    tried: IntArray
    early: IntArray
    taken: IntArray
    best: FloatArray
    best_choice: Int32
    best_node: Int32
    slots: Int32
    froms: Int32
    mark: IntArray
    delta: FloatArray
    leaving: FloatArray
    none: FloatArray
    nodes: Int32
    displaced: Int32
    bundle: Int32


def new_walk(t: Tables, seed: int) -> Walk:
    """Make a walk that has not begun."""
    slots = t.slot_task.size
    journal = slots // 2 + 1000
    generator = np.random.default_rng(seed)
    quantities = t.constant.size
    logs = generator.permutation(-np.log((np.arange(LOGS) + 0.5) / LOGS))
    return Walk(
        generator.integers(1, 2**63, 2, dtype=np.uint64),
        np.concatenate([logs, logs[:LANES]]),
        np.zeros(4),
        np.ones(KINDS, np.int64),
        np.zeros(KINDS),
        np.zeros(KINDS, np.int64),
        np.zeros(KINDS, np.int64),
        np.zeros(KINDS, np.int64),
        np.full(2, np.inf),
        np.full(t.task_class.size, -1, np.int32),
        np.full(slots, -1, np.int32),
        np.zeros(journal, np.int32),
        np.zeros(journal, np.int32),
        np.full(1, -1, np.int64),
        np.zeros(quantities),
        np.zeros(quantities),
        np.zeros(quantities),
        np.zeros(int(np.diff(t.task_slot).max(initial=0)), np.int32),
        np.zeros((CHAIN_LENGTH, 2), np.int32),
        np.zeros((BUNDLE, 2), np.int32),
    )


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
def tolerated(w: Walk) -> float:
    """The largest rise of energy that is accepted this time."""
    return w.setting[TEMPERATURE] * w.logs[np.int64(draw(w.random) >> np.uint64(52))]


# -- the best placement ------------------------------------------------------------------------


@compiled
def note(s: State, w: Walk, slot: int, before: int) -> None:
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
def judge(t: Tables, s: State, w: Walk) -> None:
    """Remember the placement if it is the best that keeps everything."""
    if s.total[0] < w.best[0] and s.violation[0] <= FEASIBLE and s.missing[0] == 0:
        for q in range(1, s.total.size):
            if s.total[q] > t.limit[q]:
                return
        w.best[0] = s.total[0]
        w.mark[0] = 0


@compiled
def forget(t: Tables, s: State, w: Walk) -> None:
    """Begin again with this placement as the only one known."""
    w.mark[0] = -1
    w.best[0] = np.inf
    judge(t, s, w)


@compiled
def energy(t: Tables, s: State, w: Walk) -> float:
    """What is minimised."""
    over = 0.0
    for q in range(1, s.total.size):
        over += above(s.total[q] - t.limit[q])
    broken = w.setting[VIOLATION] * s.violation[0] + w.setting[LIMIT] * over
    return s.total[0] + broken + w.setting[HELD] * s.held[0]
