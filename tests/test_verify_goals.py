"""Goals on small instances whose values were worked out by hand."""

from __future__ import annotations

from typing import ClassVar

import pytest
from verify_cases import Runs, check, place, three_nodes

from optalloc import policies as p
from optalloc.instance.model import (
    Configuration,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Task,
)
from optalloc.instance.policy import Policy
from optalloc.verify import Violation, verify


class TestMoves:
    tasks = (
        Task(
            name="gang", replicas=3, current=("big", "big", "small/0"), move_cost=2.5, groups=("g",)
        ),
        Task(name="pair", count=2, current="small/1", move_cost=4, groups=("g", "h")),
        Task(name="new"),
    )
    runs: ClassVar[Runs] = {
        "gang": {"big": 1, "small/0": 1, "small/1": 1},
        "pair": (0, 2, {"small/1": 1, "big": 1}),
        "new": {"big": 1},
    }

    def check(self, policy: Policy, runs: Runs | None = None) -> float:
        value, _ = check(
            policy,
            self.runs if runs is None else runs,
            nodes=three_nodes(),
            tasks=self.tasks,
            groups=(Group(name="g"), Group(name="h", kind="service")),
        )
        return value

    def test_moves_count_replicas_in_excess_of_those_running(self) -> None:
        assert self.check(p.Moves()) == 2

    def test_a_task_left_out_moves_nothing(self) -> None:
        assert self.check(p.Moves(), {}) == 0

    def test_task_move_cost(self) -> None:
        assert self.check(p.TaskMoveCost()) == 2.5 + 4

    def test_group_move_cost_is_that_of_the_worst_group(self) -> None:
        assert self.check(p.GroupMoveCost()) == 2
        assert self.check(p.GroupMoveCost(kind="service")) == 1
        assert self.check(p.GroupMoveCost(), {}) == 0

    def test_pair_move_cost_takes_the_cheapest_origin(self) -> None:
        by_node = p.PairMoveCost(
            costs={"big": {"small": 7}, "small": {"small": 1.5, "big": 10}}, by="node"
        )
        # gang: to small/1 from big (7) or small/0 (1.5); pair: from small/1 to big (10).
        assert self.check(by_node) == 1.5 + 10
        by_rack = p.PairMoveCost(costs={"r1": {"r2": 7}, "r2": {"r2": 8}}, by="rack")
        assert self.check(by_rack) == 7

    def test_a_move_budget_is_a_limit_on_moves(self) -> None:
        instance = Instance(
            nodes=three_nodes(), tasks=self.tasks[2:], policies=(p.Moves(at_most=0),)
        )
        assert verify(instance, place(instance, {"new": {"big": 1}})).feasible


class TestMeasures:
    def test_assignment_cost(self) -> None:
        tasks = (
            Task(name="flat", cost=1.25, replicas=2),
            Task(name="by_rack", cost=Lookup(by="rack", values={"r1": 3, "r2": 0.5})),
            Task(name="by_entry", cost=(10, 20)),
        )
        runs = {"flat": {"big": 2}, "by_rack": {"small/0": 1}, "by_entry": {"small/1": 1}}
        value, _ = check(p.AssignmentCost(), runs, nodes=three_nodes(), tasks=tasks)
        assert value == 2 * 1.25 + 0.5 + 20

    def test_safety_capacity(self) -> None:
        nodes = (
            Node(name="a", capacity={"cpu": 8}, safety={"cpu": 2.5}),
            Node(name="b", capacity={"cpu": 1}),
        )
        tasks = (Task(name="t", demand={"cpu": 2}, replicas=3),)
        value, _ = check(
            p.SafetyCapacity(resource="cpu"), {"t": {"a": 2, "b": 1}}, nodes=nodes, tasks=tasks
        )
        assert value == (4 - 2.5) + (2 - 1)

    def test_balance(self) -> None:
        nodes = (
            Node(name="a", capacity={"cpu": 8, "mem": 10}),
            Node(name="b", capacity={"cpu": 2, "mem": 10}),
        )
        tasks = (Task(name="t", demand={"cpu": 1, "mem": 6}),)
        value, _ = check(
            p.Balance(resource="cpu", against="mem", ratio=1.5),
            {"t": {"a": 1}},
            nodes=nodes,
            tasks=tasks,
        )
        assert value == max(0, 1.5 * 7 - 4) + max(0, 1.5 * 2 - 10)

    def test_peak_load(self) -> None:
        nodes = (
            Node(name="a", capacity={"cpu": 8}),
            Node(name="b", capacity={"cpu": 6}),
            Node(name="c", capacity={"cpu": 0}),
        )
        tasks = (Task(name="t", demand={"cpu": 2}, replicas=4),)
        value, _ = check(
            p.PeakLoad(resource="cpu"), {"t": {"a": 2, "b": 2}}, nodes=nodes, tasks=tasks
        )
        assert value == pytest.approx(4 / 6)

    def test_nodes(self) -> None:
        tasks = (Task(name="t", replicas=3),)
        value, _ = check(
            p.Nodes(), {"t": {"big": 2, "small/1": 1}}, nodes=three_nodes(), tasks=tasks
        )
        assert value == 2

    def test_admitted(self) -> None:
        tasks = (
            Task(name="t", count=3, weight=0.5, required=False),
            Task(name="u", weight=7, required=False),
        )
        value, _ = check(p.Admitted(), {"t": (0, 2, {"big": 2})}, nodes=three_nodes(), tasks=tasks)
        assert value == 1


