"""Multilevel search: coarsen, place the coarse graph, refine on the way back.

`split` divides a graph among a few groups of slots so that little traffic leaves them; `multisect`
does so from the outermost level of the machine inwards, which gives a first assignment; `cycle`
improves an assignment under the machine's own distances: pairs are merged within their slots only,
so that whole clusters move while it is coarse. Refinement is annealing on every level.
Sources: Sanders and Schulz, ESA 2011 (iterated multilevel partitioning); Faraj, van der Grinten,
Meyerhenke, Traeff and Schulz, SEA 2020 (hierarchical multisection for process mapping).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.compiled import annealing, climbing, coarsening, flowing
from optalloc.mapping.compiled.annealing import Spots
from optalloc.mapping.compiled.base import Words
from optalloc.mapping.traffic import Graph

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
NEAREST = 8
"""Slots near to each that annealing prefers."""
CHUNK = 1_000_000
"""Steps of annealing between two looks at the clock."""
CYCLES = 3
"""Cycles that improve the best of several cuts."""
SHRINK = 0.95
"""Coarsening ends when a level is not smaller than that."""


class Stopped(Exception):
    """The time is over."""


@dataclass(frozen=True)
class Effort:
    """How thoroughly to search.

    Parameters
    ----------
    steps
        Steps of annealing for each vertex of every level; with 0 the coarsest graph, when it is
        divided in two, is not annealed either, but divided by growing one part.
    least
        Steps of a level, however few vertices it has.
    hot, cold
        First and last temperature, in the mean change that makes an assignment worse.
    coarsest
        Vertices of the coarsest graph for each slot.
    seeds, patience
        Passes that begin with one vertex, for ten vertices, and moves after which one gives up.
    """

    steps: int = 100
    least: int = 100_000
    hot: float = 0.3
    cold: float = 0.005
    coarsest: int = 16
    seeds: int = 10
    patience: int = 30


REACH = 16.0
"""How far flows between two groups reach, in what each of them has free."""
GROWN = 20
"""Starts of the coarsest graph when it is divided in two."""
MELT = Effort(steps=60, least=2000, hot=1.0, cold=0.01)
MELTS = 3
"""How the coarsest graph is annealed anew, and how often."""
PASSES = 10
"""Most passes from all borders in a row."""


def spots_of(graph: Graph, distance: FloatArray, capacity: IntArray, slot: IntArray) -> Spots:
    """Lay out an assignment for annealing."""
    slots = capacity.size
    near = np.argsort(distance, axis=1, kind="stable")[:, : NEAREST + 1].astype(np.int64)
    largest = int(np.bincount(slot, minlength=slots).max(initial=0))
    most = min(graph.vertices, max(2 * largest, 4 * graph.vertices // max(slots, 1) + 64))
    spots = Spots(
        graph.start,
        graph.end,
        graph.weight,
        graph.size,
        np.ascontiguousarray(distance),
        np.ascontiguousarray(near),
        capacity,
        slot.astype(np.int64),
        np.zeros(slots, np.int64),
        np.zeros(slots, np.int64),
        np.zeros((slots, most), np.int64),
        np.zeros(graph.vertices, np.int64),
    )
    annealing.seat(spots)
    return spots


def coarsened(graph: Graph, part: IntArray, largest: int, random: Words) -> tuple[Graph, IntArray]:
    """Merge pairs within parts, none larger than `largest`; returns the coarse vertex of each."""
    rows = (graph.start, graph.end, graph.weight, graph.size)
    coarse, many = coarsening.match(*rows, part, largest, random)
    return Graph(*coarsening.contract(*rows, coarse, many)), coarse


def levels_of(
    graph: Graph, part: IntArray, target: int, largest: int, random: Words
) -> tuple[list[Graph], list[IntArray]]:
    """Coarsen until `target` vertices are left: the graphs, finest first, and the ways down."""
    graphs, ways = [graph], []
    while graphs[-1].vertices > target:
        smaller, coarse = coarsened(graphs[-1], part, largest, random)
        if smaller.vertices > SHRINK * graphs[-1].vertices:
            break
        lower = np.zeros(smaller.vertices, np.int64)
        lower[coarse] = part
        graphs.append(smaller)
        ways.append(coarse)
        part = lower
    return graphs, ways


def refine(spots: Spots, effort: Effort, random: Words, stop: Callable[[], bool]) -> None:
    """Anneal one level.

    Raises
    ------
    Stopped
        When the time is over; the assignment is valid then too.
    """
    vertices = spots.slot.size
    mean = annealing.scale(spots, 1000, random)
    if mean <= 0:
        return
    steps = max(effort.least, effort.steps * vertices)
    pieces = -(-steps // CHUNK)
    ratio = (effort.cold / effort.hot) ** (1 / pieces)
    hot = effort.hot * mean
    for _ in range(pieces):
        if stop():
            raise Stopped
        annealing.anneal(spots, hot, hot * ratio, steps // pieces, random)
        hot *= ratio


def cycle(
    graph: Graph,
    distance: FloatArray,
    capacity: IntArray,
    slot: IntArray,
    effort: Effort,
    random: Words,
    stop: Callable[[], bool],
    fresh: bool = False,
) -> IntArray:
    """Improve an assignment from the coarsest level to the finest; may be worse in the end.

    With `fresh`, vertices of different slots merge too, and the coarse graph begins anew.

    Raises
    ------
    Stopped
        When the time is over.
    """
    slots = capacity.size
    wanted = max(effort.coarsest * slots, 120)
    largest = max(1, int(1.5 * graph.size.sum()) // wanted)
    part = np.zeros_like(slot) if fresh else slot
    graphs, ways = levels_of(graph, part, wanted, largest, random)
    below = np.zeros(graphs[-1].vertices, np.int64)
    if fresh:
        below = filled(graphs[-1].size, capacity, random)
    else:
        merged = slot
        for way, lower in zip(ways, graphs[1:], strict=True):
            down = np.zeros(lower.vertices, np.int64)
            down[way] = merged
            merged = down
        below = merged
    for k in range(len(graphs) - 1, -1, -1):
        if k < len(ways):
            below = below[ways[k]]
        level = graphs[k]
        # Large vertices need some room to move at all; it is taken back on the finest level.
        room = capacity + (int(level.size.max()) if k else 0)
        spots = spots_of(level, distance, room, below)
        if k == 0:
            annealing.balance(spots, random)
        top = k == len(graphs) - 1
        if top and fresh:
            grows = slots == 2 and not effort.steps
            below = grown(spots, random) if grows else melted(spots, random, stop)
            continue
        improve(spots, effort, random, stop)
        below = spots.slot
    return below


def improve(spots: Spots, effort: Effort, random: Words, stop: Callable[[], bool]) -> None:
    """Refine one level: passes from all borders, from single vertices, annealing, passes.

    Raises
    ------
    Stopped
        When the time is over.
    """
    if stop():
        raise Stopped
    vertices = spots.slot.size
    queue = climbing.new_queue(vertices, spots.load.size)
    journal = np.zeros((vertices, 2), np.int64)
    patience = max(50, vertices // 50)
    climbing.climb_all(spots, queue, PASSES, patience, 0, journal, random)
    seeds = effort.seeds * vertices // 10
    climbing.climb_here(spots, queue, seeds, effort.patience, PASSES, journal, random)
    if effort.steps:
        refine(spots, effort, random, stop)
    climbing.climb_all(spots, queue, PASSES, patience, PASSES + seeds, journal, random)
    if spots.load.size == 2:
        flowing.divide_well(spots, 0, 1, REACH, np.full(vertices, -1, np.int64))


def grown(spots: Spots, random: Words) -> IntArray:
    """Divide the coarsest graph in two by growing one part a few times; returns the best."""
    vertices = spots.slot.size
    queue, journal = climbing.new_queue(vertices, 2), np.zeros((vertices, 2), np.int64)
    share = int(spots.size.sum() * spots.capacity[0] / max(spots.capacity.sum(), 1))
    best, least = spots.slot.copy(), np.inf
    for k in range(GROWN):
        spots.slot[:] = coarsening.grow(
            spots.start, spots.end, spots.weight, spots.size, share, random
        )
        annealing.seat(spots)
        queue.moved[:] = -1
        climbing.climb_all(spots, queue, PASSES, vertices, k * PASSES, journal, random)
        cost = annealing.cost_of(spots)
        if cost < least and np.all(spots.load <= spots.capacity):
            best, least = spots.slot.copy(), cost
    return best


def melted(spots: Spots, random: Words, stop: Callable[[], bool]) -> IntArray:
    """Anneal the coarsest graph from hot to cold a few times; returns the best."""
    best, least = spots.slot.copy(), np.inf
    for _ in range(MELTS):
        refine(spots, MELT, random, stop)
        annealing.descend(spots, random)
        cost = annealing.cost_of(spots)
        if cost < least:
            best, least = spots.slot.copy(), cost
    return best


def filled(size: IntArray, capacity: IntArray, random: Words) -> IntArray:
    """Deal vertices to slots in random order, each to the one with the largest share free."""
    slot, free = np.zeros(size.size, np.int64), capacity.astype(np.float64)
    order = np.argsort(-size, kind="stable")
    for v in order.tolist():
        at = int(np.argmax(free / np.maximum(capacity, 1)))
        slot[v] = at
        free[at] -= size[v]
    return slot


def split(
    graph: Graph,
    capacity: IntArray,
    effort: Effort,
    tries: int,
    random: Words,
    stop: Callable[[], bool],
) -> IntArray:
    """Divide a graph among groups with little traffic between them, the best of some tries."""
    groups = capacity.size
    if groups == 1:
        return np.zeros(graph.vertices, np.int64)
    apart = 1.0 - np.eye(groups)
    best, least = np.zeros(graph.vertices, np.int64), np.inf
    for k in range(max(tries, 1) + CYCLES):
        part = cycle(graph, apart, capacity, best, effort, random, stop, fresh=k < max(tries, 1))
        cut = annealing.cost_of(spots_of(graph, apart, capacity, part))
        if cut < least:
            best, least = part, cut
    return best


def halves(distance: FloatArray, levels: Sequence[IntArray], slots: IntArray) -> NDArray[np.bool_]:
    """Divide slots in two of about the same number, near ones together: True for the second."""
    for label in (*levels, slots_alone(distance)):
        groups, place = np.unique(label[slots], return_inverse=True)
        if groups.size > 1 and levels:
            return place >= groups.size // 2
    apart = distance[np.ix_(slots, slots)]
    one = int(np.argmax(apart[0]))
    two = int(np.argmax(apart[one]))
    order = np.argsort(apart[one] - apart[two], kind="stable")
    second = np.zeros(slots.size, bool)
    second[order[slots.size // 2 :]] = True
    return second


def slots_alone(distance: FloatArray) -> IntArray:
    """Every slot a group of its own."""
    return np.arange(len(distance))


@dataclass(frozen=True)
class Multisection:
    """Assigns vertices by halving the machine again and again, outermost level first.

    Parameters
    ----------
    distance, capacity : (slots, slots), (slots,)
        The machine's.
    levels
        The group of each slot at each level of a tree, outermost first; empty for other machines.
    effort, tries
        Of every cut; the tries are those of a cut of 8 slots, and grow with the slots.
    outer
        Slots from which on they grow no more.
    """

    distance: FloatArray
    capacity: IntArray
    levels: Sequence[IntArray]
    effort: Effort
    tries: int
    outer: int = 8

    def assign(
        self,
        graph: Graph,
        random: Words,
        stop: Callable[[], bool],
        among: IntArray | None = None,
    ) -> IntArray:
        """Assign the vertices of a graph to all slots, or to some (by index).

        Raises
        ------
        Stopped
            When the time is over.
        """
        slot = np.zeros(graph.vertices, np.int64)
        slots = np.arange(self.capacity.size) if among is None else among
        todo = [(graph, np.arange(graph.vertices), slots)]
        while todo:
            part, vertices, slots = todo.pop()
            if slots.size == 1:
                slot[vertices] = slots[0]
                continue
            second = halves(self.distance, self.levels, slots)
            room = self._room(part, slots, second)
            tries = max(2, self.tries * min(self.outer, slots.size) // 8)
            side = split(part, room, self.effort, tries, random, stop)
            for k in (0, 1):
                mine = np.flatnonzero(side == k)
                if mine.size:
                    todo.append((part_of(part, mine), vertices[mine], slots[second == bool(k)]))
        return slot

    def _room(self, graph: Graph, slots: IntArray, second: NDArray[np.bool_]) -> IntArray:
        """What each half may take: an equal share of the slack for each halving that follows."""
        most = np.array([self.capacity[slots[~second]].sum(), self.capacity[slots[second]].sum()])
        slack = most.sum() / max(int(graph.size.sum()), 1)
        share = slack ** (1 / np.ceil(np.log2(slots.size)))
        room = np.minimum(most, np.ceil(most / slack * share)).astype(np.int64)
        return room if room.sum() >= graph.size.sum() else most


def part_of(graph: Graph, vertices: IntArray) -> Graph:
    """The graph of some vertices and the edges among them."""
    number = np.full(graph.vertices, -1, np.int64)
    number[vertices] = np.arange(vertices.size)
    owner = np.repeat(np.arange(graph.vertices), np.diff(graph.start))
    kept = (number[owner] >= 0) & (number[graph.end] >= 0)
    a = number[owner[kept]]
    start = np.searchsorted(a, np.arange(vertices.size + 1)).astype(np.int64)
    return Graph(start, number[graph.end[kept]], graph.weight[kept], graph.size[vertices])
