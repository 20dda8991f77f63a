"""Levelling's control: how hot, what a move costs, and which placement was the best."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.levelling import kernel
from optalloc.engines.levelling.fleet import Fleet
from optalloc.engines.levelling.kernel import Spots
from optalloc.engines.local.structs import by_reference
from optalloc.engines.protocol import Clock, Emit, Incumbent, Job, LevelResult

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

HOTTEST, COLDEST = 2.0, 3e-4
"""First and last temperature, where loads are in mean tasks and the mean weight is 1."""
FREEZING = 0.9
"""Part of a run after which it stays at the last temperature."""
FIRST, CHEAPEST, DEAREST, STEP = 8.0, 1e-6, 1e6, 1.03
"""First, least and highest price of the largest fee, and its steps after the budget."""
RESERVE = 0.001
"""Part of the budget below which moves become dearer."""
SHIFT = 2e-4
"""Longest step of the levels aimed at, in their means, in each chunk."""
FULLEST = 20
"""Nodes that count as the fullest."""
CHUNK_SECONDS = 0.05
"""Time between two looks at the clock and the budget."""
CHUNKS, TURNS = 1000, 2000
"""Chunks of a run that no clock ends, and the turns of each; of others, those of the first."""
TELL_SECONDS = 2.0
"""Least time between two incumbents told."""


class LevellingSession:
    """The search on one fleet."""

    def __init__(self, fleet: Fleet, job: Job) -> None:
        self.fleet, self.job = fleet, job
        if job.hint is not None:
            # Compiles, or reads what was compiled before, while the clock does not run.
            search = _Search(fleet, job.hint, job, lambda message: None)
            search.turn(0, 0.0, 0.0)

    def offer(self, values: IntArray) -> None:
        """Solutions found elsewhere do not help: they are likely to have spent the budget."""

    def log(self) -> str:
        """No log so far."""
        return ""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Improve the level."""
        if self.job.hint is None:
            return LevelResult("stopped", None)
        search = _Search(self.fleet, self.job.hint, self.job, emit)
        return LevelResult("stopped", search.run(Clock(seconds)))


class _Search:
    """One run from a placement."""

    def __init__(self, fleet: Fleet, start: IntArray, job: Job, emit: Emit) -> None:
        self.fleet, self.job, self.emit = fleet, job, emit
        self.least = fleet.block.size / fleet.node_kind.size * fleet.least() / fleet.mean()
        self.spots = _spots(fleet, start, self.least, job.seed)
        self.aim = self.least.copy()
        self.compiled = by_reference(fleet), by_reference(self.spots)
        self.best, self.best_values = self._value(), start.copy()
        self.told, self.told_at = self.best, time.monotonic()
        fees = fleet.fee.max(initial=0.0)
        self.unit = 1.0 / fees if fees > 0 and np.isfinite(fleet.budget[0]) else 0.0

    def run(self, clock: Clock) -> IntArray:
        """Search until the time ends; the best placement, never worse than the first."""
        kernel.unsettle(*self.compiled)
        price, reserve = FIRST, RESERVE * float(self.fleet.budget[0])
        for done, turns in self._parts(clock):
            temperature = HOTTEST * (COLDEST / HOTTEST) ** min(done / FREEZING, 1.0)
            self.turn(turns, temperature, price)
            scarce = float(self.spots.left[0]) <= reserve
            price = min(max(price * (STEP if scarce else 1 / STEP), CHEAPEST), DEAREST)
            self._shift()
            self._look()
            self._note()
        self._tell()
        return self.best_values

    def turn(self, turns: int, temperature: float, price: float) -> None:
        """Try so many moves."""
        fleet, spots = self.compiled
        kernel.anneal(fleet, spots, turns, temperature, price * self.unit)

    def _parts(self, clock: Clock) -> Iterator[tuple[float, int]]:
        """Parts of the run that are gone, and the turns of the next chunk."""
        if self.job.deterministic or not np.isfinite(clock.limit):
            yield from ((chunk / CHUNKS, TURNS) for chunk in range(CHUNKS))
            return
        turns = TURNS
        while clock.left > 0:
            began = time.monotonic()
            yield clock.passed / clock.limit, turns
            took = max(time.monotonic() - began, 1e-6)
            longest = min(CHUNK_SECONDS, clock.limit / CHUNKS)
            turns = max(int(turns * min(longest / took, 2.0)), 100)

    def _shift(self) -> None:
        """Aim higher with peaks that press more than others for their weight.

        In the best placement all press alike: what an increase of one saves, another costs.
        """
        pressure = (np.maximum(-self.spots.room, 0.0) ** 2).sum(axis=0)
        pull = pressure / max(float(pressure.mean()), 1e-300) - 1.0
        aim = np.maximum(self.aim + SHIFT * self.least * np.clip(pull, -1.0, 1.0), self.least)
        self.spots.room[:] += aim - self.aim
        self.aim = aim

    def _look(self) -> None:
        """Look for the fullest nodes."""
        spots = self.spots
        room = spots.room.min(axis=1)
        fullest = np.zeros(room.size, bool)
        fullest[np.argsort(room)[:FULLEST]] = True
        tasks = np.flatnonzero(fullest[spots.node])
        spots.full[: tasks.size], spots.full_many[0] = tasks, tasks.size

    def _value(self) -> float:
        """The level, but for its constant, in units of its own."""
        return float(self.spots.weight @ (self.aim - self.spots.room).max(axis=0))

    def _note(self) -> None:
        """Keep the best placement, and tell of it; not too often."""
        value = self._value()
        if value < self.best:
            self.best, self.best_values = value, self.spots.node.copy()
        if time.monotonic() - self.told_at > TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        if self.best < self.told:
            self.told, self.told_at = self.best, time.monotonic()
            self.emit(Incumbent(self.best_values))


def _spots(fleet: Fleet, start: IntArray, aim: FloatArray, seed: int) -> Spots:
    """Make the record of a placement, in mean tasks."""
    tasks, mean = fleet.block.size, fleet.mean()
    unit = fleet.factor * (tasks / fleet.node_kind.size) / mean
    load = fleet.ground.copy()
    np.add.at(load, start, fleet.need)
    worth = fleet.weight * mean
    variant = 2 * fleet.block.astype(np.int64) + (fleet.home != start)
    space = fleet.cap.copy()
    np.subtract.at(space, start, fleet.size[fleet.node_kind[start], variant])
    away = np.flatnonzero((fleet.home >= 0) & (fleet.home != start))
    listed, place = np.zeros(tasks, np.int64), np.full(tasks, -1, np.int64)
    listed[: away.size], place[away] = away, np.arange(away.size)
    return Spots(
        node=start.astype(np.int64),
        room=aim - load * unit,
        unit=unit,
        weight=worth / worth.mean(),
        most=aim.copy(),
        space=space,
        away=listed,
        place=place,
        many=np.array([away.size]),
        full=np.zeros(tasks, np.int64),
        full_many=np.zeros(1, np.int64),
        left=fleet.budget - fleet.fee[variant].sum(),
        random=np.random.default_rng(seed).integers(1, 2**63, 2, dtype=np.uint64),
    )
