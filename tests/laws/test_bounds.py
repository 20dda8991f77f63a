"""Closed-form bounds of the levels: never above what any placement reaches."""

from __future__ import annotations

import pytest
from generate import instances_with
from goal_laws import Case

from optalloc.formulation.bounding import level_bounds
from optalloc.formulation.problem import Problem
from optalloc.formulation.registry import policy_classes

SEEDS = 40
"""Random instances of each policy class."""


@pytest.mark.parametrize("kind", policy_classes())
def test_no_placement_is_better_than_the_bound_of_a_level(kind: str) -> None:
    known = 0
    for seed in range(SEEDS):
        case = Case(instances_with(policy_classes()[kind], seed), seed)
        for k, bound in enumerate(level_bounds(Problem(case.instance, case.objective))):
            values = [scored.levels[k] for scored in case.feasible]
            if bound is not None and values:
                assert bound <= min(values)
                known += 1
    assert known > 0