class TestDraw:
    nodes = (
        Node(name="a", capacity={"cpu": 8}, idle_w=100, full_w=300, price_h=2),
        Node(name="b", capacity={"cpu": 4}, idle_w=10, full_w=20, price_h=1, count=2),
    )
    rows = (
        Configuration(name="slow", throughput=2, watts=50),
        Configuration(name="fast", throughput=8, watts=150, replicas=2),
    )
    tasks = (
        Task(name="train", configurations=rows, work=16000, count=2),
        Task(name="serve", demand={"cpu": 2}, replicas=2),
    )
    runs: ClassVar[Runs] = {
        "train": (0, 1, {"b/0": 1}),
        "train:": (1, 1, {"a": 2}),
        "serve": {"a": 1, "b/0": 1},
    }

    def check(self, policy: Policy) -> float:
        energy = Energy(horizon_s=1000, price_kwh=0.36, pue=1.25, share="cpu")
        stated = {"nodes": self.nodes, "tasks": self.tasks, "energy": energy}
        return check(policy, self.runs, **stated)[0]

    def test_power(self) -> None:
        # Idle a and b/0; both rows; serve has 2 / 8 of 200 W on a and 2 / 4 of 10 W on b/0.
        assert self.check(p.Power()) == 110 + 200 + 50 + 5

    def test_energy(self) -> None:
        # Rows of a task with work draw for work / rate: 8000 s and 2000 s.
        assert self.check(p.Energy()) == (110 + 55) * 1000 + 50 * 8000 + 150 * 2000

    def test_cost(self) -> None:
        energy_kwh = ((110 + 55) * 1000 + 50 * 8000 + 150 * 2000) / 3.6e6
        expected = (2 + 1) * 1000 / 3600 + energy_kwh * 0.36 * 1.25
        assert self.check(p.Cost()) == pytest.approx(expected, rel=1e-5)

    def test_power_cap(self) -> None:
        _, found = check(
            p.Power(at_most=109.5),
            {"serve": {"a": 1, "b/0": 1}},
            nodes=self.nodes,
            tasks=self.tasks[1:],
        )
        assert found == [
            Violation(
                rule="power",
                task=None,
                node=None,
                amount=0.5,
                message="power: 110 W, at most 109.5 (0.5 over)",
            )
        ]


class TestThroughput:
    rows = (Configuration(name="one", throughput=3), Configuration(name="two", throughput=6))
    tasks = (
        Task(name="a", configurations=rows, weight=2, count=2, required=False),
        Task(name="b", configurations=rows, reference=12, required=False),
        Task(name="none", required=False),
        Task(name="unweighted", configurations=rows, weight=0, required=False),
    )
    runs: ClassVar[Runs] = {
        "a": (0, 1, {"big": 1}),
        "a:": (1, 1, {"big": 1}),
        "b": (1, 1, {"big": 1}),
    }

    def check(self, policy: Policy, runs: Runs | None = None) -> float:
        runs = self.runs if runs is None else runs
        return check(policy, runs, nodes=three_nodes(), tasks=self.tasks)[0]

    def test_weighted(self) -> None:
        assert self.check(p.Throughput()) == 2 * (3 / 6) + 2 * (6 / 6) + 6 / 12

    def test_raw(self) -> None:
        assert self.check(p.Throughput(raw=True)) == 3 + 6 + 6

    def test_max_min(self) -> None:
        # a in row one: 3 / (2 * 6); a in row two: 6 / (2 * 6); b: 6 / 12.
        assert self.check(p.MaxMin()) == 0.25

    def test_max_min_is_zero_while_a_counted_task_is_left_out(self) -> None:
        one_missing = {name: self.runs[name] for name in ("a", "b")}
        assert self.check(p.MaxMin(), one_missing) == 0

    def test_max_min_of_nothing_is_zero(self) -> None:
        tasks = (Task(name="t"),)
        assert check(p.MaxMin(), {"t": {"big": 1}}, nodes=three_nodes(), tasks=tasks)[0] == 0
