"""A search for better places of what runs: tasks are taken off and placed anew, few at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from optalloc.engines.protocol import Clock
from optalloc.oracle.trying import Trial
from optalloc.solution import Placed

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle

FAILURES = 100
"""Nodes in a row that cannot be emptied after which single tasks come next."""


def moved(now: Placed, then: Placed) -> int:
    """Replicas that move; at least one where a task does, be it to another row only."""
    stay = sum(min(number, now.nodes.get(node, 0)) for node, number in then.nodes.items())
    return max(sum(then.nodes.values()) - stay, 1)


def place_anew(trial: Oracle, clock: Clock, max_moves: int) -> dict[str, Placed]:
    """Find better places, as the oracle places requests, and let tasks run there.

    Nodes are emptied, those with the fewest replicas first; then single tasks move.

    Parameters
    ----------
    trial
        Is changed.
    clock
        Until when.
    max_moves
        Replicas that run elsewhere in the end, at most.

    Returns
    -------
    dict
        Where the tasks run now that moved.
    """
    return _Search(trial, clock, max_moves).run()


class _Search:
    def __init__(self, trial: Oracle, clock: Clock, max_moves: int) -> None:
        self.trial, self.clock, self.most = trial, clock, max_moves
        self.start: dict[str, Placed] = {}
        self.moved: dict[str, int] = {}
        self.nodes = trial.ground.problem.columns.node_names

    def run(self) -> dict[str, Placed]:
        self._empty_nodes()
        names = [*self.trial.tasks()]
        random.Random(0).shuffle(names)
        while self._pass(names):
            pass
        return {name: self.trial.where(name) for name, number in self.moved.items() if number}

    @property
    def _left(self) -> int:
        return self.most - sum(self.moved.values())

    def _empty_nodes(self) -> None:
        failures = 0
        for node in self._emptiest():
            if failures == FAILURES or self.clock.left <= 0 or self._left < 1:
                return
            failures = 0 if self._empty(node) else failures + 1

    def _emptiest(self) -> Iterable[int]:
        """Nodes on which something runs, those with the fewest tasks first."""
        many = self.trial._on.numbers()
        return sorted(many, key=lambda n: (many[n], n))

    def _empty(self, node: int) -> bool:
        names, closed = self.trial.tasks_on(self.nodes[node]), self.trial.ground.closed
        if not 0 < len(names) <= self._left:
            return False
        before = bool(closed[node])
        closed[node] = True
        done = self._try(names)
        closed[node] = before
        return done

    def _pass(self, names: list[str]) -> bool:
        """Place each task anew; whether that made something better and there is more to be done."""
        found = False
        for name in names:
            if self.clock.left <= 0 or self._left < 1:
                return False
            found |= self._try([name])
        return found

    def _try(self, names: Iterable[str]) -> bool:
        """Place some tasks anew; they go back where that is not better, or too much moves."""
        trial, moved_before = Trial(self.trial), dict(self.moved)
        if all(self._moves(name, trial.place_anew) for name in names) and trial.better:
            return True
        trial.back()
        self.moved = moved_before
        return False

    def _moves(self, name: str, place: Callable[[str], bool]) -> bool:
        start = self.start.setdefault(name, self.trial.where(name))
        if not place(name):
            return False
        now = self.trial.where(name)
        self.moved[name] = 0 if now == start else moved(start, now)
        return self._left >= 0 and self.clock.left > 0
