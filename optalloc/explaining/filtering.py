"""The smallest set of rules that cannot hold together, found by leaving one out at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec

from optalloc.engines.auto import estimate_entries
from optalloc.engines.protocol import Clock, Emit, Incumbent, Job, Message, run
from optalloc.explaining.relaxing import replaced
from optalloc.explaining.words import describe
from optalloc.formulation.encoding import Encoding, encode
from optalloc.formulation.goals.capacity import Capacity
from optalloc.formulation.goals.labels import Labels
from optalloc.formulation.model import ModelTooLarge, OutOfTime
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import finish
from optalloc.formulation.translating import to_placement
from optalloc.instance.columns import resource_names
from optalloc.instance.model import DEVICE, Instance, Task
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.objective import Level, Objective
from optalloc.verify import verify

MOST_ENTRIES = 400_000
"""Larger models are not solved again."""
MOST_PAIRS = 2_000_000
"""Nor those with more pairs of task and node, allowed or not."""


@dataclass(frozen=True)
class Rule:
    """Something that every answer must keep.

    Parameters
    ----------
    policy
        A policy that states this rule or limit alone.
    label
        The policy's label.
    said
        The rule in words.
    """

    policy: Policy
    label: str
    said: str


@dataclass
class Answer:
    """What a run showed: a placement, its infeasibility, an optimal value; or nothing."""

    placement: Placement | None = None
    infeasible: bool = False
    optimal: bool = False
    values: tuple[int, ...] = ()


@dataclass
class Filtered:
    """Rules that cannot hold together, and whether each of them is needed for that."""

    rules: list[Rule]
    minimal: bool


def rules_of(problem: Problem) -> list[Rule]:
    """Every hard rule and limit on its own, in the order in which they are left out."""
    columns, objective = problem.columns, problem.objective
    limits, rules, capacities = [], [], []
    for policy, label in zip(objective.policies, objective.labels, strict=True):
        if isinstance(policy, Labels):
            continue
        if isinstance(policy, Capacity) and policy.hard:
            demanded = [i for i in policy.indices(columns) if not columns.demand[i].is_zero]
            for name in dict.fromkeys(columns.resources[i] for i in demanded):
                said = f"the nodes' capacity of {name}"
                capacities.append(Rule(Capacity(resources=(name,)), label, said))
        elif policy.hard:
            rules.append(Rule(policy, label, describe(columns, policy, label)))
        elif not policy.is_rule:
            for side in ("at_most", "at_least"):
                if getattr(policy, side) is not None:
                    other = "at_least" if side == "at_most" else "at_most"
                    alone = msgspec.structs.replace(policy, **{other: None, "weight": None})
                    limits.append(Rule(alone, label, describe(columns, alone, label)))
    labels = [Rule(Labels(), "labels", "the labels and devices that tasks ask for")]
    return [*limits, *rules, *labels, *capacities]


def smallest_conflict(problem: Problem, clock: Clock) -> Filtered:
    """Leave out one rule after the other for good if the others still cannot hold together."""
    kept = rules_of(problem)
    minimal = True
    for rule in list(kept):
        if clock.left <= 0:
            return Filtered(kept, False)
        others = [r for r in kept if r is not rule]
        answer = answer_to(problem.instance, others, (), clock)
        if answer.infeasible:
            kept = others
        elif answer.placement is None:
            minimal = False
    return Filtered(kept, minimal)


def restricted(instance: Instance, rules: list[Rule], levels: tuple[Level, ...] = ()) -> Problem:
    """Make the problem in which only some rules hold; levels speak of the first policies."""
    policies, labels = tuple(rule.policy for rule in rules), tuple(rule.label for rule in rules)
    if not any(isinstance(policy, Labels) for policy in policies):
        instance = without_labels(instance)
    capped = {i for policy in policies for i in policy.caps(instance.columns)}
    # Identical nodes can only be told apart again by what fits on them.
    merge = all(d.is_zero or i in capped for i, d in enumerate(instance.columns.demand))
    return Problem(instance, Objective("", policies, labels, levels), merge)


def without_labels(instance: Instance) -> Instance:
    """Let every task run on every node."""
    counted = DEVICE in resource_names(instance)
    tasks = tuple(_unlabelled(task, instance, counted) for task in instance.tasks)
    return replaced(instance, tasks=tasks)


def _unlabelled(task: Task, instance: Instance, counted: bool) -> Task:
    """Keep the demand of rows, also where it follows from the device type."""
    free = []
    for i, row in enumerate(instance.rows_of(task)):
        implied = counted and row.device and DEVICE not in task.demand
        demand = {DEVICE: 1, **row.demand} if implied else row.demand
        free.append(
            msgspec.structs.replace(
                row, name=f"row {i}", device="", device_memory_gib=None, demand=demand
            )
        )
    return msgspec.structs.replace(
        task, allow={}, forbid={}, device_memory_gib=0, configurations=tuple(free)
    )


@dataclass
class _Best:
    """Keeps the last placement that passes the checker."""

    encoding: Encoding
    answer: Answer = field(default_factory=Answer)

    def __call__(self, message: Message) -> None:
        if not isinstance(message, Incumbent):
            return
        problem = self.encoding.problem
        placement = to_placement(self.encoding, message.values)
        report = verify(problem.instance, placement, problem.objective)
        if report.feasible:
            self.answer.placement, self.answer.values = placement, report.values


def answer_to(
    instance: Instance, rules: list[Rule], levels: tuple[Level, ...], clock: Clock
) -> Answer:
    """Solve with some rules only, within the time that is left."""
    from optalloc.engines.milp import Highs

    problem = restricted(instance, rules, levels)
    if clock.left <= 0 or problem.blocks * problem.nodes > MOST_PAIRS:
        return Answer()
    if estimate_entries(problem) > MOST_ENTRIES:
        return Answer()
    try:
        encoding = encode(problem, "milp", time.monotonic() + clock.left)
        model = finish(encoding)
    except (OutOfTime, ModelTooLarge):
        return Answer()
    heard: Emit = (best := _Best(encoding))
    seconds = clock.left
    job = Job(seconds, deterministic=True)
    result = run(Highs().open(model, job), model, job, heard)
    best.answer.infeasible = result.ended == "infeasible" and best.answer.placement is None
    best.answer.optimal = result.ended == "optimal" and best.answer.placement is not None
    return best.answer
