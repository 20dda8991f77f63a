"""Who looks for better places while the service answers: runs one after the other, and the plan."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from optalloc.engines.memory import available
from optalloc.instance.files import dumps_instance
from optalloc.oracle.improving import Plan
from optalloc.service import asked as a
from optalloc.service.errors import Refused
from optalloc.service.improver import MIB, Order
from optalloc.service.logs import LOG, log
from optalloc.service.metrics import Metrics
from optalloc.service.plans import Proposal, apply
from optalloc.service.running import WORKER, Report, Run, Taken
from optalloc.service.turn import Turn
from optalloc.service.writer import Command, Writer

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle
    from optalloc.service.commands import Change

LONGEST_S, MOST_MOVES = 600.0, 100_000
"""Of a search that is asked for."""
LOOK_S = 0.5
"""Seconds between two looks at whether anything has changed."""
LONGEST_PAUSE_S = 60.0
"""After failures in a row."""
MEMORY_SHARE = 0.5
"""Part of the memory available that a run may hold where nothing is said."""
OVERSHOOT = 1.05
"""What `optalloc.solve` promises to keep, as a multiple of its time."""
PER_TASK_S = 0.0005
"""Seconds to read and check a task, as an upper estimate at low priority."""


@dataclass(frozen=True)
class Improving:
    """How better places are looked for.

    Parameters
    ----------
    seconds
        Of each search in the background; 0 for none.
    max_moves
        Most replicas that the moves of a plan move.
    apply
        Whether plans are carried out at once, and not only proposed.
    memory_mib
        That the processes of a run may hold together; None for half of what is available.
    grace_s
        Seconds beyond its own that a run has to start, read the state and report.
    niceness
        Priority of its processes: 19 is the lowest.
    worker
        Command of a run.
    """

    seconds: float = 0.0
    max_moves: int = 32
    apply: bool = False
    memory_mib: float | None = None
    grace_s: float = 30.0
    niceness: int = 19
    worker: Sequence[str] = WORKER


@dataclass
class Improver:
    """Looks for better places in processes of their own.

    Parameters
    ----------
    writer
        Whose state it looks at.
    settings
        How.
    metrics
        Where runs are counted.
    proposal
        The plan found last; None where there is none.
    last
        How the last run ended; empty before.
    gap
        Of the first level that was not at its bound, or of the last one; None until it is known.
    """

    writer: Writer
    settings: Improving
    metrics: Metrics
    proposal: Proposal | None = None
    last: str = ""
    gap: float | None = None
    _ending: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _runs: set[Run] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._stated = dumps_instance(self.writer.instance)
        self._asked, self._busy = ThreadPoolExecutor(1, "improve"), Lock()
        self._thread = Thread(target=self._work, name="improver", daemon=True)
        if self.settings.seconds > 0:
            self._thread.start()

    def close(self) -> None:
        """End all runs; more than once is well."""
        with self._lock:
            self._ending.set()
            for run in self._runs:
                run.stop()
        self._asked.shutdown()
        if self._thread.is_alive():
            self._thread.join()

    # -- what is asked -------------------------------------------------------------------------

    def planned(self) -> a.Planned:
        """The plan found last."""
        found = self.proposal
        return a.Planned(
            version=self.writer.oracle.version,
            plan=found.plan if found else None,
            age_s=round(time.monotonic() - found.found, 3) if found else None,
            last=self.last,
        )

    def apply(self, oracle: Oracle, asked: a.Apply, turn: Turn) -> Change:
        """Carry the plan out, or what still holds of it; in the writer's thread."""
        found = self.proposal
        change = apply(oracle, self.writer.journal.state, found, asked, turn)
        if self.proposal is found:
            self.proposal = None
            self.metrics.planned(0)
        return change

    def longest(self, seconds: float) -> float:
        """Seconds that a run may take that searches for so long."""
        tasks = self.writer.oracle.running
        return OVERSHOOT * seconds + self.settings.grace_s + PER_TASK_S * tasks

    def improve(self, asked: a.Improve, turn: Turn) -> Future[Plan]:
        """Look for better places once, until the deadline at most.

        Raises
        ------
        Refused
            For a time or number that is none, while another such request is under way, and, in
            the future, where the run failed.
        """
        if not 0 < asked.seconds <= LONGEST_S:
            said = f"expected more than 0 and at most {LONGEST_S:g} seconds, got {asked.seconds:g}"
            raise Refused(422, f"seconds: {said}", [("seconds", said)])
        if not 0 <= asked.max_moves <= MOST_MOVES:
            said = f"expected 0 to {MOST_MOVES} moves, got {asked.max_moves}"
            raise Refused(422, f"max_moves: {said}", [("max_moves", said)])
        if not self._busy.acquire(blocking=False):
            raise Refused(429, "another request looks for better places", retry=True)
        try:
            found = self._asked.submit(self._improve, asked, turn)
        except RuntimeError:
            self._busy.release()
            raise Refused(503, "the service ends", retry=True) from None
        found.add_done_callback(lambda _: self._busy.release())
        return found

    # -- runs ----------------------------------------------------------------------------------

    def _improve(self, asked: a.Improve, turn: Turn) -> Plan:
        left = max(turn.deadline - time.monotonic(), 0)
        report, _ = self._run(asked.seconds, asked.max_moves, left)
        if report.plan is None:
            turn.check()
            said = f"looking for better places ended without an answer: {report.ending}"
            raise Refused(503, said, retry=True)
        return report.plan

    def _work(self) -> None:
        seen, failures = -1, 0
        while not self._ending.wait(LOOK_S):
            if self.writer.oracle.version == seen:
                continue
            try:
                report, taken = self._run(self.settings.seconds, self.settings.max_moves)
            except Refused:  # The queue is full: others come first.
                continue
            except Exception as error:  # noqa: BLE001  (it may fail, the service must not)
                self.writer.failed(error)
                failures += 1
            else:
                failures = 0 if report.plan is not None else failures + 1
                if report.plan is not None:
                    seen = taken.version
                    self._propose(report.plan, taken)
            if failures:
                self._ending.wait(min(2.0**failures, LONGEST_PAUSE_S))

    def _propose(self, plan: Plan, taken: Taken) -> None:
        self.proposal = Proposal.of(plan, taken.records)
        self.metrics.planned(len(plan.moves))
        if not (self.settings.apply and plan.moves):
            return
        asked = a.Apply(version=plan.version)
        try:
            reply = self._carried_out(lambda oracle: self.apply(oracle, asked, Turn()))
            log("applied", version=reply.version)
        except Refused as error:
            log("not applied", message=str(error))

    def _run(self, seconds: float, max_moves: int, left: float = math.inf) -> tuple[Report, Taken]:
        taken: Taken = self._carried_out(self._taken)
        memory = self._memory_mib()
        order = Order(
            seconds=seconds,
            max_moves=max_moves,
            objective=taken.objective,
            version=taken.version,
            memory_mib=memory,
            niceness=self.settings.niceness,
        )
        with self._lock:
            if self._ending.is_set():
                raise Refused(503, "the service ends", retry=True)
            limit = min(self.longest(seconds), left)
            run = Run(self.settings.worker, taken.pieces(order), limit, memory)
            self._runs.add(run)
        try:
            report = run.wait()
        finally:
            with self._lock:
                self._runs.discard(run)
        if report.ending != "stopped":
            self._tell(report)
        return report, taken

    def _tell(self, report: Report) -> None:
        self.last = report.ending
        self.metrics.improved(report.ending, report.seconds, report.peak_mib * MIB)
        said: dict[str, Any] = {
            "ending": report.ending,
            "seconds": round(report.seconds, 3),
            "peak_mib": round(report.peak_mib),
        }
        if report.plan is None:
            fields = {**said, "detail": report.detail}
            LOG.warning("improver failed", extra={"fields": fields})
        else:
            self.metrics.compared(report.plan)
            self.gap = next(reversed(report.plan.gap.values()), self.gap)
            log("improved", **said, moves=len(report.plan.moves))

    def _taken(self, oracle: Oracle) -> Taken:
        """The state, between two changes: a list of what never changes itself."""
        records = tuple(self.writer.journal.state.records())
        return Taken(oracle.version, self._stated, self.writer.objective, records)

    def _carried_out(self, run: Callable[[Oracle], Any]) -> Any:
        return self.writer.submit(Command(run)).result()

    def _memory_mib(self) -> float | None:
        if self.settings.memory_mib is not None:
            return self.settings.memory_mib
        found = available()
        return None if found is None else MEMORY_SHARE * found / MIB
