"""Compiles ahead what mapping would compile when it first runs; the machine code stays on disk."""

from __future__ import annotations

import time

import numpy as np

from optalloc.mapping import exact, parting, searching
from optalloc.mapping.board import Board
from optalloc.mapping.compiled.base import generator
from optalloc.mapping.layout import Layout
from optalloc.mapping.machine import Machine
from optalloc.mapping.mapping import begin
from optalloc.mapping.multilevel import Effort, split
from optalloc.mapping.traffic import Traffic

SECONDS = 0.3
"""How long each search then runs."""


def compile_mapping() -> None:
    """Run every compiled search on a small problem."""
    ring = np.arange(16)
    traffic = Traffic.of_pairs(16, ring, np.roll(ring, -1), np.ones(16))
    tree, torus = Machine.hierarchy((2, 2, 4), (1, 2, 4)), Machine.torus((3, 2))
    small = Traffic.of_pairs(6, ring[:6], np.roll(ring[:6], -1), np.ones(6))
    layout = Layout.of(traffic, tree)
    # The first call compiles, and would use up the time of the search itself.
    for _ in range(2):
        searching.tabu(small, torus, _board(small, torus), 0)
        searching.multilevel(layout, _board(traffic, tree), 0)
        searching.annealing(layout, _board(traffic, tree), 0)
    split(layout.graph, np.array([9, 9]), Effort(steps=0), 1, generator(0), lambda: False)
    exact.by_branching(small, torus, _board(small, torus))
    exact.by_cuts(layout, _board(traffic, tree), 1, 0)
    pairs = np.array([[0, 2, 1, 0], [2, 0, 0, 1], [1, 0, 0, 2], [0, 1, 2, 0]])
    parting.worths(pairs, [[0, 1], [2, 3]], 3, 2, np.zeros(1, np.int64))


def _board(traffic: Traffic, machine: Machine) -> Board:
    board = Board(traffic, machine, time.monotonic() + SECONDS)
    begin(board, None)
    return board
