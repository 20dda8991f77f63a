"""Where tasks of a row go: to the nodes, or into the domain, where they cost least now."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import State, View
from optalloc.engines.protocol import Clock

IntArray = NDArray[np.int64]

MOST_LOOKS, LEAST_GLANCE = 10_000_000, 256
"""How many nodes are looked at for all classes, each once, before a class looks at a part of the
nodes first; and how many these are at least."""


class Placing:
    """Places tasks in a state, as far as there is room.

    Parameters
    ----------
    state
        What is placed.
    restless
        Blocks whose replicas need not stay where they run now.
    one_by_one
        Whether a node takes one replica before the others are looked at again.
    """

    def __init__(
        self, state: State, restless: Set[int] = frozenset(), one_by_one: bool = False
    ) -> None:
        self.state, self.problem, self.restless = state, state.problem, restless
        self.one_by_one = one_by_one
        self._glance = max(MOST_LOOKS // max(state.problem.classes, 1), LEAST_GLANCE)
        self._glances = 0

    def choices(self, k: int) -> list[int]:
        """Rows of a class, those that cost least by themselves first."""
        choices = range(self.state.first[k], self.state.first[k + 1])
        if len(choices) == 1:
            return list(choices)
        return sorted(choices, key=lambda c: tuple(self.state.row_changes[0][c].tolist()))

    def within_limits(self, choice: int, tasks: int) -> int:
        """How many tasks of a row the limits allow by what the row itself draws."""
        state = self.state
        drawn = state.row_changes[1][choice]
        for amount, left in zip(drawn.tolist(), (state.most - state.spent).tolist(), strict=True):
            if amount > 0:
                tasks = min(tasks, max(left // amount, 0))
        return tasks

    def place(self, choice: int, tasks: int, clock: Clock, thrifty: bool = False) -> None:
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
        if self.one_by_one and not share:
            room = np.minimum(room, 1)
        home = self.state.home_left(block)
        if home is not None and not share and block not in self.restless:
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


def _least(keys: Sequence[NDArray[Any]], index: IntArray) -> IntArray:
    """Those of some that are least by the first key, of these by the next, and so on."""
    for key in keys:
        if index.size > 1:
            values = key[index]
            index = index[values == values.min()]
    return index
