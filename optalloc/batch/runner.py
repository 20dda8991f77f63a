"""Runs the solves of a batch side by side, each in a process of its own with hard limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

import optalloc
from optalloc.batch import processes
from optalloc.batch.jobs import SOLUTION, Job
from optalloc.batch.results import Row
from optalloc.batch.worker import Failure, Order, Outcome

POLL_S = 0.02
SAMPLE_S = 0.1
"""Seconds between two looks at the memory, at least."""
SAMPLE_SHARE = 0.05
"""Part of the time that looking at the memory may take."""
OVERSHOOT = 1.05
"""What `optalloc.solve` promises to keep, as a multiple of the time limit."""
TAIL = 2000
"""Bytes kept of what a crashed solve wrote on standard error."""
WORKER = (sys.executable, "-m", "optalloc.batch.worker")


def usable_cpus() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """How a batch runs.

    Parameters
    ----------
    jobs
        Solves at a time.
    threads
        Threads for each solve.
    memory_limit_mib
        A solve whose processes together hold more is ended; None for no limit.
    grace_s
        A solve is ended so many seconds beyond its time limit and the 5 % that `optalloc.solve`
        may take more: it has to start, read its file and report as well.
    solutions
        Folder for the solution files; None for none.
    worker
        Command that reads an `Order` and writes an `Outcome`.
    """

    jobs: int = 1
    threads: int = 1
    memory_limit_mib: float | None = None
    grace_s: float = 10.0
    solutions: Path | None = None
    worker: Sequence[str] = WORKER


def run_batch(
    jobs: Iterable[Job],
    settings: Settings,
    on_tick: Callable[[int], None] = lambda _running: None,
) -> Generator[Row]:
    """Run solves and yield a row as each one ends; closing the iterator ends those that run.

    Parameters
    ----------
    jobs
        The solves, started in this order.
    settings
        How to run them.
    on_tick
        Called with the number of solves that run, several times a second.
    """
    waiting, running = deque(jobs), list[_Solve]()
    sampler = _Sampler()
    try:
        while waiting or running:
            while waiting and len(running) < settings.jobs:
                running.append(_Solve(waiting.popleft(), settings))
            time.sleep(POLL_S)
            sampler.look(running)
            for solve in [s for s in running if s.ended()]:
                running.remove(solve)
                yield solve.finish()
            on_tick(len(running))
    finally:
        for solve in running:
            solve.finish()


class _Sampler:
    """Looks at what the solves hold, seldom enough to cost little."""

    def __init__(self) -> None:
        self._next = 0.0

    def look(self, solves: Sequence[_Solve]) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        table = processes.running()
        for solve in solves:
            solve.measure(table)
        cost = time.monotonic() - now
        self._next = now + max(SAMPLE_S, cost / SAMPLE_SHARE)


class _Solve:
    """A solve that runs in its own process group."""

    def __init__(self, job: Job, settings: Settings) -> None:
        self.job, self.settings = job, settings
        self.started = datetime.now(UTC)
        self._begin = time.monotonic()
        self._known: processes.Running = {}
        self._peak_mib = 0.0
        self._limit: str | None = None
        self._files = ExitStack()
        self._answer, self._said = (self._files.enter_context(scratch()) for _ in range(2))
        self._process = subprocess.Popen(
            settings.worker,
            stdin=subprocess.PIPE,
            stdout=self._answer,
            stderr=self._said,
            start_new_session=True,
        )
        self._tell(msgspec.json.encode(self._order()) + b"\n")

    def _tell(self, line: bytes) -> None:
        # Standard input stays open: its end tells the worker that the batch is gone.
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _order(self) -> Order:
        job, folder = self.job, self.settings.solutions
        name = f"{job.name}.{job.engine}.{job.seed}{SOLUTION}"
        return Order(
            instance=job.instance,
            engine=job.engine,
            seed=job.seed,
            threads=self.settings.threads,
            objective=job.objective,
            time_limit=job.time_limit,
            memory_limit_mib=self.settings.memory_limit_mib,
            solution=None if folder is None else str(folder / name),
        )

    def measure(self, table: processes.Running) -> None:
        """Look at the memory of all its processes."""
        self._known = processes.tree(self._process.pid, self._known, table)
        self._peak_mib = max(self._peak_mib, processes.memory_mib(self._known))

    def ended(self) -> bool:
        """Whether it has ended or must end now."""
        if self._process.poll() is not None:
            return True
        memory, limit = self.settings.memory_limit_mib, self.job.time_limit
        if memory is not None and self._peak_mib > memory:
            self._limit = "memory"
        elif limit is not None and self._elapsed() > OVERSHOOT * limit + self.settings.grace_s:
            self._limit = "time"
        return self._limit is not None

    def _elapsed(self) -> float:
        return time.monotonic() - self._begin

    def finish(self) -> Row:
        """End all its processes and say what came of it."""
        elapsed = self._elapsed()
        processes.end(self._process.pid, self._known)
        code = self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        outcome = self._outcome(code)
        self._files.close()
        return {
            **self.job.row(),
            "threads": self.settings.threads,
            **_fields(outcome, elapsed, self._limit),
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "process_s": round(elapsed, 3),
            "peak_rss_mib": round(max(self._peak_mib, outcome.peak_mib), 1),
            "cpus": usable_cpus(),
            "version": optalloc.__version__,
        }

    def _outcome(self, code: int) -> Outcome:
        """What the worker answered, or why it could not."""
        if self._limit is not None:
            return Outcome(error=Failure(kind="limit", message=self._over()))
        self._answer.seek(0)
        try:
            return msgspec.json.decode(self._answer.read(), type=Outcome)
        except msgspec.DecodeError:
            return Outcome(
                error=Failure(kind="signal", message=death(code), detail=tail(self._said))
            )

    def _over(self) -> str:
        if self._limit == "memory":
            limit = self.settings.memory_limit_mib
            return f"ended at {self._peak_mib:.0f} MiB, more than its limit of {limit:g} MiB"
        return f"ended after {self._elapsed():.1f} s, its time limit is {self.job.time_limit:g} s"


def scratch() -> IO[bytes]:
    """A file that is gone when it is closed: unlike a pipe it never blocks its writer."""
    return tempfile.TemporaryFile()


def _fields(outcome: Outcome, elapsed: float, limit: str | None) -> dict[str, Any]:
    """The fields of a row that say what came of it."""
    if outcome.result is not None:
        fields = dict(outcome.result)
        return {"status": fields.pop("status"), "found_by": fields.pop("engine"), **fields}
    assert outcome.error is not None
    status = {"limit": "unknown", "input": "error"}.get(outcome.error.kind, "crashed")
    return {
        "status": status,
        "found_by": None,
        "objective": None,
        "bound": None,
        "gap": None,
        "wall_s": round(elapsed, 4),
        "stopped_by": limit,
        "verified": False,
        "levels": [],
        "error": msgspec.to_builtins(outcome.error),
    }


def death(code: int) -> str:
    """Say how a process ended that did not answer."""
    if code >= 0:
        return f"ended with exit code {code} and without an answer"
    name = signal.Signals(-code).name
    likely = ", perhaps by the system for want of memory" if -code == signal.SIGKILL else ""
    return f"ended by {name}{likely}"


def tail(file: IO[bytes]) -> str:
    """The last that a process wrote."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    return file.read().decode(errors="replace")
