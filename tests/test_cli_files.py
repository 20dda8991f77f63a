"""`optalloc convert`, `export`, `generate`, `info`, `engines` and `schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click.testing
import pytest

from optalloc.cli import cli
from optalloc.cli.describing import describe
from optalloc.formats import formats
from optalloc.generators import scenarios
from optalloc.instance.files import dump_instance, load_instance
from optalloc.instance.model import Configuration, Energy, Group, Instance, Lookup, Node, Task
from optalloc.policies import Moves, Power

GAP = "2 3\n4 7 5\n4 2 6\n1 2 3\n3 2 2\n5 6\n"


def invoke(*arguments: str | int | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, [str(a) for a in arguments])


def test_a_public_file_becomes_an_instance_and_its_answer_a_public_file(tmp_path: Path) -> None:
    public, instance = tmp_path / "g.txt", tmp_path / "g.json"
    solution, answer = tmp_path / "s.json", tmp_path / "answer.txt"
    public.write_text(GAP)
    shown = invoke("convert", "gap", public, "-o", instance)
    assert (shown.exit_code, shown.stdout) == (0, f"{instance}: 3 tasks, 2 nodes\n")
    stated = load_instance(instance)
    names = [task.name for task in stated.tasks]
    nodes = stated.columns.node_names
    solution.write_text(json.dumps({"placements": {t: {"nodes": {nodes[1]: 1}} for t in names}}))
    assert invoke("export", "gap", instance, solution, "-o", answer).exit_code == 0
    assert answer.read_text().split() == ["1", "1", "1"]


@pytest.mark.parametrize("kind", ["lp", "mps"])
def test_the_model_itself_can_be_exported(kind: str, tmp_path: Path) -> None:
    public, instance, model = tmp_path / "g.txt", tmp_path / "g.json", tmp_path / f"m.{kind}"
    public.write_text(GAP)
    invoke("convert", "gap", public, "-o", instance)
    shown = invoke("export", kind, instance, "-o", model)
    assert shown.exit_code == 0, shown.stderr
    assert len(model.read_text().splitlines()) > 5


def test_a_model_file_says_which_levels_it_cannot_hold(tmp_path: Path) -> None:
    public, instance, model = tmp_path / "g.txt", tmp_path / "g.json", tmp_path / "m.lp"
    public.write_text(GAP)
    invoke("convert", "gap", public, "-o", instance)
    levels = "nodes > assignment-cost > admitted"
    shown = invoke("export", "lp", instance, "-o", model, "--objective", levels)
    assert shown.exit_code == 0
    said = "the model is that of level 'nodes', without 'assignment-cost', 'admitted'"
    assert shown.stderr == f"optalloc: {said}\n"


def test_export_refuses_what_it_would_not_use(tmp_path: Path) -> None:
    public, instance = tmp_path / "g.txt", tmp_path / "g.json"
    public.write_text(GAP)
    invoke("convert", "gap", public, "-o", instance)
    stated: list[list[str | Path]] = [
        ["lp", instance, instance],
        ["gap", instance, instance, "--objective", "a"],
    ]
    for arguments in stated:
        shown = invoke("export", *arguments, "-o", tmp_path / "out")
        assert shown.exit_code == 2
        assert not (tmp_path / "out").exists()


def test_no_file_is_written_over_one_that_is_read(tmp_path: Path) -> None:
    public = tmp_path / "g.txt"
    public.write_text(GAP)
    shown = invoke("convert", "gap", public, "-o", public)
    assert shown.exit_code == 2
    assert "another file" in shown.stderr
    assert public.read_text() == GAP


def test_a_file_of_another_format_is_bad_input(tmp_path: Path) -> None:
    public = tmp_path / "g.txt"
    public.write_text("hello")
    shown = invoke("convert", "gap", public, "-o", tmp_path / "g.json")
    assert shown.exit_code == 2
    assert "g.txt" in shown.stderr
    assert not (tmp_path / "g.json").exists()


def test_formats_and_scenarios_are_listed() -> None:
    listed = invoke("convert", "--list").stdout
    assert all(name in listed for name in [*formats(), "lp", "mps"])
    listed = invoke("generate", "--list").stdout
    assert all(name in listed for name in scenarios())


def test_a_generated_file_depends_on_the_seed_alone(tmp_path: Path) -> None:
    name = next(iter(scenarios()))
    texts = []
    for i, seed in enumerate([1, 1, 2]):
        path = tmp_path / f"{i}.json"
        shown = invoke("generate", name, "--seed", seed, "--nodes", 5, "--tasks", 9, "-o", path)
        assert shown.stdout == f"{path}: 9 tasks, 5 nodes\n"
        texts.append(path.read_bytes())
    assert texts[0] == texts[1] != texts[2]


def test_an_unknown_scenario_is_bad_input_and_names_the_known_ones(tmp_path: Path) -> None:
    shown = invoke("generate", "nonsense", "-o", tmp_path / "x.json")
    assert shown.exit_code == 2
    assert all(name in shown.stderr for name in scenarios())


@pytest.fixture
def cluster() -> Instance:
    return Instance(
        name="cluster",
        nodes=(
            Node(name="g", capacity={"cpu": 10}, device="gpu", devices=4, count=2, full_w=500,
                 domains={"rack": "r0"}),
            Node(name="c", capacity={"cpu": 30}, labels={"zone": "z"}, domains={"rack": "r1"}),
        ),
        tasks=(
            Task(name="web", demand={"cpu": 2}, count=3, groups=("s",), allow={"zone": ("z",)}),
            Task(name="job", demand={"cpu": Lookup(by="device", values={"gpu": 5}, default=10)},
                 required=False, current="c"),
            Task(name="train", configurations=(
                Configuration(device="gpu", replicas=2),
                Configuration(device="gpu", replicas=4),
            )),
        ),
        groups=(Group(name="s", kind="service"),),
        energy=Energy(share="cpu"),
        policies=(Moves(at_most=3), Power(weight=2)),
        objective="power",
    )  # fmt: skip


def test_the_facts_of_an_instance_are_counted_in_peoples_units(cluster: Instance) -> None:
    facts = describe(cluster)
    assert facts["tasks"] == {
        "total": 5,
        "entries": 3,
        "required": 4,
        "optional": 1,
        "with_table": 1,
        "running": 1,
    }
    cpu, device = facts["resources"]
    assert (cpu["capacity"], cpu["required"], cpu["all"]) == (50, 6, 11)
    assert cpu["required_share"] == pytest.approx(0.12)
    assert (device["capacity"], device["required"]) == (8, 2)
    assert facts["nodes"]["domains"] == {"rack": 2}
    assert [entry["nodes"] for entry in facts["nodes"]["types"]] == [2, 1]
    assert facts["groups"] == [{"kind": "service", "groups": 1, "memberships": 1}]
    how = {entry["name"]: entry["how"] for entry in facts["policies"]}
    assert how["moves"] == "at most 3"
    assert how["power"] == "weight 2"
    assert how["capacity"] == "hard rule"
    # web may run on c alone, job anywhere, each row of train on the two nodes with devices.
    assert facts["model"] == {"choices": 4, "variables": 1 + 3 + 2 + 2}


def test_info_prints_the_facts(cluster: Instance, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    dump_instance(cluster, path)
    text = invoke("info", path).stdout
    assert "5 tasks (4 required, 1 optional" in text
    assert "objective: power" in text
    assert "3 nodes, 8 devices" in text
    assert json.loads(invoke("info", path, "--json").stdout)["tasks"]["total"] == 5


def test_an_instance_without_tasks_can_be_described() -> None:
    facts = describe(Instance(nodes=(Node(name="a", capacity={"cpu": 0}),)))
    assert facts["tasks"]["total"] == 0
    assert facts["resources"][0]["required_share"] is None


def test_engines_are_listed_with_their_availability() -> None:
    shown = invoke("engines")
    assert shown.exit_code == 0
    assert all(name in shown.stdout for name in ("auto", "cpsat", "greedy", "milp"))
    listed = json.loads(invoke("engines", "--json").stdout)["engines"]
    assert {entry["name"] for entry in listed if entry["available"]} >= {"auto", "cpsat", "milp"}


def test_every_engine_says_what_it_is_and_what_it_does() -> None:
    """In one phrase each, with a comma between."""
    for entry in json.loads(invoke("engines", "--json").stdout)["engines"]:
        if entry["name"] not in ("auto", "greedy"):
            what, _, does = entry["summary"].partition(", ")
            assert what, entry
            assert does, entry


def test_the_local_search_is_compiled_ahead() -> None:
    shown = invoke("compile")
    assert shown.exit_code == 0
    assert "the local search is ready" in shown.stdout


def test_the_schema_is_one_json_object() -> None:
    assert "$defs" in json.loads(invoke("schema").stdout)
