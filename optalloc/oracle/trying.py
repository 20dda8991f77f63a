"""Other places for what runs, tried on an oracle, and all taken back where that is not better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optalloc.engines.greedy_terms import Tracked, violation
from optalloc.instance.errors import OptallocError
from optalloc.oracle.answers import Decision, Unverified

if TYPE_CHECKING:
    from optalloc.oracle.kinds import Live
    from optalloc.oracle.oracle import Oracle


def levels(oracle: Oracle) -> tuple[int, ...]:
    """Value of each level but for constants, turned so that less is better; from the counters."""
    total = np.zeros(len(oracle.ground.objective.levels), np.int64)
    for tracked in oracle.ground.counters.tracked:
        if tracked.levels:
            total += tracked.weight * _value(tracked)
    return tuple(total.tolist())


def _value(tracked: Tracked) -> int:
    term, values = tracked.term, tracked.reduced
    if term.limit is not None:
        values = violation(term.limit, values, np.arange(values.size))
    if term.outer == "sum" or not values.size:
        return int(values.sum())
    return int(values.max() if term.outer == "max" else values.min())


class Trial:
    """Changes of where tasks run that can be taken back as long as nobody else changes anything.

    Parameters
    ----------
    oracle
        Which is changed.
    """

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self._before: dict[str, Live] = {}
        self._levels, self._version = levels(oracle), oracle.version

    @property
    def better(self) -> bool:
        """Whether the levels are better than at first, in their order."""
        return levels(self.oracle) < self._levels

    def place_anew(self, name: str) -> bool:
        """Place a task where it costs least now; whether there is such a place."""
        self._remember(name)
        task = self.oracle.task(name)
        self.oracle.release(name)
        try:
            return isinstance(self.oracle.place(task)[0], Decision)
        except Unverified:
            return False

    def move(self, move: Decision) -> str:
        """Let a task run elsewhere; what is wrong where it cannot."""
        self._remember(move.task)
        try:
            self.oracle.move(move)
        except OptallocError as error:
            return str(error)
        return ""

    def back(self) -> None:
        """Let all run where it ran at first, whatever rules say."""
        self.oracle._return([*self._before.values()])
        self.oracle.version = self._version

    def _remember(self, name: str) -> None:
        if name not in self._before:
            self._before[name] = self.oracle._live[name]
