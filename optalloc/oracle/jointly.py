"""Tasks that wait together: in which order they are placed so that more, or better, is placed.

Tasks are placed one after the other, in the order in which they came and in a few others: the
hardest first, and then whatever found no place first. Another order counts only where it places
all that the first one does, so that no task is refused because of one that came later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Task
from optalloc.oracle.answers import Decision, Unverified
from optalloc.oracle.kinds import Kind

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle

MOST = 64
"""Tasks that are planned together."""
ROUNDS = 4
"""Orders in which what found no place comes first."""
SECONDS = 0.1
"""After which no other order is tried."""


@dataclass(frozen=True)
class Outcome:
    """What came of an order.

    Parameters
    ----------
    placed
        Where tasks are, by name.
    cost
        Of each level of the objective, the most important first: less is better.
    """

    placed: dict[str, Decision]
    cost: tuple[int, ...]

    def better(self, other: Outcome) -> bool:
        """Whether it places all that another places, and more or at less cost."""
        if not self.placed.keys() >= other.placed.keys():
            return False
        more = len(self.placed) > len(other.placed)
        return more or self.cost < other.cost


def plan(oracle: Oracle, tasks: Sequence[Task], seconds: float = SECONDS) -> dict[str, Decision]:
    """Find where tasks go that are to be placed in this order; nothing is placed yet.

    Parameters
    ----------
    oracle
        Where.
    tasks
        Those that cannot be placed at all, as `Oracle.check` says, are left out.
    seconds
        After which no other order is tried.

    Returns
    -------
    dict
        Where to put tasks, by name, so that all those are placed that would be placed one after
        the other; empty where nothing is better than that.
    """
    until = time.monotonic() + seconds
    asked, kinds = _possible(oracle, tasks[:MOST])
    if len(asked) < 2:
        return {}
    first = best = _outcome(oracle, asked, kinds)
    order = sorted(asked, key=lambda task: -_hardness(oracle, kinds[task.name]))
    for _ in range(ROUNDS):
        if order == asked or time.monotonic() > until:
            break
        found = _outcome(oracle, order, kinds)
        best = found if found.better(best) else best
        refused = [task for task in order if task.name not in found.placed]
        if not refused:
            break
        order = refused + [task for task in order if task.name in found.placed]
    return {} if best is first else best.placed


def _possible(oracle: Oracle, tasks: Sequence[Task]) -> tuple[list[Task], dict[str, Kind]]:
    """Those that could be placed, each name once, and what they are."""
    asked: list[Task] = []
    kinds: dict[str, Kind] = {}
    for task in tasks:
        if task.name in kinds:
            continue
        try:
            oracle.check(task)
        except OptallocError:
            continue
        asked.append(task)
        kinds[task.name] = oracle._kind(task)
    return asked, kinds


def _hardness(oracle: Oracle, kind: Kind) -> float:
    """Largest share of the whole capacity that a task needs, those of many nodes more."""
    columns = kind.problem.columns
    row = int(columns.row_start[-2])
    total = oracle.ground.capacity.sum(axis=0)
    every = np.arange(columns.nodes)
    size = 0.0
    for demand, all_of_it in zip(columns.demand, total.tolist(), strict=True):
        each = (
            float(demand.base[row])
            if not demand.parts
            else float(np.max(demand.at(np.array([row]), every), initial=0))
        )
        size = max(size, each / max(all_of_it, 1))
    few = float(kind.problem.node_mask[kind.problem.allowed.row_kind[row]].mean())
    return size * int(columns.row_replicas[row]) / max(few, 1 / columns.nodes)


def _outcome(oracle: Oracle, order: Sequence[Task], kinds: dict[str, Kind]) -> Outcome:
    """Place tasks in an order, and take them off again."""
    placed: dict[str, Decision] = {}
    try:
        for task in order:
            try:
                found = oracle._find(task, kinds[task.name])
            except Unverified:
                continue
            if found is not None:
                placed[task.name] = found
        return Outcome(placed, _cost(oracle))
    finally:
        for name in reversed(placed):
            oracle._take_off(name)


def _cost(oracle: Oracle) -> tuple[int, ...]:
    """What the levels come to, by the counters that all share."""
    cost = [0] * len(oracle.ground.objective.levels)
    for tracked in oracle.ground.counters.tracked:
        values = tracked.reduced
        outer = tracked.term.outer
        value = int(getattr(values, outer)()) if values.size else 0
        for level, weight in tracked.levels:
            cost[level] += weight * value
    return tuple(cost)
