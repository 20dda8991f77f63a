"""The search's record of a placement: decisions and everything derived from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import Tables

Int32 = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

NOWHERE = -1
FEASIBLE = 1e-9
"""The largest violation that is rounding."""
CAP, THRESHOLD = 0, 1
"""Lines of `State.room`."""
OWNED, BOUND, SENSE, TERM, TOP = range(5)
"""Columns of `State.owner`."""


class State(NamedTuple):
    """A placement with everything that is derived from it.

    Parameters
    ----------
    choice : (tasks)
        Choice of each task; -1 where it is left out.
    node, block : (slots), (slots)
        Node and block of each replica; -1 where it is not in use.
    first, later, sooner : (N), (slots), (slots)
        Slots on each node as a list linked both ways; -1 at its ends.
    room : (N, 2, D)
        How far the dense aggregates are below their caps, and below their thresholds.
    replicas : (N)
        Replicas on each node.
    stamp, ticks : (N), (1)
        When the dense aggregates of each node changed last, and the next such time.
    cost, over : (N, Z), (N)
        What the dense dimensions of a node add to each quantity, and to the violation.
    dear : (N)
        How many times dearer than usual violations on a node are (see `dense.reprice`).
    home_count : (homes)
        Replicas of the class at each of its homes, where a class has several.
    need : (populations and their domains, 3)
        Replicas of a population in a domain; how many populations that it wants are absent there;
        how many replicas are there that want it.
    counter, row : (counters), (rows, 4)
        Aggregates, and what `Tables.counter_row` says of them now.
    owner : (owners, 5)
        What they are together by owner; what is needed with it lies beside it.
    tree : (2 * owners)
        Tournaments of the terms whose owners fold by the largest or smallest.
    total : (Z)
        The quantities.
    violation, over_total : (1)
        Weighted sum of all violations of rules, and those of the dense dimensions among them; every
        node that breaks one has a fixed part in it.
    missing : (1)
        Tasks that must be placed and are not.
    held : (1)
        Room that is held twice because replicas are away from home.
    away, away_at, away_size : (slots), (slots), (1)
        Slots that are not where they run now, and the place of each in that list.
    """

    choice: Int32
    node: Int32
    block: Int32
    first: Int32
    later: Int32
    sooner: Int32
    room: FloatArray
    replicas: Int32
    stamp: IntArray
    ticks: IntArray
    cost: FloatArray
    over: FloatArray
    dear: FloatArray
    home_count: Int32
    need: Int32
    counter: FloatArray
    row: FloatArray
    owner: FloatArray
    tree: FloatArray
    total: FloatArray
    violation: FloatArray
    over_total: FloatArray
    missing: Int32
    held: FloatArray
    away: Int32
    away_at: Int32
    away_size: Int32


def new_state(t: Tables) -> State:
    """Make the record; `changing.clear` fills all of it but counters, which begin as nothing."""
    nodes, width = t.base.shape
    slots, quantities = t.slot_task.size, t.constant.size
    return State(
        np.full(t.task_class.size, -1, np.int32),
        np.full(slots, NOWHERE, np.int32),
        np.full(slots, -1, np.int32),
        np.full(nodes, -1, np.int32),
        np.full(slots, -1, np.int32),
        np.full(slots, -1, np.int32),
        np.zeros((nodes, 2, width)),
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.int64),
        np.ones(1, np.int64),
        np.zeros((nodes, quantities)),
        np.zeros(nodes),
        np.ones(nodes),
        np.zeros(t.home_node.size, np.int32),
        np.zeros((int(t.population_start[-1]), 3), np.int32),
        np.zeros(int(t.counter_total[0])),
        np.zeros_like(t.counter_row),
        np.zeros((t.owner_bound.size, 5)),
        np.zeros(2 * t.owner_bound.size),
        np.zeros(quantities),
        np.zeros(1),
        np.zeros(1),
        np.zeros(1, np.int32),
        np.zeros(1),
        np.zeros(slots, np.int32),
        np.full(slots, -1, np.int32),
        np.zeros(1, np.int32),
    )
