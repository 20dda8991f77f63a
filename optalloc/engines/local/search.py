"""The search's control: start, temperatures, penalties, what is told and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local import changing, moves, walk, whole
from optalloc.engines.local.state import new_state
from optalloc.engines.local.structs import by_reference
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import KINDS, new_walk
from optalloc.engines.protocol import Clock, Emit, Incumbent, IntArray, Job, LevelResult

FloatArray = NDArray[np.float64]

HOTTEST, COLDEST = 0.2, 2e-4
"""First and last temperature, in mean changes of a random move."""
STRICT = 1e4
"""Penalty of a unit of violation, in mean changes of a random move, that no move outweighs."""
CHUNK_SECONDS = 0.02
"""Time between two looks at the clock."""
TELL_SECONDS = 0.5
"""Least time between two incumbents told."""
MOVES_WITHOUT_CLOCK = 3_000_000
"""Moves of a deterministic run."""
SAMPLES = 2000


def focus(tables: Tables, level: int, given: Sequence[int]) -> Tables:
    """Make a level the first quantity, and the earlier ones and the limits those that follow."""
    levels = tables.levels
    kept = [level, *range(len(given)), *range(levels, tables.constant.size)]
    limit = np.concatenate([[np.inf], given, tables.limit[levels:]])
    place = {q: i for i, q in enumerate(kept)}
    parts = [p for p, q in enumerate(tables.part_quantity.tolist()) if q in place]
    return tables._replace(
        weight=tables.weight[kept],
        step_weight=tables.step_weight[kept],
        unary=tables.unary[kept],
        part_quantity=np.array([place[tables.part_quantity[p]] for p in parts], np.int32),
        part_index=tables.part_index[parts],
        part_column=tables.part_column[parts],
        part_start=tables.part_start[[*parts, -1]] if parts else np.zeros(1, np.int64),
        part_stride=tables.part_stride[parts],
        choice_cost=tables.choice_cost[kept],
        term_weight=np.ascontiguousarray(tables.term_weight[:, kept]),
        counter_gain=tables.counter_gain[kept[:1]],
        constant=tables.constant[kept],
        limit=limit.astype(np.float64),
    )


def totals(tables: Tables, values: IntArray) -> FloatArray:
    """Evaluate all quantities afresh, for choices followed by nodes."""
    return Placed(tables, 0, values).state.total.copy()


class Placed:
    """A placement under evaluation: the records, and how compiled functions take them."""

    def __init__(self, tables: Tables, seed: int, values: IntArray | None) -> None:
        self.tables = tables
        self.state, self.walk = new_state(tables), new_walk(tables, seed)
        self.compiled = by_reference(tables), by_reference(self.state), by_reference(self.walk)
        changing.clear(*self.compiled[:2])
        if values is not None:
            tasks = tables.task_class.size
            choice, node = values[:tasks].astype(np.int32), values[tasks:].astype(np.int32)
            whole.load(*self.compiled, choice, node)

    def complete(self) -> None:
        """Place what must run and does not."""
        whole.complete(*self.compiled)

    def best(self) -> IntArray:
        """The best placement so far, as values."""
        choice, node = np.empty_like(self.state.choice), np.empty_like(self.state.node)
        walk.recall(*self.compiled[1:], choice, node)
        return np.concatenate([choice, node]).astype(np.int64)


@dataclass
class LocalSession:
    """The search on one problem's tables."""

    tables: Tables
    job: Job
    known: IntArray | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.known = self.job.hint
        # Compiles, or reads what was compiled before, while the clock of a level does not run.
        placed = Placed(focus(self.tables, 0, ()), 0, None)
        whole.scale(*placed.compiled, 0)
        moves.anneal(*placed.compiled, 0)

    def offer(self, values: IntArray) -> None:
        """Hear of a better solution found elsewhere: the next level begins from it."""
        with self.lock:
            self.known = values

    def log(self) -> str:
        """No log so far."""
        return ""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Improve a level while the earlier ones are no worse than `given`."""
        tables = focus(self.tables, level, given)
        search = _Search(tables, self.job, self.known, emit)
        found = search.run(Clock(seconds))
        if found is not None:
            self.known = found
        return LevelResult("stopped", found)


class _Search:
    """The search at one level."""

    def __init__(self, tables: Tables, job: Job, start: IntArray | None, emit: Emit) -> None:
        self.placed = Placed(tables, job.seed, start)
        self.job, self.emit = job, emit
        self.told = np.inf
        self.last_told = 0.0
        self.chunk = 1000

    def run(self, clock: Clock) -> IntArray | None:
        """Anneal until the time ends; the best placement, None if none keeps all rules."""
        w = self.placed.walk
        scale = whole.scale(*self.placed.compiled, SAMPLES)
        w.setting[:] = (1.0, STRICT * scale, STRICT * scale, 1.0)
        self.placed.complete()
        w.chance[:] = np.cumsum(self._chances())
        for done in self._progress(clock):
            w.setting[0] = scale * HOTTEST * (COLDEST / HOTTEST) ** done
            moves.anneal(*self.placed.compiled, self.chunk)
            self._tell()
        self._tell(last=True)
        return self.placed.best() if np.isfinite(w.best[0]) else None

    def _progress(self, clock: Clock) -> Iterator[float]:
        """Parts of the time, or of the moves, that are gone."""
        if self.job.deterministic or not np.isfinite(clock.left):
            steps = MOVES_WITHOUT_CLOCK // self.chunk
            yield from (step / steps for step in range(steps))
            return
        total = clock.left
        while clock.left > 0:
            started = time.monotonic()
            yield 1 - clock.left / total
            took = time.monotonic() - started
            self.chunk = max(int(self.chunk * min(CHUNK_SECONDS / max(took, 1e-6), 2.0)), 100)

    def _chances(self) -> FloatArray:
        """How often each kind of move is tried."""
        tables = self.placed.tables
        chances = np.zeros(KINDS)
        chances[[moves.SHIFT, moves.SWAP]] = 0.4
        if tables.home_node.size:
            chances[[moves.HOME, moves.CHAIN]] = 0.1
        if np.any(np.diff(tables.class_choice) + ~tables.class_required > 1):
            chances[moves.CHANGE] = 0.4
        return chances / chances.sum()

    def _tell(self, last: bool = False) -> None:
        """Tell of the best placement, not too often."""
        best = float(self.placed.walk.best[0])
        now = time.monotonic()
        if best < self.told and (last or now - self.last_told > TELL_SECONDS):
            self.told, self.last_told = best, now
            self.emit(Incumbent(self.placed.best()))
