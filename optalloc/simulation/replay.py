"""A trace replayed: events in order of time, every decision the oracle's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import isfinite

import msgspec
from msgspec.structs import replace

from optalloc.explaining.relaxing import replaced
from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import Configuration, Instance, Task
from optalloc.instance.references import choices
from optalloc.oracle.answers import Decision, Refusal
from optalloc.oracle.improving import improve
from optalloc.oracle.oracle import Oracle
from optalloc.policies import Cost, Energy
from optalloc.simulation.ledger import Ledger
from optalloc.simulation.result import JobRecord, Series, Simulation, State
from optalloc.simulation.trace import Job, Trace
from optalloc.simulation.waiting import ORDERS, Queue
from optalloc.verify import verify

LEAVES, ARRIVES = range(2)
"""Kinds of events, in the order in which those of one moment happen."""
SEARCH_S = 10.0
"""For each search for better placements, by the solver's own measure of its work."""
TOLD_EVERY = 256
"""Events between two reports of progress."""


@dataclass(frozen=True)
class Progress:
    """How far a simulation is.

    Parameters
    ----------
    events, total
        Arrivals and departures so far, and at most.
    time_s
        The moment that is replayed.
    running, waiting
        Numbers of jobs.
    """

    events: int
    total: int
    time_s: float
    running: int
    waiting: int


Listener = Callable[[Progress], None]
Look = Callable[[Oracle, float], None]


@dataclass
class Course:
    """A job under way.

    Parameters
    ----------
    job, kind, task
        What arrived, its kind's number and what the oracle is asked for.
    arrival, start, finish
        Moments.
    decision, row
        Where it runs.
    left, since, rate
        What was left to do at a moment (seconds or samples), and how much is done in a second.
    serial
        Counts the predictions of its end; only the last one holds.
    """

    job: Job
    kind: int
    task: Task
    arrival: float
    start: float | None = None
    finish: float | None = None
    decision: Decision | None = None
    row: int = -1
    left: float = 0.0
    since: float = 0.0
    rate: float = 1.0
    serial: int = 0
    moves: int = 0
    state: State = "waiting"
    reason: str = ""


def simulate(  # noqa: PLR0913 (keyword options of the one entry point)
    instance: Instance,
    trace: Trace,
    policy: str = "",
    objective: str | None = None,
    *,
    order: str = "fifo",
    strict: bool = False,
    speed: float = 1.0,
    improve_every: float | None = None,
    max_moves: int = 10,
    on_progress: Listener | None = None,
    look: Look | None = None,
) -> Simulation:
    """Replay a trace: jobs arrive, wait until the oracle finds a place, run and leave.

    Deterministic: the same call gives the same answer. Moves take no time.

    Parameters
    ----------
    instance
        The cluster, its groups and policies; its own tasks do not run.
    trace
        Jobs.
    policy
        What decides between places that cost the same, as for `Oracle`.
    objective
        What placements are to cost little of; by default the instance's.
    order
        ``fifo``, or ``priority`` (the highest first, then by arrival).
    strict
        Nobody overtakes a job that waits; by default later jobs run where earlier ones do not fit.
    speed
        How many times as fast as stated jobs arrive; they run as long as stated.
    improve_every
        Seconds of the trace after which, again and again, what runs moves to something better.
    max_moves
        Most replicas that move at once.
    on_progress
        Called now and then.
    look
        Called after each moment with the oracle, not to be changed, and the time.

    Raises
    ------
    InstanceError
        For tasks that do not go with the instance, and work without a rate.
    OptallocError
        For an unknown order, an argument out of its range, or a state that fails `verify`.

    Examples
    --------
    >>> from optalloc import Instance, Node, Task
    >>> jobs = [Job(task=Task(name=n, demand={"cpu": 3}), duration_s=60) for n in "ab"]
    >>> found = simulate(Instance(nodes=[Node(name="n", capacity={"cpu": 4})]), Trace(jobs=jobs))
    >>> [(job.start_s, job.finish_s) for job in found.jobs]
    [(0.0, 60.0), (60.0, 120.0)]
    """
    if order not in ORDERS:
        raise OptallocError(f"expected an order ({choices(ORDERS)}), got {order!r}")
    every = float("inf") if improve_every is None else improve_every
    for name, value, ok in (
        ("speed", speed, isfinite(speed) and speed > 0),
        ("improve_every", every, every > 0),
        ("max_moves", max_moves, max_moves >= 0),
    ):
        if not ok:
            raise OptallocError(f"expected {name} above 0, got {value!r}")
    replay = Replay(instance, trace, policy, objective, order, strict, speed)
    replay.run(every, max_moves, on_progress, look)
    return replay.result()


