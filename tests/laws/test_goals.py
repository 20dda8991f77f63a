"""Every goal and rule keeps the laws that tie formulation, engines and checker together."""

from __future__ import annotations

from collections import Counter

import goal_laws
import pytest
from generate import has_generator, instances_with
from handmade import HANDMADE

from optalloc.formulation.problem import Problem
from optalloc.formulation.registry import policy_classes
from optalloc.objective import read_objective

SEEDS = 40
"""Instances for each policy class, in which it is at work among others."""
OWN_SEEDS = {"gangs": 120, "span": 60, "portion": 24}
OWN_SEEDS |= dict.fromkeys(("power-cap", "response-limit", "response-time"), 56)
OWN_SEEDS |= dict.fromkeys(("uplink-load", "uplink-share"), 32)
"""Classes that are at work in their own instances only have more of them."""
CHUNKS = 4
WANTED = 130
"""Random instances in which each policy class is at work, at least (or all but few of its own)."""


def test_every_policy_class_has_a_generator() -> None:
    assert all(has_generator(policy_class) for policy_class in policy_classes().values())


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("kind", policy_classes())
def test_every_law_holds(kind: str, chunk: int) -> None:
    """On random tiny instances, against brute force scored by the checker."""
    for seed in range(chunk, OWN_SEEDS.get(kind, SEEDS), CHUNKS):
        case = goal_laws.Case(instances_with(policy_classes()[kind], seed), seed)
        try:
            goal_laws.check(case)
        except AssertionError as error:
            raise AssertionError(f"{kind}, seed {seed}: {error}") from error


@pytest.mark.parametrize("name", HANDMADE)
def test_every_law_holds_where_random_instances_hardly_get(name: str) -> None:
    goal_laws.check(goal_laws.Case(HANDMADE[name]))


def test_every_policy_class_is_at_work_in_enough_instances() -> None:
    """As a hard rule, in a level or limited: what the engines must know."""
    found: Counter[str] = Counter()
    for kind, policy_class in policy_classes().items():
        for seed in range(OWN_SEEDS.get(kind, SEEDS)):
            instance = instances_with(policy_class, seed)
            objective = read_objective(instance)
            problem = Problem(instance, objective)
            found.update({objective.policies[i].type for i in problem.active})
    wanted = {kind: min(WANTED, OWN_SEEDS.get(kind, WANTED) * 9 // 10) for kind in policy_classes()}
    assert {kind: found[kind] for kind in wanted if found[kind] < wanted[kind]} == {}
