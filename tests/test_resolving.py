"""Solving again after small changes: what was found before is taken over, and mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from optalloc.cli import cli
from optalloc.engines.auto import WARM_START
from optalloc.engines.greedy import Greedy
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.generators import generate
from optalloc.instance.files import dump_instance
from optalloc.instance.model import Configuration, Instance, Node, Task
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.policies import Moves, TaskMoveCost
from optalloc.result import Result
from optalloc.solution import carry_over, name_placement, write_solution
from optalloc.solving import Progress, solve
from optalloc.verify import verify

NODES, TASKS = 6, 18
ENGINES = ("auto", "greedy", "local", "lns", "milp", "cpsat")
CHANGES: dict[str, dict[str, Any]] = {
    "a node lost": {"lost": 2},
    "tasks added": {"added": 5},
    "both": {"lost": 2, "added": 5},
    "demands grown": {"grown": 3},
    "all of it": {"lost": 0, "added": 3, "grown": 2},
}


def fleet(lost: int | None = None, added: int = 0, grown: int = 0, **more: Any) -> Instance:
    """Tasks on nodes at costs of their own; one node lost, tasks added, some demands doubled."""
    draw = np.random.default_rng(3)
    demand = draw.integers(1, 4, TASKS + 5)
    demand[:grown] *= 2
    cost = draw.integers(1, 40, (TASKS + 5, NODES))
    left = [n for n in range(NODES) if n != lost]
    return Instance(
        nodes=[Node(name=f"n{n}", capacity={"cpu": 13}) for n in left],
        tasks=[
            Task(name=f"t{t}", demand={"cpu": int(demand[t])}, cost=tuple(cost[t, left].tolist()))
            for t in range(TASKS + added)
        ],
        **{"objective": "assignment-cost", **more},
    )


def running(instance: Instance, before: Result) -> Instance:
    """The instance with tasks where they run after an earlier answer, as far as nodes are left."""
    names = {node.name for node in instance.nodes}
    where = {task: next(iter(nodes)) for task, nodes in before.assignment.items()}
    kept = {task: node for task, node in where.items() if node in names}
    return changed(instance, lambda task: {"current": kept[task.name]} if task.name in kept else {})


def changed(instance: Instance, change: Callable[[Task], dict[str, Any]]) -> Instance:
    """The instance with other fields of its tasks."""
    tasks = [Task(**(_fields(task) | change(task))) for task in instance.tasks]
    return Instance(**(_fields(instance) | {"tasks": tasks}))


def _fields(stated: Any) -> dict[str, Any]:
    return {name: getattr(stated, name) for name in stated.__struct_fields__}


def mended(instance: Instance, before: Result) -> tuple[Placement, float]:
    """What greedy makes of an earlier answer, and its objective."""
    assert before.placement is not None
    start = carry_over(instance, name_placement(before.instance, before.placement))
    objective = read_objective(instance)
    greedy = Greedy(Problem(instance, objective), start)
    assert greedy.run(Clock(60.0))
    report = verify(instance, greedy.placement(), objective)
    assert report.feasible
    first = objective.levels[0]
    return greedy.placement(), float(first.stated(first.value(report.values)))


def moved(before: Result, after: dict[str, dict[str, int]]) -> int:
    """How many tasks run elsewhere than before."""
    return sum(after[task] != nodes for task, nodes in before.assignment.items() if task in after)


@pytest.fixture(scope="module")
def before() -> Result:
    return solve(fleet(), deterministic=True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("change", CHANGES)
def test_every_engine_goes_on_from_an_earlier_answer(
    change: str, engine: str, before: Result
) -> None:
    """The answer is verified, and no worse than the earlier one with what broke placed anew."""
    instance = fleet(**CHANGES[change])
    seen: list[Progress] = []
    result = solve(
        instance, engine=engine, warm_start=before, deterministic=True, on_progress=seen.append
    )
    _, value = mended(instance, before)
    assert result.verified
    assert result.rejected == 0
    assert seen[0].engine == WARM_START
    assert seen[0].objective == value
    assert result.objective is not None
    assert result.objective <= value


@pytest.mark.parametrize("change", CHANGES)
def test_what_need_not_move_stays_when_a_start_is_mended(change: str, before: Result) -> None:
    """As few tasks move as can, but for some that must make room for larger ones."""
    instance = fleet(**CHANGES[change])
    placement, _ = mended(instance, before)
    after = {name: placed.nodes for name, placed in name_placement(instance, placement).items()}
    stated = running(instance, before)
    least = solve(stated, "moves", engine="milp", deterministic=True)
    assert least.status == "optimal"
    assert least.objective is not None
    homeless = sum(task.current is None for task in stated.tasks[:TASKS])
    assert moved(before, after) <= least.objective + homeless + 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_budget_of_moves_is_kept_from_any_start(engine: str, before: Result) -> None:
    """Also where the start spends more than that."""
    instance = running(fleet(lost=2, grown=3, policies=[Moves(at_most=4, name="budget")]), before)
    far = solve(fleet(lost=2, grown=3), "assignment-cost", engine="milp", deterministic=True)
    for start in (before, far):
        result = solve(instance, engine=engine, warm_start=start, deterministic=True)
        assert result.verified
        assert result.terms["budget"] <= 4


def test_with_a_cost_of_moves_as_few_move_as_need_to(before: Result) -> None:
    policies = [TaskMoveCost(weight=1)]
    instance = running(fleet(lost=1, added=5, policies=policies, objective="penalty"), before)
    result = solve(instance, warm_start=before, deterministic=True)
    assert result.status == "optimal"
    assert result.objective == solve(instance, engine="cpsat", deterministic=True).objective


def test_columns_answer_no_worse_than_the_start_which_they_do_not_use() -> None:
    def stated(nodes: int, tasks: int) -> Instance:
        return Instance(
            nodes=[Node(name="n", capacity={"cpu": 8}, count=nodes)],
            tasks=[Task(name=f"t{d}", demand={"cpu": d}, count=tasks) for d in (2, 3, 5)],
            objective="nodes",
        )

    before = solve(stated(40, 20), engine="greedy", deterministic=True)
    after = stated(39, 22)
    result = solve(after, engine="columns", time_limit=3, warm_start=before)
    assert result.verified
    assert result.objective is not None
    assert result.objective <= mended(after, before)[1]


@pytest.mark.parametrize("engine", ["auto", "greedy", "milp", "cpsat"])
def test_an_earlier_answer_is_mended_whatever_the_instance_states(engine: str) -> None:
    """Gangs, configurations, rules for groups, several levels, and tasks that run now."""
    instance = generate("ai-cloud", 1, 12, 30)
    before = solve(instance, engine="greedy", deterministic=True)
    lost = instance.nodes[-1]

    def without(task: Task) -> dict[str, Any]:
        now = (task.current,) if isinstance(task.current, str) else task.current or ()
        here = any(node.split("/")[0] == lost.name for node in now)
        return {"current": None} if here else {}

    left = Instance(**(_fields(changed(instance, without)) | {"nodes": instance.nodes[:-1]}))
    seen: list[Progress] = []
    result = solve(left, engine=engine, warm_start=before, time_limit=5, on_progress=seen.append)
    assert result.verified
    assert seen[0].engine in (WARM_START, "current placement")
    assert result.levels[0].value is not None
    assert result.levels[0].value >= mended(left, before)[1]


def test_optional_tasks_that_are_new_are_added_to_the_start(before: Result) -> None:
    instance = changed(fleet(added=5), lambda _: {"required": False})
    seen: list[Progress] = []
    solve(
        instance,
        "admitted",
        engine="greedy",
        warm_start=before,
        deterministic=True,
        on_progress=seen.append,
    )
    assert [progress.objective for progress in seen[:2]] == [TASKS, TASKS + 5]
    assert seen[1].engine == WARM_START


def test_names_that_are_not_there_any_more_are_passed_over(before: Result) -> None:
    assert before.placement is not None
    named = name_placement(before.instance, before.placement)
    gone = fleet(lost=0)
    start = carry_over(gone, named | {"stranger": named["t0"]})
    kept = [name for name, placed in named.items() if "n0" not in placed.nodes]
    assert name_placement(gone, start) == {name: named[name] for name in kept}


def test_a_task_that_runs_otherwise_now_is_no_part_of_the_start() -> None:
    def gang(replicas: int) -> Instance:
        rows = (Configuration(name="wide", replicas=replicas),)
        return Instance(
            nodes=[Node(name="n", capacity={"cpu": 9})],
            tasks=[Task(name="gang", configurations=rows), Task(name="t")],
            objective="nodes",
        )

    before = solve(gang(2), deterministic=True)
    assert before.placement is not None
    named = name_placement(before.instance, before.placement)
    assert list(name_placement(gang(3), carry_over(gang(3), named))) == ["t"]
    assert solve(gang(3), warm_start=before, deterministic=True).status == "optimal"


def test_an_earlier_run_without_an_answer_is_no_start(before: Result) -> None:
    nothing = replace(before, placement=None)
    assert solve(fleet(), warm_start=nothing, deterministic=True).objective == before.objective


def test_the_command_line_goes_on_from_the_solution_of_an_earlier_instance(
    tmp_path: Path, before: Result
) -> None:
    file, start, answer = (tmp_path / name for name in ("now.json", "was.json", "answer.json"))
    instance = fleet(lost=2, added=5)
    dump_instance(instance, file)
    write_solution(start, before.instance, before.placement)
    options = ["--engine", "greedy", "--warm-start", str(start), "-o", str(answer), "--json"]
    done = CliRunner().invoke(cli, ["solve", str(file), *options])
    assert done.exit_code == 0, done.stderr
    assert '"engine": "warm start"' in done.stdout or '"engine":"warm start"' in done.stdout


def test_a_solution_of_which_nothing_fits_is_refused(tmp_path: Path, before: Result) -> None:
    file, start = tmp_path / "now.json", tmp_path / "was.json"
    dump_instance(changed(fleet(), lambda task: {"name": f"other {task.name}"}), file)
    write_solution(start, before.instance, before.placement)
    done = CliRunner().invoke(cli, ["solve", str(file), "--warm-start", str(start)])
    assert done.exit_code == 2
    assert "expected some task as the instance has it" in done.stderr
