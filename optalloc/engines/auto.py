"""Which engines run when: a ladder by size and time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from optalloc.engines import AUTO, GREEDY, engine
from optalloc.engines.greedy import Greedy
from optalloc.engines.ledger import Ledger
from optalloc.engines.protocol import Bound, Clock, Incumbent, IntArray, Job, Message, run
from optalloc.engines.race import Loaded, Race, Runner
from optalloc.formulation.encoding import encode
from optalloc.formulation.model import Form, ModelTooLarge, OutOfTime
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import finish
from optalloc.formulation.translating import to_placement
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.result import StoppedBy

SMALL_ENTRIES = 20_000
"""Models up to this many entries are first tried in this process, which saves starting workers."""
IN_PROCESS_SECONDS = 0.5
"""About what starting workers takes."""
LARGE_ENTRIES = 100_000
"""From this size on a proof is unlikely: the search for better solutions starts at once."""
PROOF_SHARE = 0.15
"""Part of the time in which two exact engines race before one yields to the search."""
GREEDY_SHARE = 0.25
LONGEST_GREEDY = 60.0
SECONDS_PER_ENTRY = 4e-7
"""Time to formulate and load an entry of a model, from measurements; an upper estimate."""
BYTES_PER_ENTRY = 250
"""Memory of an engine per entry of the model, from measurements; an upper estimate."""


@dataclass(frozen=True)
class Request:
    """How to run: see `optalloc.solve`."""

    engine: str
    threads: int
    seed: int
    deterministic: bool
    log: bool
    memory: int | None


@dataclass
class Run:
    """One run of the ladder."""

    ledger: Ledger
    clock: Clock
    request: Request
    problem: Problem = field(init=False)
    stopped_by: StoppedBy = "time"
    infeasible: bool = False
    logs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _loaded: dict[Form, Loaded] = field(default_factory=dict)

    def solve(self, problem: Problem) -> None:
        """Run the engine asked for, or the ladder; the ledger holds the answer."""
        self.problem = problem
        name = self.request.engine
        if not self._affordable(problem.most_pairs * len(problem.active)):
            if self.ledger.placement is None:
                self._greedy(1.0)
            return
        if name in (AUTO, GREEDY) or engine(name).needs_start:
            self._greedy(1.0 if name == GREEDY else GREEDY_SHARE)
        if name == GREEDY:
            self.stopped_by = "iterations"
            return
        if self.ledger.proven:
            self.stopped_by = "proof"
            return
        if not self._affordable(estimate_entries(problem)):
            return
        try:
            if self.request.deterministic:
                chosen = "milp" if name == AUTO else name
                self._alone(chosen, self.clock.left, self.request.threads)
            elif name == AUTO:
                self._ladder()
            else:
                self._race_one(name)
        except OutOfTime:
            self.stopped_by = "time"
        except ModelTooLarge as error:
            self.failures.append(str(error))
            self.stopped_by = "memory"
        if self.infeasible or self.ledger.proven:
            self.stopped_by = "proof"

    # -- rungs ---------------------------------------------------------------------------------

    def _greedy(self, share: float) -> None:
        """A first answer, offered if all required tasks found a place in a share of the time."""
        greedy = Greedy(self.problem)
        if greedy.run(Clock(min(self.clock.left * share, LONGEST_GREEDY))):
            self.ledger.offer(greedy.placement(), GREEDY, known_good=False)

    def _ladder(self) -> None:
        """Try small models here, race two exact engines, then let one yield to the search."""
        entries = self._load("milp").model.value.size
        if entries <= SMALL_ENTRIES:
            # More threads would spin for work that a small model does not have.
            self._alone("milp", min(IN_PROCESS_SECONDS, self.clock.left), threads=1)
            if self.infeasible or self.ledger.proven:
                return
        race = Race(self.ledger, self.clock, self.request.memory)
        with race.running():
            self._start(race, "milp")
            if self.request.threads > 1:
                self._second_thread(race, large=entries > LARGE_ENTRIES)
            race.wait(self.clock.left)
        self._conclude(race)

    def _second_thread(self, race: Race, large: bool) -> None:
        """CP-SAT first, for a proof; then the search, once there is something to improve."""
        if not (large and self.ledger.placement is not None):
            rival = self._start(race, "cpsat")
            if self.clock.limit == float("inf"):
                return
            race.wait(0 if large else min(self.clock.left * PROOF_SHARE, 30.0))
            while self.ledger.placement is None and not race.over:
                race.wait(min(0.5, self.clock.left))
            if race.over:
                return
            race.stop(rival)
        self._start(race, "lns")

    def _alone(self, name: str, seconds: float, threads: int) -> None:
        """Run an engine in this process, from the best placement so far."""
        chosen = engine(name)
        loaded = self._load(chosen.form)
        job = self._job(seconds, threads, Race(self.ledger, self.clock).hint(loaded))
        session = chosen.open(loaded.model, job)

        def emit(message: Message) -> None:
            if isinstance(message, Incumbent):
                self.ledger.offer(to_placement(loaded.encoding, message.values), name)
            elif isinstance(message, Bound):
                self.ledger.bound(message)

        finished = run(session, loaded.model, job, emit)
        if finished.log:
            self.logs.append(f"== {name}\n{finished.log}")
        self.infeasible = finished.ended == "infeasible" and self.ledger.placement is None

    def _race_one(self, name: str) -> None:
        """Run one engine in a worker process."""
        race = Race(self.ledger, self.clock, self.request.memory)
        with race.running():
            self._start(race, name, self.request.threads)
            race.wait(self.clock.left)
        self._conclude(race)

    def _start(self, race: Race, name: str, threads: int | None = None) -> Runner:
        loaded = self._load(engine(name).form)
        share = threads or max(self.request.threads // 2, 1)
        return race.start(name, loaded, self._job(self.clock.left, share, race.hint(loaded)))

    def _conclude(self, race: Race) -> None:
        self.logs += race.logs
        self.failures += race.failures
        self.infeasible |= race.infeasible
        if race.out_of_memory:
            self.stopped_by = "memory"
        elif self.clock.left > 0 and not self.ledger.proven:
            self.stopped_by = "iterations"

    # -- models --------------------------------------------------------------------------------

    def _load(self, form: Form) -> Loaded:
        if form not in self._loaded:
            deadline = time.monotonic() + self.clock.left
            encoding = encode(self.problem, form, deadline)
            self._loaded[form] = Loaded(encoding, finish(encoding))
        return self._loaded[form]

    def _affordable(self, entries: int) -> bool:
        """Whether a model of so many entries fits the time and memory that there are."""
        if entries * SECONDS_PER_ENTRY > self.clock.left:
            self.stopped_by = "time"
            return False
        if self.request.memory is not None and entries * BYTES_PER_ENTRY > self.request.memory:
            self.stopped_by = "memory"
            return False
        return True

    def _job(self, seconds: float, threads: int, hint: IntArray | None = None) -> Job:
        request = self.request
        return Job(seconds, threads, request.seed, request.deterministic, request.log, hint)


def estimate_entries(problem: Problem) -> int:
    """Entries that the model will have, about: what each family sees of the pairs."""
    pairs, entries = int(problem.pairs.block.size), 0
    for metric in problem.metrics.values():
        for _, term in metric.terms:
            families = [term.family, *(link.family for link in term.linked)]
            for placed in (placed for family in families for placed in family.placed):
                member = placed.membership
                seen = 1.0 if member is None else member.part.size / max(problem.classes, 1)
                entries += int(pairs * seen)
    return entries + pairs


def first_placements(
    instance: Instance, warm_start: Placement | None
) -> list[tuple[str, Placement]]:
    """Placements that are known before any engine runs."""
    known = [] if warm_start is None else [("warm start", warm_start)]
    current = current_placement(instance)
    return known + ([] if current is None else [("current placement", current)])


def current_placement(instance: Instance) -> Placement | None:
    """What runs now, each task in its first row; None where nothing runs."""
    columns = instance.columns
    if not columns.current_task.size:
        return None
    row = columns.row_start[columns.current_task]
    chosen = np.zeros(columns.rows, np.int64)
    chosen[row] = columns.task_count[columns.current_task]
    return Placement.of(chosen, row, columns.current_node, columns.current_replicas)
