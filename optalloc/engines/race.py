"""Engines side by side, each in a worker process, until proof or the deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from optalloc.engines.ledger import Ledger
from optalloc.engines.loading import Loaded
from optalloc.engines.protocol import Bound, Clock, Finished, Incumbent, IntArray, Job, Message
from optalloc.engines.worker import Shared, Worker, share
from optalloc.result import SearchEffort

POLL_SECONDS = 0.25
"""How often memory is looked at while nothing is heard."""


@dataclass
class Runner:
    """An engine at work."""

    name: str
    worker: Worker
    loaded: Loaded
    finished: Finished | None = None
    gained: float = field(default_factory=time.monotonic)
    """When it last improved the best placement or bound."""
    found: float = field(default_factory=time.monotonic)
    """When it last improved the best placement."""
    bounds: dict[int, int] = field(default_factory=dict)
    """Its latest bound of each level."""


@dataclass
class Race:
    """Runs workers and keeps the ledger.

    Parameters
    ----------
    ledger
        What is known; the race adds to it.
    clock
        When to stop.
    memory
        Bytes that all workers together may hold; None for no limit.
    """

    ledger: Ledger
    clock: Clock
    memory: int | None = None
    logs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    out_of_memory: bool = False
    infeasible: bool = False
    _watched: float = 0.0
    _runners: list[Runner] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _shared: dict[int, tuple[IO[bytes], Shared]] = field(default_factory=dict)
    _inbox: queue.SimpleQueue[tuple[Runner, Message | None]] = field(
        default_factory=queue.SimpleQueue
    )

    @contextmanager
    def running(self) -> Iterator[Race]:
        """End every worker on the way out, whatever happens."""
        try:
            yield self
        finally:
            for runner in self._runners:
                runner.worker.kill()
            for thread in self._threads:
                thread.join()
            for file, _ in self._shared.values():
                file.close()

    def start(self, name: str, loaded: Loaded, job: Job) -> Runner:
        """Start an engine on a model."""
        key = id(loaded.model)
        if key not in self._shared:
            self._shared[key] = share(loaded.model)
        file, shared = self._shared[key]
        runner = Runner(name, Worker(name, file, shared, job), loaded)
        self._runners.append(runner)
        thread = threading.Thread(target=self._listen, args=(runner,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return runner

    def stop(self, runner: Runner) -> None:
        """End one engine, unless that has been done."""
        runner.worker.kill()
        if runner in self._runners:
            self._runners.remove(runner)

    def hint(self, loaded: Loaded) -> IntArray | None:
        """The best placement in the words of a subject."""
        if self.ledger.placement is None:
            return None
        return loaded.values(self.ledger.placement)

    def wait(self, seconds: float) -> None:
        """Hear the engines until a proof, the end of them all, or so many seconds."""
        clock = Clock(min(seconds, self.clock.left))
        while clock.left > 0 and not self.over:
            self._watch_memory()
            try:
                runner, message = self._inbox.get(timeout=min(POLL_SECONDS, clock.left))
            except queue.Empty:
                continue
            self._hear(runner, message)

    def wait_for_placement(self) -> None:
        """Hear the engines until one has found a placement."""
        while self.ledger.placement is None and not self.over:
            self.wait(POLL_SECONDS)

    @property
    def decided(self) -> bool:
        """Whether nothing remains to be found."""
        return self.infeasible or self.ledger.proven or self.out_of_memory

    @property
    def over(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.decided or self.clock.left <= 0 or not self._active()

    def _active(self) -> list[Runner]:
        return [runner for runner in self._runners if runner.finished is None]

    def _listen(self, runner: Runner) -> None:
        while True:
            message = runner.worker.receive()
            self._inbox.put((runner, message))
            if message is None:
                runner.worker.close()
                return

    def _hear(self, runner: Runner, message: Message | None) -> None:
        if runner not in self._runners:
            return
        if isinstance(message, Incumbent):
            placement = runner.loaded.placement(message.values)
            if self.ledger.offer(placement, runner.name):
                runner.gained = runner.found = time.monotonic()
                self._tell_others(runner)
        elif isinstance(message, Bound):
            runner.bounds[message.level] = message.value
            if self.ledger.bound(message):
                runner.gained = time.monotonic()
        elif isinstance(message, SearchEffort):
            self.ledger.efforts[id(runner)] = message
        elif isinstance(message, Finished):
            runner.finished = message
            self._log(runner.name, message.log)
            self.infeasible |= message.ended == "infeasible" and self.ledger.placement is None
        elif runner.finished is None:
            runner.finished = Finished("stopped")
            self.failures.append(f"{runner.name} failed: {runner.worker.failure()}")

    def _log(self, name: str, log: str) -> None:
        if log:
            self.logs.append(f"== {name}\n{log}")

    def _tell_others(self, finder: Runner) -> None:
        for other in self._active():
            if other is not finder:
                values = self.hint(other.loaded)
                if values is not None:
                    other.worker.offer(values)

    def _watch_memory(self) -> None:
        """End the engine that holds most when all together hold too much; the last one ends all."""
        if self.memory is None or time.monotonic() - self._watched < POLL_SECONDS:
            return
        self._watched = time.monotonic()
        held = [(runner.worker.resident_bytes, runner) for runner in self._active()]
        if sum(size for size, _ in held) <= self.memory:
            return
        if len(held) == 1:
            self.out_of_memory = True
            return
        size, hungriest = max(held, key=lambda pair: pair[0])
        limit = f"{self.memory / 1e9:.3g} GB allowed"
        self._log(hungriest.name, f"ended: it held {size / 1e9:.3g} GB, {limit} for all")
        self.stop(hungriest)