class Replay:
    """The state of a simulation; see `simulate` for the parameters."""

    def __init__(
        self,
        instance: Instance,
        trace: Trace,
        policy: str,
        objective: str | None,
        order: str,
        strict: bool,
        speed: float,
    ) -> None:
        timed = _timed(instance, objective)
        tasks = [_asked(job.task, timed) for job in trace.jobs]
        kinds, samples = _kinds(tasks)
        cluster = _cluster(instance, trace, samples, kinds)
        self.oracle = Oracle(cluster, objective, policy)
        named = [replace(task, name=f"{k}", required=False) for k, task in enumerate(samples)]
        self.ledger = Ledger(self.oracle, named)
        self._settings = (policy, order, strict, float(speed))
        self._empty = self.oracle.fork()
        self._fit_alone: dict[int, str] = {}
        tracked = self.oracle.ground.counters.tracked
        # With rules of the form "at least", what runs can make room for others.
        self._enabling = any(one.rule and not one.blocks for one in tracked)
        self._queue = Queue(len(samples), strict)
        self.courses = [
            Course(job, kind, task, float(job.arrival_s) / speed)
            for job, kind, task in zip(trace.jobs, kinds, tasks, strict=True)
        ]
        self._places = [(*ORDERS[order](job), k) for k, job in enumerate(trace.jobs)]
        self._check_rates()
        self._events: list[tuple[float, int, int, int]] = []
        for k, course in enumerate(self.courses):
            heappush(self._events, (course.arrival, ARRIVES, k, 0))
        self._numbers = {course.task.name: k for k, course in enumerate(self.courses)}
        self._log = Log(self.ledger.resources)
        self._asked = self._done = 0
        self._improved = -1

    def run(self, every: float, moves: int, listener: Listener | None, look: Look | None) -> None:
        """Replay all events."""
        last = max((course.arrival for course in self.courses), default=0.0)
        upcoming = self._events[0][0] + every if self._events else float("inf")
        while self._upcoming():
            now = self._events[0][0]
            if upcoming < now:
                self._improve(upcoming, moves)
                self._note(upcoming, look)
                upcoming += every
                continue
            self._happen(now)
            self._serve(now)
            self._note(now, look)
            if now == last:
                self._verify()
            if listener and (self._done % TOLD_EVERY < 2 or not self._events):
                total = 2 * len(self.courses)
                running, waiting = self.oracle.running, len(self._queue)
                listener(Progress(self._done, total, now, running, waiting))
        self._verify()

    def result(self) -> Simulation:
        """What was found."""
        policy, order, strict, speed = self._settings
        return Simulation(
            policy=policy,
            objective=self.oracle.ground.objective.text,
            order=order,
            strict=strict,
            speed=speed,
            jobs=tuple(_record(course) for course in self.courses),
            series=self._log.series(),
            asked=self._asked,
            events=self._done,
        )

    # -- events ----------------------------------------------------------------------------------

    def _upcoming(self) -> bool:
        """Whether anything is to happen; forgets ends that were foreseen before a move."""
        while self._events:
            _, what, number, serial = self._events[0]
            if what == ARRIVES or serial == self.courses[number].serial:
                return True
            heappop(self._events)
        return False

    def _happen(self, now: float) -> None:
        """Let all leave that end now, then all arrive that do."""
        while self._upcoming() and self._events[0][0] == now:
            _, what, number, _ = heappop(self._events)
            course = self.courses[number]
            if what == ARRIVES:
                self._queue.add(course.kind, self._places[number])
            else:
                self._leave(course, now)
            self._done += 1

    def _leave(self, course: Course, now: float) -> None:
        assert course.decision is not None
        self.oracle.release(course.task.name)
        self.ledger.count(course.row, course.decision, -1)
        course.finish, course.state = now, "done"
        self._queue.freed()

    def _serve(self, now: float) -> None:
        def ask(kind: int, number: int) -> bool:
            return self._start(number, now)

        while len(self._queue) and self._queue.serve(ask, self.ledger.may_fit, self._hopeless):
            if not self._enabling:
                return
            self._queue.freed()

    def _start(self, number: int, now: float) -> bool:
        course = self.courses[number]
        self._asked += 1
        (answer,) = self.oracle.place(course.task)
        if isinstance(answer, Refusal):
            return False
        course.start, course.since, course.state = now, now, "running"
        course.left = float(course.job.task.work or course.job.duration_s or 0)
        self._run_at(number, answer, now)
        return True

    def _run_at(self, number: int, decision: Decision, now: float) -> None:
        """Let a job run somewhere from now on, and foresee its end."""
        course = self.courses[number]
        course.decision, course.row = decision, self.ledger.row(course.kind, decision)
        self.ledger.count(course.row, decision)
        course.rate = 1.0 if course.job.task.work is None else self.ledger.rate(course.row)
        course.serial += 1
        if self._ends(course):
            end = now + course.left / course.rate
            heappush(self._events, (end, LEAVES, number, course.serial))

    @staticmethod
    def _ends(course: Course) -> bool:
        return course.job.task.work is not None or course.job.duration_s is not None

    def _hopeless(self, kind: int, number: int) -> bool:
        """Whether no task of a kind fits even where nothing runs; then the job is rejected."""
        course = self.courses[number]
        if kind not in self._fit_alone:
            (answer,) = self._empty.place(course.task)
            if isinstance(answer, Decision):
                self._empty.release(course.task.name)
            self._fit_alone[kind] = answer.reason if isinstance(answer, Refusal) else ""
        course.reason = self._fit_alone[kind]
        if course.reason:
            course.state = "rejected"
        return bool(course.reason)

    def _improve(self, now: float, max_moves: int) -> None:
        """Carry out the moves of a better plan."""
        if not self.oracle.running or self.oracle.version == self._improved:
            return
        plan = improve(self.oracle, SEARCH_S, max_moves, threads=1, deterministic=True)
        for move in plan.moves:
            self.oracle.move(move)
            number = self._numbers[move.task]
            course = self.courses[number]
            assert course.decision is not None
            self.ledger.count(course.row, course.decision, -1)
            course.left = max(course.left - course.rate * (now - course.since), 0.0)
            course.since, course.moves = now, course.moves + 1
            self._run_at(number, move, now)
        self._improved = self.oracle.version
        if plan.moves:
            self._queue.freed()
            self._serve(now)

    # -- what is so ------------------------------------------------------------------------------

    def _note(self, now: float, look: Look | None) -> None:
        self._log.note(now, self.oracle.running, len(self._queue), self.ledger)
        if look is not None:
            look(self.oracle, now)

    def _verify(self) -> None:
        report = verify(*self.oracle.instance())
        if not report.feasible:
            raise OptallocError(f"expected placements that keep all rules, got {report}")

    def _check_rates(self) -> None:
        """Refuse work that no configuration says how fast it is done.

        Raises
        ------
        InstanceError
            Lists all of it.
        """
        faults = []
        for k, course in enumerate(self.courses):
            if course.job.task.work is not None and not all(
                self.ledger.rate(row) > 0 for row in self.ledger.rows(course.kind)
            ):
                what = "expected configurations with throughput, that say how long it takes"
                faults.append((f"jobs[{k}].task.work", what))
        if faults:
            raise InstanceError(faults, "the trace")


