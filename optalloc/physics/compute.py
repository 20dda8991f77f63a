"""Time of a device's own work: from FLOPs by the roofline, or from measured points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optalloc.instance.errors import InstanceError

FLOPS_PER_PARAMETER_AND_TOKEN = 6
"""Forward 2 and backward 4 FLOPs for each parameter and token of a dense transformer (Kaplan et
al., arXiv 2001.08361, section 2.1)."""


def roofline(
    flops: float,
    peak_flops: float,
    *,
    achieved: float = 0.4,
    moved: float = 0.0,
    memory_bandwidth: float = np.inf,
    overhead: float = 0.0,
) -> float:
    """Seconds of some work: ``max(F / (pi mu), D / beta) + c`` (Williams et al., CACM 2009).

    Parameters
    ----------
    flops
        F, the floating-point operations.
    peak_flops
        pi, the device's peak FLOP/s.
    achieved
        mu, the share of the peak that is reached.
    moved
        D, the bytes read and written.
    memory_bandwidth
        beta, bytes/s of the device's memory.
    overhead
        c, seconds.

    Raises
    ------
    InstanceError
        For rates that are not above 0, a share that is not in (0, 1] and negative amounts.
    """
    wrong = [
        (name, f"expected at least 0, got {value:g}")
        for name, value in (("flops", flops), ("moved", moved), ("overhead", overhead))
        if not value >= 0
    ]
    for name, value in (("peak_flops", peak_flops), ("memory_bandwidth", memory_bandwidth)):
        if not value > 0:
            wrong.append((name, f"expected above 0, got {value:g}"))
    if not 0 < achieved <= 1:
        wrong.append(("achieved", f"expected a share above 0 and at most 1, got {achieved:g}"))
    if wrong:
        raise InstanceError(wrong, "the work")
    return max(flops / (peak_flops * achieved), moved / memory_bandwidth) + overhead


def training_flops(parameters: float, tokens: float) -> float:
    """FLOPs of a training step of a dense transformer: ``6 N tokens``."""
    return FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens


@dataclass(frozen=True)
class MeasuredSteps:
    """Seconds of a device's own step, measured at some batches.

    Parameters
    ----------
    points
        Samples and seconds, any order.

    Raises
    ------
    InstanceError
        Without points, and for points that are not above 0.
    """

    points: Sequence[tuple[float, float]]

    def __post_init__(self) -> None:
        if not self.points or any(not b > 0 or not s > 0 for b, s in self.points):
            message = "expected at least one point of samples and seconds above 0"
            raise InstanceError([("points", message)], "the measured steps")

    def seconds(self, batch: float) -> float:
        """Read straight lines between the points; outside, the nearest line goes on.

        Below the smallest batch the time of the smallest one is the most that is claimed; with a
        single point the time grows in proportion above it.
        """
        samples, times = np.array(sorted(self.points), np.float64).T
        if batch <= samples[-1]:
            return float(np.interp(batch, samples, times))
        if samples.size == 1:
            return float(times[0] * batch / samples[0])
        slope = (times[-1] - times[-2]) / (samples[-1] - samples[-2])
        return float(times[-1] + max(slope, 0.0) * (batch - samples[-1]))
