"""Ejections: what breaks rules is taken away, and what finds no place takes that of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import Contributor, State
from optalloc.engines.greedy_terms import Tracked

IntArray = NDArray[np.int64]

NOISE = 0.3
"""Part by which the choice of a place that is to be cleared is random."""


class Pushing:
    """Takes replicas away, gangs as a whole; the tasks are left to be placed anew.

    Parameters
    ----------
    state
        The placement; `State.left` counts what is to be placed.

    Attributes
    ----------
    restless
        Blocks of which some replicas must leave where they run now.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.restless: set[int] = set()
        self._trouble = np.zeros(state.problem.classes, np.int64)
        self._random = np.random.default_rng(0)

    def force(self, choice: int) -> bool:
        """Place a task where it breaks rules least, and take away what is in the way."""
        state, problem = self.state, self.state.problem
        spot, k = self._spot(choice), int(problem.choice_class[choice])
        block = int(problem.spot_block[spot] if spot >= 0 else problem.choice_block[choice])
        self._trouble[k] += 1
        replicas = int(problem.choice_replicas[choice])
        if np.any(state.spent + state.row_changes[1][choice] > state.most):
            return False
        if problem.columns.row_per_node[problem.block_row[block]]:
            # Replicas are forced one by one, which tears shapes apart.
            return False
        mine: set[int] = set()
        for _ in range(replicas):
            view = state.view(block, problem.nodes_of(block), 1, forced=True)
            if not view.nodes.size:
                for node in mine:
                    state.move(block, np.array([node]), -np.array([state.x[block][node]]))
                return False
            noise = 1 + NOISE * self._random.random(view.nodes.size)
            best = np.lexsort(((view.use + view.overload) * noise, view.keys[0]))[0]
            node = int(view.nodes[best])
            state.move(block, np.array([node]), np.array([1]))
            mine.add(node)
        state.choose(choice, 1, spot)
        if self.relieve((block, mine)):
            return True
        self.take(block, node, 1)
        return False

    def _spot(self, choice: int) -> int:
        """Where a gang that stays within a domain breaks rules least; -1 if it may be anywhere."""
        problem, spots = self.state.problem, self.state.problem.spots
        shape = int(spots.of_choice[choice])
        if shape < 0:
            return -1
        here = np.arange(spots.first[shape], spots.first[shape + 1])
        view = self.state.view(*problem.all_nodes_of(shape), 1, forced=True)
        anchors = problem.anchors(int(problem.columns.row_within[spots.row[shape]]))
        domain, over = anchors.domain[view.nodes], np.full(anchors.count, np.inf)
        inside = domain >= 0
        np.minimum.at(over, domain[inside], (view.use + view.overload)[inside])
        noise = 1 + NOISE * self._random.random(here.size)
        return int(here[np.argmin(over[spots.domain[here]] * noise)])

    def relieve(self, kept: tuple[int, set[int]] | None = None) -> bool:
        """Take away what breaks rules that block, but for replicas of a block on some nodes.

        Returns
        -------
        bool
            Whether these rules hold now.
        """
        relieved = True
        for tracked in self.state.tracked:
            if tracked.blocks:
                for owner in tracked.broken():
                    relieved &= self._relieve(tracked, owner, kept)
        return relieved

    def _relieve(self, tracked: Tracked, owner: int, kept: tuple[int, set[int]] | None) -> bool:
        assert tracked.term.limit is not None
        bound = int(tracked.term.limit.bound[owner])
        while (over := int(tracked.reduced[owner]) - bound) > 0:
            found = [
                c
                for c in self.state.contributors(tracked, owner)
                if c.amount > 0 and not (kept and c.block == kept[0] and c.node in kept[1])
            ]
            if not found:
                return False
            victim = min(found, key=lambda c: self._reluctance(c, over))
            self.take(victim.block, victim.node, -(-over // victim.amount))
        return True

    def _reluctance(self, victim: Contributor, over: int) -> tuple[int, ...]:
        """Who leaves first: who finds places easily, then who makes up for it alone, just so."""
        k = int(self.state.problem.block_class[victim.block])
        enough = victim.amount >= over
        must = int(self.state.problem.class_required[k])
        size = victim.amount if enough else -victim.amount
        return must, int(self._trouble[k]), int(not enough), size, victim.block, victim.node

    def loosen(self) -> list[int]:
        """Take away what breaks rules that guide, to be placed better; the choices taken."""
        taken = []
        for tracked in self.state.tracked:
            if tracked.rule and not tracked.blocks:
                for owner in tracked.broken():
                    taken += self._loosen(tracked, owner)
        return taken

    def _loosen(self, tracked: Tracked, owner: int) -> list[int]:
        """Take away whose absence costs nothing: as many as there are domains missing."""
        limit = tracked.term.limit
        assert limit is not None
        taken: list[int] = []
        missing = int(limit.bound[owner] - tracked.reduced[owner])
        for one in self.state.contributors(tracked, owner):
            if limit.sense == "at_least" and len(taken) >= missing:
                break
            if limit.sense == "at_most" and not tracked.breaks(owner):
                break
            if one.node not in self.state.x.get(one.block, {}):
                continue
            change, _ = tracked.change(one.index, np.full(one.index.size, -one.amount))
            worse = change.sum() < 0 if limit.sense == "at_least" else False
            if not worse:
                self.restless.add(one.block)
                taken.append(self.take(one.block, one.node, 1))
        return taken

    def leave_out(self) -> None:
        """Leave out optional tasks that break rules, until nothing changes any more."""
        changed = True
        while changed:
            changed = False
            for tracked in self.state.tracked:
                for owner in tracked.broken():
                    changed |= self._leave_out(tracked, owner)

    def _leave_out(self, tracked: Tracked, owner: int) -> bool:
        found = self.state.contributors(tracked, owner)
        required = self.state.problem.class_required[
            self.state.problem.block_class[[one.block for one in found]]
        ]
        optional = [one for one, must in zip(found, required, strict=True) if not must]
        for one in optional:
            number = self.state.x.get(one.block, {}).get(one.node, 0)
            if number and tracked.breaks(owner):
                self.take(one.block, one.node, number)
        return bool(optional)

    def take(self, block: int, node: int, number: int) -> int:
        """Take replicas off a node; of a gang its others too. The choice that they ran in."""
        state, problem = self.state, self.state.problem
        choice, spot = self._gang_in(block)
        replicas = int(problem.choice_replicas[choice])
        here = state.x[block][node]
        if replicas == 1:
            held = state.y[choice] if spot < 0 else min(state.y[choice], state.w[spot])
            number = min(number, here, int(held))
            state.move(block, np.array([node]), np.array([-number]))
            state.choose(choice, -number, spot)
            return choice
        left = replicas
        for n, held in [(node, here), *((n, h) for n, h in state.x[block].items() if n != node)]:
            off = min(held, left)
            if off:
                state.move(block, np.array([n]), np.array([-off]))
                left -= off
        state.choose(choice, -1, spot)
        return choice

    def _gang_in(self, block: int) -> tuple[int, int]:
        """A choice of which tasks are in a block, and their spot (-1: they may be anywhere)."""
        state, problem = self.state, self.state.problem
        if problem.block_anchor[block] < 0:
            return int(np.flatnonzero((problem.choice_block == block) & (state.y > 0))[-1]), -1
        spot = int(np.flatnonzero((problem.spot_block == block) & (state.w > 0))[-1])
        shape = problem.spots.shape[spot]
        return int(np.flatnonzero((problem.spots.of_choice == shape) & (state.y > 0))[-1]), spot