@dataclass
class Log:
    """What was so from each moment on."""

    resources: tuple[str, ...]
    time: list[float] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    watts: list[float] = field(default_factory=list)
    shares: list[tuple[float, ...]] = field(default_factory=list)

    def note(self, now: float, running: int, waiting: int, ledger: Ledger) -> None:
        """Note a moment; of the same one the last note holds."""
        if self.time and self.time[-1] == now:
            for kept in (self.time, self.running, self.waiting, self.watts, self.shares):
                kept.pop()
        self.time.append(now)
        self.running.append(running)
        self.waiting.append(waiting)
        self.watts.append(ledger.watts)
        self.shares.append(ledger.shares())

    def series(self) -> Series:
        """All notes."""
        columns = zip(self.resources, zip(*self.shares, strict=True), strict=False)
        return Series(
            time_s=tuple(self.time),
            running=tuple(self.running),
            waiting=tuple(self.waiting),
            watts=tuple(self.watts),
            allocated=dict(columns),
        )


def _record(course: Course) -> JobRecord:
    decision = course.decision
    return JobRecord(
        name=course.task.name,
        state=course.state,
        arrival_s=course.arrival,
        start_s=course.start,
        finish_s=course.finish,
        nodes=dict(decision.nodes) if decision else {},
        configuration=decision.configuration if decision else "",
        moves=course.moves,
        reason=course.reason,
    )


