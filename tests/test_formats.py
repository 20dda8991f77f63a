"""The public formats: what they read, what they refuse and what they write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from optalloc.formats import format_modules, formats
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance, Node, Task
from optalloc.instance.placement import Placement

GAP = """ 2 3
 4 7 5
 4 2 6
 1 2 3
 3 2 2
 5 6
"""
ROADEF = """2
1 7
0 0
3
0 0  9 20  5 20  0 1 2
0 1  8 20  8  6  1 0 0
2 1  7 20  0 20  0 3 0
3
2 1 1
0 0
0 0
4
0 3 1 11
0 2 0 12
1 1 4 13
2 5 5 14
2
0 1 2 3
1 0 0 9
5 6 8
"""
START = "0 1 0 2\n"

SAMPLES: dict[str, tuple[str, ...]] = {"gap": (GAP,), "roadef": (ROADEF, START)}
"""For each format, the texts of the files of one small instance."""
Files = Callable[..., list[Path]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write texts to files and name them."""

    def write(*texts: str) -> list[Path]:
        paths = [tmp_path / f"file{i}.txt" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    return write


def on(nodes: list[int]) -> Placement:
    """Place task i on node ``nodes[i]``."""
    one = np.ones(len(nodes), np.int64)
    return Placement.of(one, np.arange(len(nodes)), np.array(nodes, np.int64), one)


def refused(name: str, paths: list[Path]) -> str:
    """Read files that are wrong, and return what the error says."""
    with pytest.raises(InstanceError) as caught:
        formats()[name].read(paths)
    return str(caught.value)


def test_every_module_registers_a_format_under_its_own_name() -> None:
    assert tuple(formats()) == format_modules()


def test_every_format_has_a_sample_here_with_one_text_per_file() -> None:
    given = {name: len(texts) for name, texts in SAMPLES.items()}
    assert given == {name: len(entry.arguments) for name, entry in formats().items()}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_format_describes_itself(name: str) -> None:
    entry = formats()[name]
    assert entry.summary
    assert entry.solution
    assert all(argument in entry.files for argument, _ in entry.arguments)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_format_writes_one_node_index_per_task(name: str, files: Files, tmp_path: Path) -> None:
    instance = formats()[name].read(files(*SAMPLES[name]))
    nodes = [(3 * t + 1) % len(instance.nodes) for t in range(len(instance.tasks))]
    target = tmp_path / "solution.txt"
    formats()[name].write(instance, on(nodes), target)
    assert [int(word) for word in target.read_text().split()] == nodes


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_placement_that_leaves_tasks_out_is_not_written(
    name: str, files: Files, tmp_path: Path
) -> None:
    instance = formats()[name].read(files(*SAMPLES[name]))
    rows = np.array([1])
    chosen = np.bincount(rows, minlength=len(instance.tasks))
    placement = Placement.of(chosen, rows, np.array([0]), np.array([1]))
    target = tmp_path / "solution.txt"
    with pytest.raises(InstanceError) as caught:
        formats()[name].write(instance, placement, target)
    named = [where for where, _ in caught.value.problems]
    assert named == [task.name for t, task in enumerate(instance.tasks) if t != 1]
    assert not target.exists()


def test_a_gang_is_not_written(tmp_path: Path) -> None:
    instance = Instance(nodes=(Node(name="a"), Node(name="b")), tasks=(Task(name="t", replicas=2),))
    placement = Placement.of(np.array([1]), np.array([0, 0]), np.array([0, 1]), np.array([1, 1]))
    with pytest.raises(InstanceError, match="t: expected 1 placed with one replica each"):
        formats()["gap"].write(instance, placement, tmp_path / "solution.txt")


def test_identical_tasks_and_nodes_are_written_one_by_one(tmp_path: Path) -> None:
    instance = Instance(
        nodes=(Node(name="a", count=3),), tasks=(Task(name="s"), Task(name="t", count=3))
    )
    placement = Placement.of(
        np.array([1, 3]), np.array([0, 1, 1]), np.array([2, 0, 1]), np.array([1, 2, 1])
    )
    formats()["gap"].write(instance, placement, tmp_path / "solution.txt")
    assert (tmp_path / "solution.txt").read_text() == "2\n0\n0\n1\n"


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_wrong_number_of_files_is_refused(name: str, files: Files) -> None:
    message = refused(name, files(*SAMPLES[name], "1"))
    assert f"expected {len(SAMPLES[name])} file" in message
    assert f"got {len(SAMPLES[name]) + 1}" in message


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_missing_file_is_named(name: str, files: Files) -> None:
    paths = files(*SAMPLES[name])
    paths[0].unlink()
    message = refused(name, paths)
    assert str(paths[0]) in message
    assert "No such file" in message


def variants(change: Callable[[str], str]) -> list[tuple[str, int, tuple[str, ...]]]:
    """The samples with one of their files changed: (format, number of the file, texts)."""
    return [
        (name, i, (*texts[:i], change(text), *texts[i + 1 :]))
        for name, texts in SAMPLES.items()
        for i, text in enumerate(texts)
    ]


@pytest.mark.parametrize(("name", "which", "texts"), variants(lambda t: t.rsplit(None, 1)[0]))
def test_a_truncated_file_is_refused(
    name: str, which: int, texts: tuple[str, ...], files: Files
) -> None:
    paths = files(*texts)
    message = refused(name, paths)
    assert str(paths[which]) in message
    assert "end of file: expected" in message


@pytest.mark.parametrize(("name", "which", "texts"), variants(lambda _: ""))
def test_an_empty_file_is_refused(
    name: str, which: int, texts: tuple[str, ...], files: Files
) -> None:
    paths = files(*texts)
    message = refused(name, paths)
    assert str(paths[which]) in message
    assert "but the file ends after 0" in message


@pytest.mark.parametrize(("name", "which", "texts"), variants(lambda t: t + "\n12 13\n"))
def test_numbers_after_the_end_are_refused(
    name: str, which: int, texts: tuple[str, ...], files: Files
) -> None:
    paths = files(*texts)
    message = refused(name, paths)
    assert str(paths[which]) in message
    assert "column 1: expected the end of the file (2 numbers too many); got '12'" in message


@pytest.mark.parametrize("word", ["-1", "2.5", "x", "1e3", "9" * 30, "é", "\0"])
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_is_no_integer_in_range_is_refused_with_its_place(
    name: str, word: str, files: Files
) -> None:
    texts = list(SAMPLES[name])
    texts[0] += f"\n 3 {word}\n  {word}"
    line = texts[0].count("\n")
    message = refused(name, files(*texts))
    for place in (f"line {line}, column 4", f"line {line + 1}, column 3"):
        assert f"{place}: expected an integer from 0 to {2**53}; got {word!r}" in message


def test_only_the_first_of_many_wrong_numbers_are_listed(files: Files) -> None:
    message = refused("gap", files("1 50 " + "- " * 101))
    assert "and 81 more" in message
    assert message.count("got '-'") == 20


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1 7\n", "2 7\n", "line 2, column 1: expected at most 1 as number 1 of transient"),
        ("0 2 0 12", "3 2 0 12", "line 14, column 1: expected at most 2 as number 1 of service"),
        ("0 1 2 3", "0 2 2 3", "line 18, column 3: expected at most 1 as number 2 of two resour"),
        ("2 1 1\n", "2 1 3\n", "line 9, column 5: expected an index below 3 (a service on whic"),
        ("6  1 0 0", "6  1 4 0", "line 6, column 20: expected move cost 0 from a machine to itse"),
        ("2 5 5 14", "1 5 5 14", "service 2: expected a spread minimum of 0"),
    ],
)
def test_numbers_out_of_range_in_a_roadef_model_are_refused(
    old: str, new: str, expected: str, files: Files
) -> None:
    changed = ROADEF.replace(old, new)
    if "spread minimum" in expected:
        changed = changed.replace("0 0\n0 0\n4", "0 0\n2 0\n4")
    assert changed != ROADEF
    assert expected in refused("roadef", files(changed, START))


