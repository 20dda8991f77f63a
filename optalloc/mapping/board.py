"""What the searches of one run share: the best assignment and bound so far, and when to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.evaluating import cost, faults
from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]
TOLERANCE = 1e-9
"""Costs that differ relatively by less are equal, where numbers are not whole."""


class Board:
    """Assignments are kept with the cost that the evaluator states; wrong ones are refused."""

    def __init__(self, traffic: Traffic, machine: Machine, deadline: float) -> None:
        self.traffic = traffic
        self.machine = machine
        self.deadline = deadline
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.assignment: IntArray | None = None
        self.cost = np.inf
        self.bound = 0.0
        self.method = ""
        self.rejected = 0
        self.at_end: list[Callable[[], object]] = []
        self.listener: Callable[[float, float], None] | None = None
        numbers = (traffic.volume, machine.distance)
        self.whole = all(np.array_equal(values, np.rint(values)) for values in numbers)

    def stop(self) -> bool:
        """Whether searches must end."""
        return self.ended.is_set() or time.monotonic() >= self.deadline

    def finish(self) -> None:
        """End all searches, those too that only listen when they are called."""
        self.ended.set()
        for end in self.at_end:
            end()

    @property
    def proven(self) -> bool:
        """Whether the bound meets the cost."""
        return self.bound >= self.cost - (0 if self.whole else TOLERANCE * abs(self.cost))

    def offer(self, assignment: IntArray, method: str) -> float:
        """Keep an assignment if it is the best; returns its cost, infinite if it is none."""
        if faults(self.traffic, self.machine, assignment):
            self.rejected += 1
            return np.inf
        found = cost(self.traffic, self.machine, assignment)
        with self.lock:
            if found < self.cost:
                self.cost, self.assignment, self.method = found, assignment.copy(), method
                self._changed()
        return found

    def prove(self, bound: float) -> None:
        """Note that no assignment costs less."""
        stated = float(np.ceil(bound - 1e-6)) if self.whole else bound
        with self.lock:
            if stated > self.bound:
                self.bound = stated
                self._changed()

    def _changed(self) -> None:
        if self.listener is not None:
            self.listener(self.cost, self.bound)
        if self.proven:
            self.finish()
