"""The first answer's own record of a placement is what it would be afresh, and the checker's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from generate import instances_with
from goal_laws import Case, Formulated

from optalloc.engines.greedy import Greedy
from optalloc.engines.greedy_state import State
from optalloc.engines.protocol import Clock
from optalloc.formulation.registry import policy_classes
from optalloc.verify import verify

SEEDS = 14
"""Random instances of each policy class."""


def drawn(kind: str) -> Iterator[Formulated]:
    for seed in range(SEEDS):
        yield Formulated(Case(instances_with(policy_classes()[kind], seed), seed))


def afresh(state: State) -> State:
    """Place the same again."""
    fresh = State(state.problem)
    for block, on in state.x.items():
        nodes, number = (np.array([*part], np.int64) for part in (on.keys(), on.values()))
        fresh.move(block, nodes, number)
    for choice, count in enumerate(state.y.tolist()):
        fresh.choose(choice, count)
    return fresh


@pytest.mark.parametrize("kind", policy_classes())
def test_the_record_after_pushing_is_that_made_afresh(kind: str) -> None:
    for formulated in drawn(kind):
        greedy = Greedy(formulated.problem)
        greedy.run(Clock(float("inf")))
        state, fresh = greedy.state, afresh(greedy.state)
        assert np.array_equal(state.spent, fresh.spent)
        assert np.array_equal(state.left, fresh.left)
        for mine, new in zip(state.tracked, fresh.tracked, strict=True):
            assert np.array_equal(mine.y, new.y)
            assert np.array_equal(mine.reduced, new.reduced)


def test_an_answer_keeps_the_rules_that_it_seems_to_keep() -> None:
    """And two thirds of those instances are answered that can be, however contrived."""
    answered = possible = 0
    for kind in policy_classes():
        for formulated in drawn(kind):
            greedy = Greedy(formulated.problem)
            done = greedy.run(Clock(float("inf")))
            possible += any(scored.report.feasible for scored in formulated.case.scored)
            if not done:
                continue
            objective = formulated.problem.objective
            report = verify(formulated.case.instance, greedy.placement(), objective)
            rules = {"required", "labels"}
            rules |= {
                label
                for policy, label in zip(objective.policies, objective.labels, strict=True)
                if policy.hard
            }
            broken = rules.intersection(v.rule for v in report.violations if v.hard)
            merged = formulated.merges_nodes or formulated.problem.contested.any()
            if not greedy.state.broken and not merged:
                assert not broken, (kind, formulated.case.seed, report.violations)
            answered += report.feasible
    assert answered > 0.65 * possible, (answered, possible)
