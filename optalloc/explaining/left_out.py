"""Why tasks are left out of a placement, one reason for each entry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import Clock
from optalloc.explaining.conflicts import MOST_CONFIGURATIONS, why_not
from optalloc.explaining.effects import Effects
from optalloc.explaining.sites import Obstacle, Sites, empty_sites, listed, obstacles, room
from optalloc.explaining.words import counted, describe, measured, names, task_name
from optalloc.formulation.goals.capacity import Capacity
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement
from optalloc.instance.quanta import exact
from optalloc.objective import Level
from optalloc.result import Reason
from optalloc.verify import verify
from optalloc.verify.facts import Facts

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_SECONDS = 0.2
MOST_SECONDS = 10.0
"""Looking for reasons ends with the run, but takes a little time always and never long."""
UNEXAMINED = "left out for lack of room or by the objective (no time was left to say which)"


@dataclass(frozen=True)
class _Verdict:
    """What is said of one row, and whether it would fit."""

    fits: bool
    message: str


def left_out(placement: Placement, problem: Problem) -> IntArray:
    """Number of tasks of each entry that are not placed."""
    columns = problem.columns
    placed = np.zeros(columns.tasks, np.int64)
    np.add.at(placed, columns.row_task, placement.chosen)
    return columns.task_count - placed


def reasons(problem: Problem, placement: Placement, clock: Clock | None) -> Iterator[Reason]:
    """Give one reason for each entry with tasks left out; tasks alike share it."""
    missing = left_out(placement, problem)
    if not missing.any():
        return
    examiner = _Examiner(problem, placement)
    left = MOST_SECONDS if clock is None else min(clock.left, MOST_SECONDS)
    deadline = time.monotonic() + max(left, LEAST_SECONDS)
    alike = _representatives(problem)
    known: dict[int, str] = {}
    for task in np.flatnonzero(missing).tolist():
        kind = int(alike[task])
        if kind not in known and time.monotonic() < deadline:
            known[kind] = examiner.examine(kind)
        name = task_name(problem.columns, task, int(missing[task]))
        yield Reason(name, known.get(kind, UNEXAMINED))


def _representatives(problem: Problem) -> IntArray:
    """An entry for each entry that is like it in everything."""
    classes = problem.task_classes
    alike = np.arange(problem.columns.tasks, dtype=np.int64)
    alike[classes.of_task] = classes.task[classes.of_class]
    return alike


class _Examiner:
    """Looks at tasks one by one, given what is placed."""

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self.problem, self.placement = problem, placement
        columns = problem.columns
        facts = Facts(problem.instance, placement)
        every = np.arange(columns.nodes, dtype=np.int64)
        free = facts.capacity - facts.load
        self.sites = Sites(every, np.ones(columns.nodes, np.int64), free, "free")
        self.effects = Effects(problem, placement)
        self.values = verify(problem.instance, placement, problem.objective).values

    def examine(self, task: int) -> str:
        """Say why a task is left out: of its rows, the first one that would fit, or all."""
        columns = self.problem.columns
        rows = range(int(columns.row_start[task]), int(columns.row_start[task + 1]))
        verdicts = []
        for row in rows:
            verdict = self._row(row, task)
            named = f"{columns.row_name(row)}: " if len(rows) > 1 else ""
            if verdict.fits:
                return named + verdict.message
            verdicts.append(named + verdict.message)
        more = len(verdicts) - MOST_CONFIGURATIONS
        rest = [f"{counted(more, 'other')} likewise"] if more > 0 else []
        return " | ".join(verdicts[:MOST_CONFIGURATIONS] + rest)

    def _row(self, row: int, task: int) -> _Verdict:
        problem, sites = self.problem, self.sites
        replicas = int(problem.columns.row_replicas[row])
        wanted = np.array([replicas])
        empty = empty_sites(problem)
        most = int(room(problem, np.array([row]), empty, wanted)[0] @ empty.count)
        if most < replicas:
            return _Verdict(False, why_not(problem, row, most))
        found = obstacles(problem, row, sites)
        shut = np.zeros(sites.node.size, bool)
        for obstacle in found:
            shut[obstacle.sites] = True
        for obstacle in self._broken(row, task, shut):
            found.append(obstacle)
            shut[obstacle.sites] = True
        fits = np.where(shut, 0, room(problem, np.array([row]), sites, wanted)[0])
        total = int(fits.sum())
        if total < replicas:
            return _Verdict(False, self._no_room(found, shut, total, replicas))
        return self._gang(row, fits, replicas) if replicas > 1 else self._single(row, task, fits)

    def _broken(self, row: int, task: int, shut: BoolArray) -> Iterator[Obstacle]:
        """Rules and limits that a replica would break, on nodes that are not shut yet."""
        problem, columns = self.problem, self.problem.columns
        shut = shut.copy()
        for i in problem.active:
            policy, label = problem.objective.policies[i], problem.objective.labels[i]
            limited = policy.at_most is not None or policy.at_least is not None
            if isinstance(policy, Capacity) or not (policy.hard or limited):
                continue
            change = self.effects.change(i, row, task)
            broken = change > 0
            said = describe(columns, policy, label)
            if not policy.hard:
                if not self.effects.known(i):
                    continue
                broken, over = self._beyond(i, change)
                excess = over[broken & ~shut].tolist()
                if excess:
                    said += f" (at least {measured(columns, policy, min(excess))} beyond)"
            here = np.flatnonzero(broken & ~shut)
            if here.size:
                shut |= broken
                yield Obstacle(here, said)

    def _beyond(self, index: int, change: IntArray) -> tuple[BoolArray, NDArray[np.object_]]:
        """Where a limit would be broken further, and by how much, in units."""
        policy = self.problem.objective.policies[index]
        quantum = policy.quantum(self.problem.columns)
        over = np.full(change.size, Fraction(0), object)
        for c in np.unique(change).tolist():
            value = (self.values[index] + c) * quantum
            beyond = Fraction(0)
            if policy.at_most is not None:
                beyond = max(beyond, value - exact(policy.at_most))
            if policy.at_least is not None:
                beyond = max(beyond, exact(policy.at_least) - value)
            over[change == c] = beyond
        return np.asarray(over > 0, bool), over

    def _no_room(self, found: list[Obstacle], shut: BoolArray, total: int, replicas: int) -> str:
        head = "no room given what is placed"
        if replicas > 1:
            head = f"room for {total or 'none'} of its {replicas:,} replicas given what is placed"
        if total:
            found = [Obstacle(np.flatnonzero(~shut), f"{total:,} fit"), *found]
        return f"{head}: {listed(found, self.sites)}"

    def _single(self, row: int, task: int, fits: IntArray) -> _Verdict:
        """Say what the objective has against the best node that would take it."""
        problem = self.problem
        nodes = np.flatnonzero(fits)
        changes: list[IntArray] = []
        for level in problem.objective.levels:
            if not all(self.effects.known(i) for _, i in level.factors):
                break
            total = np.zeros(problem.columns.nodes, np.int64)
            for factor, i in level.factors:
                total += factor * self.effects.change(i, row, task)
            changes.append(total[nodes] * (1 if level.sense == "min" else -1))
        best = int(np.lexsort(changes[::-1])[0]) if changes else 0
        values = [int(change[best]) for change in changes]
        more = f" ({counted(nodes.size, 'node')} in all)" if nodes.size > 1 else ""
        name = problem.columns.node_names[int(nodes[best])]
        return _Verdict(True, f"fits node {name}{more}{self._judged(values)}")

    def _gang(self, row: int, fits: IntArray, replicas: int) -> _Verdict:
        """Try all replicas of a gang at once, on the nodes with most room."""
        problem, placement = self.problem, self.placement
        order = np.argsort(-fits, kind="stable")
        before = np.cumsum(fits[order]) - fits[order]
        taken = np.clip(replicas - before, 0, fits[order])
        used = order[taken > 0]
        chosen = placement.chosen.copy()
        chosen[row] += 1
        trial = Placement.of(
            chosen,
            np.concatenate([placement.row, np.full(used.size, row)]),
            np.concatenate([placement.node, used]),
            np.concatenate([placement.replicas, taken[taken > 0]]),
        )
        report = verify(problem.instance, trial, problem.objective)
        where = f"nodes {names([problem.columns.node_names[n] for n in used.tolist()])}"
        broken = [violation for violation in report.violations if violation.hard]
        if broken:
            text = f"its {replicas:,} replicas fit one by one, but together on {where} they break: "
            return _Verdict(False, text + broken[0].message)
        values = []
        for level in problem.objective.levels:
            change = level.value(report.values) - level.value(self.values)
            values.append(change if level.sense == "min" else -change)
        return _Verdict(True, f"fits {where}{self._judged(values)}")

    def _judged(self, changes: list[int]) -> str:
        """Say at which level the objective is changed, given the changes (less is better)."""
        levels = self.problem.objective.levels
        for level, change in zip(levels, changes, strict=False):
            if change:
                return _said(level, change)
        if len(changes) < len(levels):
            return ", but the objective prefers it out"
        return ", without any gain to the objective"


def _said(level: Level, change: int) -> str:
    amount = f"{level.stated(abs(change)):.12g} {level.unit}".strip()
    if change > 0:
        return f", but then {level.name} would be worse by {amount}"
    return f", and {level.name} would be better by {amount}: the run ended before that was found"
