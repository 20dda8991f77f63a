"""The searches that one run starts, each in a thread of its own."""

from __future__ import annotations

import numpy as np

from optalloc.mapping.board import Board
from optalloc.mapping.layout import Layout
from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

PATIENCE = 40
"""Moves of tabu search without a better cost, in n, after which it is kicked; at least `LEAST`."""
LEAST = 2000
FIRST, GROWTH = 1_000_000, 1.5
"""Steps of the first annealing, and how many times longer each following one is."""
HOT, COLD = (1.0, 0.3, 0.1), 0.005
"""First temperatures in turn, and the last one, in the mean change for the worse."""
PIECE = 2_000_000
"""Pairs that are looked at between two looks at the clock."""


def tabu(traffic: Traffic, machine: Machine, board: Board, seed: int) -> None:
    """Iterated robust tabu search on dense matrices; for one rank a slot and any distances."""
    from optalloc.mapping.compiled import tabu as kernel
    from optalloc.mapping.compiled.base import generator

    random, draws = generator(seed), np.random.default_rng(seed)
    n = machine.slots
    flow = np.zeros((n, n))
    flow[: traffic.ranks, : traffic.ranks] = traffic.matrix
    symmetric = machine.symmetric and bool(np.array_equal(flow, flow.T))
    walk = kernel.Walk(
        flow, np.zeros((n, n)), draws.permutation(n), np.zeros(n, np.int64),
        np.zeros((n, n)), np.zeros((n, n)), np.zeros(4),
    )  # fmt: skip
    kernel.begin(walk, machine.distance)
    best, least = walk.best.copy(), np.inf
    base = max(LEAST, PATIENCE * n)
    patience = base
    while not board.stop():
        kernel.walk_on(walk, max(1, PIECE // (n * n)), symmetric, random)
        if walk.number[kernel.BEST] < least:
            best, least = walk.best.copy(), walk.number[kernel.BEST]
            board.offer(best[: traffic.ranks], "tabu")
        if walk.number[kernel.TURN] - walk.number[kernel.SINCE] > patience:
            chance = draws.random()
            again = best if chance < 0.7 else walk.best if chance < 0.9 else draws.permutation(n)
            walk.slot[:] = again
            kernel.kick(walk, int(draws.integers(3, max(4, n // 2) + 1)), random)
            kernel.begin(walk, machine.distance)
            patience = base * int(draws.integers(1, 5))


def multilevel(layout: Layout, board: Board, seed: int, share: float = 0.5) -> None:
    """Halve the machine again and again, then improve all of it in cycles; and anew.

    Parameters
    ----------
    share
        Of the time until the best start is improved for the rest of it.
    """
    from optalloc.mapping.multilevel import Stopped
    from optalloc.mapping.starting import Starts

    starts = Starts(layout, board, seed, share)
    try:
        while not board.stop():
            starts.round()
    except Stopped:
        starts.hand_in()


def annealing(layout: Layout, board: Board, seed: int) -> None:
    """Anneal the whole graph from hot to cold, each time longer; in turn the best of all anew."""
    from optalloc.mapping.compiled import annealing as kernel
    from optalloc.mapping.compiled.base import generator
    from optalloc.mapping.multilevel import Effort, Stopped, filled, refine, spots_of

    random, k = generator(seed), 0
    slot = filled(layout.graph.size, layout.capacity, random)
    steps, mine = FIRST, slot
    try:
        while not board.stop():
            known = board.assignment
            hot = HOT[k % len(HOT)]
            start = mine if hot == HOT[0] or known is None else layout.block[known]
            spots = spots_of(layout.graph, layout.distance, layout.capacity, start)
            refine(spots, Effort(0, steps, hot, COLD), random, board.stop)
            kernel.descend(spots, random)
            mine = spots.slot.copy() if hot == HOT[0] else mine
            board.offer(layout.assignment(spots.slot), "annealing")
            k += 1
            if k % len(HOT) == 0:
                steps = int(GROWTH * steps)
    except Stopped:
        return
