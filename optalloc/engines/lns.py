"""Large-neighbourhood search: free a part of a known solution and solve it anew.

Generic over the finished model: decision columns outside the neighbourhood are fixed, rows and
auxiliary columns that no free column reaches are left out, and what remains is a small model.
Where the linear relaxation can be had, its prices say which columns are worth freeing, and what
it uses makes a first small model. Sizes adapt to what can be solved; kinds of neighbourhood,
repaired by CP-SAT or by HiGHS, to what pays.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from math import isfinite

import numpy as np

from optalloc.engines.cores import Cores, search
from optalloc.engines.diving import by_parts
from optalloc.engines.neighbourhoods import KINDS, Neighbourhoods
from optalloc.engines.portfolio import Kind, Portfolio
from optalloc.engines.protocol import (
    Bound,
    Clock,
    Emit,
    Form,
    Incumbent,
    IntArray,
    Job,
    LevelResult,
)
from optalloc.engines.reducing import Reducer
from optalloc.engines.relaxing import level_unit, relax
from optalloc.engines.repairing import Repair, Repaired, Small, by_cpsat, by_highs
from optalloc.formulation.sparse import SparseModel

REPAIR_SECONDS, DIVE_SECONDS = 1.0, 5.0
"""Longest repair of a whole neighbourhood, and of one whose parts are decided one by one."""
PATIENCE, LONGEST_SHARE = 0.2, 0.1
"""Repairs take this part of the time since the last gain if that is longer, up to a part of all."""
FIRST_DIVE = 5_000
"""Free decision columns of the first of those."""
RELAXATION_SHARE = 0.25
"""Part of the time that the relaxation may take."""
DIVE_SHARE, LARGEST_DIVE = 0.5, 200_000
"""Part of the time for a first dive through all parts, and the columns that it can have."""
NEAR, KERNEL_SHARE = 0.01, 0.15
"""Beyond this gap: part of the time for the small model of all that the relaxation finds cheap."""
CORE_SHARE, CORE_LENGTH, CORE_PATIENCE = 0.3, 0.25, 0.03
"""Near the bound: part of the time for cores that bring nothing, and parts of all the time that one
may take, and for which nothing was gained before one is looked at."""
REPAIRS_WITHOUT_CLOCK = 100
"""Repairs of a level where no time limit ends them."""


class Lns:
    """Large-neighbourhood search with small models as the repair."""

    name = "lns"
    summary = "large-neighbourhood search, improves a first answer"
    form: Form = "milp"
    needs_start = True

    def available(self) -> bool:
        """Whether ortools and highspy are installed."""
        return all(importlib.util.find_spec(name) for name in ("ortools", "highspy"))

    def open(self, model: SparseModel, job: Job) -> LnsSession:
        """Prepare the search."""
        return LnsSession(model, job)


@dataclass
class LnsSession:
    """The search on one model."""

    model: SparseModel
    job: Job
    offered: IntArray | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.job.seed)
        repairs = [by_cpsat] if self.job.deterministic else [by_cpsat, by_highs]
        kinds = [Kind(name, repair, REPAIR_SECONDS) for name in KINDS for repair in repairs]
        if not self.job.deterministic:
            kinds.append(Kind("nodes", by_parts, DIVE_SECONDS, FIRST_DIVE))
        self.portfolio = Portfolio(kinds, self.rng)
        self.offered = self.job.hint
        self.neighbourhoods = Neighbourhoods(self.model, self.rng, self.job.hint)

    def offer(self, values: IntArray) -> None:
        """Hear of a better solution found elsewhere."""
        with self.lock:
            self.offered = values

    def log(self) -> str:
        """No log: the repairs are too many."""
        return ""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Improve a level while the earlier ones are no worse than `given`."""
        return _Search(self, level, tuple(given), emit).run(Clock(seconds))


