"""PuLP's door: CBC and other solvers agree with HiGHS, claim nothing unproven, leave nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from strategies import instances

from optalloc import policies as p
from optalloc.engines import _cbc, pulp_door
from optalloc.engines._pulp_model import PulpModel
from optalloc.engines.milp import ENGINES as MILP
from optalloc.engines.protocol import (
    Bound,
    Ended,
    Engine,
    Incumbent,
    IntArray,
    Job,
    Message,
    run,
)
from optalloc.formats import formats
from optalloc.formulation.encoding import encode
from optalloc.formulation.model import ModelTooLarge
from optalloc.formulation.naming import column_names
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import SparseModel, finish
from optalloc.formulation.translating import to_placement
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Configuration, Instance, Node, Task
from optalloc.objective import read_objective
from optalloc.verify import verify

# Shrinking runs a solver thousands of times.
RANDOM = settings(phases=[Phase.generate])
CBC = pulp_door.ENGINES[0]
HIGHS = MILP[0]


@dataclass
class Seen:
    """What an engine said of an instance."""

    ended: Ended
    bounds: dict[int, int] = field(default_factory=dict)
    incumbents: list[IntArray] = field(default_factory=list)
    log: str = ""


def finished(instance: Instance) -> SparseModel:
    return finish(encode(Problem(instance, read_objective(instance)), "milp"))


def sized(instance: Instance) -> bool:
    """Whether the model has columns, and numbers that can be written."""
    try:
        model = finished(instance)
        PulpModel(model)
    except ModelTooLarge:
        return False
    return model.columns > 0


def seen(engine: Engine, instance: Instance, job: Job | None = None) -> Seen:
    job = job or Job()
    model = finished(instance)
    result = Seen("stopped")

    def emit(message: Message) -> None:
        if isinstance(message, Bound):
            result.bounds[message.level] = message.value
        elif isinstance(message, Incumbent):
            result.incumbents.append(message.values)

    end = run(engine.open(model, job), model, job, emit)
    result.ended, result.log = end.ended, end.log
    return result


def gap_d(seed: int, agents: int, tasks: int) -> Instance:
    """A generalised assignment problem of the hard type D: cost and use are opposed."""
    generator = np.random.default_rng(seed)
    use = generator.integers(1, 101, (agents, tasks))
    cost = 111 - use + generator.integers(-10, 11, (agents, tasks))
    room = (use.sum(axis=1) * 8 // (10 * agents)).tolist()
    return Instance(
        nodes=tuple(Node(name=f"a{i}", capacity={"c": limit}) for i, limit in enumerate(room)),
        tasks=tuple(
            Task(name=f"t{j}", demand={"c": tuple(use[:, j])}, cost=tuple(cost[:, j]))
            for j in range(tasks)
        ),
        objective="assignment-cost",
    )


def mixed() -> Instance:
    """Configurations, groups, a task that runs already and two levels."""
    rows = (
        Configuration(device="H100", replicas=2, throughput=90, watts=1200),
        Configuration(device="A100", replicas=2, throughput=50, watts=700),
    )
    return Instance(
        nodes=(
            Node(name="big/0 (new)", device="H100", devices=4, idle_w=400, capacity={"cpu": 8}),
            Node(name="big+old", device="A100", devices=4, idle_w=300, capacity={"cpu": 8}),
            Node(name="small", capacity={"cpu": 3}),
        ),
        tasks=(
            Task(name="train", configurations=rows, required=False),
            Task(name="tune", configurations=rows, required=False, weight=2),
            Task(name="web", demand={"cpu": 2}, current="small", count=2),
        ),
        policies=(p.Moves(weight=3), p.SafetyCapacity(resource="cpu", weight=1)),
        objective="throughput > power",
    )


# -- CBC ---------------------------------------------------------------------------------------


@settings(RANDOM, max_examples=40)
@given(instance=instances())
def test_cbc_and_highs_agree_on_every_level_of_random_instances(instance: Instance) -> None:
    assume(sized(instance))
    ours, other = seen(CBC, instance), seen(HIGHS, instance)
    assert ours.ended == other.ended != "stopped"
    if ours.ended == "optimal":
        assert ours.bounds == other.bounds


def test_an_answer_of_cbc_passes_the_checker_and_has_the_value_of_its_bounds() -> None:
    instance = mixed()
    objective = read_objective(instance)
    found = seen(CBC, instance)
    placement = to_placement(encode(Problem(instance, objective), "milp"), found.incumbents[-1])
    report = verify(instance, placement, objective)
    assert report.feasible
    signs = [1 if level.sense == "min" else -1 for level in objective.levels]
    values = [s * lv.value(report.values) for s, lv in zip(signs, objective.levels, strict=True)]
    assert values == [found.bounds[0], found.bounds[1]]


@pytest.mark.data
@pytest.mark.parametrize("name", ["gap1-0", "gap4-1", "gap7-2"])
def test_cbc_and_highs_prove_the_same_optimum_of_public_instances(data: Path, name: str) -> None:
    instance = formats()["gap"].read([data / "gap" / "cattrysse1994" / f"{name}.txt"])
    ours = seen(CBC, instance)
    assert ours.ended == "optimal"
    assert ours.bounds == seen(HIGHS, instance).bounds


def test_a_run_that_is_stopped_does_not_claim_an_optimum() -> None:
    """PuLP itself says "Optimal" here."""
    instance = gap_d(1, 20, 100)
    found = seen(CBC, instance, Job(time_limit=2))
    better = seen(HIGHS, instance, Job(time_limit=3))
    model = finished(instance)
    best = min(model.level_value_at(0, values) for values in found.incumbents + better.incumbents)
    assert found.bounds[0] <= best
    assert found.ended == ("optimal" if found.bounds[0] == best else "stopped")


def test_a_rule_that_cannot_hold_is_infeasible() -> None:
    node, task = Node(name="n", capacity={"cpu": 3}), Task(name="t", demand={"cpu": 2}, count=2)
    assert seen(CBC, Instance(nodes=(node,), tasks=(task,))).ended == "infeasible"


def test_a_required_task_without_any_node_is_infeasible() -> None:
    task = Task(name="t", demand={"cpu": 9})
    instance = Instance(nodes=(Node(name="n", capacity={"cpu": 3}),), tasks=(task,))
    assert seen(CBC, instance).ended == "infeasible"


def test_an_instance_without_tasks_is_solved() -> None:
    instance = Instance(nodes=(Node(name="n", capacity={"cpu": 3}),), objective="nodes")
    assert seen(CBC, instance).ended == "optimal"


def test_values_of_more_than_eight_digits_arrive_exactly() -> None:
    """CBC's own text of a solution has eight."""
    task = Task(name="t", demand={"cpu": 1_234_567_891})
    instance = Instance(
        nodes=(Node(name="n", capacity={"cpu": 2_000_000_000}, safety={"cpu": 12}),),
        tasks=(task,),
        policies=(p.SafetyCapacity(resource="cpu", weight=1), p.Nodes(weight=1)),
        objective="penalty > nodes",
    )
    found = seen(CBC, instance)
    assert found.ended == "optimal"
    assert found.bounds == seen(HIGHS, instance).bounds == {0: 1_234_567_880, 1: 1}


