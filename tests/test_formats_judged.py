"""The formats against judges of their own: the challenge's rules, and GAP added up by hand."""

from __future__ import annotations

import csv
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from roadef_checker import Challenge, Verdict

from optalloc.formats import formats
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.verify import verify

SMALL = ("a1_1", "a1_2", "a1_3", "a1_4", "a1_5", "a2_1", "a2_2", "a2_3", "a2_4", "a2_5", "b_1")
LARGE = ("b_3", "b_5", "b_6", "b_8")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the public data."""
    folder = os.environ.get("OPTALLOC_DATA")
    if not folder:
        pytest.skip("OPTALLOC_DATA does not name a folder with the public data")
    return Path(folder)


def roadef_files(data: Path, name: str) -> list[Path]:
    """Model and assignment file of an instance."""
    return [data / "roadef" / f"{kind}_{name}.txt" for kind in ("model", "assignment")]


def challenge_of(data: Path, name: str) -> Challenge:
    """The same instance for the challenge's own rules."""
    model, start = roadef_files(data, name)
    return Challenge(model.read_text(), start.read_text())


def on(nodes: list[int]) -> Placement:
    """Place task i on node ``nodes[i]``."""
    one = np.ones(len(nodes), np.int64)
    return Placement.of(one, np.arange(len(nodes)), np.array(nodes, np.int64), one)


def scored(instance: Instance, placement: Placement) -> tuple[set[str], int]:
    """What `verify` says: the rules broken, and the value of the instance's objective."""
    objective = read_objective(instance)
    report = verify(instance, placement, objective)
    broken = {violation.rule for violation in report.violations}
    assert report.feasible == (not broken)
    (level,) = objective.levels
    value = level.value(report.values) * level.quantum
    assert value.denominator == 1
    return broken, int(value)


def judged(verdict: Verdict) -> tuple[set[str], int]:
    """The challenge's verdict in the same words."""
    sentences = {
        "capacity": "capacity",
        "transient": "transient-capacity",
        ".*times on machine": "anti-affinity",
        ".*too few": "spread",
        ".*without": "dependency",
    }
    found = [[k for p, k in sentences.items() if re.match(p, v)] for v in verdict.violations]
    return {kind for (kind,) in found}, verdict.total


def agree(instance: Instance, challenge: Challenge, nodes: list[int]) -> bool:
    """Check that both judges say the same of an assignment; return whether it is feasible."""
    verdict = challenge.judge(" ".join(map(str, nodes)))
    assert scored(instance, on(nodes)) == judged(verdict), verdict.violations[:3]
    return not verdict.violations


@pytest.mark.data
@pytest.mark.parametrize(("start", "cost"), [("0 3 0", 4200), ("0 2 0", 3510), ("0 2 1", 2411)])
def test_the_example_of_the_challenge_costs_what_its_subject_says(
    data: Path, start: str, cost: int
) -> None:
    instance = formats()["roadef"].read(roadef_files(data, "toy"))
    verdict = challenge_of(data, "toy").judge(start)
    assert (verdict.violations, verdict.total) == ([], cost)
    assert scored(instance, on([int(m) for m in start.split()])) == (set(), cost)


@pytest.mark.data
@pytest.mark.parametrize("name", SMALL + LARGE)
def test_initial_assignments_cost_what_is_published(data: Path, name: str) -> None:
    with (data / "roadef" / "best_known.csv").open() as file:
        published = {row["instance"]: int(row["initial_cost"]) for row in csv.DictReader(file)}
    challenge = challenge_of(data, name)
    verdict = challenge.judge(" ".join(map(str, challenge.start)))
    assert (verdict.violations, verdict.total) == ([], published[name])
    instance = formats()["roadef"].read(roadef_files(data, name))
    assert scored(instance, on(challenge.start)) == (set(), published[name])


@pytest.mark.data
@pytest.mark.parametrize("name", SMALL)
def test_perturbed_assignments_are_judged_alike(data: Path, name: str) -> None:
    """Accepted moves accumulate, so that feasible assignments far from the start occur too."""
    challenge = challenge_of(data, name)
    instance = formats()["roadef"].read(roadef_files(data, name))
    draw = random.Random(name)
    nodes, seen = list(challenge.start), []
    for moves in (1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 5, 20, 100):
        changed = list(nodes)
        for _ in range(moves):
            changed[draw.randrange(len(nodes))] = draw.randrange(len(instance.nodes))
        seen.append(agree(instance, challenge, changed))
        nodes = changed if seen[-1] else nodes
    assert set(seen) == {False, True}


