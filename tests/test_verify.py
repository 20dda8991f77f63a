"""What holds whatever the policies: limits, well-formed placements, the objective asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from verify_cases import Runs, check, messages, place, three_nodes

from optalloc import policies as p
from optalloc.instance.model import (
    Configuration,
    Instance,
    Task,
)
from optalloc.instance.placement import Placement
from optalloc.instance.quanta import QuantityOverflow
from optalloc.objective import read_objective
from optalloc.verify import Violation, verify


class TestLimits:
    nodes = three_nodes()
    tasks = (Task(name="t", cost=0.1, replicas=3),)

    def limited(self, **limits: float) -> list[Violation]:
        _, found = check(
            p.AssignmentCost(name="bill", **limits),
            {"t": {"big": 3}},
            nodes=self.nodes,
            tasks=self.tasks,
        )
        return found

    def test_limits_are_compared_exactly(self) -> None:
        """0.1 * 3 is 0.3, though not in floating point."""
        assert self.limited(at_most=0.3) == []
        assert self.limited(at_least=0.3) == []

    def test_a_limit_broken_is_a_hard_violation_even_of_a_weighted_goal(self) -> None:
        found = self.limited(at_most=0.25, weight=1.0)
        assert messages(found) == ["bill: 0.3, at most 0.25 (0.05 over)"]
        assert found[0].hard
        assert messages(self.limited(at_least=1)) == ["bill: 0.3, at least 1 (0.7 short)"]


class TestWellFormed:
    """What no policy could allow is reported, and the rest is still scored."""

    rows = (Configuration(name="solo"), Configuration(name="duo", replicas=2))
    instance = Instance(
        nodes=three_nodes(),
        tasks=(
            Task(name="one"),
            Task(name="many", count=3),
            Task(name="maybe", required=False, configurations=rows),
        ),
        policies=(p.Nodes(),),
    )
    good: ClassVar[Runs] = {"one": {"big": 1}, "many": (0, 3, {"big": 1, "small/0": 2})}

    def found(self, placement: Placement) -> list[str]:
        report = verify(self.instance, placement)
        assert not report.feasible
        assert {v.rule for v in report.violations} == {"placement"}
        assert len(report.values) == len(read_objective(self.instance).policies)
        return messages(list(report.violations))

    def test_a_good_placement_has_no_violations(self) -> None:
        report = verify(self.instance, place(self.instance, self.good))
        assert report.feasible
        assert report.violations == ()
        assert report.values[read_objective(self.instance).labels.index("nodes")] == 2

    def test_required_tasks_missing(self) -> None:
        assert self.found(place(self.instance, {"many": (0, 1, {"big": 1})})) == [
            "task one: required but not placed",
            "task many: required but not placed (2 of 3 missing)",
        ]

    def test_amount_and_task_of_what_is_missing(self) -> None:
        report = verify(self.instance, place(self.instance, {"one": {"big": 1}}))
        (violation,) = report.violations
        assert (violation.task, violation.node, violation.amount) == ("many", None, 3)

    def test_too_many_tasks(self) -> None:
        runs = {
            **self.good,
            "maybe": (0, 1, {"big": 1}),
            "maybe:": (1, 1, {"big": 2}),
        }
        assert self.found(place(self.instance, runs)) == ["task maybe: placed 2 times, at most 1"]

    def test_replicas_that_do_not_add_up(self) -> None:
        runs = {"one": {"big": 2}, "many": self.good["many"], "maybe": (1, 1, {"big": 1})}
        assert self.found(place(self.instance, runs)) == [
            "task one: 2 replicas placed, expected 1",
            "task maybe: 1 replica placed in configuration duo, expected 2",
        ]

    def test_replicas_without_a_chosen_row(self) -> None:
        runs = {**self.good, "maybe": (1, 0, {"big": 1})}
        assert self.found(place(self.instance, runs)) == [
            "task maybe: 1 replica placed in configuration duo, expected 0"
        ]

    @pytest.mark.parametrize(
        ("row", "node", "replicas"), [(9, 0, 1), (-1, 0, 1), (0, 3, 1), (0, -1, 1), (0, 0, 0)]
    )
    def test_pairs_out_of_range_are_named_and_left_out(
        self, row: int, node: int, replicas: int
    ) -> None:
        good = place(self.instance, self.good)
        bad = Placement(
            good.chosen,
            np.append(good.row, row),
            np.append(good.node, node),
            np.append(good.replicas, replicas),
        )
        assert self.found(bad) == [
            f"placed pair 3: {replicas} replicas of row {row} on node {node}, expected at least 1 "
            "of a row below 4 on a node below 3"
        ]
        assert verify(self.instance, bad).values == verify(self.instance, good).values

    def test_negative_choice(self) -> None:
        good = place(self.instance, self.good)
        chosen = good.chosen.copy()
        chosen[3] = -1
        assert self.found(Placement(chosen, good.row, good.node, good.replicas)) == [
            "row 3: chosen -1 times, expected at least 0"
        ]

    def test_repeated_pairs(self) -> None:
        chosen = np.array([1, 3, 0, 0], np.int64)
        row, node = np.array([0, 1, 1], np.int64), np.array([0, 1, 1], np.int64)
        placement = Placement(chosen, row, node, np.array([1, 1, 2], np.int64))
        assert self.found(placement) == [
            "placed pairs: expected each (row, node) once, sorted by row, then node"
        ]

    def test_arrays_that_do_not_fit(self) -> None:
        good = place(self.instance, self.good)
        short = Placement(good.chosen, good.row, good.node[:-1], good.replicas)
        assert self.found(short)[0] == "array node: shape (2,), expected (3,)"
        few = Placement(good.chosen[:-1], good.row, good.node, good.replicas)
        assert self.found(few)[0] == "array chosen: shape (3,), expected (4,)"
        floats: Any = good.replicas.astype(float)
        wrong = Placement(good.chosen, good.row, good.node, floats)
        assert self.found(wrong)[0] == "array replicas: numbers of type float64, expected int64"


def test_values_follow_the_objective_asked_for() -> None:
    instance = Instance(nodes=three_nodes(), tasks=(Task(name="t", cost=5),))
    placement = place(instance, {"t": {"big": 1}})
    objective = read_objective(instance, "nodes > assignment-cost")
    assert verify(instance, placement, objective).values[-2:] == (1, 5)
    assert verify(instance, placement, "assignment-cost > nodes").values[-2:] == (5, 1)
    assert len(verify(instance, placement).values) == len(read_objective(instance).policies)


def test_totals_too_large_to_be_exact_are_refused() -> None:
    """A checker that wraps around would bless anything."""
    from optalloc.verify.facts import total

    huge = np.full(3, 2**61, np.int64)
    assert total(huge[:2], np.ones(2, np.int64)) == 2**62
    with pytest.raises(QuantityOverflow, match="more than 2"):
        total(huge, np.ones(3, np.int64))


def test_an_instance_of_nothing_is_feasible() -> None:
    instance = Instance(nodes=three_nodes(), tasks=(), policies=(p.Nodes(), p.Moves(), p.Power()))
    assert verify(instance, place(instance, {})).feasible
