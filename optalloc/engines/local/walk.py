"""What a walk through placements keeps beside the placement: settings, counts, the best so far."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import Tables

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]

LOGS = 4096
KINDS = 5


class Walk(NamedTuple):
    """What the loop keeps beside the state.

    Parameters
    ----------
    random : (2)
        State of the generator.
    logs : (LOGS)
        ``-log`` of evenly spaced numbers in (0, 1).
    setting : (4)
        Temperature, penalty of a unit of violation, of a unit above a limit, and the largest
        violation that is accepted to grow.
    chance : (KINDS)
        Cumulative chances of the kinds of moves.
    tried, taken : (KINDS)
        Candidates priced and committed.
    best : (2)
        Active quantity of the best placement that keeps everything; its violation is 0.
    best_choice, best_node : (tasks), (slots)
        That placement, where it was copied.
    slots, froms, choices : (journal)
        Moves since the best placement: what moved and where it was before.
    mark : (1)
        See `REMEMBERED`.
    delta, other : (Z)
        Room for prices.
    nodes : (most slots of a task)
        Room for where a task was.
    """

    random: Words
    logs: FloatArray
    setting: FloatArray
    chance: FloatArray
    tried: IntArray
    taken: IntArray
    best: FloatArray
    best_choice: Int32
    best_node: Int32
    slots: Int32
    froms: Int32
    mark: IntArray
    delta: FloatArray
    other: FloatArray
    nodes: Int32


def new_walk(t: Tables, seed: int) -> Walk:
    """Make a walk that has not begun."""
    slots = t.slot_task.size
    journal = slots // 2 + 1000
    generator = np.random.default_rng(seed)
    quantities = t.constant.size
    return Walk(
        generator.integers(1, 2**63, 2, dtype=np.uint64),
        -np.log((np.arange(LOGS) + 0.5) / LOGS),
        np.zeros(4),
        np.zeros(KINDS),
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
        np.zeros(int(np.diff(t.task_slot).max(initial=0)), np.int32),
    )