def test_a_known_solution_is_handed_to_cbc() -> None:
    instance = gap_d(2, 4, 12)
    first = seen(CBC, instance)
    again = seen(CBC, instance, Job(hint=first.incumbents[-1], log=True))
    assert "mipstart" in again.log
    assert again.bounds == first.bounds


def test_two_runs_with_one_seed_are_the_same() -> None:
    instance = gap_d(3, 4, 16)
    runs = [seen(CBC, instance, Job(seed=7, deterministic=True, threads=2)) for _ in range(2)]
    assert runs[0].bounds == runs[1].bounds
    assert runs[0].incumbents[-1].tolist() == runs[1].incumbents[-1].tolist()


def test_no_files_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen(CBC, gap_d(3, 3, 9))
    seen(CBC, gap_d(1, 20, 100), Job(time_limit=0.2))
    assert list(tmp_path.iterdir()) == []


def costly(cost: int) -> Instance:
    nodes = tuple(Node(name=name, capacity={"cpu": 1}) for name in "nm")
    tasks = tuple(Task(name=t, demand={"cpu": 1}, cost=(cost, i)) for i, t in enumerate("tu"))
    return Instance(nodes=nodes, tasks=tasks, objective="assignment-cost")


def test_a_number_that_no_file_states_exactly_is_refused() -> None:
    with pytest.raises(ModelTooLarge, match=r"3000000000007.* coarser quanta"):
        seen(CBC, costly(3 * 10**12 + 7))


