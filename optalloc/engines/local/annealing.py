"""The search's control: how hot to begin, how to cool, how often each move is tried."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local import moves, whole
from optalloc.engines.local.penalties import STRICT, Penalties
from optalloc.engines.local.placed import Placed
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import LANES
from optalloc.engines.local.walk import (
    CHAIN,
    CHANGE,
    EJECT,
    GROUP,
    HELD,
    HOME,
    KINDS,
    LIMIT,
    RETURN,
    SHIFT,
    SWAP,
    TEMPERATURE,
    VIOLATION,
)
from optalloc.engines.protocol import Clock, Emit, Incumbent, IntArray, Job
from optalloc.result import SearchEffort

FloatArray = NDArray[np.float64]

QUENCH_SHARE, PILOT_SHARE = 0.02, 0.03
"""Parts of the time for a first quick descent, and for each quick cooling before the long one."""
HOMING, LEAST_HOMING, MOST_HOMING = 1000, 0.01, 0.4
"""How often each replica is offered its home in a run, and limits of the share of such moves: short
runs need it, long ones find home without."""
HOLDING = (0.0, 0.7)
"""What a unit of room that is held twice may cost, in temperatures; a pilot of each tells which is
better. It keeps large replicas at home while it is hot: few of them away leave nodes half empty and
come home only when it is too cold. Where much has to move it is in the way."""
HOTTEST, COLDEST = 1.0, 1e-9
"""First temperature, and the last of a pilot, in mean changes of a random move."""
THAWED, MARGIN, WARMEST_END = 1e-4, 0.1, 1e-3
"""A pilot is frozen when it takes at most so much more than twice the share of moves that it takes
when it is coldest, which change nothing; a run ends so much colder than that, and not warmer than
the last."""
BEND = 1.5
"""How much longer it stays hot than with the same fall in equal times, as an exponent of time."""
FREEZING = 0.93
"""Part of a run after which it stays at the last temperature."""
FORBIDDING = 1e15
"""Penalty while what must run is first placed, when the mean change of a move is not known yet."""
ACCEPTED, MOST_TRIES = 0.3, 128
"""A replica is tried until about so many of its moves are accepted, and at most so often."""
SIDE_BY_SIDE = 6
"""Candidates that are looked at side by side in the time of one alone, about."""
EJECTIONS, MOST_EJECTIONS = 5e-8, 0.03
"""Share of ejections, beside 0.8 of shifts and swaps, for each move tried for a replica, and the
largest share: each looks at dozens of replicas, which pays where single moves have had their time.
"""
GROUPS = 0.002
"""Share of group moves, beside 0.8 of shifts and swaps, where all replicas are bound: each looks at
dozens of places."""
CHUNK_SECONDS = 0.02
"""Time between two looks at the clock."""
TELL_SECONDS = 0.5
"""Least time between two incumbents told."""
TURNS_WITHOUT_CLOCK, TURNS = 3_000_000, 1000
"""Turns of a deterministic run, and those of its chunks; a turn is a replica and its tries."""
SAMPLES = 2000
DEBUG = os.environ.get("OPTALLOC_DEBUG", "") not in ("", "0")
"""Whether the record is made afresh after every move, and compared: for developers, and slow."""


class Annealing:
    """The search at one level.

    A quick descent shows the speed; quick coolings, the pilots, how far to cool and what to charge
    for room that is held twice; then a long run does so.
    """

    def __init__(self, tables: Tables, job: Job, start: IntArray | None, emit: Emit) -> None:
        self.placed = Placed(tables, job.seed, start)
        self.emit, self.deterministic = emit, job.deterministic
        self.best, self.best_values = np.inf, start
        self.last_told = 0.0
        self.turns = 1 if DEBUG else TURNS
        self.seconds = 0.0
        self.homing, self.ejections = MOST_HOMING, 0.0
        self.alone = 0.0
        self.seen = np.zeros((2, KINDS), np.int64)
        self.scale = 1.0
        lines = {SHIFT: self.placed.rows.node_line, SWAP: self.placed.rows.slot_line}
        self.most_tries = {
            kind: min(line.shape[0] * LANES, MOST_TRIES) or moves.SINGLE_TRIES
            for kind, line in lines.items()
        }
        self.holding = HOLDING[0]

    def run(self, clock: Clock) -> IntArray | None:
        """Search until the time ends; the best placement, None if none keeps all rules."""
        setting = self.placed.walk.setting
        setting[VIOLATION] = setting[LIMIT] = FORBIDDING
        self.placed.complete()
        self.scale = whole.scale(*self.placed.compiled, SAMPLES)
        setting[VIOLATION] = setting[LIMIT] = STRICT * self.scale
        self.placed.walk.tries[:] = 1
        start = self.placed.values()
        self._cool(COLDEST, COLDEST, self._parts(clock, QUENCH_SHARE))
        self._plan(clock)
        held = self.placed.tables.block_held.any()
        pilots = [self._pilot(start, h, clock) for h in (HOLDING if held else HOLDING[:1])]
        _, self.holding, coldest = min(pilots)
        self.placed.go(start)
        self._cool(HOTTEST, coldest, self._parts(clock, 1.0))
        return self.best_values if np.isfinite(self.best) else None

    def _pilot(
        self, start: IntArray | None, holding: float, clock: Clock
    ) -> tuple[float, float, float]:
        """Cool quickly: the energy in the end, the price of held room, and the last temperature."""
        self.holding = holding
        self.placed.go(start)
        accepted = self._cool(HOTTEST, COLDEST, self._parts(clock, PILOT_SHARE))
        return self._energy(), holding, frozen(accepted)

    def _energy(self) -> float:
        """The active quantity and what is broken, at the hardest penalty."""
        state, limit = self.placed.state, self.placed.tables.limit
        over = np.maximum(state.total - limit, 0.0)[1:].sum()
        return float(state.total[0] + STRICT * self.scale * (state.violation[0] + over))

    def _plan(self, clock: Clock) -> None:
        """Choose shares of moves by how many can be tried for each replica in the time left."""
        slots = self.placed.tables.slot_task.size
        timed = not self.deterministic and np.isfinite(clock.left) and self.seconds > 0
        ahead = clock.left / self.seconds if timed else 1 / QUENCH_SHARE
        each = max(self.alone * ahead / slots, 1.0)
        self.homing = min(max(HOMING / each, LEAST_HOMING), MOST_HOMING)
        self.ejections = min(EJECTIONS * each, MOST_EJECTIONS)

    def _parts(self, clock: Clock, share: float) -> Iterator[float]:
        """Parts of a share of the time left, or of the turns, that are gone."""
        if self.deterministic or not np.isfinite(clock.left):
            steps = int(TURNS_WITHOUT_CLOCK * share) // TURNS
            yield from (step / steps for step in range(steps))
            return
        run = Clock(clock.left * share)
        while run.left > 0:
            yield 1 - run.left / run.limit

    def _cool(
        self, hottest: float, coldest: float, parts: Iterator[float]
    ) -> list[tuple[float, float]]:
        """Anneal from one temperature to another; temperatures, and the share taken at each."""
        chances, penalties = self._chances(), Penalties(self.placed)
        accepted: list[tuple[float, float]] = []
        for done in parts:
            cold = min(done / FREEZING, 1.0)
            temperature = hottest * (coldest / hottest) ** (cold**BEND)
            strict = cold == 1.0 or hottest == coldest
            self._set(temperature, STRICT if strict else penalties.at(temperature, done))
            self._draw(chances)
            began = time.monotonic()
            moves.anneal(*self.placed.walking, self.turns)
            took = time.monotonic() - began
            self.seconds += took
            share = self._steer()
            if share is not None:
                accepted.append((temperature, share))
            if DEBUG:
                self.placed.recheck()
            elif not self.deterministic:
                growth = min(CHUNK_SECONDS / max(took, 1e-6), 2.0)
                self.turns = max(int(self.turns * growth), 100)
            self._note()
        self._note(clear=True)
        return accepted

    def _set(self, temperature: float, penalty: float) -> None:
        """Set what moves may cost, in mean changes of a random one."""
        setting = self.placed.walk.setting
        setting[TEMPERATURE] = self.scale * temperature
        setting[HELD] = self.holding * setting[TEMPERATURE]
        setting[VIOLATION] = self.scale * penalty

    def _steer(self) -> float | None:
        """Try each replica the more often, the less was accepted; that share, if any was tried."""
        walk = self.placed.walk
        seen = np.stack([walk.tried, walk.taken])
        tried, taken = seen - self.seen
        self.seen = seen
        if not tried.any():
            return None
        self.alone += float((tried / self._faster()).sum())
        for kind, most in self.most_tries.items():
            tries = ACCEPTED * tried[kind] / max(taken[kind], 1)
            walk.tries[kind] = min(max(tries, 1), 1 if DEBUG else most)
        return float(taken.sum() / tried.sum())

    def _faster(self) -> FloatArray:
        """How much faster candidates of each kind are looked at than one alone."""
        return np.where(self.placed.walk.tries > moves.SINGLE_TRIES, SIDE_BY_SIDE, 1.0)

    def _draw(self, chances: FloatArray) -> None:
        """Draw kinds so that they keep their shares of the time, how many tries ever there are."""
        walk, drawn = self.placed.walk, chances.copy()
        drawn *= self._faster() / walk.tries
        walk.chance[:] = np.cumsum(drawn / drawn.sum())

    def _chances(self) -> FloatArray:
        """How often each kind of move is tried."""
        tables = self.placed.tables
        chances = np.zeros(KINDS)
        chances[[SHIFT, SWAP]] = 0.4
        chances[EJECT] = self.ejections
        bound = np.unique(tables.bound_slot).size / max(tables.slot_task.size, 1)
        chances[GROUP] = bound * GROUPS
        if tables.home_node.size:
            chances[HOME] = self.homing
            chances[[CHAIN, RETURN]] = 0.1
        if np.any(np.diff(tables.class_choice) + ~tables.class_required > 1):
            chances[CHANGE] = 0.4
        return chances / chances.sum()

    def _note(self, clear: bool = False) -> None:
        """Keep the best placement, and tell of it; not too often unless it may be lost."""
        value, now = float(self.placed.walk.best[0]), time.monotonic()
        if value < self.best and (clear or now - self.last_told > TELL_SECONDS):
            self.best, self.last_told = value, now
            self.best_values = self.placed.best()
            self.emit(Incumbent(self.best_values))
        if clear:
            walk = self.placed.walk
            tried, early, taken = (int(n.sum()) for n in (walk.tried, walk.early, walk.taken))
            self.emit(SearchEffort(tried, early, taken, self.seconds))


def frozen(accepted: Sequence[tuple[float, float]]) -> float:
    """The last temperature of a run: a little below that at which a pilot froze.

    Parameters
    ----------
    accepted
        Falling temperatures of the pilot, and the share of moves that was taken at each.
    """
    if not accepted:
        return COLDEST
    temperatures, shares = np.array(accepted).T
    floor = shares[temperatures <= 10 * COLDEST].mean() if temperatures[-1] <= 10 * COLDEST else 0.0
    thawed = np.flatnonzero(shares > 2 * floor + THAWED)
    end = temperatures[thawed[-1] if thawed.size else 0]
    return float(np.clip(MARGIN * end, COLDEST, WARMEST_END))
