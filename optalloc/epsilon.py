"""`pareto`: the best of one goal for each value of another, by the epsilon-constraint method.

The end points come first: the best of either goal and, among those, the best of the other. Then,
again and again, between the two neighbours with the largest region left open: the best first goal
where the second is limited, and the best second goal among those. Such a placement is
non-dominated, and a bound of its first goal proves a region empty. The limit halves the second
values between the neighbours; where nothing new was below, it is one quantum better than that of
the worse neighbour, which finds the next point of the front or proves that there is none. So a
finite front is enumerated, with no more than three solves a point.
(Y. Haimes et al., IEEE Transactions on Systems, Man and Cybernetics 1, 1971.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Literal

from optalloc import arguments
from optalloc.answering import Question, answer, result_of
from optalloc.engines.auto import Run
from optalloc.engines.protocol import Bound, Clock
from optalloc.formulation.bounding import level_bounds
from optalloc.formulation.problem import Problem
from optalloc.formulation.registry import effective_policies
from optalloc.front import (
    Axis,
    Cut,
    Empty,
    Front,
    FrontPoint,
    Pair,
    open_share,
    proven_first,
    steps,
)
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.policy import label_policies
from optalloc.objective import Level, Objective, find_policy, policy_level
from optalloc.result import Reason, Result, Status, StoppedBy
from optalloc.solving import make_request, read_start

__all__ = ["FrontProgress", "pareto"]

CLOSED_SECONDS = 0.5
"""Seconds that must be left for a bound by closed forms, where engines gave none."""


@dataclass(frozen=True)
class FrontProgress:
    """A moment of a run: seconds, points, and the part between them that is open (`Front.open`)."""

    wall_s: float
    points: int
    open: float | None


def pareto(  # noqa: PLR0913 (keyword options of an entry point)
    instance: Instance,
    objectives: Sequence[str] = ("throughput", "power"),
    *,
    points: int = 20,
    engine: str = "auto",
    time_limit: float | None = None,
    threads: int | None = None,
    seed: int = 0,
    warm_start: Placement | Result | None = None,
    on_progress: Callable[[FrontProgress], None] | None = None,
    deterministic: bool = False,
    memory_limit: int | None = None,
) -> Front:
    """Find placements that trade one goal for another, and prove what lies between them.

    Parameters
    ----------
    instance
        What may run where; its rules and limits hold, its objective is not asked.
    objectives
        Two goals: names of policies of the instance, or types such as ``throughput``.
    points
        So many points at most; the front may have less.
    engine, threads, seed, warm_start, deterministic, memory_limit
        As for `optalloc.solve`.
    time_limit
        Seconds for all points, from call to return; None runs each solve until proof.
    on_progress
        Called after every solve.

    Returns
    -------
    Front
        Points with verified placements; complete if so is proven.

    Raises
    ------
    InstanceError
        For objectives that are not two different goals.
    EngineFailure
        When engines failed and nothing was found.
    OptallocError
        For an argument of another type or out of its range.

    Examples
    --------
    >>> from optalloc import Configuration, Instance, Node, Task, pareto
    >>> slow = Configuration(name="100 W", throughput=8, watts=100)
    >>> fast = Configuration(name="200 W", throughput=10, watts=200)
    >>> job = Task(name="train", configurations=[slow, fast])
    >>> instance = Instance(nodes=[Node(name="a")], tasks=[job])
    >>> [point.values for point in pareto(instance).points]
    [(1.0, 200.0), (0.8, 100.0)]
    """
    arguments.check(locals())
    started = time.monotonic()
    request = make_request(engine, threads, seed, deterministic, False, memory_limit)
    question = Question(instance, request, started)
    clock = Clock(inf if time_limit is None else float(time_limit), started)
    tracer = _Tracer(question, _two_goals(instance, objectives), clock, points)
    try:
        tracer.trace(read_start(instance, warm_start), on_progress)
    except KeyboardInterrupt:
        if not tracer.found:
            raise
        tracer.stopped_by = "interrupted"
    return tracer.front()


def _two_goals(instance: Instance, objectives: Sequence[str]) -> Objective:
    """The objective whose levels are the two goals."""
    policies = list(effective_policies(instance))
    names = [name.strip() for name in objectives]
    indices = [find_policy(policies, name) for name in names]
    if len(indices) != 2 or indices[0] == indices[1] or any(policies[i].is_rule for i in indices):
        message = f"expected two different goals, got {', '.join(names)}"
        raise InstanceError([("objectives", message)])
    levels = tuple(
        policy_level(instance, policies, name, i) for name, i in zip(names, indices, strict=True)
    )
    labels = label_policies(tuple(policies))
    return Objective(" > ".join(names), tuple(policies), labels, levels)


@dataclass(frozen=True)
class _Found:
    """A point: its values, turned so that less is better, its limit and the run behind it."""

    values: Pair
    limit: int | None
    run: Run

    @property
    def proven(self) -> bool:
        """Whether no placement dominates it."""
        return self.run.ledger.proven

    @property
    def gap(self) -> float:
        """Gap of its open level; infinite without a bound."""
        gaps = [lv.gap for lv in self.run.ledger.levels() if not lv.proven]
        return inf if None in gaps else max((gap for gap in gaps if gap is not None), default=0.0)

    def within(self, values: Pair) -> bool:
        """Whether it is no worse in both goals."""
        return self.values[0] <= values[0] and self.values[1] <= values[1]


@dataclass
class _Tracer:
    """What is known of the front."""

    question: Question
    objective: Objective
    clock: Clock
    wanted: int
    found: list[_Found] = field(default_factory=list)
    """By rising first value; none is dominated."""
    cuts: list[Cut] = field(default_factory=list)
    floor: int | None = None
    """No placement has a second value below."""
    tried: set[int] = field(default_factory=set)
    """Limits of the second value that were solved for."""
    refined: set[int | None] = field(default_factory=set)
    """Limits of points that got the time that was left."""
    solves: int = 0
    stopped_by: StoppedBy = "proof"
    infeasible: bool = False
    reasons: tuple[Reason, ...] = ()
    last: Run | None = None

    # -- tracing -------------------------------------------------------------------------------

    def trace(
        self, start: Placement | None, on_progress: Callable[[FrontProgress], None] | None
    ) -> None:
        """Find the end points, then what lies between them; what time is left goes to proofs."""
        going = self._begin(start)
        while going:
            if on_progress is not None:
                wall = time.monotonic() - self.question.started
                on_progress(FrontProgress(wall, len(self.found), self.open))
            going = not self._over() and (self._divide() or self._refine())

    def _over(self) -> bool:
        """Whether nothing more can be done, for a reason that is noted."""
        if self.clock.left <= 0:
            self.stopped_by = "time"
        return self.clock.left <= 0 or self.stopped_by in ("interrupted", "memory")

    def _begin(self, start: Placement | None) -> bool:
        """Both end points; whether there are any."""
        # Every point that is wanted gets a like share; what is proven early leaves more.
        first = self._solve(self.objective, start, self.wanted)
        if first.ledger.placement is None and not first.infeasible and self.clock.limit < inf:
            first = self._solve(self.objective, start, 1)
        if first.ledger.placement is None:
            self.infeasible = first.infeasible
            return False
        self.cuts += _cuts(first.ledger.best_bound(0), None)
        self._add(first, None)
        one, other = self.objective.levels
        turned, placement = self.objective.with_levels(other, one), first.ledger.placement
        second = self._solve(turned, placement, self.wanted - 1)
        self.floor = second.ledger.best_bound(0)
        if not second.ledger.levels()[1].conditional:
            self.cuts += _cuts(second.ledger.best_bound(1), second.ledger.values[0])
        self._add(second, second.ledger.values[0])
        return True

    def _divide(self) -> bool:
        """One more solve between two neighbours; whether there was one to do."""
        limit = self._next_limit()
        if limit is None:
            return False
        if len(self.found) >= self.wanted:
            self.stopped_by = "iterations"
            return False
        self.tried.add(limit)
        self._within(limit, max(self.wanted - len(self.found), 1))
        return True

    def _refine(self) -> bool:
        """Go on with the least certain point; whether there was one."""
        open_ones = [one for one in self.found if not one.proven and one.limit not in self.refined]
        if not open_ones or self.clock.limit == inf:
            return False
        one = max(open_ones, key=lambda one: one.gap)
        self.refined.add(one.limit)
        self._within(one.limit, len(open_ones))
        return True

    def _within(self, limit: int | None, shares: int) -> None:
        """Solve with the second value no worse than a limit."""
        objective, start = self.objective, self.found[0]
        if limit is not None:
            objective = self._limited(limit)
            start = next(one for one in self.found if one.values[1] <= limit)
        run = self._solve(objective, start.run.ledger.placement, shares)
        self.cuts += _cuts(run.ledger.best_bound(0), limit)
        self._add(run, limit)

    def _solve(self, objective: Objective, start: Placement | None, shares: int) -> Run:
        """Solve in one of so many shares of the time that is left."""
        clock, ledger = Clock(self.clock.left / shares), self.question.ledger(objective)
        self.last, self.reasons = answer(self.question, ledger, clock, start)
        self.solves += 1
        if ledger.best_bound(0) is None and self.clock.left > CLOSED_SECONDS:
            self._bound_closed(self.last)
        if self.last.stopped_by != "proof":
            self.stopped_by = self.last.stopped_by
        return self.last

    def _bound_closed(self, run: Run) -> None:
        """Bound the first level without an engine."""
        problem: Problem | None = getattr(run, "problem", None)  # None if time was too short.
        bound = None if problem is None else level_bounds(problem)[0]
        if bound is not None:
            run.ledger.bound(Bound(0, bound))

    def _limited(self, limit: int) -> Objective:
        """The objective with the second value, in quanta, no worse than a limit."""
        level = self.objective.levels[1]
        ((_, index),) = level.factors
        side: Literal["at_most", "at_least"] = "at_most" if level.sense == "min" else "at_least"
        return self.objective.limited(index, side, _sign(level) * limit * level.quantum)

    def _add(self, run: Run, limit: int | None) -> None:
        """Keep a placement unless it is dominated, and drop those that it dominates."""
        if run.ledger.placement is None:
            return
        terms = run.ledger.terms
        first, second = (_sign(lv) * lv.value(terms) for lv in self.objective.levels)
        new = _Found((first, second), limit, run)
        known = [one for one in self.found if one.within(new.values)]
        if any(one.values != new.values or one.proven or not new.proven for one in known):
            return
        if known:
            run.ledger.engine = known[0].run.ledger.engine
        kept = [one for one in self.found if not new.within(one.values)]
        self.found = sorted([*kept, new], key=lambda one: one.values)

    def _next_limit(self) -> int | None:
        """Limit for the next solve, between the neighbours with the largest open region."""
        best, chosen = 0, None
        regions = list(steps(self.values, self.cuts)) if self.found else []
        for (_, high), (_, low) in pairwise(self.values):
            inside = [r for r in regions if low <= r[0] and r[1] <= high and r[1] > low + 1]
            area = sum((end - begin) * (known - least) for begin, end, least, known in inside)
            limit = self._limit_between(low, high)
            if area > best and limit is not None:
                best, chosen = area, limit
        return chosen

    def _limit_between(self, low: int, high: int) -> int | None:
        """Half-way up at first, then one quantum below the worse neighbour; None if both were."""
        reached = max([low, *(limit for limit in self.tried if limit < high)])
        near = 4 * (reached - low) < high - low
        limit = (reached + high) // 2 if near else high - 1
        return None if limit in self.tried or limit <= low else limit

    # -- telling -------------------------------------------------------------------------------

    @property
    def values(self) -> list[Pair]:
        """Values of the points, by rising first value."""
        return [one.values for one in self.found]

    @property
    def open(self) -> float | None:
        """See `Front.open`."""
        unsure = len(self.found) == 1 and not self.found[0].proven
        return None if unsure else open_share(self.values, self.cuts)

    def front(self) -> Front:
        """What was found, and what is proven of it."""
        one, other = self.objective.levels
        complete = self.open == 0 and all(found.proven for found in self.found)
        status: Status = "infeasible" if self.infeasible else "unknown"
        if self.found:
            status = "optimal" if complete else "feasible"
        elif self.last is not None and not self.infeasible:
            result_of(self.question, self.last, ())  # It raises where engines failed.
        return Front(
            self.question.instance,
            (Axis(one.name, one.sense, one.unit), Axis(other.name, other.sense, other.unit)),
            tuple(self._point(found) for found in self.found),
            tuple(self._empty()),
            self.open,
            complete,
            status,
            "proof" if complete or self.infeasible else self.stopped_by,
            time.monotonic() - self.question.started,
            self.solves,
            self.reasons,
        )

    def _point(self, found: _Found) -> FrontPoint:
        result = result_of(self.question, found.run, ())
        one, other = self.objective.levels
        bound, gap = proven_first(self.cuts, found.limit), None
        if bound is not None:
            gap = abs(found.values[0] - bound) / max(1, abs(found.values[0]))
        return FrontPoint(
            (_stated(one, found.values[0]), _stated(other, found.values[1])),
            None if found.limit is None else _stated(other, found.limit),
            None if bound is None else _stated(one, bound),
            gap,
            found.proven,
            result,
        )

    def _empty(self) -> list[Empty]:
        """The cuts that no other one contains, and the floor of the second value."""
        one, other = self.objective.levels
        found = []
        for cut in dict.fromkeys(self.cuts):
            within = [
                c
                for c in self.cuts
                if c != cut
                and c.first >= cut.first
                and (c.second is None or (cut.second is not None and c.second >= cut.second))
            ]
            if not within:
                second = None if cut.second is None else _stated(other, cut.second)
                found.append(Empty(_stated(one, cut.first), second))
        if self.floor is not None:
            found.append(Empty(None, _stated(other, self.floor)))
        return found


def _cuts(first: int | None, second: int | None) -> list[Cut]:
    return [] if first is None else [Cut(first, second)]


def _sign(level: Level) -> int:
    return 1 if level.sense == "min" else -1


def _stated(level: Level, turned: int) -> float:
    return level.stated(_sign(level) * turned)