def test_a_large_number_that_a_file_states_exactly_is_solved() -> None:
    assert seen(CBC, costly(3 * 10**13)).bounds == seen(HIGHS, costly(3 * 10**13)).bounds


def test_a_cbc_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    program = tmp_path / "cbc"
    program.write_text("#!/bin/sh\necho no licence\nexit 3\n")
    program.chmod(0o755)
    command = _cbc.Command(str(program), tmp_path / "model.mps", 1, 0)
    with pytest.raises(OptallocError, match="exit code 3: no licence"):
        _cbc.run(command, 60.0, lambda _bound: None)


LOG = """\
Continuous objective value is 3742.41 - 0.00 seconds
Cbc0010I After 0 nodes, 1 on tree, 1e+50 best solution, best possible 3753.9868 (0.71 seconds)
Cbc0010I After 9 nodes, 1 on tree, 3755 best solution, best possible 3760.5 (1.71 seconds)
Cbc0010I After 9 nodes, 1 on tree, 3755 best solution, best possible -1e+50 (1.80 seconds)
Cbc0010I After 99 nodes, 1 on tree, 3755 best solution, best possible 3754.5 (3.01 seconds)
"""


def test_bounds_in_a_log_are_rounded_outward_and_only_count_within_the_limit() -> None:
    stated = _cbc.stated_bounds(LOG, seconds=3.0)
    assert stated == sorted(stated)
    assert all(s < t for s, t in zip(stated, [3742.41, 3753.9868, 3755.0], strict=True))
    assert stated == pytest.approx([3742.41, 3753.9868, 3755.0], rel=1e-5)
    assert len(_cbc.stated_bounds(LOG)) == 4


def test_cbc_ends_when_its_caller_is_killed(tmp_path: Path) -> None:
    """However that came: nobody is there to end it."""
    number = tmp_path / "pid"
    script = f"""
        import os, time
        from optalloc.engines._cbc import guarded
        program = "echo $$ > {number}.new; mv {number}.new {number}; exec sleep 600"
        guarded(["/bin/sh", "-c", program], os.open(os.devnull, os.O_WRONLY))
        time.sleep(600)
    """
    caller = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        while not number.exists():
            assert caller.poll() is None
            time.sleep(0.01)
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    started = int(number.read_text())
    while is_running(started):
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    # Where nobody reaps orphans, the dead stay in the table.
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


# -- other solvers -----------------------------------------------------------------------------


def test_another_solver_behind_pulp_agrees_with_highs() -> None:
    engine = pulp_door.by_name("pulp:HiGHS")
    assert engine is not None
    for instance in (mixed(), gap_d(4, 4, 12)):
        found = seen(engine, instance)
        assert found.ended == "optimal"
        assert found.bounds == seen(HIGHS, instance).bounds
    node, task = Node(name="n", capacity={"cpu": 3}), Task(name="t", demand={"cpu": 2}, count=2)
    assert seen(engine, Instance(nodes=(node,), tasks=(task,))).ended == "infeasible"


def test_claims_of_an_adapter_that_is_not_known_to_be_truthful_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulp_door, "TRUTHFUL", {})
    engine = pulp_door.by_name("pulp:HiGHS")
    assert engine is not None
    found = seen(engine, gap_d(4, 4, 12))
    assert (found.ended, found.bounds, len(found.incumbents)) == ("stopped", {}, 1)


class Liar:
    """Says that the first values that come to mind are optimal."""

    tmpDir = ""  # noqa: N815 (PuLP's name)

    def actualSolve(self, problem: Any) -> int:  # noqa: N802 (PuLP's name)
        for variable in problem.variables():
            variable.varValue = 0.0
        problem.assignStatus(1)
        return 1


def test_an_optimum_that_breaks_a_row_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulp_door, "_adapter", lambda _solver, _options: Liar())
    session = pulp_door.PulpSession("HiGHS", finished(gap_d(4, 4, 12)), Job())
    heard: list[Message] = []
    assert session.minimise(0, (), 60.0, heard.append).ended == "stopped"
    assert not [message for message in heard if isinstance(message, Bound)]