def _timed(instance: Instance, objective: str | None) -> bool:
    """Whether goals depend on the work of tasks."""
    from optalloc.objective import read_objective

    policies = read_objective(replaced(instance, tasks=()), objective).policies
    return any(isinstance(policy, Energy | Cost) for policy in policies)


def _asked(task: Task, timed: bool) -> Task:
    """The task as the oracle is asked for it; equal ones are of one kind."""
    return replace(task, current=None, work=task.work if timed else None)


def _kinds(tasks: list[Task]) -> tuple[list[int], list[Task]]:
    """Number of each task's kind, and a task of each."""
    numbers: dict[bytes, int] = {}
    samples: list[Task] = []
    kinds = []
    for task in tasks:
        key = msgspec.json.encode(replace(task, name=""))
        if key not in numbers:
            numbers[key] = len(samples)
            samples.append(task)
        kinds.append(numbers[key])
    return kinds, samples


def _cluster(instance: Instance, trace: Trace, samples: list[Task], kinds: list[int]) -> Instance:
    """The instance with one task of each kind, whose numbers decide on quanta.

    Raises
    ------
    InstanceError
        For tasks that do not go with it: names the first job of each kind.
    """
    tables: Mapping[str, tuple[Configuration, ...]] = trace.configurations
    taken = sorted(tables.keys() & instance.shared_rows.keys())
    if taken:
        what = "expected the name of a table that the instance has not"
        raise InstanceError([(f"configurations.{name}", what) for name in taken], "the trace")
    tasks = tuple(replace(task, name=f"{k}", required=False) for k, task in enumerate(samples))
    try:
        return replaced(instance, tasks=tasks, configurations={**instance.configurations, **tables})
    except InstanceError as error:
        first = {kind: k for k, kind in reversed([*enumerate(kinds)])}
        faults = [_of_job(fault, first) for fault in error.problems]
        raise InstanceError(faults, "the trace") from None


def _of_job(fault: tuple[str, str], first: Mapping[int, int]) -> tuple[str, str]:
    """A problem of a kind's task as one of its first job."""
    path, what = fault
    head, bracket, rest = path.partition("]")
    if bracket and head.startswith("tasks["):
        return f"jobs[{first[int(head[6:])]}].task{rest}", what
    return fault
