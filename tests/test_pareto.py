"""The Pareto front between two goals: its points, what is proven empty, its file, its picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tradeoffs import fleets, limited_job, reachable, stated

from optalloc import (
    Front,
    Instance,
    InstanceError,
    Node,
    OptallocError,
    dump_instance,
    pareto,
    solve,
    write_front,
)
from optalloc.cli import cli
from optalloc.drawing import draw_front
from optalloc.epsilon import FrontProgress
from optalloc.front import Cut, open_share
from optalloc.generators import generate
from optalloc.objective import read_objective
from optalloc.policies import Nodes, Power, Throughput
from optalloc.solution import Placed, read_placement
from optalloc.verify import verify

GOALS = ("throughput", "power")
SIGNS = {"throughput": -1, "power": 1, "admitted": -1, "nodes": 1, "max-min": -1}


def jobs() -> Instance:
    """Three jobs at three power limits each: a front of many points."""
    ways = ((3, 40), (5, 70), (6, 100))
    tasks = [limited_job(*ways, name=f"t{i}", weight=i + 1, required=False) for i in range(3)]
    return stated(nodes=[Node(name="n", idle_w=25, count=2)], tasks=tasks)


def brute_front(instance: Instance, goals: Sequence[str]) -> list[tuple[float, float]]:
    """Values of all placements that none dominates, from the best first goal on."""
    wanted = read_objective(instance, " > ".join(goals))
    one, other = wanted.levels
    values = {
        (SIGNS[goals[0]] * a, SIGNS[goals[1]] * b)
        for a, b in reachable(instance, " > ".join(goals))
    }
    best = [v for v in values if not any(o != v and o[0] <= v[0] and o[1] <= v[1] for o in values)]
    return [
        (one.stated(SIGNS[goals[0]] * a), other.stated(SIGNS[goals[1]] * b))
        for a, b in sorted(best)
    ]


def values_of(front: Front) -> list[tuple[float, float]]:
    return [point.values for point in front.points]


# --- points --------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(fleets(), st.sampled_from([GOALS, ("power", "throughput"), ("admitted", "power")]))
def test_the_front_is_that_of_brute_force(instance: Instance, goals: tuple[str, str]) -> None:
    front = pareto(instance, goals, points=100, deterministic=True)
    expected = brute_front(instance, goals)
    if not expected:
        assert (front.status, front.points) == ("infeasible", ())
        return
    assert values_of(front) == expected
    assert (front.status, front.complete, front.open) == ("optimal", True, 0)
    assert all(point.proven and point.gap == 0 for point in front.points)


@settings(max_examples=15)
@given(fleets(), st.integers(2, 4))
def test_a_part_of_the_front_is_right_and_what_is_empty_is_empty(
    instance: Instance, points: int
) -> None:
    front = pareto(instance, GOALS, points=points, deterministic=True)
    expected = brute_front(instance, GOALS)
    assert len(front.points) == min(points, len(expected))
    assert set(values_of(front)) <= set(expected)
    if expected:
        assert {expected[0], expected[-1]} <= set(values_of(front))
    wanted = read_objective(instance, " > ".join(GOALS))
    for throughput, power in reachable(instance, " > ".join(GOALS)):
        rate, watts = wanted.levels[0].stated(throughput), wanted.levels[1].stated(power)
        for area in front.empty:
            faster = area.first is None or rate > area.first
            sparing = area.second is None or watts <= area.second
            # Without a first goal, the second one itself is excluded: strictly better.
            if area.first is None:
                sparing = area.second is not None and watts < area.second
            assert not (faster and sparing)


def test_points_spread_over_the_front() -> None:
    front = pareto(jobs(), points=5, deterministic=True)
    whole = pareto(jobs(), points=100, deterministic=True)
    assert len(front.points) == 5 < len(whole.points)
    assert not front.complete
    assert front.stopped_by == "iterations"
    assert front.open is not None
    widest = max(b.values[1] - a.values[1] for a, b in pairwise(front.points[::-1]))
    assert widest <= (front.points[0].values[1] - front.points[-1].values[1]) / 2


def test_a_point_is_the_best_within_its_limit() -> None:
    instance = jobs()
    for point in pareto(instance, points=6, deterministic=True).points:
        limits = [] if point.limit is None else [Power(at_most=point.limit)]
        capped = stated(nodes=instance.nodes, tasks=instance.tasks, policies=limits)
        assert solve(capped, "throughput", deterministic=True).objective == point.values[0]
        assert point.bound == point.values[0]


def test_rules_and_limits_of_the_instance_hold() -> None:
    instance = jobs()
    limits = [Power(at_most=200), Throughput(name="floor", at_least=1.5), Nodes(at_most=1)]
    limited = stated(nodes=instance.nodes, tasks=instance.tasks, policies=limits)
    front = pareto(limited, points=100, deterministic=True)
    assert values_of(front) == [
        values for values in values_of(pareto(instance, points=100, deterministic=True))
        if values[1] <= 200 and values[0] >= 1.5
    ]  # fmt: skip
    assert front.complete


def test_a_point_without_a_proof_says_how_far_it_may_be() -> None:
    """The greedy engine proves nothing; closed forms bound what it finds."""
    front = pareto(jobs(), points=4, engine="greedy")
    assert (front.status, front.complete) == ("feasible", False)
    wanted = read_objective(jobs(), " > ".join(GOALS))
    reached = [
        tuple(level.stated(value) for level, value in zip(wanted.levels, values, strict=True))
        for values in reachable(jobs(), " > ".join(GOALS))
    ]
    for point in front.points:
        limit = float("inf") if point.limit is None else point.limit
        assert point.bound is not None
        assert point.bound >= max(rate for rate, watts in reached if watts <= limit)
    assert any(point.gap for point in front.points)


def test_time_ends_a_front_with_bounds_that_hold() -> None:
    instance = generate("hpc-centre", seed=2, nodes=12, tasks=40)
    front = pareto(instance, ("admitted", "power"), points=4, time_limit=2, threads=1)
    for point in front.points:
        assert point.result.verified
        assert point.bound is None or point.bound >= point.values[0]
    first, second = (list(pair) for pair in zip(*values_of(front), strict=True))
    assert first == sorted(first, reverse=True)
    assert second == sorted(second, reverse=True)


def test_an_interruption_returns_the_points_so_far() -> None:
    def interrupt(progress: FrontProgress) -> None:
        if progress.points >= 3:
            raise KeyboardInterrupt

    front = pareto(jobs(), on_progress=interrupt, deterministic=True)
    assert len(front.points) == 3
    assert front.stopped_by == "interrupted"
    assert not front.complete


def test_an_infeasible_instance_says_why() -> None:
    job = limited_job((4, 8), demand={"cpu": 2})
    front = pareto(stated(nodes=[Node(name="n", capacity={"cpu": 1})], tasks=[job]))
    assert (front.status, front.stopped_by, front.open) == ("infeasible", "proof", None)
    assert "cpu" in front.reasons[0].message


def test_what_is_open_between_points() -> None:
    points = [(0, 10), (10, 0)]
    assert open_share(points, [Cut(0, None)]) == 1
    # With a second value up to 4 nothing is better than 10: 6 of 10 columns are open.
    assert open_share(points, [Cut(10, 4)]) == pytest.approx(0.5)
    assert open_share(points, [Cut(10, 9)]) == 0
    assert open_share([(0, 10), (5, 5), (10, 0)], []) == pytest.approx(0.75)
    assert open_share([(3, 3)], []) == 0
    assert open_share([], []) is None


# --- limits on one goal --------------------------------------------------------------------------


@settings(max_examples=15)
@given(fleets(), st.integers(1, 4))
def test_a_floor_of_throughput_and_a_cap_of_power_state_the_points_between(
    instance: Instance, part: int
) -> None:
    """Least watts at a floor and most throughput under a cap are those of all placements."""
    values = reachable(instance, "throughput > power")
    wanted = read_objective(instance, "throughput > power")
    fastest, most = max((v[0] for v in values), default=0), max((v[1] for v in values), default=0)
    floor, cap = fastest * part // 4, most * part // 4
    stated_floor, stated_cap = wanted.levels[0].stated(floor), wanted.levels[1].stated(cap)
    for policy, objective, expected in (
        (
            Throughput(at_least=stated_floor),
            "power",
            min((w for rate, w in values if rate >= floor), default=None),
        ),
        (
            Power(at_most=stated_cap),
            "throughput",
            max((rate for rate, w in values if w <= cap), default=None),
        ),
    ):
        limited = stated(nodes=instance.nodes, tasks=instance.tasks, policies=[policy])
        result = solve(limited, objective, deterministic=True)
        if expected is None:
            assert result.status == "infeasible"
        else:
            level = wanted.levels[objective == "power"]
            assert (result.status, result.objective) == ("optimal", level.stated(expected))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objectives", "expected"),
    [
        (("throughput", "throughput"), "two different goals"),
        (("throughput", "capacity"), "two different goals"),
        (("throughput", "speed"), "expected one of .*'speed'"),
    ],
)
def test_wrong_goals_are_named(objectives: tuple[str, str], expected: str) -> None:
    with pytest.raises(InstanceError, match=expected):
        pareto(jobs(), objectives)


@pytest.mark.parametrize(
    "wrong", [{"objectives": "power"}, {"objectives": ("power",)}, {"points": 1}, {"time_limit": 0}]
)
def test_wrong_arguments_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptallocError, match=next(iter(wrong))):
        pareto(jobs(), **wrong)


# --- file, picture, command ----------------------------------------------------------------------


def test_the_file_holds_placements_that_score_what_it_says(tmp_path: Path) -> None:
    instance = jobs()
    write_front(tmp_path / "front.json", pareto(instance, points=4, deterministic=True))
    front = json.loads((tmp_path / "front.json").read_text())
    wanted = read_objective(instance, " > ".join(GOALS))
    assert len(front["points"]) == 4
    for point in front["points"]:
        named = {task: Placed(**placed) for task, placed in point["placements"].items()}
        report = verify(instance, read_placement(instance, named), wanted)
        scored = {level.name: level.read(report.values) for level in wanted.levels}
        assert report.feasible
        assert scored == point["values"]


def test_the_picture_has_a_mark_for_each_point() -> None:
    instance = stated(name="a <b> & c", nodes=jobs().nodes, tasks=jobs().tasks)
    front = pareto(instance, points=5, deterministic=True)
    tree = ET.fromstring(draw_front(front))
    marks = tree.findall(".//{*}circle")
    assert len(marks) == 5
    across, up = ([float(mark.attrib[place]) for mark in marks] for place in ("cx", "cy"))
    # From the best first goal on: fewer watts are to the left, less throughput is below.
    assert across == sorted(across, reverse=True)
    assert up == sorted(up)
    assert "a <b> & c" in "".join(tree.itertext())


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["pareto", *arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_writes_the_front_and_the_picture(tmp_path: Path) -> None:
    file, front, picture = (tmp_path / name for name in ("i.json", "front.json", "front.SVG"))
    dump_instance(jobs(), file)
    code, out, err = run(
        str(file), "--objectives", "power, throughput", "--points", "3", "--time-limit", "20",
        "--threads", "1", "-o", str(front), "--plot", str(picture),
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "3 points" in out
    assert "proven" in out
    assert json.loads(front.read_text())["objectives"][0]["name"] == "power"
    assert picture.read_text().startswith("<svg")


def test_the_command_speaks_json(tmp_path: Path) -> None:
    file = tmp_path / "i.json"
    dump_instance(jobs(), file)
    code, out, _ = run(str(file), "--points", "2", "--json", "--threads", "1")
    answer = json.loads(out)
    assert code == 0
    assert [set(point["placements"]) for point in answer["points"]] == [{"t0", "t1", "t2"}, set()]
    assert answer["points"][0]["metrics"]["joules_per_sample"] == pytest.approx(325 / 18)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--objectives", "power"], "expected two goals"),
        (["--objectives", "power,speed"], "expected one of"),
        (["--plot", "front.png"], "ends in .svg"),
        (["--points", "1"], "1 is not in the range"),
    ],
)
def test_bad_usage_of_the_command_is_told(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "i.json"
    dump_instance(jobs(), file)
    code, _, err = run(str(file), *arguments)
    assert code == 2
    assert expected in " ".join(err.split())


def test_the_command_tells_an_infeasible_instance(tmp_path: Path) -> None:
    file = tmp_path / "i.json"
    job = limited_job((4, 8), demand={"cpu": 2})
    dump_instance(stated(nodes=[Node(name="n", capacity={"cpu": 1})], tasks=[job]), file)
    code, out, _ = run(str(file), "-o", str(tmp_path / "front.json"))
    assert code == 1
    assert "why it cannot be done" in out
    assert not (tmp_path / "front.json").exists()
