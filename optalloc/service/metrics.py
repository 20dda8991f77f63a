"""What Prometheus scrapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from optalloc.service.asked import Standing

if TYPE_CHECKING:
    from optalloc.oracle.improving import Plan

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
SLOW = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000)
ENDINGS = ("better", "nothing", "crashed", "timed-out", "out-of-memory")
"""How runs of the improver end."""


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.seconds = Histogram(
            "optalloc_request_seconds",
            "Seconds from a request to its answer.",
            ["path"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.requests = Counter(
            "optalloc_requests",
            "Requests by path and status.",
            ["path", "status"],
            registry=registry,
        )
        self._answered: dict[tuple[str, int], tuple[Histogram, Counter]] = {}
        self.placed = Counter("optalloc_placed_tasks", "Tasks placed.", registry=registry)
        self.refused = Counter("optalloc_refused_tasks", "Tasks refused.", registry=registry)
        self.failures = Counter("optalloc_failures", "Internal errors.", registry=registry)
        self.unverified = Counter(
            "optalloc_unverified_decisions",
            "Decisions that failed their check and were not made.",
            registry=registry,
        )
        self._queue = Gauge("optalloc_queue", "Requests that wait.", registry=registry)
        self._version = Gauge("optalloc_version", "Version of the state.", registry=registry)
        self._tasks = Gauge("optalloc_tasks", "Tasks that run.", registry=registry)
        self._closed = Gauge("optalloc_closed_nodes", "Nodes that are closed.", registry=registry)
        self._used = Gauge("optalloc_used", "In use, by resource.", ["resource"], registry=registry)
        self._capacity = Gauge(
            "optalloc_capacity", "Capacity by resource.", ["resource"], registry=registry
        )
        self._utilisation = Gauge(
            "optalloc_utilisation",
            "Part of the capacity in use, by resource.",
            ["resource"],
            registry=registry,
        )
        self._power = Gauge("optalloc_power_watts", "Power drawn.", registry=registry)
        self._fragmentation = Gauge(
            "optalloc_fragmentation",
            "Part of the free devices of open nodes that the next request cannot use, in the mean "
            "over the last 1000 tasks placed that need some (FGD's loss over what is free).",
            registry=registry,
        )
        self._fragmentation.set(math.nan)
        self.commits = Histogram(
            "optalloc_journal_commit_seconds",
            "Seconds of a commit of the journal, its fsync included.",
            buckets=FAST,
            registry=registry,
        )
        self._improver(registry)

    def _improver(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "optalloc_improver_runs",
            "Runs of the improver by how they ended.",
            ["ending"],
            registry=registry,
        )
        for ending in ENDINGS:
            self._runs.labels(ending)
        self._run_seconds = Histogram(
            "optalloc_improver_seconds",
            "Seconds of a run of the improver.",
            buckets=SLOW,
            registry=registry,
        )
        self._run_memory = Gauge(
            "optalloc_improver_memory_bytes",
            "Most memory that the processes of the improver's last run held.",
            registry=registry,
        )
        self._gap = Gauge(
            "optalloc_gap",
            "Relative gap of what runs to what is proven of all placements of the same tasks, by "
            "level of the objective: up to the first that is not at its bound.",
            ["level"],
            registry=registry,
        )
        self._bound = Gauge(
            "optalloc_bound", "That bound, in the level's unit.", ["level"], registry=registry
        )
        self._moves = Gauge(
            "optalloc_planned_moves", "Moves of the plan found last.", registry=registry
        )

    def improved(self, ending: str, seconds: float, memory: float) -> None:
        """Count a run of the improver, with its seconds and the bytes that it held."""
        self._runs.labels(ending).inc()
        self._run_seconds.observe(seconds)
        self._run_memory.set(memory)

    def planned(self, moves: int) -> None:
        """Tell how many moves the plan has."""
        self._moves.set(moves)

    def compared(self, plan: Plan) -> None:
        """Tell the gaps and bounds that a plan states."""
        for gauge, told in ((self._gap, plan.gap), (self._bound, plan.bound)):
            gauge.clear()
            for level, value in told.items():
                gauge.labels(level).set(value)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer, and how long it took."""
        mine = self._answered.get((path, status))
        if mine is None:
            mine = self.seconds.labels(path), self.requests.labels(path, str(status))
            self._answered[path, status] = mine
        took, number = mine
        took.observe(seconds)
        number.inc()

    def text(self, now: Standing | None, queue: int) -> bytes:
        """All of them in Prometheus' text format.

        Parameters
        ----------
        now
            The state; None where it cannot be asked: then what was known last is told.
        queue
            Requests that wait.
        """
        self._queue.set(queue)
        if now is not None:
            self._version.set(now.version)
            self._tasks.set(now.tasks)
            self._closed.set(len(now.closed))
            self._power.set(float("nan") if now.power_w is None else now.power_w)
            wasted = now.fragmentation
            self._fragmentation.set(math.nan if wasted is None else wasted)
            for name, use in now.resources.items():
                self._used.labels(name).set(use.used)
                self._capacity.labels(name).set(use.capacity)
                self._utilisation.labels(name).set(use.used / use.capacity if use.capacity else 0)
        return generate_latest(self.registry)
