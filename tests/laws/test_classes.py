"""Column generation: no placement is better than its bounds, and its answers are placements."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from generate import instances_with
from goal_laws import Case

from optalloc.engines import engine
from optalloc.engines.columns.loading import LoadedClasses, load_classes
from optalloc.engines.protocol import Bound, Incumbent, Job, Message, Unsupported, run
from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.problem import Problem
from optalloc.formulation.registry import policy_classes
from optalloc.instance.errors import InstanceError
from optalloc.instance.policy import Policy
from optalloc.objective import PENALTY

SEEDS = 20
"""Random instances of each policy class."""


def solved(loaded: LoadedClasses) -> tuple[list[int], list[Incumbent]]:
    """All bounds and answers of a run."""
    messages: list[Message] = []
    chosen, job = engine("columns"), Job(deterministic=True)
    run(chosen.open(loaded.model, job), loaded.model, job, messages.append)
    bounds = [message.value for message in messages if isinstance(message, Bound)]
    return bounds, [message for message in messages if isinstance(message, Incumbent)]


def told(kind: str) -> Iterator[tuple[Case, LoadedClasses]]:
    """The instances drawn for a policy class, as far as classes have words for them."""
    for seed in range(SEEDS):
        drawn = instances_with(policy_classes()[kind], seed)
        tasks = tuple(msgspec.structs.replace(task, current=None) for task in drawn.tasks)
        policies = tuple(policy for policy in drawn.policies if by_node(policy))
        for level in (kind, PENALTY):
            try:
                instance = msgspec.structs.replace(
                    drawn, tasks=tasks, policies=policies, objective=level
                )
                case = Case(instance, seed)
                yield case, load_classes(Problem(instance, case.objective))
            except (InstanceError, Unsupported):
                continue


def by_node(policy: Policy) -> bool:
    """Whether a policy is no limit on a goal and no rule between nodes, spread aside."""
    limited = policy.at_most is not None or policy.at_least is not None
    apart = isinstance(policy, AntiAffinity) and policy.scope != "node"
    return not limited and not apart and policy.type != "dependency"


@pytest.mark.parametrize("kind", policy_classes())
def test_no_placement_is_better_than_a_bound_and_answers_keep_the_rules(kind: str) -> None:
    compared = answered = 0
    for case, loaded in told(kind):
        bounds, answers = solved(loaded)
        if case.best is not None:
            assert max(bounds) <= case.best[0]
            compared += 1
        for answer in answers:
            scored = case.score(loaded.placement(answer.values))
            assert scored.report.feasible
            assert loaded.model.level_value_at(0, answer.values) <= scored.levels[0]
            answered += 1
    assert compared > 0
    assert answered > 0
