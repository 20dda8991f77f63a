"""Solution files: what is read, what is refused, and how it is said."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from optalloc import Configuration, Instance, InstanceError, Node, Task
from optalloc.instance.placement import Placement
from optalloc.solution import Solution, read_placement, read_solution, write_solution

INSTANCE = Instance(
    name="small",
    nodes=(Node(name="a", capacity={"cpu": 8}), Node(name="b", capacity={"cpu": 8}, count=2)),
    tasks=(
        Task(name="web", demand={"cpu": 2}, count=2),
        Task(name="train", configurations=(Configuration(name="two", replicas=2),)),
    ),
)
PLACED = {
    "web/0": {"nodes": {"a": 1}},
    "web/1": {"nodes": {"b/1": 1}},
    "train": {"nodes": {"a": 1, "b/0": 1}, "configuration": "two"},
}


def read(text: str | bytes, folder: Path) -> Placement:
    path = folder / "solution.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_solution(path, INSTANCE)


def refused(text: str | bytes, folder: Path) -> dict[str, str]:
    """The problems of a solution that is refused, by path."""
    with pytest.raises(InstanceError) as caught:
        read(text, folder)
    assert caught.value.source == str(folder / "solution.json")
    return dict(caught.value.problems)


@pytest.mark.parametrize("name", ["s.json", "s.json.gz"])
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    placement = read(json.dumps({"placements": PLACED}), tmp_path)
    write_solution(tmp_path / name, INSTANCE, placement)
    assert read_solution(tmp_path / name, INSTANCE).equals(placement)
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected JSON: Expecting value in line 1, column 1"),
        ('{"placements": ', "expected JSON: Expecting value in line 1, column 16"),
        (b"\xff\xfe", "expected UTF-8 text: byte 0xff in line 1 is none"),
        ("[" * 100_000, "expected JSON: this is nested too deeply"),
        ("null", "expected an object, got null"),
        ("[]", "expected an object, got a list"),
    ],
)
def test_text_that_is_no_object_is_refused_with_its_place(
    text: str | bytes, said: str, tmp_path: Path
) -> None:
    assert refused(text, tmp_path) == {"": said}


def test_an_instance_is_no_solution(tmp_path: Path) -> None:
    problems = refused('{"optalloc": 1, "nodes": [{"name": "a"}]}', tmp_path)
    assert set(problems) == {"optalloc", "nodes"}
    assert "unknown field" in problems["nodes"]


def test_every_wrong_type_and_unknown_field_is_listed_at_once(tmp_path: Path) -> None:
    placements = {"web/0": {"nodes": {"a": "1"}}, "web/1": {"node": "a", "nodes": {"a": 1.5}}}
    problems = refused(json.dumps({"placements": placements, "result": 3}), tmp_path)
    assert problems == {
        "result": "expected an object, got 3",
        "placements.web/0.nodes.a": "expected a whole number, got '1'",
        "placements.web/1.node": "unknown field; did you mean 'nodes'?",
        "placements.web/1.nodes.a": "expected a whole number, got 1.5",
    }


def test_every_dangling_name_and_wrong_number_is_listed_at_once(tmp_path: Path) -> None:
    placements = {
        "web": {"nodes": {"a": 1}},
        "web/0": {"nodes": {"b": 1}, "configuration": "two"},
        "web/1": {"nodes": {"b": 1}},
        "train": {"nodes": {"a": 10**30}, "configuration": "two"},
    }
    assert refused(json.dumps({"placements": placements}), tmp_path) == {
        "placements.web": "expected the name of a task of the instance",
        "placements.web/0.configuration": ("expected none, for the task has no table; got 'two'"),
        "placements.web/1.nodes": "expected a node (a, b/0, b/1), got 'b'",
        "placements.train.nodes": f"expected 2 replicas in all, got {10**30}",
    }


def test_a_task_without_a_choice_of_configuration_is_refused(tmp_path: Path) -> None:
    problems = refused('{"placements": {"train": {"nodes": {"a": 2}}}}', tmp_path)
    assert problems == {"placements.train.configuration": "expected a configuration (two), got ''"}


def test_a_task_that_is_placed_twice_is_refused(tmp_path: Path) -> None:
    text = '{"placements": {"web/0": {"nodes": {"a": 1}}, "web/0": {"nodes": {"b/0": 1}}}}'
    assert list(refused(text, tmp_path)) == ["placements.web/0"]


def test_another_version_is_refused(tmp_path: Path) -> None:
    assert refused('{"optalloc_solution": 2}', tmp_path) == {
        "optalloc_solution": "expected version 1 of the format, got 2"
    }


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="No such file"):
        read_solution(tmp_path / "none.json", INSTANCE)
    with pytest.raises(InstanceError, match="directory"):
        read_solution(tmp_path, INSTANCE)


def test_the_solution_in_the_readme_is_one() -> None:
    """The example fits the instance of the Python example beside it."""
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    text = readme.partition("```json\n")[2].partition("```")[0]
    node = Node(name="a100", device="A100", devices=8, count=2)
    table = (Configuration(device="A100", replicas=4, throughput=900),)
    jobs = Task(name="train", configurations=table, count=4, required=False)
    placed = read_placement(
        Instance(nodes=(node,), tasks=(jobs,)), msgspec.json.decode(text, type=Solution).placements
    )
    assert placed.node.tolist() == [1]
    assert placed.replicas.tolist() == [4]
