"""Jobs that wait: which is asked for next, and what was refused already."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

import numpy as np
from numpy.typing import NDArray

from optalloc.simulation.trace import Job

BoolArray = NDArray[np.bool_]
Place = tuple[float, float, int]
"""Of a job in the queue: the least is asked for first."""

ORDERS: dict[str, Callable[[Job], tuple[float, float]]] = {
    "fifo": lambda job: (0.0, float(job.arrival_s)),
    "priority": lambda job: (-float(job.priority), float(job.arrival_s)),
}
"""Orders in which jobs are asked for, by name."""


class Queue:
    """Jobs that wait, by kind; what is refused once is not asked for again before it can fit.

    Parameters
    ----------
    kinds
        Number of kinds.
    strict
        Whether nobody overtakes: then the first job alone is asked for.
    """

    def __init__(self, kinds: int, strict: bool = False) -> None:
        self._waiting: list[list[Place]] = [[] for _ in range(kinds)]
        self._refused = [False] * kinds
        self._strict = strict
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, kind: int, place: Place) -> None:
        """Let a job wait; the last part of its place is its number."""
        heappush(self._waiting[kind], place)
        self._size += 1

    def jobs(self) -> Iterator[int]:
        """Numbers of the jobs that wait."""
        return (job for places in self._waiting for *_, job in places)

    def freed(self) -> None:
        """Take notice that what was refused may fit now."""
        self._refused = [False] * len(self._refused)

    def serve(
        self,
        ask: Callable[[int, int], bool],
        may_fit: Callable[[], BoolArray],
        hopeless: Callable[[int, int], bool],
    ) -> bool:
        """Ask for jobs in their order until none fits.

        Parameters
        ----------
        ask
            Starts a job, given its kind and number; whether it could.
        may_fit
            Of each kind, whether there is room for it; not asked where one job alone waits.
        hopeless
            Called with the first job of a kind that has to wait: whether none of the kind will
            ever fit.

        Returns
        -------
        bool
            Whether some job was started.
        """
        started = False
        heads = [
            (places[0], kind)
            for kind, places in enumerate(self._waiting)
            if places and (self._strict or not self._refused[kind])
        ]
        heapify(heads)
        fits: BoolArray | None = None
        while heads:
            place, kind = heappop(heads)
            if fits is None and self._size > 1:
                fits = may_fit()
            room = not self._refused[kind] and (fits is None or fits[kind])
            if room and ask(kind, place[-1]):
                started, fits = True, None
            elif not hopeless(kind, place[-1]):
                self._refused[kind] = True
                if self._strict:
                    return started
                continue
            heappop(self._waiting[kind])
            self._size -= 1
            if self._waiting[kind]:
                heappush(heads, (self._waiting[kind][0], kind))
        return started
