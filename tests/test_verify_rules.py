"""Rules on small instances whose violations were worked out by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from verify_cases import Runs, check, messages, place, three_nodes

from optalloc import policies as p
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import (
    Configuration,
    Group,
    Instance,
    Lookup,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy
from optalloc.verify import Violation, verify


class TestCapacity:
    def test_names_node_resource_and_amount_in_the_unit(self) -> None:
        value, found = check(
            p.Capacity(),
            {"web": {"small/1": 1}, "db": {"small/1": 1}},
            resources={"cpu": Resource(unit="cores", quantum=0.5)},
            nodes=three_nodes(),
            tasks=(Task(name="web", demand={"cpu": 2.2}), Task(name="db", demand={"cpu": 3})),
        )
        # 2.2 is rounded up to 2.5; 5.5 - 4 = 1.5 = 3 quanta.
        assert value == 3
        assert found == [
            Violation(
                rule="capacity",
                task=None,
                node="small/1",
                amount=1.5,
                message="node small/1: cpu load 5.5 cores, capacity 4 cores (1.5 over)",
            )
        ]

    def test_holds_unstated(self) -> None:
        instance = Instance(
            nodes=three_nodes(), tasks=(Task(name="web", demand={"cpu": 3}, replicas=3),)
        )
        report = verify(instance, place(instance, {"web": {"big": 3}}))
        assert not report.feasible
        assert messages(list(report.violations)) == ["node big: cpu load 9, capacity 8 (1 over)"]

    def test_speaks_only_of_the_resources_named(self) -> None:
        nodes = (Node(name="n", capacity={"cpu": 1, "gpu": 1}),)
        tasks = (Task(name="t", demand={"cpu": 3, "gpu": 2}),)
        value, found = check(
            p.Capacity(resources=("gpu",)), {"t": {"n": 1}}, nodes=nodes, tasks=tasks
        )
        assert value == 1
        assert messages(found) == ["node n: gpu load 2, capacity 1 (1 over)"]

    def test_soft_rule_is_scored_and_not_hard(self) -> None:
        value, found = check(
            p.Capacity(weight=2),
            {"t": {"n": 1}},
            nodes=(Node(name="n", capacity={"cpu": 1}),),
            tasks=(Task(name="t", demand={"cpu": 3}),),
        )
        assert value == 2
        assert [violation.hard for violation in found] == [False]

    def test_demand_follows_the_row_and_the_node(self) -> None:
        cpu = Lookup(by="node", values={"big": 7}, default=1)
        rows = (Configuration(name="own", demand={"cpu": 5}), Configuration(name="tasks"))
        value, _ = check(
            p.Capacity(),
            {"t": (0, 1, {"big": 1}), "t:": (1, 1, {"big": 1})},
            nodes=three_nodes(),
            tasks=(Task(name="t", demand={"cpu": cpu}, configurations=rows, count=2),),
        )
        assert value == 5 + 7 - 8


class TestTransientCapacity:
    nodes = three_nodes()
    resources: ClassVar[dict[str, Resource]] = {"cpu": Resource(transient=True)}

    def test_leaving_staying_and_arriving_replicas_all_count_once(self) -> None:
        tasks = (
            Task(name="stays", demand={"cpu": 3}, current="big"),
            Task(name="leaves", demand={"cpu": 4}, current="big"),
            Task(name="arrives", demand={"cpu": 2}, current="small/0"),
            Task(name="new", demand={"cpu": 1}),
        )
        runs = {
            "stays": {"big": 1},
            "leaves": {"small/0": 1},
            "arrives": {"big": 1},
            "new": {"big": 1},
        }
        value, found = check(
            p.TransientCapacity(), runs, nodes=self.nodes, tasks=tasks, resources=self.resources
        )
        # big: 3 + 4 + 2 + 1 = 10 of 8; small/0: 2 + 4 = 6 of 4.
        assert value == 2 + 2
        assert messages(found) == [
            "node big: cpu load while tasks move 10, capacity 8 (2 over)",
            "node small/0: cpu load while tasks move 6, capacity 4 (2 over)",
        ]

    def test_a_task_left_out_still_occupies_its_node(self) -> None:
        tasks = (
            Task(name="evicted", demand={"cpu": 3}, current="small/0", required=False),
            Task(name="new", demand={"cpu": 2}),
        )
        value, _ = check(
            p.TransientCapacity(),
            {"new": {"small/0": 1}},
            nodes=self.nodes,
            tasks=tasks,
            resources=self.resources,
        )
        assert value == 1

    def test_current_replicas_demand_what_their_first_row_does(self) -> None:
        rows = (
            Configuration(name="lean", demand={"cpu": 1}),
            Configuration(name="fat", replicas=2, demand={"cpu": 6}),
        )
        task = Task(name="t", configurations=rows, current="big")
        value, _ = check(
            p.TransientCapacity(),
            {"t": (1, 1, {"big": 2})},
            nodes=self.nodes,
            tasks=(task,),
            resources=self.resources,
        )
        # One runs there now (1) and one arrives (6): 7 of 8. The capacity rule sees 12.
        assert value == 0

    def test_with_several_rows_on_a_node_replicas_stay_in_row_order(self) -> None:
        rows = (
            Configuration(name="lean", demand={"cpu": 1}),
            Configuration(name="fat", demand={"cpu": 9}),
        )
        task = Task(name="t", configurations=rows, current="big", count=2)
        one_stays = Task(name="t", configurations=rows, current=("big", "small/0"), count=2)
        both = {"t": (0, 1, {"big": 1}), "t:": (1, 1, {"big": 1})}
        stated = {"nodes": self.nodes, "resources": self.resources}
        assert check(p.TransientCapacity(), both, tasks=(task,), **stated)[0] == 0
        # The lean one stays, the fat one arrives: 1 + 9 of 8.
        assert check(p.TransientCapacity(), both, tasks=(one_stays,), **stated)[0] == 2


class TestLabels:
    nodes = (
        Node(name="a", labels={"zone": "z1"}, device="gpu", devices=2, domains={"rack": "r1"}),
        Node(name="b", count=2, domains={"rack": "r2"}),
    )

    def one(self, node: str, **stated: Any) -> tuple[float, list[Violation]]:
        return check(
            p.Labels(),
            {"t": {node: 2}},
            nodes=self.nodes,
            tasks=(Task(name="t", replicas=2, **stated),),
        )

    @pytest.mark.parametrize(
        ("node", "stated", "said"),
        [
            ("a", {"allow": {"zone": ("z1", "z2")}}, None),
            ("a", {"forbid": {"rack": ("r2",)}}, None),
            ("b/1", {"forbid": {"zone": ("z1",)}}, None),
            ("b/1", {"allow": {"node": ("b",)}}, None),
            ("a", {"allow": {"device": ("gpu",), "rack": ("r1",)}}, None),
            ("b/0", {"allow": {"zone": ("z1",)}}, "whose zone is not stated; allowed: 'z1'"),
            ("b/1", {"allow": {"node": ("a",)}}, "whose node is 'b'; allowed: 'a'"),
            ("a", {"forbid": {"rack": ("r1",)}}, "whose rack is 'r1'; forbidden: 'r1'"),
            ("a", {"forbid": {"device": ("gpu",)}}, "whose device is 'gpu'; forbidden: 'gpu'"),
        ],
    )
    def test_allow_and_forbid(self, node: str, stated: dict[str, Any], said: str | None) -> None:
        value, found = self.one(node, **stated)
        if said is None:
            assert (value, found) == (0, [])
        else:
            assert value == 2
            assert messages(found) == [f"task t: 2 replicas on node {node}, {said}"]
            assert (found[0].task, found[0].node, found[0].amount) == ("t", node, 2)

    def test_a_replica_ruled_out_twice_counts_once(self) -> None:
        value, found = self.one("a", forbid={"rack": ("r1",), "zone": ("z1",)})
        assert value == 2
        assert len(found) == 1
        assert found[0].message.count("forbidden") == 2

    def test_a_row_with_a_device_type_runs_only_there(self) -> None:
        row = Configuration(device="gpu")
        task = Task(name="t", configurations=(row,))
        for node, expected in (("a", 0), ("b/0", 1)):
            value, found = check(p.Labels(), {"t": {node: 1}}, nodes=self.nodes, tasks=(task,))
            assert value == expected
        assert messages(found) == [
            "task t: 1 replica on node b/0, whose device is not stated; "
            "its configuration needs 'gpu'"
        ]

    @pytest.mark.parametrize(
        ("node", "gib", "own", "said"),
        [
            ("big/0", 40, None, None),
            ("big/0", 40.0004, None, "whose devices have 40 GiB each; needed: 40.0004"),
            ("small", 40, None, "whose devices have 16 GiB each; needed: 40"),
            ("small", 40, 16, None),
            ("small", 0, 16.5, "whose devices have 16 GiB each; needed: 16.5"),
            ("bare", 0, None, None),
            ("bare", 1, None, "whose devices have 0 GiB each; needed: 1"),
            ("bare", 1, 0, None),
        ],
    )
    def test_devices_have_the_memory_that_a_replica_needs_on_each(
        self, node: str, gib: float, own: float | None, said: str | None
    ) -> None:
        nodes = (
            Node(name="big", device="gpu", devices=2, memory_gib=40, count=2),
            Node(name="small", device="gpu", devices=2, memory_gib=16),
            Node(name="bare", device="gpu", devices=2),
        )
        rows = () if own is None else (Configuration(device_memory_gib=own),)
        task = Task(name="t", device_memory_gib=gib, configurations=rows)
        value, found = check(p.Labels(), {"t": {node: 1}}, nodes=nodes, tasks=(task,))
        assert value == (said is not None)
        expected = [] if said is None else [f"task t: 1 replica on node {node}, {said}"]
        assert messages(found) == expected


class TestGroups:
    groups = (Group(name="g", kind="service"), Group(name="h"))
    tasks = (
        Task(name="g1", groups=("g",)),
        Task(name="g2", groups=("g", "h"), replicas=2),
        Task(name="h1", groups=("h",), required=False),
    )
    runs: ClassVar[Runs] = {"g1": {"small/0": 1}, "g2": {"small/0": 1, "small/1": 1}}

    def check(self, policy: Policy, runs: Runs | None = None) -> tuple[float, list[Violation]]:
        return check(
            policy,
            self.runs if runs is None else runs,
            nodes=(*three_nodes(), Node(name="free")),
            tasks=self.tasks,
            groups=self.groups,
        )

    def test_anti_affinity_on_nodes(self) -> None:
        value, found = self.check(p.AntiAffinity())
        assert value == 1
        assert found == [
            Violation(
                rule="anti-affinity",
                task=None,
                node="small/0",
                amount=1,
                message="group g: 2 replicas on node small/0, at most 1 (1 over)",
            )
        ]

    def test_anti_affinity_in_racks(self) -> None:
        value, found = self.check(p.AntiAffinity(scope="rack"))
        assert value == 2 + 1
        assert messages(found) == [
            "group g: 3 replicas on rack r2, at most 1 (2 over)",
            "group h: 2 replicas on rack r2, at most 1 (1 over)",
        ]
        assert found[0].node is None

    def test_anti_affinity_limit_names_and_kinds(self) -> None:
        assert self.check(p.AntiAffinity(scope="rack", limit=2))[0] == 1
        assert self.check(p.AntiAffinity(scope="rack", groups=("h",)))[0] == 1
        assert self.check(p.AntiAffinity(scope="rack", kind="service"))[0] == 2
        assert self.check(p.AntiAffinity(scope="rack", kind="group"))[0] == 1
        assert self.check(p.AntiAffinity(scope="rack", kind="service", groups=("h",)))[0] == 0

    def test_nodes_in_no_domain_are_free_of_anti_affinity(self) -> None:
        runs = {"g1": {"free": 1}, "g2": {"free": 2}}
        assert self.check(p.AntiAffinity(scope="rack"), runs)[0] == 0

    def test_spread(self) -> None:
        value, found = self.check(p.Spread(scope="rack", domains=3))
        assert value == 2 + 2
        assert messages(found) == [
            "group g: in 1 of the scope rack, at least 3 (2 missing)",
            "group h: in 1 of the scope rack, at least 3 (2 missing)",
        ]
        assert self.check(p.Spread(scope="node", domains={"g": 3}))[0] == 1
        assert self.check(p.Spread(scope="node", domains={"g": 3}), {})[0] == 3
        assert self.check(p.Spread(scope="node", domains=3, kind="service"))[0] == 1

    def test_span_counts_the_domains_of_each_task(self) -> None:
        racks = tuple(Node(name=f"n{i}", domains={"rack": f"r{i // 2}"}) for i in range(6))
        tasks = (Task(name="a", replicas=4, groups=("g",)), Task(name="b", replicas=2))
        runs = {"a": {"n0": 1, "n2": 1, "n4": 1, "free": 1}, "b": {"n0": 1, "n2": 1}}

        def found(**fields: Any) -> tuple[float, list[str]]:
            nodes = (*racks, Node(name="free"))
            rule = p.Span(**fields)
            value, breaches = check(rule, runs, nodes=nodes, tasks=tasks, groups=(Group(name="g"),))
            return value, messages(breaches)

        assert found(scope="rack") == (
            2 + 1,
            [
                "task a: in 3 domains of the scope rack, expected at most 1",
                "task b: in 2 domains of the scope rack, expected at most 1",
            ],
        )
        assert found(scope="rack", domains=2)[0] == 1
        assert found(scope="node", domains=2)[0] == 2
        assert found(scope="rack", groups=("g",))[0] == 2

    def test_span_wants_gangs_stated_one_by_one(self) -> None:
        gang = Task(name="c", replicas=2, count=2)
        with pytest.raises(InstanceError, match="one by one; task c has a count"):
            Instance(nodes=[Node(name="n")], tasks=[gang], policies=[p.Span(scope="node")])

    def test_nodes_in_no_domain_do_not_count_for_spread(self) -> None:
        runs = {"g1": {"free": 1}, "g2": {"free": 1, "big": 1}}
        assert self.check(p.Spread(scope="rack", domains={"g": 2}), runs)[0] == 1

    @pytest.mark.parametrize(
        ("tasks", "runs", "missing"),
        [
            ((Task(name="t", groups=("g",), required=False),), {}, 0),
            ((Task(name="t", groups=("g",), required=False),), {"t": {"big": 1}}, 1),
            ((Task(name="t", groups=("g",)),), {}, 2),
            ((Task(name="t"),), {"t": {"big": 1}}, 0),
        ],
        ids=["optional, left out", "optional, placed", "required, left out", "empty"],
    )
    def test_spread_needs_nothing_of_a_group_that_is_empty_or_left_out(
        self, tasks: tuple[Task, ...], runs: Runs, missing: int
    ) -> None:
        value, _ = check(
            p.Spread(scope="rack", domains=2),
            runs,
            nodes=three_nodes(),
            tasks=tasks,
            groups=(Group(name="g"),),
        )
        assert value == missing

    def test_dependency(self) -> None:
        runs = {"g1": {"big": 1}, "g2": {"small/0": 2}}
        value, found = self.check(p.Dependency(scope="rack", pairs=(("g", "h"), ("h", "g"))), runs)
        assert value == 1
        assert messages(found) == ["rack r1: hosts group g without group h, which it needs"]
        assert found[0].node is None

    def test_dependency_ignores_nodes_in_no_domain(self) -> None:
        runs = {"g1": {"free": 1}, "g2": {"big": 2}}
        assert self.check(p.Dependency(scope="rack", pairs=(("g", "h"),)), runs)[0] == 0
        on_nodes, found = self.check(p.Dependency(scope="node", pairs=(("g", "h"),)), runs)
        assert on_nodes == 1
        assert found[0].node == "free"
