"""The state in figures: what is counted between two changes, and what is worked out afterwards."""

from __future__ import annotations

import time
from itertools import islice
from threading import Lock

from msgspec.structs import replace

from optalloc.oracle.fragmenting import Fragments, Sample
from optalloc.oracle.oracle import Oracle
from optalloc.service import asked as a
from optalloc.service import commands
from optalloc.service.improving import Improver
from optalloc.service.writer import Writer

EVERY_S = 2.0
"""Seconds for which the fragmentation that was found last is told again."""
RECENT = 1_000
"""Tasks placed last, of those that run, that stand for the requests to be expected."""


class Figures:
    """What the service tells of its state.

    Parameters
    ----------
    writer
        Whose state.
    improver
        Knows the gap.
    """

    def __init__(self, writer: Writer, improver: Improver) -> None:
        self.writer, self.improver = writer, improver
        self._fragments = Fragments()
        self._share: float | None = None
        self._next, self._lock = 0.0, Lock()

    def take(self, oracle: Oracle) -> tuple[a.Standing, Sample | None]:
        """What is counted, and copies of what the rest follows from; in the writer's thread."""
        standing = commands.standing(oracle)
        if time.monotonic() < self._next:
            return standing, None
        self._next = time.monotonic() + EVERY_S
        recent = islice(reversed(self.writer.journal.state.running.values()), RECENT)
        return standing, self._fragments.take(oracle, (put.task for put in recent))

    def told(self, standing: a.Standing, sample: Sample | None = None) -> a.Standing:
        """All figures; from a sample in a thread of its own, else those known already."""
        if sample is not None:
            with self._lock:
                self._share = self._fragments.share(sample)
        return replace(standing, gap=self.improver.gap, fragmentation=self._share)
