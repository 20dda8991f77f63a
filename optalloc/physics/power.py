"""Watts and joules: devices, hosts, facilities, power limits.

Idle, active and waiting watts of a device and a share of its host make a group's power; a power
limit is one more configuration, kept where no mix of others is better (the upper concave envelope).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optalloc.instance.errors import InstanceError


@dataclass(frozen=True)
class DevicePower:
    """Watts of one device.

    Parameters
    ----------
    idle_w
        With nothing to do.
    active_w
        At work.
    waiting_w
        While it waits for an exchange; by default as when idle.

    Raises
    ------
    InstanceError
        For negative watts, and less at work than idle.
    """

    idle_w: float
    active_w: float
    waiting_w: float | None = None

    def __post_init__(self) -> None:
        waiting = self.idle_w if self.waiting_w is None else self.waiting_w
        if min(self.idle_w, waiting) < 0 or self.active_w < self.idle_w:
            message = "expected 0 <= idle_w <= active_w and waiting_w of at least 0"
            raise InstanceError([("watts", message)], "the device")

    @property
    def waits_w(self) -> float:
        """Watts while waiting."""
        return self.idle_w if self.waiting_w is None else self.waiting_w

    def mean_w(self, active_s: float, step_s: float) -> float:
        """Mean watts over a step of which it is at work for some seconds."""
        busy = min(active_s, step_s) / step_s if step_s > 0 else 0.0
        return busy * self.active_w + (1 - busy) * self.waits_w


def group_watts(
    device: DevicePower, replicas: int, active_s: float, step_s: float, host_w: float = 0.0
) -> float:
    """Watts of a group on top of its nodes' idle power.

    ``replicas * (mean - idle + host_w)``: the node counts its devices' idle watts when it is on.

    Parameters
    ----------
    device
        Of each replica.
    replicas
        Number of devices at work.
    active_s, step_s
        Seconds of compute, and of the whole step.
    host_w
        Watts that each replica's share of the host draws on top of idle.
    """
    return replicas * (device.mean_w(active_s, step_s) - device.idle_w + host_w)


def samples_per_joule(samples_per_s: float, watts: float) -> float:
    """What a joule does."""
    return samples_per_s / watts


def undominated(points: Sequence[tuple[float, float]]) -> list[int]:
    """Pick the points of which no other one has as much throughput for as few watts.

    Parameters
    ----------
    points
        Watts and throughput; of equal ones the first is kept.

    Returns
    -------
    list
        Indices, by rising watts and throughput.
    """
    order = sorted(range(len(points)), key=lambda k: (points[k][0], -points[k][1]))
    kept: list[int] = []
    for k in order:
        if not kept or points[k][1] > points[kept[-1]][1]:
            kept.append(k)
    return kept


def concave_envelope(points: Sequence[tuple[float, float]]) -> list[int]:
    """Pick the points that no mix of others beats: the upper concave envelope, rising.

    Parameters
    ----------
    points
        Watts and throughput, such as those of a device at each power limit.

    Returns
    -------
    list
        Indices, by rising watts and throughput.
    """
    kept: list[int] = []
    for k in undominated(points):
        while len(kept) > 1 and _below(points[kept[-2]], points[kept[-1]], points[k]):
            kept.pop()
        kept.append(k)
    return kept


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])
