"""Reasons are sound, complete where they say so, and in the domain's words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from optalloc import policies as rules
from optalloc.engines.protocol import Clock
from optalloc.explaining import explain_infeasible, explain_left_out, obvious_conflicts, relax
from optalloc.explaining.filtering import restricted, smallest_conflict
from optalloc.formulation.problem import Problem
from optalloc.instance.model import (
    Configuration,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Quantity,
    Resource,
    Task,
)
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.result import Reason
from optalloc.solution import Placed, read_placement
from optalloc.solving import solve
from optalloc.verify import verify


def made(**fields: Any) -> Instance:
    return Instance(**fields)


def problem_of(instance: Instance, objective: str | None = None) -> Problem:
    return Problem(instance, read_objective(instance, objective))


def conflicts(instance: Instance) -> list[tuple[str, str]]:
    return [(r.task, r.message) for r in obvious_conflicts(problem_of(instance))]


def partial(instance: Instance, objective: str | None = None) -> dict[str, str]:
    """Reasons of the best partial placement."""
    result = solve(instance, objective, partial=True, deterministic=True)
    assert result.status == "optimal"
    return {reason.task: reason.message for reason in result.reasons}


CLUSTER = (
    Node(
        name="a",
        device="a100",
        devices=6,
        count=12,
        labels={"gpu": "a100"},
        domains={"rack": "r1"},
        idle_w=300,
    ),
    Node(
        name="h",
        device="h100",
        devices=8,
        count=8,
        labels={"gpu": "h100"},
        domains={"rack": "r2"},
        idle_w=500,
    ),
    Node(name="c", capacity={"memory": 64}, count=4, domains={"rack": "r3"}, idle_w=100),
)
MEMORY = {"memory": Resource(unit="GiB")}
GROUPS = (Group(name="web"), Group(name="db"), Group(name="idle"))


def cluster(*tasks: Task, **fields: Any) -> Instance:
    stated = {"nodes": CLUSTER, "resources": MEMORY, "groups": GROUPS, **fields}
    return made(tasks=tasks, **stated)


# -- obvious conflicts -------------------------------------------------------------------------


def test_a_feasible_instance_has_no_obvious_conflict() -> None:
    task = Task(name="train", demand={"device": 8}, allow={"gpu": ("h100",)}, count=8)
    assert conflicts(cluster(task)) == []


def test_a_task_that_fits_nowhere_names_each_reason_with_its_nodes() -> None:
    task = Task(name="train", demand={"device": 8, "memory": 1}, forbid={"gpu": ("h100",)})
    assert conflicts(cluster(task))[0] == (
        "train",
        "fits none of 24 nodes: 12 nodes: 1 GiB memory short (need 1 GiB, largest capacity 0 GiB) "
        "and 2 device short (need 8, largest capacity 6); 8 nodes: gpu in (h100), which is "
        "forbidden; 4 nodes: 8 device short (need 8, largest capacity 0)",
    )


def test_labels_a_task_allows_are_named_with_the_nodes_that_lack_them() -> None:
    task = Task(name="train", demand={"device": 9}, allow={"gpu": ("h100", "b200")}, count=2)
    assert conflicts(cluster(task))[0] == (
        "train (2 tasks)",
        "fits none of 24 nodes: 16 nodes: gpu not in (h100, b200); "
        "8 nodes: 1 device short (need 9, largest capacity 8)",
    )


def test_memory_that_no_device_has_is_named_with_the_nodes() -> None:
    nodes = (
        Node(name="a", device="gpu", devices=1, memory_gib=40),
        Node(name="b", device="gpu", devices=1, count=3),
    )
    large = Task(name="large", demand={"device": 1}, device_memory_gib=80)
    ((who, why),) = conflicts(made(nodes=nodes, tasks=(large,)))
    assert who == "large"
    assert "4 nodes: devices of less than 80 GiB" in why
    small = msgspec.structs.replace(large, device_memory_gib=40)
    found = solve(made(nodes=nodes, tasks=(small,)))
    assert found.placement is not None
    assert found.assignment["large"] == {"a": 1}


def test_every_row_of_a_table_is_explained() -> None:
    table = (Configuration(device="h100", replicas=65), Configuration(device="tpu", replicas=2))
    assert conflicts(cluster(Task(name="train", configurations=table)))[0] == (
        "train",
        "no configuration fits: h100 x 65: fits 64 of its 65 replicas: 16 nodes: device type is "
        "none, a100, need h100; 8 nodes: 64 fit, one more is 1 device short (need 1, largest "
        "left 0) | tpu x 2: fits none of 24 nodes: "
        "24 nodes: device type is none, a100, h100, need tpu",
    )


def test_one_row_that_fits_is_enough() -> None:
    table = (Configuration(device="h100", replicas=65), Configuration(device="a100"))
    assert conflicts(cluster(Task(name="train", configurations=table))) == []


def test_a_gang_names_how_many_replicas_fit() -> None:
    assert conflicts(cluster(Task(name="gang", replicas=9, demand={"device": 8}))) == [
        (
            "gang",
            "fits 8 of its 9 replicas: 16 nodes: 2 device short (need 8, largest capacity 6); "
            "8 nodes: 8 fit, one more is 8 device short (need 8, largest left 0)",
        )
    ]


def test_tasks_alike_that_fit_one_by_one_but_not_all_are_counted_together() -> None:
    tasks = [Task(name=f"job-{i}", demand={"device": 5}) for i in range(21)]
    assert conflicts(cluster(*tasks)) == [
        (
            "",
            "tasks alike (job-0, job-1, job-2, job-3 and 17 more): 20 of 21 tasks fit: "
            "20 nodes: 20 fit, one more is 2 device short (need 5, largest left 3); "
            "4 nodes: 5 device short (need 5, largest capacity 0)",
        )
    ]


def test_demand_in_all_beyond_capacity_is_named_with_the_amount_short() -> None:
    tasks = [Task(name=f"job-{i}", demand={"device": i % 2 + 1}) for i in range(100)]
    assert conflicts(cluster(*tasks)) == [
        (
            "",
            "100 required tasks (job-0, job-1, job-2, job-3 and 96 more) need at least 150 device, "
            "the 24 nodes have 136 device: 14 device short",
        )
    ]


def test_demand_beyond_the_nodes_to_which_tasks_are_restricted() -> None:
    tasks = [
        Task(name=f"job-{i}", demand={"device": i % 2 + 3}, allow={"device": ("h100",)})
        for i in range(19)
    ]
    assert conflicts(cluster(*tasks)) == [
        (
            "",
            "19 required tasks restricted to device h100 (job-0, job-1, job-2, job-3 and 15 more) "
            "need at least 66 device, the 8 nodes have 64 device: 2 device short",
        )
    ]


def test_demand_is_the_least_over_rows_and_nodes() -> None:
    """Tables and rows count with their cheapest entry: then 136 devices are enough."""
    by_type = Lookup(by="device", values={"a100": 2, "h100": 1}, default=9)
    table = (Configuration(device="h100", replicas=3), Configuration(device="h100", replicas=1))
    tasks = [
        Task(name="looked-up", demand={"device": by_type}, count=40),
        Task(name="tabled", configurations=table, count=24),
    ]
    assert conflicts(cluster(*tasks)) == []


def test_soft_capacity_is_no_conflict() -> None:
    soft = rules.Capacity(weight=1)
    assert conflicts(cluster(Task(name="big", demand={"device": 99}), policies=[soft])) == []


def test_anti_affinity_beyond_the_domains_in_reach() -> None:
    task = Task(name="web", groups=("web",), count=5, forbid={"node": ("c",)})
    rule = rules.AntiAffinity(scope="rack", limit=2)
    assert conflicts(cluster(task, policies=[rule])) == [
        (
            "",
            "group web: 5 replicas required, anti-affinity allows 2 per rack in the 2 racks that "
            "its tasks can reach: 1 too many",
        )
    ]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            Task(name="web", groups=("web",), count=3, allow={"device": ("h100", "a100")}),
            "group web must run in at least 3 racks, its tasks can reach 2: 1 too few",
        ),
        (
            Task(name="web", groups=("web",), count=1),
            "group web must run in at least 3 racks, it has 1 replica: 2 too few",
        ),
    ],
)
def test_spread_over_more_domains_than_there_are(task: Task, message: str) -> None:
    rule = rules.Spread(scope="rack", domains=3, groups=("web",))
    assert conflicts(cluster(task, policies=[rule])) == [("", message)]


@pytest.mark.parametrize(
    ("needed", "why"),
    [
        ("idle", "but that group has no tasks"),
        ("db", "but no rack that it can reach (on device h100) can host that group"),
    ],
)
def test_dependency_on_a_group_that_cannot_come_near(needed: str, why: str) -> None:
    web = Task(name="web", groups=("web",), allow={"device": ("h100",)})
    db = Task(name="db", groups=("db",), allow={"device": ("a100",)})
    rule = rules.Dependency(scope="rack", pairs=(("web", needed),))
    message = f"group web needs group {needed} in its rack, {why}"
    assert conflicts(cluster(web, db, policies=[rule])) == [("web", message)]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            rules.Nodes(at_most=2),
            "nodes: at least 3 for what must run, at most 2 allowed: 1 over",
        ),
        (
            rules.Power(at_most=800, name="cap"),
            "cap: at least 1050 W for what must run, at most 800 W allowed: 250 W over",
        ),
        (
            rules.AssignmentCost(at_most=100),
            "assignment-cost: at least 105 for what must run, at most 100 allowed: 5 over",
        ),
        (
            rules.Throughput(at_least=40, raw=True),
            "throughput: at most 30 samples/s can be reached, "
            "at least 40 samples/s wanted: 10 samples/s short",
        ),
    ],
)
def test_limits_that_the_cheapest_placement_breaks(policy: rules.Nodes, message: str) -> None:
    table = (Configuration(device="h100", replicas=7, throughput=10, watts=250),)
    cost = Lookup(by="device", values={"h100": 5}, default=7)
    task = Task(name="train", configurations=table, count=3, cost=cost)
    nodes = [msgspec.structs.replace(node, idle_w=100) for node in CLUSTER]
    assert conflicts(cluster(task, policies=[policy], nodes=nodes)) == [("", message)]


def test_what_runs_now_beyond_transient_capacity() -> None:
    instance = made(
        nodes=[Node(name="a", capacity={"cpu": 4}), Node(name="b", capacity={"cpu": 8})],
        tasks=[Task(name="web", demand={"cpu": 3}, count=2, current="a")],
        policies=[rules.TransientCapacity(resources=("cpu",))],
    )
    assert conflicts(instance) == [
        (
            "",
            "node a: what runs there now takes 6 cpu, which stays taken while tasks move: "
            "2 cpu above capacity",
        )
    ]


def test_many_tasks_that_fit_nowhere_are_summed_up() -> None:
    tasks = [Task(name=f"job-{i}", demand={"device": 9 + i}) for i in range(30)]
    found = conflicts(cluster(*tasks))
    assert [name for name, _ in found[:20]] == [f"job-{i}" for i in range(20)]
    assert found[20] == (
        "",
        "fitting no node either: 10 tasks (job-20, job-21, job-22, job-23 and 6 more)",
    )


# -- bad input through solve -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "task", "message"),
    [
        (
            Node(name="n", capacity={"cpu": 0}),
            Task(name="t", demand={"cpu": 1}),
            "fits none of 1 node: 1 node: 1 cpu short (need 1, largest capacity 0)",
        ),
        (
            Node(name="n", capacity={"cpu": 4}),
            Task(name="t", forbid={"node": ("n",)}),
            "fits none of 1 node: 1 node: node in (n), which is forbidden",
        ),
        (
            Node(name="n", capacity={"cpu": 4}, count=3),
            Task(name="t", demand={"cpu": 5}),
            "fits none of 3 nodes: 3 nodes: 1 cpu short (need 5, largest capacity 4)",
        ),
        (
            Node(name="n", capacity={"cpu": 4}, count=1000),
            Task(name="t", demand={"cpu": 1}, count=1_000_000),
            "4,000 of 1,000,000 tasks fit: 1,000 nodes: 4,000 fit, one more is 1 cpu short "
            "(need 1, largest left 0)",
        ),
    ],
)
def test_hopeless_instances_are_answered_without_an_engine(
    nodes: Node, task: Task, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optalloc.engines.auto.Run.solve", lambda run: pytest.fail("engine ran"))
    result = solve(made(nodes=[nodes], tasks=[task]))
    assert (result.status, result.stopped_by, result.placement) == ("infeasible", "proof", None)
    assert result.reasons[0].message == message


# -- proven by an engine -----------------------------------------------------------------------

THREE = Node(name="n", capacity={"cpu": 10}, count=3, idle_w=100)


def test_infeasibility_that_only_an_engine_sees_names_the_rule_and_what_is_left_out() -> None:
    sizes = [7, 7, 7, 5, 4]
    instance = made(
        nodes=[THREE], tasks=[Task(name=f"t{i}", demand={"cpu": d}) for i, d in enumerate(sizes)]
    )
    result = solve(instance, deterministic=True)
    assert result.status == "infeasible"
    first, second, third = result.reasons
    assert first == Reason(
        "", "no placement of the required tasks keeps this rule: the nodes' capacity of cpu"
    )
    assert second.message.startswith(
        "at most 4 of 5 required tasks can be placed together, for example all but t"
    )
    assert third.task in second.message
    assert third.message.startswith("no room given what is placed: 3 nodes: ")


def test_rules_that_conflict_only_together_are_all_named() -> None:
    tasks = [Task(name=f"a{i}", demand={"cpu": i + 1}, groups=("g",)) for i in range(2)]
    instance = made(
        nodes=[THREE],
        tasks=tasks,
        groups=[Group(name="g")],
        policies=[rules.AntiAffinity(), rules.Power(at_most=150), rules.Moves(at_most=0)],
    )
    assert not conflicts(instance)
    found = explain_infeasible(problem_of(instance))
    assert found[0].message == (
        "no placement of the required tasks keeps these rules together: power at most 150 W; "
        "anti-affinity: at most 1 replica of each group per node "
        "(without any one of them there is a placement)"
    )
    assert found[1].message.startswith("at most 1 of 2 required tasks can be placed together")


def test_without_time_all_rules_are_named_and_nothing_is_called_minimal() -> None:
    instance = made(
        nodes=[THREE],
        tasks=[Task(name=f"t{i}", demand={"cpu": 7}) for i in range(4)],
        policies=[rules.Power(at_most=900)],
    )
    (reason,) = explain_infeasible(problem_of(instance), Clock(0))
    assert reason.message == (
        "no placement of the required tasks keeps these rules together: power at most 900 W; "
        "the labels and devices that tasks ask for; the nodes' capacity of cpu "
        "(not shown to be minimal)"
    )


# -- left out ----------------------------------------------------------------------------------


def test_relax_makes_tasks_optional_and_puts_admission_first() -> None:
    instance = made(nodes=[THREE], tasks=[Task(name="t")], objective="power > admitted")
    relaxed, text = relax(instance)
    assert text == "admitted > power"
    assert not any(task.required for task in relaxed.tasks)
    assert relax(instance, "nodes > instance")[1] == "admitted > nodes > power"
    assert relax(msgspec.structs.replace(instance, objective=""))[1] == "admitted > penalty"


def test_what_is_left_out_names_what_is_short_on_how_many_nodes() -> None:
    tasks = [Task(name="big", demand={"cpu": 7}, count=5), Task(name="huge", demand={"cpu": 11})]
    assert partial(made(nodes=[THREE], tasks=tasks)) == {
        "big (2 of 5 tasks)": "no room given what is placed: 3 nodes: 4 cpu short "
        "(need 7, largest free 3)",
        "huge": "fits none of 3 nodes: 3 nodes: 1 cpu short (need 11, largest capacity 10)",
    }


def test_what_is_left_out_names_rules_and_limits() -> None:
    instance = made(
        nodes=[THREE],
        tasks=[Task(name="web", demand={"cpu": 1}, groups=("g",), count=5)],
        groups=[Group(name="g")],
        policies=[rules.AntiAffinity(), rules.Power(at_most=250)],
    )
    assert partial(instance) == {
        "web (3 of 5 tasks)": "no room given what is placed: 2 nodes: anti-affinity: at most "
        "1 replica of each group per node; 1 node: power at most 250 W (at least 50 W beyond)"
    }


def test_a_gang_left_out_names_the_room_that_there_is() -> None:
    tasks = [
        Task(name="first", demand={"cpu": 6}, weight=9),
        Task(name="gang", demand={"cpu": 5}, replicas=6),
    ]
    assert partial(made(nodes=[THREE], tasks=tasks)) == {
        "gang": "room for 4 of its 6 replicas given what is placed: 2 nodes: 4 fit; "
        "1 node: 1 cpu short (need 5, largest free 4)"
    }


def test_a_gang_that_breaks_a_rule_only_as_a_whole_says_so() -> None:
    instance = made(
        nodes=[msgspec.structs.replace(THREE, domains={"row": "r"})],
        tasks=[Task(name="gang", demand={"cpu": 5}, replicas=3, groups=("g",))],
        groups=[Group(name="g")],
        policies=[rules.AntiAffinity(limit=2, scope="row")],
    )
    (message,) = partial(instance).values()
    assert message.startswith(
        "its 3 replicas fit one by one, but together on nodes n/0, n/1 they break: "
    )


def test_a_task_that_fits_but_is_not_wanted_names_the_level_that_it_would_worsen() -> None:
    instance = made(nodes=[THREE], tasks=[Task(name="idle", demand={"cpu": 1}, weight=0)])
    assert partial(instance, "power") == {
        "idle": "fits node n/0 (3 nodes in all), but then power would be worse by 100 W"
    }


def test_a_task_without_gain_or_loss_says_so() -> None:
    instance = made(
        nodes=[THREE], tasks=[Task(name="idle", demand={"cpu": 1}, weight=0, required=False)]
    )
    problem = problem_of(instance)
    (reason,) = explain_left_out(problem, read_placement(instance, {}))
    assert reason.message == ("fits node n/0 (3 nodes in all), without any gain to the objective")


def test_a_better_placement_than_the_one_explained_is_admitted() -> None:
    instance = made(nodes=[THREE], tasks=[Task(name="web", demand={"cpu": 1}, required=False)])
    (reason,) = explain_left_out(problem_of(instance), read_placement(instance, {}))
    assert reason.message == (
        "fits node n/0 (3 nodes in all), and admitted would be better by 1: "
        "the run ended before that was found"
    )


def test_of_several_configurations_the_one_that_fits_is_explained() -> None:
    table = (
        Configuration(name="wide", replicas=7, demand={"cpu": 5}),
        Configuration(name="slim", replicas=1, demand={"cpu": 5}),
    )
    task = Task(name="train", configurations=table, weight=0)
    assert partial(made(nodes=[THREE], tasks=[task]), "nodes") == {
        "train": "slim: fits node n/0 (3 nodes in all), but then nodes would be worse by 1"
    }


def test_a_dependency_that_is_missing_is_named() -> None:
    instance = made(
        nodes=[THREE],
        tasks=[
            Task(name="web", demand={"cpu": 1}, groups=("web",)),
            Task(name="db", demand={"cpu": 11}, groups=("db",)),
        ],
        groups=[Group(name="web"), Group(name="db")],
        policies=[rules.Dependency(scope="node", pairs=(("web", "db"),))],
    )
    assert partial(instance)["web"] == (
        "no room given what is placed: 3 nodes: dependency: web needs db in its node"
    )


def test_when_time_is_over_every_task_left_out_is_still_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optalloc.explaining.left_out.LEAST_SECONDS", 0.0)
    tasks = [Task(name=f"t{i}", demand={"cpu": i}, required=False) for i in range(3)]
    instance = made(nodes=[THREE], tasks=tasks)
    found = explain_left_out(problem_of(instance), read_placement(instance, {}), Clock(0))
    assert [reason.task for reason in found] == ["t0", "t1", "t2"]
    assert {reason.message for reason in found} == {
        "left out for lack of room or by the objective (no time was left to say which)"
    }


# -- laws --------------------------------------------------------------------------------------


def draw_instance(rng: Random) -> Instance:
    """A tiny instance, as often infeasible as not, of all rules that explanations speak of."""
    nodes = []
    for i in range(rng.randint(1, 3)):
        device = rng.choice(["", "h", "a"])
        nodes.append(
            Node(
                name=f"n{i}",
                capacity={"cpu": rng.randint(1, 7)},
                device=device,
                devices=2 if device else 0,
                labels={"zone": rng.choice("xy")},
                domains={"rack": rng.choice(["r0", "r1"])} if i == 0 or rng.random() < 0.7 else {},
                idle_w=rng.choice([10, 20]),
            )
        )
    return made(
        nodes=nodes,
        tasks=[_draw_task(rng, t) for t in range(rng.randint(1, 3))],
        groups=[Group(name="g0"), Group(name="g1")],
        policies=[rng.choice(_POLICIES)(rng) for _ in range(rng.randint(0, 3))],
        energy=Energy(share=rng.choice(["", "cpu"])),
        objective=rng.choice(["", "power", "nodes"]),
    )


_POLICIES = (
    lambda rng: rules.AntiAffinity(scope=rng.choice(["node", "rack"]), limit=rng.randint(0, 2)),
    lambda rng: rules.Spread(scope=rng.choice(["node", "rack"]), domains=rng.randint(1, 3)),
    lambda rng: rules.Dependency(scope=rng.choice(["node", "rack"]), pairs=(("g0", "g1"),)),
    lambda rng: rules.Nodes(at_most=rng.randint(1, 2)),
    lambda rng: rules.Power(at_most=rng.randint(5, 50)),
    lambda rng: rules.Moves(at_most=rng.randint(0, 1)),
    lambda rng: rules.Throughput(at_least=rng.randint(0, 2)),
    lambda rng: rules.Admitted(at_least=rng.randint(0, 3)),
    lambda _rng: rules.TransientCapacity(resources=("cpu",)),
    lambda _rng: rules.AntiAffinity(weight=2),
)


def _draw_task(rng: Random, t: int) -> Task:
    table: tuple[Configuration, ...] = ()
    if rng.random() < 0.3:
        table = tuple(
            Configuration(
                name=f"c{i}",
                device=rng.choice(["h", "a", ""]),
                replicas=rng.randint(1, 2),
                throughput=rng.randint(1, 5),
                watts=rng.randint(1, 9),
            )
            for i in range(rng.randint(1, 2))
        )
    by_node = Lookup(by="node", values={"n0": rng.randint(0, 3)}, default=rng.randint(1, 4))
    cpu: Quantity = by_node if rng.random() < 0.5 else rng.randint(0, 4)
    return Task(
        name=f"t{t}",
        demand={"cpu": cpu},
        configurations=table,
        replicas=1 if table else rng.choice([1, 1, 2]),
        required=rng.random() < 0.8,
        allow=rng.choice([{}, {}, {"zone": ("x",)}]),
        forbid=rng.choice([{}, {}, {"device": ("h",)}]),
        groups=tuple(g for g in ("g0", "g1") if rng.random() < 0.5),
        current=rng.choice([None, None, "n0"]),
    )


def placements(instance: Instance) -> Iterator[Placement]:
    """Every placement of single tasks on any nodes."""
    columns = instance.columns
    options: list[list[Placed | None]] = []
    for t, task in enumerate(instance.tasks):
        ways: list[Placed | None] = [] if task.required else [None]
        for row in range(int(columns.row_start[t]), int(columns.row_start[t + 1])):
            for where in combinations_with_replacement(
                columns.node_names, int(columns.row_replicas[row])
            ):
                nodes = {name: where.count(name) for name in where}
                ways.append(Placed(nodes=nodes, configuration=columns.row_name(row)))
        options.append(ways)
    for chosen in product(*options):
        named = {
            task.name: placed
            for task, placed in zip(instance.tasks, chosen, strict=True)
            if placed is not None
        }
        yield read_placement(instance, named)


def feasible(problem: Problem) -> list[Placement]:
    instance, objective = problem.instance, problem.objective
    return [p for p in placements(instance) if verify(instance, p, objective).feasible]


@pytest.mark.parametrize("block", range(6))
def test_obvious_conflicts_are_never_wrong(block: int) -> None:
    """Law: where one is found, no placement at all passes the checker."""
    found = 0
    for seed in range(block * 30, block * 30 + 30):
        problem = problem_of(draw_instance(Random(seed)))
        if obvious_conflicts(problem):
            found += 1
            assert not feasible(problem), seed
    assert found


@pytest.mark.parametrize("block", range(6))
def test_the_smallest_conflict_is_one_and_every_rule_of_it_is_needed(block: int) -> None:
    """Law, by brute force: the rules together allow nothing, all but any one of them something."""
    sizes = []
    for seed in range(block * 20, block * 20 + 20):
        problem = problem_of(draw_instance(Random(seed)))
        if feasible(problem):
            continue
        conflict = smallest_conflict(problem, Clock(60))
        assert conflict.minimal
        sizes.append(len(conflict.rules))
        assert not feasible(restricted(problem.instance, conflict.rules)), seed
        for rule in conflict.rules:
            others = [other for other in conflict.rules if other is not rule]
            assert feasible(restricted(problem.instance, others)), (seed, rule.said)
    assert sizes


@pytest.mark.parametrize("block", range(6))
def test_a_task_left_out_is_said_to_fit_exactly_where_it_can_be_added(block: int) -> None:
    """Law, by brute force, on placements of any quality; each task left out is named once."""
    for seed in range(block * 20, block * 20 + 20):
        rng = Random(seed)
        problem = problem_of(draw_instance(rng))
        everything = feasible(problem)
        if not everything:
            continue
        placement = rng.choice(everything)
        tasks = problem.instance.tasks
        missing = [
            t.name
            for t, placed in zip(tasks, _placed(problem, placement), strict=True)
            if not placed
        ]
        reasons = explain_left_out(problem, placement)
        assert [reason.task for reason in reasons] == missing
        for reason in reasons:
            task = [t.name for t in tasks].index(reason.task)
            can = any(_adds(problem, placement, other, task) for other in everything)
            fits = "fits node" in reason.message
            # A gang is tried in one way only: it may fit in another.
            gang = problem.columns.row_replicas[problem.columns.row_task == task].max() > 1
            assert fits == can or (gang and can), (seed, reason)


def _placed(problem: Problem, placement: Placement) -> list[int]:
    """How many tasks of each entry are placed."""
    task = problem.columns.row_task
    counts = np.bincount(task, weights=placement.chosen, minlength=problem.columns.tasks)
    return [int(count) for count in counts]


def _adds(problem: Problem, before: Placement, after: Placement, task: int) -> bool:
    """Whether a placement is another one and a task."""
    added = after.chosen - before.chosen
    if added.min() < 0 or added.sum() != 1:
        return False
    if problem.columns.row_task[int(np.argmax(added))] != task:
        return False
    pairs = [
        {(int(r), int(n)): int(k) for r, n, k in zip(p.row, p.node, p.replicas, strict=True)}
        for p in (before, after)
    ]
    return all(pairs[1].get(key, 0) >= number for key, number in pairs[0].items())


def test_a_task_that_may_run_nowhere_is_not_called_short_of_what_no_node_has() -> None:
    """A set of no nodes has no name, and what it lacks says nothing."""
    lost = Task(name="lost", demand={"device": 1}, allow={"node": ("nowhere",)})
    ((who, why),) = conflicts(cluster(lost))
    assert who == "lost"
    assert "node not in (nowhere)" in why