class _Search:
    """The search at one level."""

    def __init__(self, session: LnsSession, level: int, given: tuple[int, ...], emit: Emit) -> None:
        self.session, self.model = session, session.model
        self.level, self.given, self.emit = level, given, emit
        self.values: IntArray | None = None
        self.best = 0
        column, value, _ = self.model.objective(level)
        self.cost = np.zeros(self.model.columns, np.int64)
        self.cost[column] = value
        self.reducer = Reducer(self.model, given)
        self.gained = Clock(float("inf"))
        self.cores: Cores | None = None
        self.core_seconds = 0.0
        self.finished = False

    def run(self, clock: Clock) -> LevelResult:
        self._take_offer(clock)
        self._start_from_relaxation(clock)
        steps = repeat(None) if isfinite(clock.limit) else repeat(None, REPAIRS_WITHOUT_CLOCK)
        for _ in steps:
            self._take_offer(clock)
            if self.values is None or clock.left <= 0 or self.finished:
                break
            if not self._look_at_core(clock):
                self._step(clock)
        return LevelResult("optimal" if self.finished else "stopped", self.values)

    def _take_offer(self, clock: Clock) -> None:
        """Go on from a solution found elsewhere if it is better; complete it first."""
        with self.session.lock:
            offered, self.session.offered = self.session.offered, None
        if offered is None:
            return
        auxiliary = np.arange(self.model.decisions, self.model.columns)
        base = np.zeros(self.model.columns, np.int64)
        base[: offered.size] = offered
        self._keep(self._repair(base, auxiliary, None, max(clock.left, 0.1)))

    def _start_from_relaxation(self, clock: Clock) -> None:
        """Solve the relaxation, and go from there to a solution."""
        if self.session.job.deterministic:
            return
        seconds = clock.left * RELAXATION_SHARE
        found = relax(self.model, self.level, self.given, seconds)
        self.session.neighbourhoods.relaxation = found
        if found is None:
            return
        if found.bound is not None:
            self.emit(Bound(self.level, found.bound, self.given))
            self.cores = Cores(self.model, found, level_unit(self.model, self.level))
        if not self._dive(clock.left * DIVE_SHARE) and not self._near(found.bound):
            self._solve_kernel(clock.left * KERNEL_SHARE)

    def _dive(self, seconds: float) -> bool:
        """Decide one part of the whole model after the other; whether that is any better."""
        if self.model.decisions > LARGEST_DIVE:
            return False
        nothing, every = np.zeros(self.model.columns, np.int64), np.arange(self.model.decisions)
        before = None if self.values is None else self.best
        self._keep(self._repair(nothing, every, self.values, seconds, by_parts))
        return self.values is not None and (before is None or self.best < before)

    def _near(self, bound: int | None) -> bool:
        """Whether the best solution is close to a bound, so that a smaller model cannot help."""
        if self.values is None or bound is None:
            return False
        value = self.model.level_value_at(self.level, self.values)
        return value - bound <= NEAR * abs(value)

    def _solve_kernel(self, seconds: float) -> None:
        """Solve the small model of all that the relaxation finds cheap."""
        nothing, free = np.zeros(self.model.columns, np.int64), self.session.neighbourhoods.kernel()
        self._keep(self._repair(nothing, free, None, seconds, by_highs))

    def _look_at_core(self, clock: Clock) -> bool:
        """Look for a better solution among all of cheap columns; whether it was time for that."""
        cores = self.cores
        if cores is None or not self._near(cores.relaxation.bound):
            return False
        waiting = self.gained.passed < CORE_PATIENCE * clock.limit
        if waiting or self.core_seconds > CORE_SHARE * clock.passed:
            return False
        assert self.values is not None
        small = self._small(cores.base, cores.free(self.best), None)
        at = small.reduced.columns
        held = int(self.cost @ cores.base) - int(small.cost @ cores.base[at])
        small = replace(small, most=self.best - cores.unit - held)
        found = search(small, min(CORE_LENGTH * clock.limit, clock.left), self._seed())
        if cores.learn(found):
            value = self.model.level_value_at(self.level, self.values)
            self.emit(Bound(self.level, value, self.given))
            self.finished = True
        values = cores.base.copy()
        if found.values is not None:
            values[at] = found.values
        if found.values is not None and self.model.satisfied(values):
            self._keep(Repaired(values, True, found.seconds))
        elif not found.exhausted:
            self.core_seconds += found.seconds
        return True

    def _keep(self, repaired: Repaired | None) -> None:
        """Go on from a repaired solution unless it is worse, and tell if it is better."""
        if repaired is None:
            return
        values = repaired.values
        cost = int(self.cost @ values)
        if self.values is None or cost < self.best:
            self.gained = Clock(float("inf"))
            self.emit(Incumbent(values[: self.model.decisions]))
        if self.values is None or cost <= self.best:
            self.values, self.best = values, cost

    def _step(self, clock: Clock) -> None:
        """Free a neighbourhood and repair it."""
        assert self.values is not None
        kind = self.session.portfolio.draw()
        free = self.session.neighbourhoods.choose(kind, self.values, self.cost)
        before, began, longest = self.best, clock.passed, kind.seconds
        deterministic = self.session.job.deterministic
        if not deterministic:
            patience = min(PATIENCE * self.gained.passed, LONGEST_SHARE * clock.limit)
            longest = max(longest, patience)
        seconds = min(longest, clock.left)
        repaired = self._repair(self.values, free, self.values, seconds, kind.repair)
        self._keep(repaired)
        if repaired is None or not repaired.proven:
            kind.shrink()
        elif repaired.seconds < longest / 4:
            kind.grow()
        gain = (before - self.best) / max(abs(before), 1)
        spent = clock.passed - began
        if deterministic:
            spent = longest if repaired is None else repaired.seconds
        self.session.portfolio.learn(kind, gain, spent)

    def _repair(
        self,
        base: IntArray,
        free: IntArray,
        hint: IntArray | None,
        seconds: float,
        repair: Repair = by_cpsat,
    ) -> Repaired | None:
        """Minimise over the free columns; the answer's values are those of all columns."""
        small = self._small(base, free, hint)
        at = small.reduced.columns
        if not at.size:
            return Repaired(base, True, 0.0)
        repaired = repair(small, seconds, self._seed(), self.session.job.deterministic)
        if repaired is None:
            return None
        values = base.copy()
        values[at] = repaired.values
        return replace(repaired, values=values)

    def _seed(self) -> int:
        return int(self.session.rng.integers(2**30))

    def _small(self, base: IntArray, free: IntArray, hint: IntArray | None) -> Small:
        """Cut out the model of the free columns, with all others as in the base."""
        model, reduced = self.model, self.reducer.cut(base, free)
        at = reduced.columns
        known = None if hint is None else hint[at]
        return Small(
            reduced,
            model.lower[at],
            model.upper[at],
            model.integer[at],
            self.cost[at],
            self.session.neighbourhoods.node_of_column[at],
            int(np.searchsorted(at, model.decisions)),
            known,
            # No worse than now: what is as good may be another place to go on from.
            None if known is None else int(self.cost[at] @ known),
        )


ENGINES = (Lns(),)
