"""Starts by multisection and cycles that improve them, until the time is used."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.board import Board
from optalloc.mapping.compiled import annealing
from optalloc.mapping.compiled.base import below, generator
from optalloc.mapping.layout import Layout
from optalloc.mapping.multilevel import Effort, Multisection, cycle, part_of, spots_of

IntArray = NDArray[np.int64]
HEATS = (0.05, 0.02, 0.01, 0.005, 0.002)
COARSEST = (8, 16, 32, 64)
"""First temperatures, and vertices of the coarsest graph for each slot, of cycles in turn."""
FIRST = 2
"""Tries of the cuts of the first start, which is to be there soon; later ones get more."""
SMALL = 2000
"""Graphs with fewer vertices are annealed on every level while they are halved."""


class Starts:
    """One search: makes starts, then improves the best of them."""

    def __init__(self, layout: Layout, board: Board, seed: int, share: float) -> None:
        self.layout = layout
        self.board = board
        self.random = generator(seed)
        self.seed = seed
        now = time.monotonic()
        self.until = now + share * (board.deadline - now)
        self.best: IntArray | None = None
        self.least = np.inf
        self.rounds = 0
        small = layout.graph.vertices < SMALL
        labels = [*layout.levels, np.arange(layout.capacity.size)] if small else []
        numbered = [np.unique(label, return_inverse=True)[1] for label in labels]
        self.levels = [label for label in numbered if label.max() > 1]

    def round(self) -> None:
        """Make a start and improve it while that helps; at last improve the best one.

        Raises
        ------
        Stopped
            When the time is over.
        """
        cut = self._multisection()
        self.rounds += 1
        slot = cut.assign(self.layout.graph, self.random, self.board.stop)
        least = self._note(slot)
        last = time.monotonic() >= self.until
        if last and self.best is not None:
            slot, least = self._known()
        # Large graphs need their time for starts: only the best one is improved at length.
        patience = 4 * len(HEATS) if self.layout.graph.vertices < SMALL else 1
        failed, k = 0, 0
        while failed < patience or last:
            again = self.levels and k % len(HEATS) == len(HEATS) - 1
            better = self._cycle(self._regrouped(slot) if again else slot, k)
            value = self._note(better)
            failed, k = (0 if value < least - 1e-9 else failed + 1), k + 1
            if value <= least:
                slot, least = better, value
            last = last or time.monotonic() >= self.until
            if last and least > self.board.cost:
                slot, least = self._known()

    def _known(self) -> tuple[IntArray, float]:
        """The best assignment that any search has found, and its cost."""
        assert self.board.assignment is not None, "there is one from the beginning"
        slot = self.layout.block[self.board.assignment]
        return slot, self._note(slot)

    def hand_in(self) -> None:
        """Offer the best so far."""
        if self.best is not None:
            self.board.offer(self.layout.assignment(self.best), "multilevel")

    def _multisection(self) -> Multisection:
        small = self.layout.graph.vertices < SMALL
        tries = FIRST if self.rounds == 0 else 8 if small else 2 + 3 * self.rounds
        effort = Effort(
            steps=20 if small else 0, least=1000, hot=0.05, cold=0.002, seeds=10, patience=30
        )
        return Multisection(
            self.layout.distance,
            self.layout.capacity,
            self.layout.levels,
            effort,
            tries,
            outer=64 if small else 8,
        )

    def _regrouped(self, slot: IntArray) -> IntArray:
        """Divide two groups of some level anew between them, and all that is within them."""
        label = self.levels[below(self.random, len(self.levels))]
        one, two = (below(self.random, int(label.max()) + 1) for _ in range(2))
        slots = np.flatnonzero((label == one) | (label == two))
        mine = np.flatnonzero(np.isin(slot, slots))
        if one == two or not mine.size:
            return slot
        part = part_of(self.layout.graph, mine)
        found = slot.copy()
        found[mine] = self._multisection().assign(part, self.random, self.board.stop, slots)
        return found

    def _cycle(self, slot: IntArray, k: int) -> IntArray:
        effort = Effort(
            steps=20 if self.layout.graph.vertices >= SMALL else 200,
            least=20_000,
            hot=HEATS[(k + self.seed) % len(HEATS)],
            cold=0.0005,
            coarsest=COARSEST[(k + self.seed) % len(COARSEST)],
            seeds=10,
        )
        layout = self.layout
        return cycle(
            layout.graph, layout.distance, layout.capacity, slot, effort, self.random,
            self.board.stop,
        )  # fmt: skip

    def _note(self, slot: IntArray) -> float:
        layout = self.layout
        spots = spots_of(layout.graph, layout.distance, layout.capacity, slot)
        if np.any(spots.load > spots.capacity):
            return np.inf
        value = float(annealing.cost_of(spots))
        if value < self.least:
            self.best, self.least = slot.copy(), value
            self.hand_in()
        return value
