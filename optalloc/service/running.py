"""One run of the improver, watched: it is ended at its limits whatever it is doing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from optalloc.batch import processes
from optalloc.batch.runner import death, scratch, tail
from optalloc.engines.worker import environment
from optalloc.oracle.improving import Plan
from optalloc.service.improver import LENGTH, Order, Outcome
from optalloc.service.records import Record

Ending = Literal["better", "nothing", "crashed", "timed-out", "out-of-memory", "stopped"]
WORKER = (sys.executable, "-m", "optalloc.service.improver")
POLL_S = 0.05
SAMPLE_S, SAMPLE_SHARE = 0.2, 0.02
"""Seconds between two looks at the memory, and part of the time that they may take."""
CHUNK = 100
"""Records in a piece: putting one into words must not hold up those who decide."""


@dataclass(frozen=True)
class Report:
    """What came of a run.

    Parameters
    ----------
    ending
        ``better``: a plan with moves; ``nothing``: one without; ``stopped``: it was not wanted
        any longer; the others say how it failed.
    plan
        The plan, where there is one.
    seconds, peak_mib
        That it took, start and reading included, and the memory that its processes held.
    detail
        What a run that failed said last.
    """

    ending: Ending
    plan: Plan | None
    seconds: float
    peak_mib: float
    detail: str = ""


@dataclass(frozen=True)
class Taken:
    """The state at one moment.

    Parameters
    ----------
    version
        Of it.
    instance
        The instance, as its file says it.
    objective
        Of the oracle.
    records
        What leads to it.
    """

    version: int
    instance: bytes
    objective: str
    records: tuple[Record, ...]

    def pieces(self, order: Order) -> Iterator[bytes]:
        """What the improver reads."""
        encode = msgspec.json.Encoder().encode
        yield encode(order)
        yield self.instance
        for k in range(0, len(self.records), CHUNK):
            yield encode(self.records[k : k + CHUNK])
        yield b""


class Run:
    """A run in a process group of its own.

    Parameters
    ----------
    worker
        Command that reads pieces and writes an `Outcome`.
    pieces
        For its standard input; the first one is its order.
    seconds
        After which it is ended.
    memory_mib
        That its processes together may hold; None for no limit.
    """

    def __init__(
        self,
        worker: Sequence[str],
        pieces: Iterable[bytes],
        seconds: float,
        memory_mib: float | None,
    ) -> None:
        self._seconds, self._memory = seconds, memory_mib
        self._started = time.monotonic()
        self._stopped = threading.Event()
        self._known: processes.Running = {}
        self._peak, self._next = 0.0, 0.0
        self._files = ExitStack()
        self._answer, self._said = (self._files.enter_context(scratch()) for _ in range(2))
        self._process = subprocess.Popen(
            worker,
            stdin=subprocess.PIPE,
            stdout=self._answer,
            stderr=self._said,
            start_new_session=True,
            env=environment(),
        )
        # One that hangs does not read: whoever writes to it may have to wait for its end.
        self._writer = threading.Thread(target=self._write, args=(pieces,), daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """Have it ended; `wait` says so."""
        self._stopped.set()

    def wait(self) -> Report:
        """Watch it until it ends or must."""
        ending: Ending | None = None
        while self._process.poll() is None and ending is None:
            self._stopped.wait(POLL_S)
            ending = self._over()
        processes.end(self._process.pid, self._known)
        code = self._process.wait()
        self._writer.join()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with self._files:
            return self._report(ending, code)

    def _over(self) -> Ending | None:
        """Whether it must end, and why."""
        now = time.monotonic()
        if self._stopped.is_set():
            return "stopped"
        if now - self._started > self._seconds:
            return "timed-out"
        if now >= self._next:
            now_there = processes.descendants(self._process.pid)
            # Those whose parent has ended are no descendants, and are to be ended as well.
            self._known |= now_there
            self._peak = max(self._peak, processes.memory_mib(now_there))
            self._next = now + max(SAMPLE_S, (time.monotonic() - now) / SAMPLE_SHARE)
        over = self._memory is not None and self._peak > self._memory
        return "out-of-memory" if over else None

    def _report(self, ending: Ending | None, code: int) -> Report:
        seconds = time.monotonic() - self._started
        outcome = Outcome()
        if ending is None:
            self._answer.seek(0)
            with suppress(msgspec.DecodeError):
                outcome = msgspec.json.decode(self._answer.read(), type=Outcome)
        peak, plan = max(self._peak, outcome.peak_mib), outcome.plan
        if plan is not None:
            return Report("better" if plan.moves else "nothing", plan, seconds, peak)
        failed: Ending = "out-of-memory" if outcome.lacks_memory else "crashed"
        said = f"{death(code)}; {tail(self._said).strip()}" if ending is None else ""
        return Report(ending or failed, None, seconds, peak, said)

    def _write(self, pieces: Iterable[bytes]) -> None:
        # It stays open: its end tells the improver that nobody is there any more.
        stream: Any = self._process.stdin
        with suppress(OSError):
            for piece in pieces:
                stream.write(LENGTH.pack(len(piece)) + piece)
                stream.flush()
