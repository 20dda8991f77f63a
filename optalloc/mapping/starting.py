"""Starts by multisection and cycles that improve them, until the time is used."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.board import Board
from optalloc.mapping.compiled import annealing
from optalloc.mapping.compiled.base import generator
from optalloc.mapping.layout import Layout
from optalloc.mapping.multilevel import Effort, Multisection, cycle, spots_of

IntArray = NDArray[np.int64]
HEATS = (0.05, 0.02, 0.01, 0.005, 0.002)
COARSEST = (8, 16, 32, 64)
"""First temperatures, and vertices of the coarsest graph for each slot, of cycles in turn."""
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

    def round(self) -> None:
        """Make a start and improve it while that helps; at last improve the best one.

        Raises
        ------
        Stopped
            When the time is over.
        """
        small = self.layout.graph.vertices < SMALL
        tries = (8 if small else 5 + 2 * self.rounds)
        effort = Effort(
            steps=20 if small else 0, least=1000, hot=0.05, cold=0.002, seeds=10, patience=30
        )
        cut = Multisection(
            self.layout.distance,
            self.layout.capacity,
            self.layout.levels,
            effort,
            tries,
            outer=64 if small else 8,
        )
        self.rounds += 1
        slot = cut.assign(self.layout.graph, self.random, self.board.stop)
        least = self._note(slot)
        last = time.monotonic() >= self.until
        if last and self.best is not None:
            slot, least = self.best, self.least
        failed, k = 0, 0
        while failed < 2 * len(HEATS) or last:
            better = self._cycle(slot, k)
            value = self._note(better)
            failed, k = (0 if value < least - 1e-9 else failed + 1), k + 1
            if value <= least:
                slot, least = better, value
            last = last or time.monotonic() >= self.until
            if last and least > self.least and self.best is not None:
                slot, least = self.best, self.least

    def hand_in(self) -> None:
        """Offer the best so far."""
        if self.best is not None:
            self.board.offer(self.layout.assignment(self.best), "multilevel")

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
