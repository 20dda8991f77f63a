"""Instances made by Python code: normal form, and one test for each kind of bad input."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import instances

from optalloc import policies
from optalloc.formulation.registry import policy_classes
from optalloc.instance.errors import InstanceError
from optalloc.instance.files import loads_instance
from optalloc.instance.model import (
    Configuration,
    Document,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy

NODE = {"name": "n", "capacity": {"cpu": 4}}
FINITE = "expected a finite number of at least 0, got"


def found(**document: Any) -> dict[str, str]:
    """Problems of an instance file with these fields (and a node, unless nodes are stated)."""
    with pytest.raises(InstanceError) as caught:
        loads_instance(json.dumps({"nodes": [NODE], **document}))
    return dict(caught.value.problems)


def with_task(**task: Any) -> dict[str, str]:
    """Problems of an instance file with one task, paths below that task."""
    return {
        path.removeprefix("tasks[0]"): text
        for path, text in found(tasks=[{"name": "t", **task}]).items()
    }


def with_node(**node: Any) -> dict[str, str]:
    """Problems of an instance file with one node, paths below that node."""
    return {
        path.removeprefix("nodes[0]"): text
        for path, text in found(nodes=[{**NODE, **node}]).items()
    }


# -- normal form ----------------------------------------------------------------------------------


def test_lists_become_tuples_and_numpy_numbers_plain_ones() -> None:
    capacity: Any = OrderedDict(cpu=np.int64(4), gpu=np.float64(2.5))
    task: Any = {"demand": {"cpu": np.array([1.5])}, "groups": ["g"], "weight": np.float32(0.5)}
    instance = Instance(
        nodes=[Node(name="n", capacity=capacity)],
        tasks=[Task(name="t", **task)],
        groups=[Group(name="g")],
        policies=[policies.Spread(groups=["g"], scope="node", domains=1)],
    )
    assert instance == Instance(
        nodes=(Node(name="n", capacity={"cpu": 4, "gpu": 2.5}),),
        tasks=(Task(name="t", demand={"cpu": (1.5,)}, groups=("g",), weight=0.5),),
        groups=(Group(name="g"),),
        policies=(policies.Spread(groups=("g",), scope="node", domains=1),),
    )
    numbers = [*instance.nodes[0].capacity.values(), instance.tasks[0].weight]
    assert [type(number) for number in numbers] == [int, float, float]


@given(instances())
def test_making_an_instance_of_the_parts_of_one_changes_nothing(instance: Instance) -> None:
    parts = {name: getattr(instance, name) for name in Document.__struct_fields__}
    assert Instance(**parts) == instance


def test_an_instance_keeps_no_hold_on_the_dicts_it_was_made_of() -> None:
    capacity: dict[str, int | float] = {"cpu": 4}
    instance = Instance(nodes=(Node(name="n", capacity=capacity),))
    capacity["cpu"] = -1
    assert instance.nodes[0].capacity == {"cpu": 4}


def test_wrong_types_of_python_objects_are_all_listed() -> None:
    nodes: Any = [Node(name=7, capacity=[4]), Group(name="n"), "node"]  # type: ignore[arg-type]
    tasks: Any = [Task(name="t", demand={3: 1}, cost={1, 2}, weight=None)]  # type: ignore[arg-type,dict-item]
    stated: Any = [policies.Nodes(at_most="3"), object(), Policy()]  # type: ignore[arg-type]
    with pytest.raises(InstanceError) as caught:
        Instance(nodes=nodes, tasks=tasks, policies=stated)
    kinds = f"expected an object whose type is one of {', '.join(policy_classes())}"
    assert dict(caught.value.problems) == {
        "nodes[0].name": "expected text, got 7",
        "nodes[0].capacity": "expected an object, got a list",
        "nodes[1]": "expected an object, got a Group",
        "nodes[2]": "expected an object, got 'node'",
        "tasks[0].demand": "expected text as keys, got 3",
        "tasks[0].cost": "expected a number, text, a list or an object, got a value of type set",
        "tasks[0].weight": "expected a number, got null",
        "policies[0].at_most": "expected a number or null, got '3'",
        "policies[1]": f"{kinds}, got a value of type object",
        "policies[2]": f"{kinds}, got a Policy",
    }


# -- types in files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"count": 1.5}, "expected a whole number, got 1.5"),
        ({"count": True}, "expected a whole number, got true"),
        ({"idle_w": "200"}, "expected a number, got '200'"),
        ({"device": None}, "expected text, got null"),
        ({"labels": {"a": 1}}, "expected text, got 1"),
        ({"capacity": []}, "expected an object, got a list"),
    ],
)
def test_a_wrong_type_is_named_with_its_path(node: dict[str, Any], expected: str) -> None:
    assert expected in with_node(**node).values()


def test_unknown_fields_are_refused_with_what_may_be_meant() -> None:
    assert with_node(capcity={}) == {".capcity": "unknown field; did you mean 'capacity'?"}
    assert with_task(zzz=1)[".zzz"].startswith("unknown field; expected one of name, demand,")
    assert found(task=[])["task"] == "unknown field; did you mean 'tasks'?"


def test_missing_fields_and_unknown_policies_are_named() -> None:
    stated = [{"type": "spread", "scope": "node"}, {"type": "sprad"}, {"resource": "cpu"}]
    problems = found(nodes=[{}], policies=stated)
    assert problems["nodes[0].name"] == "expected text, but it is missing"
    assert problems["policies[0].domains"].endswith("but it is missing")
    assert problems["policies[1]"].endswith("got an object of type 'sprad'")
    assert problems["policies[2]"].endswith("got an object")


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(InstanceError, match="expected an object, got a list"):
        loads_instance("[]")


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ({"capacity": {"cpu": -1}}, ".capacity.cpu"),
        ({"safety": {"cpu": float("nan")}}, ".safety.cpu"),
        ({"idle_w": float("inf")}, ".idle_w"),
        ({"price_h": -0.5}, ".price_h"),
        ({"full_w": 10**400}, ".full_w"),
        ({"devices": -1}, ".devices"),
        ({"flops": 0}, ".flops"),
        ({"memory_gib": -1}, ".memory_gib"),
        ({"memory_bandwidth": 0}, ".memory_bandwidth"),
        ({"count": 0}, ".count"),
        ({"idle_w": 300, "full_w": 200}, ".full_w"),
    ],
)
def test_a_number_of_a_node_out_of_bounds_is_refused(node: dict[str, Any], path: str) -> None:
    assert list(with_node(**node)) == [path]


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ({"demand": {"cpu": -1}}, ".demand.cpu"),
        ({"demand": {"cpu": [-1]}}, ".demand.cpu[0]"),
        ({"demand": {"cpu": {"by": "node", "values": {"n": -1}}}}, ".demand.cpu.values.n"),
        ({"demand": {"cpu": {"by": "node", "values": {}, "default": -1}}}, ".demand.cpu.default"),
        ({"cost": float("nan")}, ".cost"),
        ({"cost": 2**63}, ".cost"),
        ({"replicas": 0}, ".replicas"),
        ({"count": 0}, ".count"),
        ({"weight": -1}, ".weight"),
        ({"reference": 0}, ".reference"),
        ({"work": -1}, ".work"),
        ({"move_cost": float("-inf")}, ".move_cost"),
        ({"configurations": [{"replicas": 0}]}, ".configurations[0].replicas"),
        ({"configurations": [{"throughput": -1}]}, ".configurations[0].throughput"),
        ({"configurations": [{"watts": -1}]}, ".configurations[0].watts"),
        ({"configurations": [{"demand": {"cpu": -1}}]}, ".configurations[0].demand.cpu"),
    ],
)
def test_a_number_of_a_task_out_of_bounds_is_refused(task: dict[str, Any], path: str) -> None:
    assert list(with_task(**task)) == [path]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"optalloc": 2}, "optalloc"),
        ({"energy": {"horizon_s": 0}}, "energy.horizon_s"),
        ({"energy": {"price_kwh": -1}}, "energy.price_kwh"),
        ({"energy": {"pue": 0.9}}, "energy.pue"),
        ({"resources": {"cpu": {"quantum": 0}}}, "resources.cpu.quantum"),
        ({"tables": {"a": {"by": "node", "values": {"n": -1}}}}, "tables.a.values.n"),
        ({"configurations": {"a": [{"watts": -1}]}}, "configurations.a[0].watts"),
        ({"configurations": {"a": []}}, "configurations.a"),
        ({"policies": [{"type": "nodes", "weight": -1}]}, "policies[0].weight"),
        ({"policies": [{"type": "nodes", "at_most": float("nan")}]}, "policies[0].at_most"),
        ({"policies": [{"type": "nodes", "at_most": 1, "at_least": 2}]}, "policies[0].at_least"),
        ({"policies": [{"type": "capacity", "at_most": 1}]}, "policies[0].at_most"),
        ({"policies": [{"type": "labels", "weight": 1}]}, "policies[0].weight"),
        ({"nodes": []}, "nodes"),
        ({"nodes": [{"name": "n", "count": 10**9}]}, "nodes"),
    ],
)
def test_other_numbers_out_of_bounds_are_refused(document: dict[str, Any], path: str) -> None:
    assert list(found(**document)) == [path]


def test_messages_say_what_was_expected_and_found() -> None:
    assert with_task(demand={"cpu": -1}) == {".demand.cpu": f"{FINITE} -1"}
    assert with_task(weight=10**30) == {
        ".weight": f"expected at most {2**63 - 1} (2**63 - 1), got a whole number of 100 bits"
    }


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["nodes", "tasks", "groups"])
def test_names_are_stated_and_unique(section: str) -> None:
    entries = [{"name": "a"}, {"name": ""}, {"name": "b"}, {"name": "a"}]
    assert found(**{section: entries}) == {
        f"{section}[1].name": "expected a name, got an empty one",
        f"{section}[3].name": f"expected a unique name, got 'a' as in {section}[0]",
    }


@pytest.mark.parametrize("section", ["nodes", "tasks"])
def test_names_of_copies_are_taken(section: str) -> None:
    entries = [{"name": "a", "count": 3}, {"name": "a/2"}, {"name": "a/3"}, {"name": "a/02"}]
    assert list(found(**{section: entries})) == [f"{section}[1].name"]


def test_labels_and_scopes_have_names_of_their_own() -> None:
    node = {"labels": {"rack": "x", "node": "y"}, "domains": {"rack": "r", "device": "z"}}
    assert list(with_node(**node)) == [".labels.rack", ".labels.node", ".domains.device"]
    assert list(with_node(capacity={"device": 2})) == [".capacity.device"]


def test_rows_of_a_table_have_names_of_their_own() -> None:
    rows = [{"device": "a"}, {"device": "a", "throughput": 2}, {"name": "a x 1"}, {"name": "b"}]
    assert list(with_task(configurations=rows)) == [
        ".configurations[1].name",
        ".configurations[2].name",
    ]


# -- references -----------------------------------------------------------------------------------


def test_demands_for_resources_that_nobody_has_name_the_known_ones() -> None:
    known = "expected a resource (cpu), got 'gpu'"
    task = {"demand": {"gpu": 1}, "configurations": [{"demand": {"gpu": 1}}]}
    assert with_task(**task) == {".demand.gpu": known, ".configurations[0].demand.gpu": known}
    shared = {"a": [{"demand": {"gpu": 1}}]}
    assert found(configurations=shared) == {"configurations.a[0].demand.gpu": known}
    assert with_node(safety={"gpu": 1}) == {".safety.gpu": known}
    assert found(energy={"share": "gpu"}) == {"energy.share": known}


def test_where_resources_are_stated_nodes_have_no_others() -> None:
    assert found(resources={"mem": {}}) == {
        "nodes[0].capacity.cpu": "expected a resource (mem), got 'cpu'"
    }


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"demand": {"cpu": "t1"}}, "expected a number or a table (t0), got 't1'"),
        ({"cost": "t1"}, "expected a number or a table (t0), got 't1'"),
        ({"configurations": "c1"}, "expected a configuration table (c0), got 'c1'"),
        ({"configurations": ""}, "expected a configuration table (c0), got ''"),
        ({"groups": ["g0", "g1"]}, "expected a group (g0), got 'g1'"),
        ({"groups": ["g0", "g0"]}, "expected each group once, got 'g0' again"),
        ({"current": "m"}, "expected a node (k/0, n), got 'm'"),
        ({"current": "k"}, "expected a node (k/0, n), got 'k'"),
        ({"current": "k/2"}, "expected a node (k/0, n), got 'k/2'"),
        ({"current": ["m"]}, "expected a node (k/0, n), got 'm'"),
        ({"current": ["n"], "replicas": 2}, "expected 2 nodes (one per replica), got 1"),
        ({"current": ["n"], "count": 3}, "expected 3 nodes (one per replica), got 1"),
        ({"current": [], "configurations": "c0"}, "expected at least one node, got none"),
        ({"demand": {"cpu": [1]}}, "expected 2 numbers (one per node entry), got 1"),
        ({"cost": [1, 2, 3]}, "expected 2 numbers (one per node entry), got 3"),
        (
            {"replicas": 2, "configurations": "c0"},
            "expected 1 (the configurations state it), got 2",
        ),
    ],
)
def test_what_a_task_refers_to_exists_and_fits(task: dict[str, Any], expected: str) -> None:
    with pytest.raises(InstanceError) as caught:
        loads_instance(
            json.dumps(
                {
                    "nodes": [NODE, {"name": "k", "count": 2}],
                    "tasks": [{"name": "t", **task}],
                    "groups": [{"name": "g0"}],
                    "tables": {"t0": {"by": "node", "values": {}, "default": 1}},
                    "configurations": {"c0": [{}]},
                }
            )
        )
    assert [text for _, text in caught.value.problems] == [expected]


def test_tables_have_a_number_for_every_node() -> None:
    table = {"by": "zone", "values": {"a": 1}}
    nodes = [{"name": "x", "labels": {"zone": "b"}}, {"name": "y"}]
    expected = {
        "values.b": "expected a number (some node's zone is 'b') or a default",
        "default": "expected a number: some node has no zone",
    }
    assert found(nodes=nodes, tables={"t": table}) == {
        f"tables.t.{path}": text for path, text in expected.items()
    }
    tasks = [{"name": "t", "cost": table}]
    assert found(nodes=nodes, tasks=tasks) == {
        f"tasks[0].cost.{path}": text for path, text in expected.items()
    }
    assert found(tables={"t": {"by": "zone", "values": {}}}) == {
        "tables.t.by": "expected an attribute of the nodes (node), got 'zone'"
    }


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"type": "safety-capacity", "resource": "gpu"}, ".resource"),
        ({"type": "capacity", "resources": ["gpu"]}, ".resources[0]"),
        ({"type": "spread", "scope": "rack", "domains": 1}, ".scope"),
        ({"type": "spread", "scope": "node", "domains": {"h": 1}}, ".domains.h"),
        ({"type": "anti-affinity", "groups": ["h"]}, ".groups[0]"),
        ({"type": "anti-affinity", "kind": "h"}, ".kind"),
        ({"type": "dependency", "scope": "node", "pairs": [["g", "h"]]}, ".pairs[0][1]"),
        ({"type": "pair-move-cost", "by": "rack", "costs": {}}, ".by"),
        ({"type": "pair-move-cost", "costs": {"m": {"n": 1}}}, ".costs.m"),
        ({"type": "pair-move-cost", "costs": {"n": {"m": 1}}}, ".costs.n.m"),
        ({"type": "nodes", "name": "penalty"}, ".name"),
        ({"type": "nodes", "name": "a > b"}, ".name"),
    ],
)
def test_what_a_policy_refers_to_exists(policy: dict[str, Any], path: str) -> None:
    assert list(found(policies=[policy], groups=[{"name": "g"}])) == [f"policies[0]{path}"]


@pytest.mark.parametrize(
    ("stated", "path"),
    [
        ([{"type": "nodes", "name": "a"}, {"type": "power", "name": "a"}], "policies[1].name"),
        ([{"type": "nodes"}, {"type": "power", "name": "nodes"}], "policies[1].name"),
        ([{"type": "power", "name": "nodes"}, {"type": "nodes"}], "policies[0].name"),
        ([{"type": "power", "name": "capacity"}], "policies[0].name"),
        ([{"type": "power", "name": " "}], "policies[0].name"),
        ([{"type": "power", "name": "cap "}], "policies[0].name"),
    ],
)
def test_no_two_policies_are_called_alike(stated: list[dict[str, Any]], path: str) -> None:
    assert list(found(policies=stated)) == [path]


def test_policies_without_names_may_repeat() -> None:
    stated = [{"type": "nodes"}, {"type": "nodes"}, {"type": "power"}]
    instance = loads_instance(json.dumps({"nodes": [NODE], "policies": stated}))
    assert len(instance.policies) == len(stated)


def test_the_objective_names_known_levels() -> None:
    assert "got 'speed'" in found(objective="penalty > speed")["objective"]


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (
            {"nodes": [{"name": "n", "capacity": {"b": 2e18, "a": 1}, "count": 3}]},
            "nodes[*].capacity.b",
        ),
        ({"nodes": [{"name": "n", "capacity": {"b": 5e18}}]}, "nodes[0].capacity.b"),
        (
            {
                "nodes": [
                    {**NODE, "safety": {"cpu": 1e7}},
                    {**NODE, "name": "m", "safety": {"cpu": 1.5e-7}},
                ]
            },
            "nodes[0].safety.cpu",
        ),
        ({"tasks": [{"name": "t", "demand": {"cpu": 5e18}}]}, "tasks[0].demand.cpu"),
        ({"tasks": [{"name": "t", "demand": {"cpu": [5e18]}}]}, "tasks[0].demand.cpu[0]"),
        ({"tasks": [{"name": "t", "demand": {"cpu": 2e18}, "replicas": 3}]}, "tasks[*].demand.cpu"),
        (
            {"tasks": [{"name": "t", "configurations": [{"demand": {"cpu": 5e18}}]}]},
            "tasks[0].configurations[0].demand.cpu",
        ),
        (
            {"tasks": [{"name": "t", "cost": {"by": "node", "values": {"n": 5e18}}}]},
            "tasks[0].cost.values.n",
        ),
        (
            {
                "tasks": [{"name": "t", "cost": "c"}],
                "tables": {"c": {"by": "node", "values": {}, "default": 5e18}},
            },
            "tables.c.default",
        ),
        (
            {"tasks": [{"name": "t", "weight": 1e7}, {"name": "u", "weight": 1.5e-7}]},
            "tasks[0].weight",
        ),
        ({"tasks": [{"name": "t", "move_cost": 2e18, "count": 3}]}, "tasks[*].move_cost"),
        ({"resources": {"cpu": {"quantum": 1e-19}}}, "nodes[0].capacity.cpu"),
    ],
)
def test_quantities_of_more_than_2_to_62_quanta_are_refused(
    document: dict[str, Any], path: str
) -> None:
    problems = found(**document)
    assert list(problems) == [path]
    assert "(2**62 quanta of" in problems[path]


def test_large_quantities_fit_where_a_coarse_quantum_is_stated() -> None:
    Instance(
        resources={"bytes": Resource(quantum=1e6)},
        nodes=(Node(name="n", capacity={"bytes": 8e18}, count=100),),
        tasks=(Task(name="t", demand={"bytes": 1e18}),),
    )


# -- all at once ----------------------------------------------------------------------------------


def test_many_problems_of_every_kind_are_listed_at_once() -> None:
    """Types, unknown fields, repeated keys, numbers, names and references, each with its path."""
    text = """{
        "optalloc": 3, "colour": "red",
        "resources": {"cpu": {"unit": "core"}, "cpu": {}},
        "nodes": [
            {"name": "a", "capacity": {"cpu": "8"}, "idle_w": -1},
            {"name": "a", "capacity": {"cpu": 8, "gpu": 1}, "count": 0}],
        "tasks": [
            {"name": "t", "demand": {"cpu": NaN}, "groups": ["h"], "wheels": 4},
            {"name": "u", "demand": {"tpu": 1}, "current": "z", "weight": [1]}],
        "groups": [{"name": ""}],
        "energy": {"pue": 0},
        "policies": [{"type": "spread", "scope": "rack", "domains": -1}],
        "objective": "speed"}"""
    with pytest.raises(InstanceError) as caught:
        loads_instance(text, "many.json")
    paths = [path for path, _ in caught.value.problems]
    assert sorted(paths) == sorted(
        [
            *("optalloc", "colour", "resources.cpu"),
            *("nodes[0].capacity.cpu", "nodes[0].idle_w"),
            *("nodes[1].name", "nodes[1].capacity.gpu", "nodes[1].count"),
            *("tasks[0].demand.cpu", "tasks[0].groups[0]", "tasks[0].wheels"),
            *("tasks[1].demand.tpu", "tasks[1].current", "tasks[1].weight"),
            *("groups[0].name", "energy.pue"),
            *("policies[0].scope", "policies[0].domains", "objective"),
        ]
    )
    assert str(caught.value).startswith("19 problems in many.json\n")


def test_what_follows_from_a_misspelt_section_is_not_reported_besides() -> None:
    document = {
        "nodes": [{"name": "n", "capasity": {"cpu": 4}}],
        "tasks": [{"name": "t", "demand": {"cpu": 1}, "current": "n"}],
    }
    assert list(found(**document)) == ["nodes[0].capasity"]


def test_all_classes_together_make_a_valid_instance() -> None:
    instance = Instance(
        nodes=(Node(name="n", device="H100", devices=8, capacity={"cpu": 64}),),
        tasks=(
            Task(name="a", configurations="train", required=False),
            Task(name="b", configurations=(Configuration(name="x"),), demand={"cpu": "size"}),
        ),
        tables={"size": Lookup(by="device", values={"H100": 4})},
        configurations={"train": (Configuration(device="H100", replicas=2, throughput=10),)},
        energy=Energy(price_kwh=0.2, share="cpu"),
        objective="admitted > cost",
    )
    assert instance.columns.resources == ("cpu", "device")


def test_an_instance_is_frozen() -> None:
    """What it is computed from, its columns too, cannot change."""
    instance = Instance(nodes=[Node(name="n")])
    with pytest.raises(AttributeError, match="immutable"):
        instance.nodes = ()  # type: ignore[misc]
