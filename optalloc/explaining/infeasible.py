"""Why an instance that an engine proved infeasible is so."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import msgspec
import numpy as np

from optalloc.engines.protocol import Clock
from optalloc.explaining.filtering import (
    Filtered,
    Rule,
    answer_to,
    restricted,
    rules_of,
    smallest_conflict,
)
from optalloc.explaining.left_out import left_out, reasons
from optalloc.explaining.relaxing import replaced
from optalloc.explaining.words import counted, names, task_name
from optalloc.formulation.goals.admitted import Admitted
from optalloc.formulation.problem import Problem
from optalloc.objective import Level
from optalloc.result import Reason

MOST_SECONDS = 5.0
"""Looking for reasons takes no longer, and no longer than the run may."""
MOST_REASONS = 20
"""More tasks that are left out of the best partial placement are only named."""
FILTER_SHARE = 0.6
"""Part of the time for the smallest set of rules; the rest is for a partial placement."""


def why_infeasible(problem: Problem, clock: Clock) -> Iterator[Reason]:
    """Name rules that cannot hold together, and the tasks without which the others fit."""
    total = Clock(min(clock.left, MOST_SECONDS))
    conflict = smallest_conflict(problem, Clock(total.left * FILTER_SHARE))
    yield Reason("", _conflict(conflict))
    yield from _partial(problem, Clock(total.left))


def _conflict(conflict: Filtered) -> str:
    rules = "; ".join(rule.said for rule in conflict.rules)
    if len(conflict.rules) == 1:
        return f"no placement of the required tasks keeps this rule: {rules}"
    text = f"no placement of the required tasks keeps these rules together: {rules}"
    if conflict.minimal:
        return f"{text} (without any one of them there is a placement)"
    return f"{text} (not shown to be minimal)"


def _partial(problem: Problem, clock: Clock) -> Iterator[Reason]:
    """Say how many of the required tasks can be placed at most, and why the others are left out."""
    instance, stated = problem.instance, rules_of(problem)
    if any(rule.policy.sense == "max" for rule in stated):
        # Their value is made of the tasks' weights, which count tasks here.
        return
    tasks = tuple(
        msgspec.structs.replace(task, required=False, weight=1 if task.required else 0)
        for task in instance.tasks
    )
    relaxed = replaced(instance, tasks=tasks)
    counting = Rule(Admitted(), "admitted", "")
    rules = [counting, *stated]
    level = Level("admitted", "max", ((1, 0),), Fraction(1))
    answer = answer_to(relaxed, rules, (level,), clock)
    if answer.placement is None:
        return
    asked = restricted(relaxed, rules, (level,))
    missing = left_out(answer.placement, asked)
    missing[~problem.columns.required] = 0
    total = int(problem.columns.task_count[problem.columns.required].sum())
    placed = total - int(missing.sum())
    who = names(
        [task_name(problem.columns, t, int(missing[t])) for t in np.flatnonzero(missing).tolist()]
    )
    of = f"{placed:,} of {counted(total, 'required task')}"
    if answer.optimal:
        text = f"at most {of} can be placed together, for example all but {who}"
    else:
        text = f"a placement of {of} is known, all but {who}"
    yield Reason("", text)
    wanted = [
        reason
        for reason, t in zip(
            reasons(asked, answer.placement, clock),
            np.flatnonzero(left_out(answer.placement, asked)).tolist(),
            strict=True,
        )
        if problem.columns.required[t]
    ]
    yield from wanted[:MOST_REASONS]