@st.composite
def models(draw: st.DrawFn) -> tuple[str, str, str]:
    """Small random models with every rule and cost, a start and a new assignment."""

    def line(count: int, most: int) -> list[int]:
        return draw(st.lists(st.integers(0, most), min_size=count, max_size=count))

    resources, machines = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    services, processes = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    numbers = [resources]
    for _ in range(resources):
        numbers += [draw(st.integers(0, 1)), draw(st.integers(0, 3))]
    numbers += [machines]
    for m in range(machines):
        capacity = draw(st.lists(st.integers(3, 12), min_size=resources, max_size=resources))
        distance = line(machines, 4)
        distance[m] = 0
        numbers += line(2, 2) + capacity + line(resources, 12) + distance
    service_of = [p % services for p in range(processes)]
    numbers += [services]
    for s in range(services):
        needed = draw(st.lists(st.integers(0, services - 1), max_size=2))
        numbers += [draw(st.integers(0, 2)) if s in service_of else 0, len(needed), *needed]
    numbers += [processes]
    for s in service_of:
        numbers += [s, *line(resources, 4), draw(st.integers(0, 9))]
    goals = draw(st.integers(0, 2))
    numbers += [goals]
    for _ in range(goals):
        numbers += [*line(2, resources - 1), draw(st.integers(1, 3)), draw(st.integers(0, 3))]
    numbers += line(3, 5)
    start, new = line(processes, machines - 1), line(processes, machines - 1)
    return " ".join(map(str, numbers)), " ".join(map(str, start)), " ".join(map(str, new))


@given(texts=models())
@settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_random_models_are_judged_alike(texts: tuple[str, str, str], tmp_path: Path) -> None:
    paths = [tmp_path / "model.txt", tmp_path / "assignment.txt"]
    for path, text in zip(paths, texts, strict=False):
        path.write_text(text)
    instance = formats()["roadef"].read(paths)
    agree(instance, Challenge(texts[0], texts[1]), [int(m) for m in texts[2].split()])


@pytest.mark.data
@pytest.mark.parametrize("name", ["toy", "a1_4", "b_1"])
def test_what_is_exported_reads_as_the_same_assignment(
    data: Path, name: str, tmp_path: Path
) -> None:
    """The exported file is judged by the challenge's rules, and is a start that can be read."""
    roadef = formats()["roadef"]
    model, start = roadef_files(data, name)
    instance = roadef.read([model, start])
    machines = len(instance.nodes)
    nodes = [(7 * p) % machines for p in range(len(instance.tasks))]
    target = tmp_path / "new.txt"
    roadef.write(instance, on(nodes), target)
    verdict = challenge_of(data, name).judge(target.read_text())
    assert scored(instance, on(nodes)) == judged(verdict)
    again = roadef.read([model, target])
    assert [task.current for task in again.tasks] == [f"m{m}" for m in nodes]


def gap_by_hand(text: str, agent: list[int]) -> tuple[set[str], int]:
    """The rule that an assignment to the agents of a GAP file breaks, if any, and its cost."""
    words = [int(word) for word in text.split()]
    agents, tasks = words[0], words[1]
    cost, use, capacity = words[2:], words[2 + agents * tasks :], words[-agents:]
    load = [0] * agents
    for j, i in enumerate(agent):
        load[i] += use[i * tasks + j]
    kept = all(used <= most for used, most in zip(load, capacity, strict=True))
    return set() if kept else {"capacity"}, sum(cost[i * tasks + j] for j, i in enumerate(agent))


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["cattrysse1994/gap1-0", "chu1997/a05100", "chu1997/d20200", "yagiura2004/d201600"]
)
def test_gap_assignments_are_scored_as_by_hand(data: Path, name: str, tmp_path: Path) -> None:
    """Random agents, and each task on the agent that it uses least (feasible for type A)."""
    path = data / "gap" / f"{name}.txt"
    instance = formats()["gap"].read([path])
    columns = instance.columns
    draw = random.Random(name)
    agents = len(instance.nodes)
    answers = [[draw.randrange(agents) for _ in instance.tasks] for _ in range(20)]
    everywhere = np.arange(columns.tasks)[:, None], np.arange(agents)[None, :]
    answers.append(columns.demand[0].at(*everywhere).argmin(axis=1).tolist())
    for answer in answers:
        target = tmp_path / "agents.txt"
        formats()["gap"].write(instance, on(answer), target)
        exported = [int(line) for line in target.read_text().splitlines()]
        assert scored(instance, on(answer)) == gap_by_hand(path.read_text(), exported)


@pytest.mark.data
def test_every_gap_file_is_read(data: Path) -> None:
    with (data / "gap" / "best_known.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        instance = formats()["gap"].read([data / "gap" / row["file"]])
        assert len(instance.nodes) == int(row["agents"])
        assert len(instance.tasks) == int(row["tasks"])
