"""A first answer: what runs stays, the rest goes, large first, to where it costs least.

Required tasks that find no place push others out; these look for another one. Rules that only
guide (spreads, dependencies) are mended by moving what breaks them, then by leaving out optional
tasks. An answer can still fail the check; it is then dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_pushing import Pushing
from optalloc.engines.greedy_start import Kept, what_is_given, what_runs
from optalloc.engines.greedy_state import State, View
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ROUNDS = 20
"""How often rules that guide are mended."""
PUSHES = 50
"""Tasks pushed out for each class until the search for places is given up."""
MOST_LOOKS, LEAST_GLANCE = 10_000_000, 256
"""How many nodes are looked at for all classes, each once, before a class looks at a part of the
nodes first; and how many these are at least."""


class Greedy:
    """Places one problem, from what runs now or from a placement that may break rules."""

    def __init__(self, problem: Problem, start: Placement | None = None) -> None:
        self.problem = problem
        self.state = State(problem)
        self.pushing = Pushing(self.state)
        self.out_of_time = False
        self._glance = max(MOST_LOOKS // max(problem.classes, 1), LEAST_GLANCE)
        self._glances = 0
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

    def _choices(self, k: int) -> list[int]:
        """Rows of a class, those that cost least by themselves first."""
        choices = range(self.state.first[k], self.state.first[k + 1])
        if len(choices) == 1:
            return list(choices)
        return sorted(choices, key=lambda c: tuple(self.state.row_changes[0][c].tolist()))

    # -- placing ---------------------------------------------------------------------------------

    def _place_all(self, classes: IntArray, clock: Clock) -> None:
        """Place what is left of classes, in this order, as far as there is room."""
        for k in classes[self.state.left[classes] > 0].tolist():
            for c in self._choices(k):
                if clock.left <= 0:
                    return
                left = int(self.state.left[k])
                if left:
                    self._place(c, self._within_limits(c, left), clock)

    def _within_limits(self, choice: int, tasks: int) -> int:
        """How many tasks of a row the limits allow by what the row itself draws."""
        state = self.state
        drawn = state.row_changes[1][choice]
        for amount, left in zip(drawn.tolist(), (state.most - state.spent).tolist(), strict=True):
            if amount > 0:
                tasks = min(tasks, max(left // amount, 0))
        return tasks

    def _place(self, choice: int, tasks: int, clock: Clock, thrifty: bool = False) -> None:
        """Place up to so many tasks in a row, where they cost least or (thrifty) take least."""
        if self.problem.spots.of_choice[choice] < 0:
            self._place_in(choice, -1, tasks, clock, thrifty)
            return
        full: list[int] = []
        while tasks > 0 and (place := self._spot(choice, full)) is not None:
            spot, fits = place
            placed = self._place_in(choice, spot, min(tasks, fits), clock, thrifty)
            tasks -= placed
            if not placed:
                full.append(spot)

    def _place_in(self, choice: int, spot: int, tasks: int, clock: Clock, thrifty: bool) -> int:
        """Place up to so many tasks in a row, in a spot where they need one; how many it were."""
        problem, placed = self.problem, 0
        replicas = int(problem.choice_replicas[choice])
        block = int(problem.spot_block[spot] if spot >= 0 else problem.choice_block[choice])
        while placed < tasks and clock.left > 0:
            # Single-replica tasks are placed together: as many as the best nodes take.
            wanted = tasks - placed if replicas == 1 else replicas
            done: list[tuple[IntArray, IntArray]] = []
            while wanted and (at := self._best(block, wanted, thrifty, done)) is not None:
                self.state.move(block, *at)
                done.append(at)
                wanted -= int(at[1].sum())
            count = sum(int(number.sum()) for _, number in done) if replicas == 1 else 1
            if replicas > 1 and wanted:
                for nodes, number in done:
                    self.state.move(block, nodes, -number)
                break
            if not done:
                break
            self.state.choose(choice, count, spot)
            placed += count
        return placed

    def _spot(self, choice: int, full: list[int]) -> tuple[int, int] | None:
        """The fullest domain, of those that cost least, that takes a gang; and how many it takes.

        Parameters
        ----------
        choice
            Its replicas stay within a domain.
        full
            Spots that take none.
        """
        problem, spots = self.problem, self.problem.spots
        shape = int(spots.of_choice[choice])
        here = np.arange(spots.first[shape], spots.first[shape + 1])
        row, wanted = int(spots.row[shape]), int(spots.size[shape] * spots.most[here].max())
        view = self.state.view(*problem.all_nodes_of(shape), wanted)
        anchors = problem.anchors(int(problem.columns.row_within[row]))
        domain = anchors.domain[view.nodes]
        inside = np.flatnonzero(domain >= 0)
        domain, room = domain[inside], view.room[inside]
        if share := int(problem.columns.row_per_node[row]):
            room = np.where(room >= share, share, 0)
        number = np.bincount(domain, minlength=anchors.count)
        total = np.bincount(domain, room, anchors.count)[spots.domain[here]]
        costs = [
            (np.bincount(domain, key[inside], anchors.count) / np.maximum(number, 1))
            for key in view.keys
        ]
        fits = (total // spots.size[shape]).astype(np.int64)
        fits[np.isin(here, full)] = 0
        best = _least([*(cost[spots.domain[here]] for cost in costs), total], fits.nonzero()[0])
        return (int(here[best[0]]), int(fits[best[0]])) if best.size else None

    def _best(
        self, block: int, wanted: int, thrifty: bool, done: Sequence[tuple[IntArray, IntArray]]
    ) -> tuple[IntArray, IntArray] | None:
        """The best nodes for replicas of a block, and how many each takes.

        Where a task has a share on each node that it uses, those it has (`done`) take no more.
        """
        view = self._view(block, wanted, thrifty)
        share = int(self.problem.columns.row_per_node[self.problem.block_row[block]])
        if share:
            used = np.isin(view.nodes, [n for nodes, _ in done for n in nodes.tolist()])
            view.room = np.where((view.room >= share) & ~used, share, 0)
        room = view.room
        if not room.any():
            return None
        home = self.state.home_left(block)
        if home is not None and not share and block not in self.pushing.restless:
            # What runs stays where it is if it can: a first answer, not the last word.
            staying = np.minimum(room, home[view.nodes])
            room = staying if staying.any() else room
        keys: list[NDArray[Any]] = [view.keys[0], view.use] if thrifty else [*view.keys]
        if self.problem.shaped:
            # Gangs that stay within a domain need what is left whole.
            keys.append(room)
        if not view.separable or wanted == 1:
            # What is placed on the best one changes what the others are worth, and a new domain
            # is worth something to the first replica only.
            best = _least(keys, room.nonzero()[0])[:1]
            single = (view.keys[0][best] < 0) & (share == 0)
            return view.nodes[best], np.where(single, 1, room[best])
        order = np.lexsort(keys[::-1])
        order = order[room[order] > 0]
        held = np.cumsum(room[order])
        order = order[: int(np.searchsorted(held, wanted)) + 1]
        number = room[order]
        number[-1] -= max(int(number.sum()) - wanted, 0)
        return view.nodes[order], number

    def _view(self, block: int, wanted: int, thrifty: bool) -> View:
        """Evaluate the nodes: a part of very many first, all if none of it will do.

        The part is every so manieth node, from another one each time, and where the class runs.
        """
        state, nodes = self.state, self.problem.nodes_of(block)
        every = -(-nodes.size // self._glance)
        if every > 1:
            self._glances += 1
            some = nodes[self._glances % every :: every]
            homes = state.stays.get(int(self.problem.block_class[block]))
            if homes is not None:
                some = np.union1d(some, np.intersect1d(nodes, list(homes)))
            view = state.view(block, some, wanted, thrifty)
            if view.nodes.size and view.keys[0].min() <= 0:
                return view
        return state.view(block, nodes, wanted, thrifty)

    # -- pushing ---------------------------------------------------------------------------------

    def _push(self, required: IntArray, clock: Clock) -> None:
        """Place what is left of required classes where others make room for it."""
        steps = PUSHES * max(self.problem.classes, 1)
        while steps and clock.left > 0:
            waiting = required[self.state.left[required] > 0]
            if not waiting.size:
                return
            k = int(waiting[0])
            for c in self._choices(k):
                wanted = self._within_limits(c, int(self.state.left[k]))
                self._place(c, wanted, clock, thrifty=True)
                if not self.state.left[k]:
                    break
            if self.state.left[k] and not any(self.pushing.force(c) for c in self._choices(k)):
                return
            steps -= 1


def _least(keys: Sequence[NDArray[Any]], index: IntArray) -> IntArray:
    """Those of some that are least by the first key, of these by the next, and so on."""
    for key in keys:
        if index.size > 1:
            values = key[index]
            index = index[values == values.min()]
    return index
