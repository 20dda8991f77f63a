"""Which engines run when: a ladder by size and time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from optalloc.engines import AUTO, COLUMNS, GREEDY, LEVELLING, LOCAL, engine
from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.greedy import Greedy
from optalloc.engines.ledger import Ledger, OpenLevel
from optalloc.engines.loading import Loaded, load
from optalloc.engines.protocol import (
    Bound,
    Clock,
    Form,
    Incumbent,
    IntArray,
    Job,
    Message,
    Unsupported,
    run,
)
from optalloc.engines.race import POLL_SECONDS, Race, Runner
from optalloc.formulation.bounding import level_bounds
from optalloc.formulation.model import ModelTooLarge, OutOfTime
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import EXACT_INTEGER
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.result import SearchEffort, StoppedBy

MODELS: tuple[Form, ...] = ("milp", "cpsat")
"""Forms in which everything can be said, so that an engine can prove that there is no placement."""
SMALL_ENTRIES = 20_000
"""Models up to this many entries are first tried in this process, which saves starting workers."""
IN_PROCESS_SECONDS = 0.5
"""About what starting workers takes."""
LARGE_ENTRIES = 100_000
"""From this size on a proof is unlikely: the search for better solutions starts at once."""
HUGE_ENTRIES = 10_000_000
"""From this size on engines that read a model find little in it, and need gigabytes to hold it."""
PROOF_SHARE, LONGEST_PROOF = 0.15, 30.0
"""Part of the time, and seconds, in which two exact engines race before one yields to a search."""
STALL_SHARE, SHORTEST_STALL = 0.1, 10.0
"""Part of the limit, and seconds, without any gain after which an exact engine yields."""
HOPE = 5.0
"""An exact engine goes on while its bound would meet the value in so many times the time left."""
CUT_SHARE = 0.4
"""An exact engine goes on if so much of the gap that a relaxation leaves is closed by its bound."""
SEARCH_SHARE, TIGHT = 0.5, 0.01
"""Part of the time left down to which a first level this close to its bound brings back the exact
engine, if neighbourhoods found the last: what refines it is then cuts rather than random moves."""
WARM_START = "warm start"
"""What found a placement that was given, mended or not."""
MOST_PACKED = 10_000
"""Nodes times single tasks up to which column generation is through with its first program within
seconds, where nodes are knapsacks."""
COPIES = 20
"""Tasks of a class, in the mean, from which on large problems are first solved by classes."""
IDLE_SHARE = 0.15
"""Part of the time by which neighbourhoods must have improved something, or they yield; where their
bound is near the value by then, rounding it is worth `SEARCH_SHARE`."""
NEAR = 0.1
"""Gap up to which a bound is near."""
BOUND_SECONDS = 5.0
"""Seconds that must be left for closed-form bounds, which take far less."""
ENDING = 0.5
"""Seconds before the margin by which an engine that keeps its time may end."""
SHORTEST_MARGIN = 0.05
"""Seconds before the end by which engines say their last word, beside the time to check it."""
FIRST_SHARE, GREEDY_SHARE = 0.6, 0.25
"""Part of the time for a first answer, and for another one where there is one already."""
LAST_SHARE = 0.8
"""Part of what is left in the end for a first answer: the rest is to check it."""
LONGEST_GREEDY = 60.0
SECONDS_PER_ENTRY = 4e-7
"""Time to formulate and load an entry of a model, from measurements; an upper estimate."""
SECONDS_PER_AGGREGATE = 2e-7
"""Time to make the tables of the local search, for each aggregate; an upper estimate."""
BYTES_PER_ENTRY, BYTES_TO_BUILD = 250, 150
"""Memory per entry of a model, of an engine and to build it, from measurements; upper estimates."""
BYTES_PER_AGGREGATE = 120
"""Memory of the local search with its tables, for each aggregate; an upper estimate."""


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
    start: Placement | None = None
    """A placement to be mended: it breaks rules, or leaves tasks out."""
    problem: Problem = field(init=False)
    stopped_by: StoppedBy = "time"
    infeasible: bool = False
    logs: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _loaded: dict[Form, Loaded] = field(default_factory=dict)
    _first: Greedy | None = None

    def solve(self, problem: Problem) -> None:
        """Run the engine asked for, or the ladder; the ledger holds the answer."""
        self.problem = problem
        name = self.request.engine
        self._mend()
        nothing, by_classes = self.ledger.placement is None, name == AUTO and self._by_classes()
        if by_classes:
            self._race_one(COLUMNS, threads=1)
        answered = by_classes and self.ledger.placement is not None
        if name == GREEDY:
            self._greedy(1.0)
        elif not (answered or self.complete) and (name == AUTO or (nothing and not _begins(name))):
            self._greedy(FIRST_SHARE if nothing else GREEDY_SHARE)
        if not (self.ledger.proven or (answered and self._least_entries > HUGE_ENTRIES)):
            try:
                self._run(name)
            except OutOfTime:
                self.stopped_by = "time"
            except Unsupported as error:
                raise OptallocError(f"engine {name!r} has no words for {error}") from None
            except ModelTooLarge as error:
                self.failures.append(str(error))
                self.stopped_by = "memory"
        unfinished = self._first is not None and self._first.out_of_time
        if unfinished and (self.ledger.placement is None or self.clock.left > ENDING):
            self._greedy(LAST_SHARE)
        if self.infeasible or self.ledger.proven:
            self.stopped_by = "proof"

    @property
    def complete(self) -> bool:
        """Whether every task is placed already: a first answer would add nothing."""
        placement, columns = self.ledger.placement, self.ledger.instance.columns
        return placement is not None and placement.chosen.sum() == columns.task_count.sum()

    def _knapsacks(self) -> bool:
        """Whether nodes are few knapsacks, which column generation fills best within seconds."""
        if self.problem.nodes * self.problem.blocks > MOST_PACKED or not self._supported(COLUMNS):
            return False
        tables = self._load("classes").model
        return isinstance(tables, ClassTables) and tables.single

    def _by_classes(self) -> bool:
        """Whether there are so many copies that it pays to look at classes of them."""
        problem = self.problem
        copies = int(problem.task_classes.count.sum()) / max(problem.classes, 1)
        large = self._least_entries > LARGE_ENTRIES and not self.request.deterministic
        return large and copies >= COPIES and self._supported(COLUMNS)

    @property
    def _least_entries(self) -> int:
        """No more than a model has, and cheap to have."""
        return self.problem.most_pairs * len(self.problem.active)

    def _run(self, name: str) -> None:
        """Run an engine, or the ladder as far as models are affordable."""
        if self.ledger.placement is None and not _proves(name):
            self._settle()
        if name == GREEDY or self.infeasible:
            self.stopped_by = "iterations"
            return
        modelled = name == AUTO or engine(name).form in MODELS
        entries = self._affordable_entries() if modelled else None
        if entries is None and modelled and name != AUTO:
            return
        if self.request.deterministic:
            if name == AUTO:
                name = LOCAL if entries is None else "milp"
            self._alone(name, self.clock.left, self.request.threads)
        elif name not in (AUTO, LOCAL):
            self._race_one(name)
        elif (
            name == LOCAL or entries is None or (entries > HUGE_ENTRIES and self._supported(LOCAL))
        ):
            self._search()
        else:
            self._ladder(entries)

    def _affordable_entries(self) -> int | None:
        """Entries of a model, about; None if it would take too much time or memory."""
        least = self._least_entries
        if not self._affordable(least):
            return None
        if least > HUGE_ENTRIES and self.request.engine == AUTO:
            return least
        entries = estimate_entries(self.problem)
        return entries if self._affordable(entries) else None

    # -- rungs ---------------------------------------------------------------------------------

    def _greedy(self, share: float) -> None:
        """A first answer, offered if all required tasks found a place in a share of the time."""
        if self._first is None:
            self._first = Greedy(self.problem)
        if self._first.run(Clock(min(self.clock.left * share, LONGEST_GREEDY))):
            self.ledger.offer(self._first.placement(), GREEDY, known_good=False)

    def _mend(self) -> None:
        """Place anew what of the start cannot stay, and what it leaves out."""
        if self.start is not None:
            mended = Greedy(self.problem, self.start)
            if mended.run(Clock(min(self.clock.left * GREEDY_SHARE, LONGEST_GREEDY))):
                self.ledger.offer(mended.placement(), WARM_START, known_good=False)

    def _settle(self) -> None:
        """Find a placement of a small problem, or a proof that there is none, for who cannot."""
        small = self._least_entries <= SMALL_ENTRIES
        entries = self._affordable_entries() if small else None
        if entries is not None and entries <= SMALL_ENTRIES:
            self._bound_levels()
            if self.ledger.proven:
                return
            # More threads would spin for work that a small model does not have. CP-SAT can be
            # stopped by its work instead of the clock.
            name = "cpsat" if self.request.deterministic else "milp"
            self._alone(name, min(IN_PROCESS_SECONDS, self.clock.left), threads=1)

    def _ladder(self, entries: int) -> None:
        """Try small models here; race two exact engines, or two kinds of search on large ones."""
        self._settle()
        if self.infeasible or self.ledger.proven:
            return
        race = Race(self.ledger, self.clock, self.request.memory)
        with race.running():
            if self.clock.limit == float("inf"):
                self._exact(race)
            elif entries > LARGE_ENTRIES and self._supported(LOCAL):
                self._two_searches(race)
            else:
                self._exact_then_search(race)
            race.wait(self.clock.left)
        self._conclude(race)

    def _exact(self, race: Race) -> list[Runner]:
        """Start the exact engines."""
        names = ["milp", "cpsat"][: self.request.threads]
        return [self._start(race, name) for name in names]

    def _two_searches(self, race: Race) -> None:
        """A search and neighbourhoods; a tight bound makes room for an exact engine."""
        local = self._start(race, self._first_search())
        self._bound()
        if self.request.threads == 1:
            return
        if self.ledger.placement is None:
            exact = self._start(race, "milp")
            race.wait_for_placement()
            if race.over:
                return
            race.stop(exact)
        lns = self._start(race, "lns")
        began = lns.found
        while self.clock.left > SEARCH_SHARE * self.clock.limit and not race.over:
            race.wait(POLL_SECONDS)
            if self._within(TIGHT) and lns.found > max(began, local.found):
                race.stop(local)
                self._yield(race, self._start(race, "milp"), lns)
                return
            idle = lns.found == began and not self._within(NEAR)
            if idle and self.clock.left < (1 - IDLE_SHARE) * self.clock.limit:
                break
        if lns.found == began and not race.over:
            race.stop(lns)
            self._start(race, LOCAL, seed=self.request.seed + 1)

    def _exact_then_search(self, race: Race) -> None:
        """Two exact engines, or one and columns; what gains nothing makes room for searches."""
        columns = self.request.threads > 1 and self._knapsacks()
        search = self._start(race, COLUMNS) if columns else None
        exact = [self._start(race, "milp")] if search else self._exact(race)
        if self.request.threads == 1:
            return
        race.wait(min(self.clock.left * PROOF_SHARE, LONGEST_PROOF))
        race.wait_for_placement()
        if race.over:
            return
        if search is None:
            race.stop(exact[1])
            search = self._start(race, "lns")
        self._yield(race, exact[0], search)

    def _yield(self, race: Race, exact: Runner, search: Runner) -> None:
        """An exact engine from which no more is to be hoped makes room for a second search."""
        while not race.over:
            before, found = self.ledger.first_open(), exact.found
            race.wait(self._stall)
            after = self.ledger.first_open()
            if exact.found == found and not self._hopeful(before, after, search):
                break
        if race.over:
            return
        refining = self._within(TIGHT) or search.name == COLUMNS
        if refining or self._supported(LOCAL):
            race.stop(exact)
            self._start(race, "lns" if refining else LOCAL, seed=self.request.seed + refining)

    def _hopeful(self, before: OpenLevel | None, after: OpenLevel | None, search: Runner) -> bool:
        """Whether the exact bound is on its way to the value, or is much better than a relaxed one.

        In the second case its cuts make its search a good one, be there a proof in the end or not.
        """
        if after is None or before is None or before.level != after.level:
            return after is not None
        pace = (after.bound - before.bound) / self._stall
        relaxed = search.bounds.get(after.level, after.bound)
        return (
            pace * HOPE * self.clock.left >= after.value - after.bound
            or after.bound - relaxed >= CUT_SHARE * (after.value - relaxed)
        )

    def _within(self, gap: float) -> bool:
        """Whether the first level is so close to its bound."""
        levels = self.ledger.levels()
        known = levels[0].gap if levels else None
        return known is not None and known < gap

    @property
    def _stall(self) -> float:
        """Seconds without a gain after which an exact engine yields."""
        return max(STALL_SHARE * self.clock.limit, SHORTEST_STALL)

    def _search(self) -> None:
        """Searches alone, with a seed for each thread; without any greedy has the last word."""
        if self.request.engine != LOCAL and not self._supported(LOCAL):
            return
        race = Race(self.ledger, self.clock, self.request.memory)
        first = self._first_search()
        with race.running():
            for thread in range(self.request.threads):
                name = LOCAL if thread else first
                self._start(race, name, seed=self.request.seed + thread)
            self._bound()
            race.wait(self.clock.left)
        self._conclude(race)

    def _first_search(self) -> str:
        """The search that suits the problem best."""
        begun = self.ledger.placement is not None and self.request.engine == AUTO
        return LEVELLING if begun and self._supported(LEVELLING) else LOCAL

    def _bound(self) -> None:
        """Bound the levels without a model, given whatever of the earlier ones."""
        if self.clock.left > BOUND_SECONDS:
            self._bound_levels()

    def _bound_levels(self) -> None:
        for level, bound in enumerate(level_bounds(self.problem)):
            if bound is not None:
                self.ledger.bound(Bound(level, bound, (EXACT_INTEGER,) * level))

    def _supported(self, name: str) -> bool:
        """Whether an engine is installed and has words for the problem."""
        if not engine(name).available():
            return False
        try:
            self._load(engine(name).form)
        except (Unsupported, OutOfTime, ModelTooLarge):
            return False
        return True

    def _alone(self, name: str, seconds: float, threads: int) -> None:
        """Run an engine in this process, from the best placement so far."""
        chosen = engine(name)
        loaded = self._load(chosen.form)
        hint = Race(self.ledger, self.clock).hint(loaded)
        job = self._job(seconds, threads, self.request.seed, hint)
        session = chosen.open(loaded.model, job)

        def emit(message: Message) -> None:
            if isinstance(message, Incumbent):
                self.ledger.offer(loaded.placement(message.values), name)
            elif isinstance(message, Bound):
                self.ledger.bound(message)
            elif isinstance(message, SearchEffort):
                self.ledger.efforts[id(session)] = message

        finished = run(session, loaded.model, job, emit)
        if finished.log:
            self.logs.append(f"== {name}\n{finished.log}")
        self.infeasible = finished.ended == "infeasible" and self.ledger.placement is None

    def _race_one(self, name: str, threads: int | None = None) -> None:
        """Run one engine in a worker process."""
        race = Race(self.ledger, self.clock, self.request.memory)
        with race.running():
            self._start(race, name, threads or self.request.threads)
            race.wait(self.clock.left)
        self._conclude(race)

    def _start(
        self, race: Race, name: str, threads: int | None = None, seed: int | None = None
    ) -> Runner:
        loaded = self._load(engine(name).form)
        share = threads or max(self.request.threads // 2, 1)
        seed = self.request.seed if seed is None else seed
        return race.start(name, loaded, self._job(self.clock.left, share, seed, race.hint(loaded)))

    def _conclude(self, race: Race) -> None:
        self.logs += race.logs
        self.failures += race.failures
        self.infeasible |= race.infeasible
        if race.out_of_memory:
            self.stopped_by = "memory"
        elif self.clock.left > self._margin(self.clock.limit) + ENDING and not self.ledger.proven:
            self.stopped_by = "iterations"
        else:
            self.stopped_by = "time"

    # -- models --------------------------------------------------------------------------------

    def _load(self, form: Form) -> Loaded:
        if form not in self._loaded:
            if form in ("tables", "peaks"):
                self._check_tables()
            self._loaded[form] = load(self.problem, form, time.monotonic() + self.clock.left)
        return self._loaded[form]

    def _check_tables(self) -> None:
        """Refuse to make tables for which there is no time or memory."""
        metrics = self.problem.metrics.values()
        aggregates = sum(f.size for m in metrics for _, term in m.terms for f in term.families)
        if aggregates * SECONDS_PER_AGGREGATE > self.clock.left:
            raise OutOfTime
        memory = self.request.memory
        if memory is not None and aggregates * BYTES_PER_AGGREGATE > memory:
            raise ModelTooLarge(f"the local search would need more than {memory / 1e9:.3g} GB")

    def _affordable(self, entries: int) -> bool:
        """Whether a model of so many entries fits the time and memory that there are."""
        if entries * SECONDS_PER_ENTRY > self.clock.left:
            self.stopped_by = "time"
            return False
        raced = 2 if self.request.engine == AUTO and self.request.threads > 1 else 1
        needed = entries * (BYTES_TO_BUILD + raced * BYTES_PER_ENTRY)
        if self.request.memory is not None and needed > self.request.memory:
            self.stopped_by = "memory"
            return False
        return True

    def _margin(self, seconds: float) -> float:
        """Seconds before the end by which the last word must be said, to be checked."""
        return min(2 * self.ledger.offer_seconds + SHORTEST_MARGIN, 0.2 * seconds)

    def _job(self, seconds: float, threads: int, seed: int, hint: IntArray | None) -> Job:
        request = self.request
        margin = self._margin(seconds)
        return Job(seconds, margin, threads, seed, request.deterministic, request.log, hint)


def _proves(name: str) -> bool:
    """Whether an engine can prove that there is no placement."""
    if name in (AUTO, GREEDY):
        return name == AUTO
    return not engine(name).needs_start and engine(name).form in MODELS


def _begins(name: str) -> bool:
    """Whether an engine finds a first placement as fast as any."""
    return _proves(name) or name == COLUMNS


def estimate_entries(problem: Problem) -> int:
    """Entries that the model will have, about: what each family sees of the pairs."""
    if problem.nesting is not None:
        return problem.most_pairs
    pairs, entries = int(problem.pairs.block.size), 0
    for metric in problem.metrics.values():
        for _, term in metric.terms:
            families = [*term.families, *(link.family for link in term.linked)]
            for placed in (placed for family in families for placed in family.placed):
                member = placed.membership
                seen = 1.0 if member is None else member.part.size / max(problem.classes, 1)
                entries += int(pairs * seen)
    return entries + pairs


def first_placements(
    instance: Instance, warm_start: Placement | None
) -> list[tuple[str, Placement]]:
    """Placements that are known before any engine runs."""
    known = [] if warm_start is None else [(WARM_START, warm_start)]
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
