"""`optalloc check`: the verdict, every violation, every value."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import pytest

from optalloc.cli import cli
from optalloc.instance.files import dump_instance
from optalloc.instance.model import Instance, Node, Task
from optalloc.policies import Nodes, SafetyCapacity

Files = tuple[Path, Path]


def files(folder: Path, placements: dict[str, dict[str, int]]) -> Files:
    """An instance of two nodes and two tasks, and a solution of it."""
    instance = Instance(
        nodes=(
            Node(name="a", capacity={"cpu": 8}, safety={"cpu": 4}),
            Node(name="b", capacity={"cpu": 8}),
        ),
        tasks=(
            Task(name="x", demand={"cpu": 5}),
            Task(name="y", demand={"cpu": 6}),
        ),
        policies=(Nodes(), SafetyCapacity(resource="cpu", weight=1)),
    )
    path, solution = folder / "i.json", folder / "s.json"
    dump_instance(instance, path)
    solution.write_text(
        json.dumps(
            {
                "optalloc_solution": 1,
                "placements": {task: {"nodes": nodes} for task, nodes in placements.items()},
            }
        )
    )
    return path, solution


def invoke(pair: Files, *options: str) -> click.testing.Result:
    arguments = ["check", *map(str, pair), *options]
    return click.testing.CliRunner().invoke(cli, arguments)


def test_a_kept_solution_ends_with_0_and_every_value(tmp_path: Path) -> None:
    pair = files(tmp_path, {"x": {"a": 1}, "y": {"b": 1}})
    shown = invoke(pair)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("feasible")
    told = json.loads(invoke(pair, "--json").stdout)
    assert (told["status"], told["verified"], told["violations"]) == ("feasible", True, [])
    assert told["terms"] == {"capacity": 0, "labels": 0, "nodes": 2, "safety-capacity": 1}
    assert [level["value"] for level in told["levels"]] == [1]


def test_a_violated_rule_ends_with_1_and_is_named(tmp_path: Path) -> None:
    pair = files(tmp_path, {"x": {"a": 1}, "y": {"a": 1}})
    shown = invoke(pair)
    assert shown.exit_code == 1
    assert shown.stdout.startswith("violated: 1 violation")
    assert "capacity" in shown.stdout
    told = json.loads(invoke(pair, "--json").stdout)
    assert told["verified"] is False
    (violation,) = [v for v in told["violations"] if v["hard"]]
    assert (violation["rule"], violation["node"], violation["amount"]) == ("capacity", "a", 3)


def test_a_required_task_that_is_left_out_is_a_violation(tmp_path: Path) -> None:
    assert invoke(files(tmp_path, {"x": {"a": 1}})).exit_code == 1


def test_the_objective_can_be_another(tmp_path: Path) -> None:
    pair = files(tmp_path, {"x": {"a": 1}, "y": {"b": 1}})
    told = json.loads(invoke(pair, "--json", "--objective", "nodes > penalty").stdout)
    assert [(level["name"], level["value"]) for level in told["levels"]] == [
        ("nodes", 2),
        ("penalty", 1),
    ]


@pytest.mark.parametrize("placements", [{"z": {"a": 1}}, {"x": {"c": 1}}])
def test_a_solution_of_another_instance_is_bad_input(
    placements: dict[str, dict[str, int]], tmp_path: Path
) -> None:
    shown = invoke(files(tmp_path, placements))
    assert shown.exit_code == 2
    assert "s.json" in shown.stderr
