"""Measured all-reduce times of an interconnect, read between and beyond the points measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError

FloatArray = NDArray[np.float64]
BUCKET = 25 * 2**20
"""Bytes of gradient that are sent at once (DistributedDataParallel's bucket_cap_mb)."""


@dataclass(frozen=True)
class Interconnect:
    """All-reduce seconds by message size, for some numbers of ranks.

    Parameters
    ----------
    name
        Of the interconnect.
    points
        For each number of ranks: bytes and seconds, any order.

    Raises
    ------
    InstanceError
        For an interconnect without points, and points that are not above 0.
    """

    name: str
    points: Mapping[int, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = []
        if not any(self.points.values()):
            wrong.append((self.name, "expected at least one measured all-reduce"))
        for ranks, points in self.points.items():
            if ranks < 2:
                wrong.append((self.name, f"expected at least 2 ranks, got {ranks}"))
            if any(not size > 0 or not seconds > 0 for size, seconds in points):
                wrong.append((self.name, f"expected bytes and seconds above 0 at {ranks} ranks"))
        if wrong:
            raise InstanceError(wrong, "the interconnects")

    def all_reduce(self, ranks: int, size: float) -> float:
        """Seconds of an all-reduce of `size` bytes a rank, in buckets of `BUCKET` bytes.

        Between sizes, straight lines in log-log; beyond the largest one, its bandwidth. Between
        numbers of ranks, straight lines; beyond them, the ring's law: the time of a byte grows
        with (n - 1)/n.
        """
        if ranks < 2 or size <= 0:
            return 0.0
        bucket = min(size, float(BUCKET))
        return self._one(ranks, bucket) * size / bucket

    def _one(self, ranks: int, size: float) -> float:
        known = sorted(ranks_ for ranks_, points in self.points.items() if points)
        if ranks <= known[0] or ranks >= known[-1]:
            nearest = known[0] if ranks <= known[0] else known[-1]
            grown = (ranks - 1) / ranks / ((nearest - 1) / nearest)
            return self._read(nearest, size) * grown
        return float(np.interp(ranks, known, [self._read(n, size) for n in known]))

    def _read(self, ranks: int, size: float) -> float:
        sizes, seconds = np.array(sorted(self.points[ranks]), np.float64).T
        if size > sizes[-1]:
            return float(seconds[-1] * size / sizes[-1])
        return float(np.exp(np.interp(np.log(size), np.log(sizes), np.log(seconds))))