def test_a_solver_that_is_not_installed_says_how_to_get_it() -> None:
    engine = pulp_door.by_name("pulp:GUROBI_CMD")
    assert engine is not None
    if engine.available():
        pytest.skip("Gurobi is installed")
    with pytest.raises(OptallocError, match=r"pulp:GUROBI_CMD is not installed: .*gurobi_cl.*cbc"):
        engine.open(finished(mixed()), Job())


def test_solvers_are_found_by_name() -> None:
    assert "cbc" in pulp_door.installed()
    assert pulp_door.by_name("cbc") is CBC
    assert pulp_door.by_name("pulp:NONE") is None
    assert pulp_door.by_name("cplex") is None
    for name in pulp_door.installed():
        engine = pulp_door.by_name(name)
        assert engine is not None
        assert engine.available()


def test_pulp_ortools_and_highspy_share_a_process_in_either_order() -> None:
    """Some of their releases break each other."""
    imports = ["import pulp", "from ortools.sat.python import cp_model", "import highspy"]
    use = (
        "pulp.LpProblem('p'); cp_model.CpSolver().solve(cp_model.CpModel()); highspy.Highs().run()"
    )
    for order in (imports, imports[::-1]):
        subprocess.run([sys.executable, "-c", "; ".join([*order, use])], check=True)


def test_pulp_is_imported_only_when_it_is_used() -> None:
    code = "import sys, optalloc.engines.pulp_door; sys.exit('pulp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- files -------------------------------------------------------------------------------------


def optimum(path: Path) -> float | None:
    """What HiGHS finds for a file; None if it is infeasible."""
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("mip_rel_gap", 0.0)
    assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    highs.run()
    if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        return None
    assert highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(highs.getInfo().objective_function_value)


@pytest.mark.parametrize("kind", ["lp", "mps"])
@settings(RANDOM, max_examples=25)
@given(instance=instances())
def test_an_exported_file_has_the_optimum_of_the_engine(
    tmp_path_factory: pytest.TempPathFactory, kind: Literal["lp", "mps"], instance: Instance
) -> None:
    assume(sized(instance))
    path = tmp_path_factory.mktemp("export") / f"model.{kind}"
    pulp_door.export(instance, path)
    found = seen(HIGHS, instance)
    if found.ended == "infeasible":
        assert optimum(path) is None
    else:
        assert optimum(path) == pytest.approx(found.bounds[0])


def test_export_writes_the_level_and_the_objective_that_are_asked_for(tmp_path: Path) -> None:
    pulp_door.export(mixed(), tmp_path / "m.txt", "admitted > nodes", level=1, format="mps")
    assert optimum((tmp_path / "m.txt").rename(tmp_path / "m.mps")) == pytest.approx(1)
    pulp_door.export(mixed(), tmp_path / "m.LP", "admitted")
    assert "x(web,small,stay)" in (tmp_path / "m.LP").read_text()


def test_names_are_readable_unique_and_legal() -> None:
    encoding = encode(Problem(mixed(), read_objective(mixed())), "milp")
    names = column_names(encoding)
    assert len(names) == encoding.model.columns == len(set(names))
    assert all(re.fullmatch(r"[xyz][A-Za-z0-9_.(),]{1,99}", name) for name in names)
    assert {"x(train,H100_x_2,big_0__new_)", "y(tune,A100_x_2)", "x(web,small,stay)"} <= set(names)


def test_long_and_equal_names_stay_apart() -> None:
    tasks = [Task(name="t" * 300 + end, demand={"cpu": i}) for i, end in enumerate("+-", 1)]
    nodes = (Node(name="n", capacity={"cpu": 5}), Node(name="m", capacity={"cpu": 4}))
    instance = Instance(nodes=nodes, tasks=tuple(tasks))
    names = column_names(encode(Problem(instance, read_objective(instance)), "milp"))
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 100


def test_a_wrong_level_or_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptallocError, match="level from 0 to 1"):
        pulp_door.export(mixed(), tmp_path / "m.lp", level=2)
    with pytest.raises(OptallocError, match=r"\.lp or \.mps"):
        pulp_door.export(mixed(), tmp_path / "m.txt")
