"""Ratios, such as samples per joule, by Dinkelbach's method: exactly, with sums alone.

For the ratio r of a placement that is known, ``max of A - r B`` over all placements is above 0 if
and only if some placement has a larger ratio A / B, and one that attains it has. The ratio rises
from one maximum to the next, usually three to six times, until the maximum is 0: a proof.
(W. Dinkelbach, On nonlinear fractional programming, Management Science 13, 1967.)

All is computed in integers: with ``r = n / d`` the level is ``d A - n B``, A and B in quanta. A
bound U of it, proven or left by a time limit, bounds every ratio: ``A / B = r + (d A - n B) / (d B)
<= r + max(U, 0) / (d B_min)``, where ``B_min`` is a proven bound of B where A is above 0. Where n
and d are so large that sums of them would pass what engines compute exactly, r is rounded down to a
simpler fraction, and the bound tells by how much: ratios within a part in 10**9 count as equal.

Where nothing is placed, 0 / 0 counts as 0. Where A is above 0 and B is 0 the ratio is infinite, and
the instance states too little: an error.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import inf, nextafter

import numpy as np

from optalloc.answering import SECONDS_PER_TASK, Question, answer, result_of
from optalloc.engines import GREEDY
from optalloc.engines.auto import HUGE_ENTRIES, Run, first_placements
from optalloc.engines.ledger import Ledger, Listener, Progress
from optalloc.engines.protocol import Clock
from optalloc.explaining import explain_left_out
from optalloc.formulation.bounding import level_bound
from optalloc.formulation.encoding import encode
from optalloc.formulation.model import ModelTooLarge, OutOfTime
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import EXACT_FLOAT, EXACT_INTEGER, finish
from optalloc.instance.errors import InstanceError
from optalloc.instance.placement import Placement
from optalloc.objective import Level, Objective, Ratio, policy_level
from optalloc.rationals import between, lower, simplest
from optalloc.result import LevelResult, Reason, Result
from optalloc.verify import verify

RESOLUTION = Fraction(1, 10**9)
"""Ratios that differ by less than this part of themselves count as equal."""
SHARE = 0.3
"""Part of the time left that one maximum may take while the ratio still rises."""
FIRST_SHARE = 0.6
"""Most of the time that a first placement may take."""
LEAST_SHARE, LONGEST_LEAST = 0.1, 10.0
"""Part of the time left, and seconds, for a bound of what is divided by; and for closed forms."""
TRIES = 4
"""Larger ratios that are tried in the end, for the proof that there is none."""
LARGEST_CAP = 2**40
"""How many times larger than the ratio that is known its first bound may be."""
PRECISE = Fraction(1, 1000)
"""Part of a ratio to which closed forms and tries bound it."""
SIMPLE = 2**30
"""Sums for the best placement up to this leave room for those of any."""
ROOM = 2**10
"""How many times larger than for the best placement sums may be, where nothing better is known."""

Given = tuple[int, ...]
Sums = list[tuple[Given, Fraction, int]]
Key = tuple[tuple[int, ...], Fraction, tuple[int, ...]]


def solve(
    question: Question,
    objective: Objective,
    clock: Clock,
    start: Placement | None = None,
    on_progress: Listener | None = None,
    partial: bool = False,
) -> Result:
    """Optimise levels of which one is a ratio.

    Parameters
    ----------
    question
        What is asked, and how.
    objective
        Its levels.
    clock
        The time for all.
    start
        A placement to start from.
    on_progress
        Called whenever a value or bound improves.
    partial
        Say why tasks are left out.

    Raises
    ------
    InstanceError
        Where the ratio is infinite.
    EngineFailure
        When engines failed and nothing was found.
    """
    search = _Search(question, objective, clock, on_progress)
    try:
        search.climb(start)
    except KeyboardInterrupt:
        if search.best is None:
            raise
        search.runs.append(search.best)
        search.best.stopped_by = "interrupted"
    return search.result(partial)


@dataclass
class _Search:
    """What is known while the ratio rises."""

    question: Question
    objective: Objective
    clock: Clock
    on_progress: Listener | None
    best: Run | None = None
    engine: str = ""
    """What found its placement."""
    runs: list[Run] = field(default_factory=list)
    reasons: tuple[Reason, ...] = ()
    sums: Sums = field(default_factory=list)
    """What ``d A - n B`` does not exceed for a ratio while the earlier levels are as given."""
    tries: int = 0
    _least: int | None = None
    _capped: bool = False
    _sizes: tuple[float, float] | None = None

    @property
    def at(self) -> int:
        """Index of the ratio among the levels."""
        assert self.objective.ratio is not None
        return self.objective.ratio

    @property
    def ratio(self) -> Ratio:
        """The level that is a ratio."""
        level = self.objective.levels[self.at]
        assert isinstance(level, Ratio)
        return level

    # -- rising --------------------------------------------------------------------------------

    def climb(self, start: Placement | None) -> None:
        """Raise the ratio until no larger one is possible, or the time is over."""
        rate, start = self._begin(start)
        last = False
        while not (self.runs and self.runs[-1].infeasible):
            share = FIRST_SHARE if start is None else SHARE
            seconds = self.clock.left if last else share * self.clock.left
            run = self._maximise(rate, start, seconds)
            improved, going = self._keep(run), self._goes_on(run)
            if self.best is None:
                if last or not going:
                    return
                last = True
                continue
            proven = all(level.proven for level in run.ledger.levels()[: self.at + 1])
            if not (improved and proven):
                self._bound_without_proof()
            if not improved and (proven or last or not going):
                if not (proven and self._top()):
                    return
                improved = True
            rate, start = self._ratio_of(self.best.ledger), self.best.ledger.placement
            if not improved and self._close_in():
                rate, start = self._ratio_of(self.best.ledger), self.best.ledger.placement
                continue
            last = not improved

    def _top(self) -> bool:
        """Where rounding leaves a gap, prove that nothing is above; whether something was found."""
        assert self.best is not None
        ledger = self.best.ledger
        rate, bound = self._ratio_of(ledger), self._bound(ledger, self.sums)
        if bound is None or bound - rate <= rate * RESOLUTION or self.clock.left <= 0:
            return False
        above = simplest(rate, rate * (1 + RESOLUTION * 9 / 10))
        if above == rate or self._simpler(above) != above:
            return False
        return self._keep(self._maximise(above, ledger.placement, self.clock.left))

    def _close_in(self) -> bool:
        """Try larger ratios, half-way to the bound: whether one was found before all failed.

        A maximum of at most 0 proves that no ratio is larger than the one tried: where little runs
        for few watts, far more than a maximum a little above 0 for the ratio that is known.
        """
        while self.tries < TRIES and self.best is not None and self.clock.left > 0:
            ledger = self.best.ledger
            rate, bound = self._ratio_of(ledger), self._bound(ledger, self.sums)
            if not rate or bound is None or bound <= rate * (1 + PRECISE):
                return False
            self.tries += 1
            seconds = self.clock.left / (TRIES + 2 - self.tries)
            run = self._maximise(between(rate, bound, PRECISE), ledger.placement, seconds)
            if self._keep(run):
                return True
            if not self._goes_on(run):
                return False
        return False

    def _goes_on(self, run: Run) -> bool:
        """Whether more time could bring more."""
        limited = run.stopped_by == "time" and self.clock.limit < inf
        return (limited or run.stopped_by == "proof") and self.clock.left > 0

    def _begin(self, start: Placement | None) -> tuple[Fraction, Placement | None]:
        """The ratio of the best placement that is known, or quickly found; 0 without one."""
        ledger = self.question.ledger(self._parametric(Fraction(0)))
        for name, placement in first_placements(self.question.instance, start):
            if verify(self.question.instance, placement, ledger.objective).feasible:
                ledger.offer(placement, name, known_good=False)
                return self._ratio_of(ledger), placement
        if self.question.request.engine != GREEDY:
            quick = replace(self.question, request=replace(self.question.request, engine=GREEDY))
            clock = Clock(FIRST_SHARE * self.clock.left)
            run, self.reasons = answer(quick, ledger, clock, start)
            self.runs.append(run)
        return (self._ratio_of(ledger), ledger.placement or start)

    def _maximise(self, rate: Fraction, start: Placement | None, seconds: float) -> Run:
        """Maximise ``d A - n B`` for about a ratio, and note what that proves."""
        rate = self._simpler(rate)
        ledger = self.question.ledger(self._parametric(rate))
        if self.on_progress is not None:
            ledger.on_progress = lambda now: self._report(ledger, rate, now)
        run, self.reasons = answer(self.question, ledger, Clock(seconds), start)
        self.runs.append(run)
        self.sums += self._sums(ledger, rate)
        return run

    def _parametric(self, rate: Fraction) -> Objective:
        """The objective with a sum in place of the ratio."""
        levels = list(self.objective.levels)
        levels[self.at] = self.ratio.at(rate)
        objective = self.objective.with_levels(*levels)
        if not rate or self.at == len(levels) - 1:
            return objective
        # Nothing for nothing would be as good as the best for the levels below.
        return self._something(objective)

    def _something(self, objective: Objective) -> Objective:
        over = self.ratio.over
        return objective.limited(over, "at_least", self._level(over).quantum)

    def _level(self, index: int) -> Level:
        policies = self.objective.policies
        return policy_level(self.question.instance, policies, self.objective.labels[index], index)

    def _ratio_of(self, ledger: Ledger) -> Fraction:
        """The ratio of the placement that a ledger holds; 0 without one."""
        if ledger.placement is None:
            return Fraction(0)
        found = self.ratio.ratio(ledger.terms)
        if found is None:
            over, under = (self.objective.labels[i] for i in (self.ratio.over, self.ratio.under))
            value = self._level(self.ratio.over).stated(ledger.terms[self.ratio.over])
            wanted = f"expected {under} above 0 for whatever has {over}"
            example = " (idle_w of nodes, watts of configurations)" if under == "power" else ""
            message = f"{wanted}{example}; a placement has {over} {value:g} and {under} 0"
            raise InstanceError([("objective", message)])
        return found

    def _key(self, ledger: Ledger) -> Key:
        values = ledger.values
        return values[: self.at], -self._ratio_of(ledger), values[self.at + 1 :]

    def _keep(self, run: Run) -> bool:
        """Keep a run whose placement is no worse; whether it is better down to the ratio."""
        if run.ledger.placement is None:
            return False
        key = self._key(run.ledger)
        known = None if self.best is None else self._key(self.best.ledger)
        if known is None or key < known:
            self.engine = run.ledger.engine
        if known is None or key <= known:
            self.best = run
        return known is None or key[:2] < known[:2]

    # -- proving -------------------------------------------------------------------------------

    def _sums(self, ledger: Ledger, rate: Fraction) -> Sums:
        """What a ledger knows of the sum for a ratio; below 0 says no more than 0."""
        return [
            (given, rate, max(-value, 0))
            for (level, given), value in ledger.bounds.items()
            if level == self.at and len(given) == level
        ]

    def _bound_without_proof(self) -> None:
        """Bounds, found once, of the ratio by closed forms, and of what it divides by."""
        self._bound_closed()
        if self._least is not None or not any(most for _, _, most in self.sums):
            return
        seconds = min(LEAST_SHARE * self.clock.left, LONGEST_LEAST)
        if self.question.request.deterministic:
            seconds = self.clock.left
        least = self._something(self.objective.with_levels(self._level(self.ratio.under)))
        self._least = 1
        run, _ = answer(self.question, self.question.ledger(least), Clock(seconds))
        bound = run.ledger.best_bound(0)
        if bound is not None and not run.infeasible:
            self._least = max(bound, 1)

    def _bound_closed(self) -> None:
        """The smallest ratio, about, for which closed forms bound the sum by 0."""
        tasks = len(self.question.instance.tasks)
        rate = Fraction(1) if self.best is None else self._ratio_of(self.best.ledger)
        if not rate or self._capped or tasks * SECONDS_PER_TASK > SHARE * self.clock.left:
            return
        self._capped = True
        clock = Clock(min(LEAST_SHARE * self.clock.left, LONGEST_LEAST))
        levels = [self._level(i) for i in (self.ratio.over, self.ratio.under)]
        problem = Problem(self.question.instance, self.objective.with_levels(*levels))

        def holds(tried: Fraction) -> bool:
            bound = level_bound(problem, self.ratio.at(tried))
            return bound is not None and bound >= 0

        low, high = rate, 2 * rate
        while not holds(high):
            low, high = high, 2 * high
            if clock.left <= 0 or high > rate * LARGEST_CAP:
                return
        while high > low * (1 + PRECISE) and clock.left > 0:
            middle = between(low, high, PRECISE)
            low, high = (low, middle) if holds(middle) else (middle, high)
        whatever = (EXACT_INTEGER,) * self.at
        self.sums.append((whatever, high, 0))

    def _simpler(self, rate: Fraction) -> Fraction:
        """Round a ratio down until sums of its numbers are small enough to be exact."""
        ledger = None if self.best is None else self.best.ledger
        over = rate.numerator if ledger is None else ledger.terms[self.ratio.over]
        under = rate.denominator if ledger is None else ledger.terms[self.ratio.under]
        if rate.denominator * over + rate.numerator * under <= SIMPLE:
            return rate
        largest = self._largest(over, under)
        most = EXACT_FLOAT / (largest[0] + float(rate) * largest[1])
        return lower(rate, max(int(most / 2), 1))

    def _largest(self, over: int, under: int) -> tuple[float, float]:
        """What the terms of A and of B add up to, whatever is placed."""
        if self._sizes is None:
            levels = [self._level(i) for i in (self.ratio.over, self.ratio.under)]
            problem = Problem(self.question.instance, self.objective.with_levels(*levels))
            self._sizes = float(over * ROOM), float(under * ROOM)
            if problem.most_pairs * len(problem.active) <= HUGE_ENTRIES:
                with suppress(ModelTooLarge, OutOfTime):
                    self._sizes = _sizes(problem, self.clock)
        return self._sizes

    # -- telling -------------------------------------------------------------------------------

    def _levels(self, ledger: Ledger, sums: Sums) -> tuple[LevelResult, ...]:
        """Value, bound and gap of every level for the placement of a ledger."""
        levels = list(ledger.levels())
        conditional = not all(level.proven for level in levels[: self.at])
        levels[self.at] = self._ratio_level(ledger, sums, conditional)
        proven = levels[self.at].proven
        for k in range(self.at + 1, len(levels)):
            level = levels[k]
            unsure = level.bound is not None and (level.conditional or not proven)
            levels[k] = replace(level, proven=level.proven and proven, conditional=unsure)
        return tuple(levels)

    def _ratio_level(self, ledger: Ledger, sums: Sums, conditional: bool) -> LevelResult:
        level = self.ratio
        value = self._ratio_of(ledger) if ledger.values else None
        bound = self._bound(ledger, sums)
        gap = None
        if value is not None and bound is not None:
            gap = float((bound - value) / value) if value else float(bound > 0)
        close = value is not None and bound is not None and bound - value <= value * RESOLUTION
        return LevelResult(
            level.name,
            level.sense,
            level.unit,
            None if value is None else level.of(value),
            None if bound is None else level.of(bound) if bound == value else outward(level, bound),
            gap,
            close and not conditional,
            conditional and bound is not None,
        )

    def _bound(self, ledger: Ledger, sums: Sums) -> Fraction | None:
        """The best proven bound of the ratio, given the earlier levels of a placement."""
        held = ledger.values[: self.at]
        known = [
            rate + Fraction(most, rate.denominator * (self._least or 1))
            for given, rate, most in sums
            if (held or not given) and all(g >= v for g, v in zip(given, held, strict=False))
        ]
        return min(known, default=None)

    def _report(self, ledger: Ledger, rate: Fraction, now: Progress) -> None:
        """Tell the listener of the ratio instead of the sum."""
        assert self.on_progress is not None
        known = [ledger] if self.best is None else [ledger, self.best.ledger]
        placed = [one for one in known if one.placement is not None]
        shown = min(placed, key=self._key, default=ledger)
        levels = self._levels(shown, self.sums + self._sums(ledger, rate))
        level = next((lv for lv in levels if not lv.proven), levels[-1])
        self.on_progress(
            replace(now, objective=level.value, bound=level.bound, gap=level.gap, level=level.name)
        )

    def result(self, partial: bool) -> Result:
        """What was found, and what is proven of it."""
        last = self.runs[-1]
        shown = self.best or last
        reasons = self.reasons
        placement = shown.ledger.placement
        problem: Problem | None = getattr(shown, "problem", None)  # None if time was too short.
        if partial and placement is not None and problem is not None:
            reasons = explain_left_out(problem, placement, self.clock)
        base = result_of(self.question, shown, reasons)
        runs = list({id(run): run for run in self.runs}.values())
        efforts = [run.ledger.effort for run in runs]
        done = [effort for effort in efforts if effort is not None]
        levels = self._levels(shown.ledger, self.sums)
        proven = self.best is not None and all(level.proven for level in levels)
        stopped = "proof" if proven or last.infeasible else last.stopped_by
        return replace(
            base,
            status="optimal" if proven else ("feasible" if self.best else base.status),
            stopped_by="iterations" if stopped == "proof" and not proven and self.best else stopped,
            levels=levels,
            engine=self.engine or base.engine,
            rejected=sum(run.ledger.rejected for run in runs),
            failures=tuple(dict.fromkeys(text for run in runs for text in run.failures)),
            log="\n".join(text for run in runs for text in run.logs),
            search=sum(done[1:], done[0]) if done else None,
        )


def _sizes(problem: Problem, clock: Clock) -> tuple[float, float]:
    """Sum of ``|coefficient| * largest value`` of two levels."""
    model = finish(encode(problem, "milp", clock.started + clock.limit))
    largest = np.maximum(np.abs(model.lower), np.abs(model.upper)).astype(float)
    sums = []
    for k in range(2):
        column, value, constant = model.objective(k)
        sums.append(float((np.abs(value) * largest[column]).sum()) + abs(constant))
    return sums[0], sums[1]


def outward(level: Ratio, bound: Fraction) -> float:
    """Convert a bound from above to the unit people read, never to less than it is."""
    stated = level.of(bound)
    return stated if Fraction(stated) >= bound * level.quantum else nextafter(stated, inf)
