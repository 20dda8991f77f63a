"""One session of the search: levels in order, each from the best placement of the one before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from optalloc.engines.local import moves, whole
from optalloc.engines.local.annealing import Annealing
from optalloc.engines.local.placed import Placed, focus
from optalloc.engines.local.tables import Tables
from optalloc.engines.protocol import Clock, Emit, IntArray, Job, LevelResult


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
        moves.anneal(*placed.walking, 0)

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
        search = Annealing(tables, self.job, self.known, emit)
        found = search.run(Clock(seconds))
        if found is not None:
            self.known = found
        return LevelResult("stopped", found)
