"""Proofs: exact search for small dense problems, structural bounds for groups on trees."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.board import Board
from optalloc.mapping.layout import Layout
from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]
SMALL = 16
"""Slots up to which every permutation can be looked at under bounds."""
GROUP = 64
"""Ranks up to which the traffic that leaves domains is bounded."""
NODES = 5000
"""Nodes between two looks at what others have found."""
CLOSE = 0.3
"""Share of the cost that may be left to prove for CP-SAT to be tried."""
EARLY = 0.3
"""Seconds before the time limit at which CP-SAT begins to end."""
LARGEST = 2.0**62
"""Four times the sum of whole volumes is below this, so that their differences are exact."""
Search = Callable[[], None]


def proof(
    traffic: Traffic,
    machine: Machine,
    layout: Layout | None,
    board: Board,
    workers: int,
    seed: int,
) -> Search | None:
    """The proof that fits a problem; None if there is none."""
    single = machine.single and bool(np.all(traffic.size == 1))
    if layout is not None and layout.levels and bool(np.all(traffic.size == 1)):
        return partial(by_cuts, layout, board, workers, seed) if traffic.ranks <= GROUP else None
    if single and machine.slots <= SMALL:
        return partial(by_branching, traffic, machine, board)
    return None


def by_branching(traffic: Traffic, machine: Machine, board: Board) -> None:
    """Search all assignments of single slots, depth first under the Gilmore-Lawler bound."""
    from optalloc.mapping.compiled.branching import search

    n = machine.slots
    flow = np.zeros((n, n))
    flow[: traffic.ranks, : traffic.ranks] = traffic.matrix
    even = machine.symmetric and np.array_equal(flow, flow.T)
    even = even and not (flow.diagonal().any() and machine.distance.diagonal().any())
    stack, flag = np.full((n + 1, n + 2), -1, np.int64), np.zeros(2, np.int64)
    best, done = np.arange(n), False
    while not done and not board.ended.is_set() and not board.stop():
        least = board.cost
        margin = (2.0 if even else 1.0) if board.whole else 1e-9 * abs(least)
        value, done = search(flow, machine.distance, best, least, margin, stack, flag, NODES)
        if value < least:
            board.offer(best[: traffic.ranks], "branch and bound")
    if done:
        board.prove(board.cost)


def by_cuts(layout: Layout, board: Board, workers: int, seed: int) -> None:
    """Bound the traffic that leaves the domains of each level, and add up.

    ``cost = d_0 W + sum over levels (d_l - d_{l-1}) cut_l``, W all traffic between different
    ranks and cut_l that between different groups of level l.
    """
    from optalloc.mapping.constraining import Run, prove_cut
    from optalloc.mapping.cuts import cut_bound, matrix_of
    from optalloc.mapping.ordering import Order
    from optalloc.mapping.packing import prove_parts

    weight = matrix_of(layout.graph)
    steps = levels(layout)
    inner = steps[0][0] if steps else 0.0
    total = float(weight.sum()) / 2
    bounds = [0.0] * len(steps)
    flag = np.zeros(1, np.int64)
    board.at_end.append(partial(flag.fill, 1))
    own = float(board.traffic.volume[board.traffic.source == board.traffic.target].sum())
    if own and np.any(board.machine.distance.diagonal()):
        return

    def found(k: int, cut: float) -> None:
        bounds[k] = max(cut, bounds[k])
        gained = sum(d * c for (d, _), c in zip(steps[1:], bounds[1:], strict=True))
        board.prove(inner * total + gained)

    for k in range(len(steps) - 1, 0, -1):
        label = steps[k][1]
        groups = int(label.max()) + 1
        capacity = np.bincount(label, layout.capacity, groups).astype(np.int64)
        assert board.assignment is not None, "there is one from the beginning"
        known = label[layout.block[board.assignment]]
        cut_bound(weight, groups, int(capacity.max()), known, board.stop, partial(found, k), flag)
    close = board.cost - board.bound <= CLOSE * board.cost
    whole = bool(np.all(weight == np.rint(weight))) and 4 * weight.sum() < LARGEST
    order = Order.of(weight) if whole and close and not board.proven else None
    if order is None:
        return
    small = order.replace(weight)
    for k in range(len(steps) - 1, 0, -1):
        label = steps[k][1]
        capacity = np.bincount(label, layout.capacity).astype(np.int64)
        if board.proven or np.ptp(capacity):
            continue
        left = board.deadline - EARLY - time.monotonic()
        run = Run(left, workers, seed, board.stop, board.at_end)
        known = label[layout.block[board.assignment]]
        shape = capacity.size, int(capacity[0])

        def inside(most: float, k: int = k) -> None:
            found(k, order.total - order.largest(most))

        prove_parts(small, *shape, known, run, flag, inside)
        most = order.replaced(order.total - bounds[k])
        if len(steps) == 2 and not board.proven:
            run = replace(run, seconds=board.deadline - EARLY - time.monotonic())
            prove_cut(
                small, *shape, known, small.sum() // 2 - most, run,
                partial(_left, inside, int(small.sum()) // 2),
                lambda at: board.offer(layout.assignment(at), "cp-sat"),
            )  # fmt: skip


def _left(inside: Callable[[float], None], total: float, cut: float) -> None:
    """Say what can stay inside at most from what is cut at least."""
    inside(total - cut)


def levels(layout: Layout) -> list[tuple[float, IntArray]]:
    """Distance within a block, then for each level the distance that leaving its groups adds."""
    blocks = np.arange(layout.capacity.size)
    inside = layout.distance.diagonal()[layout.capacity > 1]
    base = float(inside.min()) if inside.size else 0.0
    labels = [blocks]
    for level in layout.levels[::-1]:
        finer = np.unique(level, return_inverse=True)[1]
        if finer.max() + 1 < labels[-1].max() + 1 and finer.max() > 0:
            labels.append(finer)
    found, before = [(base, blocks)], base
    for label in labels:
        outside = layout.distance[np.not_equal.outer(label, label)]
        if outside.size:
            least = float(outside.min())
            found.append((max(least - before, 0.0), label))
            before = max(least, before)
    return found
