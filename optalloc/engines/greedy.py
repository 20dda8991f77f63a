"""A first answer: what runs stays, the rest goes, large first, to where it costs least.

Required tasks that find no place push others out; these look for another one. Rules that only
guide (spreads, dependencies) are mended by moving what breaks them, then by leaving out optional
tasks. An answer can still fail the check; it is then dropped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_placing import Placing
from optalloc.engines.greedy_pushing import Pushing
from optalloc.engines.greedy_start import Kept, what_is_given, what_runs
from optalloc.engines.greedy_state import State
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ROUNDS = 20
"""How often rules that guide are mended."""
PUSHES = 50
"""Tasks pushed out for each class until the search for places is given up."""


class Greedy:
    """Places one problem, from what runs now or from a placement that may break rules."""

    def __init__(self, problem: Problem, start: Placement | None = None) -> None:
        self.problem = problem
        self.state = State(problem)
        self.pushing = Pushing(self.state)
        self.placing = Placing(self.state, self.pushing.restless)
        self.out_of_time = False
        self._keep(what_runs(problem) if start is None else what_is_given(problem, start))
        self.pushing.relieve()
        self.pushing.loosen()
        self._sequence = self._order()

    def run(self, clock: Clock) -> bool:
        """Place all classes; False when a required task finds no place, or time runs out.

        When time ran out, another call goes on from there.
        """
        order = self._sequence
        required = order[self.problem.class_required[order]]
        for _ in range(ROUNDS):
            self._place_all(required, clock)
            self._push(required, clock)
            loose = self.pushing.loosen() if clock.left > 0 else []
            if not loose:
                break
            for c in loose:
                self.pushing.force(c)
        self.out_of_time = clock.left <= 0
        if self.state.left[required].any():
            return False
        self._place_all(order, clock)
        self.pushing.leave_out()
        return self.pushing.relieve() and not self.state.left[required].any()

    def placement(self) -> Placement:
        """What was placed, expanded to the instance's tasks and nodes."""
        return self.state.placement()

    # -- in which order --------------------------------------------------------------------------

    def _keep(self, kept: Kept) -> None:
        """Leave tasks where they are."""
        self.state.settle(kept.block, kept.node, kept.replicas)
        for choice in np.flatnonzero(kept.tasks).tolist():
            self.state.choose(choice, int(kept.tasks[choice]))
        self.state.w += kept.gangs

    def _order(self) -> IntArray:
        """What runs first, then required classes, large ones first; optional ones by density."""
        problem = self.problem
        size, gain = self._size(), self._gain()
        largest, density = np.zeros(problem.classes), np.full(problem.classes, -np.inf)
        np.maximum.at(largest, problem.choice_class, size)
        np.maximum.at(density, problem.choice_class, gain / np.maximum(size, 1e-12))
        value = np.where(problem.class_required, np.inf, density)
        arrives = ~np.isin(np.arange(problem.classes), problem.home[0])
        return np.lexsort((-largest, arrives, -value)).astype(np.int64)

    def _size(self) -> FloatArray:
        """The largest part of the cluster's resources that a task takes in each choice."""
        problem, columns = self.problem, self.problem.columns
        size, row = np.zeros(problem.choices), problem.choice_row
        total = np.maximum(problem.capacity.sum(axis=0), 1).astype(float)
        for i in range(len(columns.resources)):
            demand = columns.demand[i].at(row, np.zeros(1, np.int64)).astype(float)
            size = np.maximum(size, demand * columns.row_replicas[row] / total[i])
        return size

    def _gain(self) -> FloatArray:
        """What a task in each choice is worth by itself: at the first level that it changes."""
        problem, (levels, _) = self.problem, self.state.row_changes
        if not levels.any():
            weight: FloatArray = problem.columns.stated_weight[problem.task_classes.task]
            return weight[problem.choice_class]
        first = (levels != 0).argmax(axis=1)
        return np.asarray(-levels[np.arange(problem.choices), first], np.float64)

    # -- placing ---------------------------------------------------------------------------------

    def _place_all(self, classes: IntArray, clock: Clock) -> None:
        """Place what is left of classes, in this order, as far as there is room."""
        for k in classes[self.state.left[classes] > 0].tolist():
            for c in self.placing.choices(k):
                if clock.left <= 0:
                    return
                left = int(self.state.left[k])
                if left:
                    self.placing.place(c, self.placing.within_limits(c, left), clock)

    # -- pushing ---------------------------------------------------------------------------------

    def _push(self, required: IntArray, clock: Clock) -> None:
        """Place what is left of required classes where others make room for it."""
        steps = PUSHES * max(self.problem.classes, 1)
        while steps and clock.left > 0:
            waiting = required[self.state.left[required] > 0]
            if not waiting.size:
                return
            k = int(waiting[0])
            for c in self.placing.choices(k):
                wanted = self.placing.within_limits(c, int(self.state.left[k]))
                self.placing.place(c, wanted, clock, thrifty=True)
                if not self.state.left[k]:
                    break
            if self.state.left[k] and not any(
                self.pushing.force(c) for c in self.placing.choices(k)
            ):
                return
            steps -= 1
