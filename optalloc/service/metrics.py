"""What Prometheus scrapes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from optalloc.service.asked import Standing

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


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
        self._power = Gauge("optalloc_power_watts", "Power drawn.", registry=registry)

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
            for name, use in now.resources.items():
                self._used.labels(name).set(use.used)
                self._capacity.labels(name).set(use.capacity)
        return generate_latest(self.registry)
