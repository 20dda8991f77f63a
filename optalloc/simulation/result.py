"""What a simulation finds: every job, what ran over time, and figures that follow."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil, fsum
from typing import Any, Literal

import msgspec

State = Literal["done", "running", "waiting", "rejected"]
JOULES = 3.6e6
"""In a kilowatt-hour."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a job.

    Parameters
    ----------
    name
        Its task's.
    state
        ``done``; ``running`` in the end, as it never leaves; ``waiting`` in the end, as others
        never leave; ``rejected``, as it does not fit the cluster even when nothing runs.
    arrival_s
        When it arrived.
    start_s, finish_s
        When it started and ended; None if it did not.
    nodes, configuration
        Where and how it ran last.
    moves
        Times that it moved.
    reason
        Why it was rejected, in the oracle's words.
    """

    name: str
    state: State
    arrival_s: float
    start_s: float | None = None
    finish_s: float | None = None
    nodes: dict[str, int] = {}
    configuration: str = ""
    moves: int = 0
    reason: str = ""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How numbers are spread; percentiles are the smallest number that so many do not exceed.

    Parameters
    ----------
    count
        How many there are.
    mean, p50, p90, p99, most
        None where there are none.
    """

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    most: float | None = None

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread:
        """Describe numbers.

        Examples
        --------
        >>> Spread.of([4, 1, 2, 3]).p50
        2
        """
        found = sorted(numbers)
        if not found:
            return cls()
        p50, p90, p99 = (found[max(ceil(len(found) * part / 100), 1) - 1] for part in (50, 90, 99))
        mean = fsum(found) / len(found)
        return cls(count=len(found), mean=mean, p50=p50, p90=p90, p99=p99, most=found[-1])


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was so from each moment to the next; the last entry holds for no time.

    Parameters
    ----------
    time_s
        Moments at which something changed, ascending.
    running, waiting
        Numbers of jobs.
    watts
        Drawn by the nodes in use and what runs on them.
    allocated
        Part of each resource of all nodes together that was given away.
    """

    time_s: tuple[float, ...] = ()
    running: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()
    watts: tuple[float, ...] = ()
    allocated: dict[str, tuple[float, ...]] = {}

    def integral(self, values: Sequence[float], until: float | None = None) -> float:
        """Sum values times the seconds for which they held, from the beginning to a moment."""
        ends = self.time_s if until is None else [min(time, until) for time in self.time_s]
        spans = (b - a for a, b in pairwise(ends))
        return fsum(value * span for value, span in zip(values, spans, strict=False))

    def mean(self, values: Sequence[float], until: float | None = None) -> float:
        """Mean of values over time; where no time went by, the value at that moment."""
        if not self.time_s:
            return 0.0
        end = self.time_s[-1] if until is None else until
        span = end - self.time_s[0]
        if span > 0:
            return self.integral(values, end) / span
        return values[max(bisect_right(self.time_s, end) - 1, 0)]


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation found.

    Parameters
    ----------
    policy
        What decided between places that cost the same; empty for the objective alone.
    objective
        What placements were to cost little of.
    order, strict, speed
        How jobs were asked for, and how many times as fast as stated they arrived.
    jobs
        What became of each, in the order of the trace.
    series
        What was so over time.
    asked
        Questions that the oracle was asked.
    events
        Arrivals and departures.
    """

    policy: str = ""
    objective: str = ""
    order: str = "fifo"
    strict: bool = False
    speed: float = 1.0
    jobs: tuple[JobRecord, ...] = ()
    series: Series = Series()
    asked: int = 0
    events: int = 0

    def count(self, state: State) -> int:
        """Number of jobs in a state."""
        return sum(job.state == state for job in self.jobs)

    @property
    def waiting_s(self) -> Spread:
        """Seconds from arrival to start, of jobs that started."""
        return Spread.of(j.start_s - j.arrival_s for j in self.jobs if j.start_s is not None)

    @property
    def completion_s(self) -> Spread:
        """Seconds from arrival to end, of jobs that are done."""
        return Spread.of(j.finish_s - j.arrival_s for j in self.jobs if j.finish_s is not None)

    @property
    def makespan_s(self) -> float:
        """Seconds from the first arrival to the last event."""
        times = self.series.time_s
        return times[-1] - times[0] if times else 0.0

    @property
    def energy_j(self) -> float:
        """Joules that the nodes in use and what ran on them drew: watts over time."""
        return self.series.integral(self.series.watts)

    @property
    def energy_kwh(self) -> float:
        """The same in kilowatt-hours."""
        return self.energy_j / JOULES

    @property
    def moves(self) -> int:
        """Tasks that moved, each as often as it did."""
        return sum(job.moves for job in self.jobs)

    @property
    def allocation(self) -> dict[str, float]:
        """Mean part of each resource that was given away, from the first arrival to the end."""
        return {name: self.series.mean(part) for name, part in self.series.allocated.items()}

    @property
    def allocation_loaded(self) -> dict[str, float]:
        """The same until the last arrival, after which the cluster only empties."""
        last = max((job.arrival_s for job in self.jobs), default=0.0)
        parts = self.series.allocated.items()
        return {name: self.series.mean(part, last) for name, part in parts}

    def summary(self) -> dict[str, Any]:
        """All but the single jobs and moments, for JSON."""
        states: tuple[State, ...] = ("done", "running", "waiting", "rejected")
        return {
            "policy": self.policy,
            "objective": self.objective,
            "order": self.order,
            "strict": self.strict,
            "speed": self.speed,
            "jobs": {"all": len(self.jobs), **{state: self.count(state) for state in states}},
            "waiting_s": msgspec.to_builtins(self.waiting_s),
            "completion_s": msgspec.to_builtins(self.completion_s),
            "makespan_s": self.makespan_s,
            "allocation": self.allocation,
            "allocation_loaded": self.allocation_loaded,
            "energy_kwh": self.energy_kwh,
            "moves": self.moves,
            "events": self.events,
            "asked": self.asked,
            "rejected": {j.name: j.reason for j in self.jobs if j.state == "rejected"},
        }
