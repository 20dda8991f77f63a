"""The one thread that asks the oracle: many requests share one synchronisation of the journal."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain, takewhile
from threading import Condition, Thread
from typing import Any

import msgspec

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance, Task
from optalloc.oracle.answers import Unverified
from optalloc.oracle.oracle import Oracle
from optalloc.service.asked import Answers
from optalloc.service.commands import Change
from optalloc.service.errors import Refused, refused
from optalloc.service.journal import Journal
from optalloc.service.records import NO_ANSWER, Entry
from optalloc.service.turn import Turn

MOST = 128
"""Requests that share one commit."""
LONGEST = 0.025
"""Seconds after which no request joins a commit any more."""
FEW, PAUSE = 6, 0.002
"""Where more requests shared the last two commits, so many seconds are waited for the next one."""
LOST = "the journal cannot be written; nothing is answered until the service starts anew"


@dataclass(frozen=True)
class Choosing:
    """How the oracle chooses.

    Parameters
    ----------
    policy
        What decides between places that cost the same, as for `Oracle`.
    expected
        A sample of the requests to come, for policies that look ahead.
    look_ahead
        Seconds for which a request to place waits for others, to be decided together.
    """

    policy: str = ""
    expected: tuple[Task, ...] = ()
    look_ahead: float = 0.0


@dataclass(frozen=True)
class Reply:
    """An answer as it is sent."""

    body: bytes
    version: int
    repeated: bool = False
    answers: Answers | None = None


@dataclass
class Command:
    """A request on its way to the oracle.

    Parameters
    ----------
    run
        Carries it out; returns a `Change`, or anything else that changed nothing.
    turn
        Its deadline.
    key
        Its idempotency key.
    asked
        The request in bytes, to tell whether a key comes again with another one.
    expected
        Version that the state must have.
    tasks
        Those that it is to place, where others can be placed with them.
    reply
        Where the answer goes.
    """

    run: Callable[[Oracle], Any]
    turn: Turn = field(default_factory=Turn)
    key: str | None = None
    asked: bytes = b""
    expected: int | None = None
    tasks: tuple[Task, ...] = ()
    reply: Future[Any] = field(default_factory=Future)


class Writer:
    """Carries out requests one after the other, and acknowledges them when they are on disk.

    Parameters
    ----------
    instance, objective
        Of the oracle.
    journal
        What has happened so far.
    queue
        Requests that may wait.
    choosing
        How the oracle chooses.

    Attributes
    ----------
    failed
        Told of an error that should not be.
    committed
        Told the seconds of each commit.
    lost
        Whether the journal could not be written.
    """

    def __init__(
        self,
        instance: Instance,
        objective: str,
        journal: Journal,
        queue: int,
        choosing: Choosing = Choosing(),
    ) -> None:
        self.choosing = choosing
        self.instance, self.objective, self.journal = instance, objective, journal
        self.longest = queue
        self.failed: Callable[[BaseException], None] = lambda _: None
        self.committed: Callable[[float], None] = lambda _: None
        self.oracle = self._restored()
        self.lost = self._ending = False
        self._sizes = (0, 0)
        self._waiting: deque[Command] = deque()
        self._news = Condition()
        self._encode = msgspec.json.Encoder()
        self._thread = Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def submit(self, command: Command) -> Future[Any]:
        """Put a request in the queue.

        Raises
        ------
        Refused
            Where the queue is full, and when the service ends.
        """
        with self._news:
            if self._ending or self.lost:
                raise Refused(503, LOST if self.lost else "the service ends", retry=True)
            if len(self._waiting) >= self.longest:
                said = f"{self.longest} requests wait already; expected fewer at a time"
                raise Refused(429, said, retry=True)
            self._waiting.append(command)
            self._news.notify()
        return command.reply

    def close(self) -> None:
        """Carry out what waits, and close the journal; more than once is well."""
        with self._news:
            ended, self._ending = self._ending, True
            self._news.notify()
        if not ended:
            self._thread.join()
            if not self.lost:
                self.journal.close()

    # -- in the thread -------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._ending:
                    self._news.wait()
                if not self._waiting:
                    return
                if self.choosing.look_ahead and self._waiting[0].tasks:
                    self._news.wait_for(
                        lambda: self._ending or len(self._waiting) >= MOST,
                        self.choosing.look_ahead,
                    )
            if self.choosing.look_ahead:
                self._look_ahead()
            self._batch()

    def _look_ahead(self) -> None:
        """Plan the requests to place that wait in front of all others."""
        commands, now = takewhile(lambda command: command.tasks, [*self._waiting]), time.monotonic()
        tasks = (command.tasks for command in commands if command.turn.deadline > now)
        try:
            self.oracle.plan(*chain.from_iterable(tasks))
        except Exception as error:  # noqa: BLE001  (they are placed one after the other then)
            self.failed(error)
            self.oracle = self._restored()

    def _batch(self) -> None:
        replies: list[tuple[Command, Any]] = []
        until, open_ = time.monotonic() + LONGEST, False
        try:
            while self._joined(len(replies)) and time.monotonic() < until:
                command = self._waiting.popleft()
                entry, reply = self._reply(command)
                replies.append((command, reply))
                if entry is not None:
                    if not open_:
                        self.journal.begin()
                        open_ = True
                    self.journal.append(entry, command.key)
            if open_:
                began = time.perf_counter()
                self.journal.commit()
                self.committed(time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001  (the disk: nothing may be acknowledged now)
            self.lost = True
            self.failed(error)
            replies = [(command, Refused(503, LOST)) for command, _ in replies]
            replies += [(command, Refused(503, LOST)) for command in self._waiting]
            self._waiting.clear()
        self._sizes = self._sizes[1], len(replies)
        for command, reply in replies:
            if isinstance(reply, BaseException):
                command.reply.set_exception(reply)
            else:
                command.reply.set_result(reply)

    def _joined(self, already: int) -> bool:
        """Whether a request joins those that share a commit.

        Where the last two commits had many, who asked then will ask again in a moment.
        """
        if not self._waiting and FEW < sum(self._sizes) > already:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ending, PAUSE)
        return bool(self._waiting) and already < MOST

    def _reply(self, command: Command) -> tuple[Entry | None, Any]:
        """Carry a request out; what goes into the journal, and what is answered."""
        version = self.oracle.version
        try:
            digest = hashlib.sha256(command.asked).hexdigest() if command.key else ""
            known = self.journal.answered(command.key) if command.key else None
            if known is not None:
                return None, self._again(known, digest)
            command.turn.check()
            if command.expected not in (None, version):
                said = f"expected version {command.expected}, and the state has {version}"
                raise Refused(412, said)
            made = command.run(self.oracle)
        except OptallocError as error:
            if isinstance(error, Unverified):
                self.failed(error)
            return None, refused(error)
        except Exception as error:  # noqa: BLE001  (it costs its own request, not the service)
            self.failed(error)
            self.oracle = self._restored()
            return None, Refused(503, "an internal error; nothing was decided")
        if not isinstance(made, Change):
            return None, made
        body = self._encode.encode(made.answer)
        reply = _reply(made.answer, body, self.oracle.version)
        if not made.records and command.key is None:
            return None, reply
        answer = msgspec.Raw(body) if command.key else NO_ANSWER
        return Entry(self.oracle.version, made.records, digest, answer), reply

    def _again(self, known: Entry, digest: str) -> Reply:
        if known.asked != digest:
            raise Refused(422, "expected a new Idempotency-Key: it came with another request")
        return Reply(bytes(known.answer), known.version, repeated=True)

    def _restored(self) -> Oracle:
        """The oracle as the journal has it, entries of the open transaction among it."""
        state, policy = self.journal.state, self.choosing.policy
        made = Oracle.restore(state.snapshot(self.instance, self.objective, policy))
        if self.choosing.expected:
            made.expect(*self.choosing.expected)
        return made


def _reply(answer: msgspec.Struct, body: bytes, version: int) -> Reply:
    return Reply(body, version, answers=answer if isinstance(answer, Answers) else None)