def test_every_machine_out_of_range_in_a_roadef_assignment_is_listed(files: Files) -> None:
    message = refused("roadef", files(ROADEF, "0 3 0\n7"))
    assert "line 1, column 3: expected an index below 3" in message
    assert "line 2, column 1: expected an index below 3" in message


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [
        ("gap", ("0 3",), "expected at least 1 (number of agents)"),
        ("roadef", ("0 0 0 0 0 0 0 0", ""), "expected at least 1 (number of machines)"),
    ],
)
def test_an_instance_without_nodes_is_refused(
    name: str, texts: tuple[str, ...], expected: str, files: Files
) -> None:
    assert expected in refused(name, files(*texts))


def test_a_gap_file_states_demand_and_cost_by_agent(files: Files) -> None:
    instance = formats()["gap"].read(files(GAP))
    assert [node.capacity for node in instance.nodes] == [{"capacity": 5}, {"capacity": 6}]
    assert [task.cost for task in instance.tasks] == [4, (7, 2), (5, 6)]
    assert [task.demand["capacity"] for task in instance.tasks] == [(1, 3), 2, (3, 2)]
    assert all(task.required for task in instance.tasks)
    assert instance.objective == "assignment-cost"


def test_a_roadef_model_is_said_with_the_general_policies_alone(files: Files) -> None:
    instance = formats()["roadef"].read(files(ROADEF, START))
    assert [policy.type for policy in instance.policies] == [
        "anti-affinity",
        "spread",
        "dependency",
        "safety-capacity",
        "balance",
        "task-move-cost",
        "group-move-cost",
        "pair-move-cost",
    ]
    assert [policy.weight for policy in instance.policies] == [None, None, None, 7, 3, 5, 6, 8]
    assert [instance.resources[r].transient for r in ("r0", "r1")] == [True, False]
    assert instance.nodes[2].domains == {"neighbourhood": "n2", "location": "l1"}
    assert [task.current for task in instance.tasks] == ["m0", "m1", "m0", "m2"]
    assert [task.groups for task in instance.tasks] == [("s0",), ("s0",), ("s1",), ("s2",)]


def test_a_roadef_model_without_rules_and_weights_states_no_policy_for_them(files: Files) -> None:
    model = "1  0 0  1  0 0 5 5 0  1  0 0  1  0 2 3  0  0 0 0"
    instance = formats()["roadef"].read(files(model, "0"))
    assert [policy.type for policy in instance.policies] == ["anti-affinity"]
