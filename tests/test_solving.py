"""`solve` as its users see it: status, proof, limits, starts, interruptions."""

from __future__ import annotations

from dataclasses import replace
from shutil import which
from typing import Any

import numpy as np
import pytest

from optalloc import (
    Configuration,
    EngineFailure,
    Group,
    Instance,
    Node,
    OptallocError,
    Resource,
    Task,
)
from optalloc.formulation.model import ModelTooLarge
from optalloc.generators import generate
from optalloc.instance.placement import Placement
from optalloc.policies import Moves, Spread, TaskMoveCost
from optalloc.solving import Progress, solve
from optalloc.verify import verify


def stated(**fields: Any) -> Instance:
    """Make an instance from lists, as users do."""
    return Instance(**fields)


def knapsacks(tasks: int = 12, nodes: int = 3, seed: int = 0) -> Instance:
    """A small generalised assignment problem with room to spare."""
    rng = np.random.default_rng(seed)
    return stated(
        nodes=[Node(name=f"n{i}", capacity={"cpu": 8 * tasks // nodes}) for i in range(nodes)],
        tasks=[
            Task(
                name=f"t{i}",
                demand={"cpu": int(rng.integers(2, 9))},
                cost=tuple(rng.integers(10, 60, nodes).tolist()),
            )
            for i in range(tasks)
        ],
        objective="assignment-cost",
    )


@pytest.mark.parametrize("engine", ["auto", "milp", "cpsat"])
def test_every_exact_engine_proves_the_same_optimum(engine: str) -> None:
    result = solve(knapsacks(), engine=engine)
    assert result.status == "optimal"
    assert result.stopped_by == "proof"
    assert result.gap == 0
    assert result.objective == solve(knapsacks(), engine="milp", deterministic=True).objective


def test_a_deterministic_run_gives_the_same_placement_again() -> None:
    first, second = (solve(knapsacks(seed=3), deterministic=True) for _ in range(2))
    assert first.assignment == second.assignment


def test_greedy_answers_without_a_bound() -> None:
    result = solve(knapsacks(), engine="greedy")
    assert result.status == "feasible"
    assert result.bound is None
    assert result.engine == "greedy"
    assert result.placement is not None
    assert verify(result.instance, result.placement).feasible


def test_greedy_keeps_a_budget_of_moves_and_a_spread() -> None:
    instance = stated(
        nodes=[Node(name=f"n{i}", capacity={"cpu": 4}, domains={"rack": f"r{i}"}) for i in (0, 1)],
        tasks=[
            Task(name="old", demand={"cpu": 1}, current="n0", count=2),
            Task(name="pair", demand={"cpu": 1}, replicas=2, groups=("web",)),
        ],
        groups=[Group(name="web")],
        policies=[Moves(at_most=0), Spread(scope="rack", domains=2)],
        objective="nodes",
    )
    assert solve(instance, engine="greedy").status == "feasible"


def test_levels_are_proven_in_order() -> None:
    table: Any = [Configuration(device="a", replicas=r, throughput=10 * r, watts=r) for r in (1, 2)]
    instance = stated(
        nodes=[Node(name="a", device="a", devices=2, idle_w=5, full_w=9, count=2)],
        tasks=[Task(name="job", configurations=table, count=2, required=False)],
        objective="throughput > power",
    )
    result = solve(instance)
    assert [level.proven for level in result.levels] == [True, True]
    assert [level.value for level in result.levels] == [2, 14]


def test_values_too_large_for_the_unit_of_a_float_are_proven() -> None:
    """Joules in millionths add up to 6e13, of which HiGHS computes a bound one unit too high."""
    result = solve(generate("hpc-centre", 18, 5, 10), threads=1)
    assert result.status == "optimal"
    assert all(level.bound == level.value for level in result.levels)


def test_max_min_is_followed_by_the_sum() -> None:
    table: Any = [Configuration(device="a", replicas=r, throughput=r) for r in (1, 2, 3)]
    instance = stated(
        nodes=[Node(name="a", device="a", devices=5)],
        tasks=[Task(name="job", configurations=table, count=2)],
        objective="max-min",
    )
    result = solve(instance)
    assert [level.name for level in result.levels] == ["max-min", "throughput"]
    assert result.levels[0].value == pytest.approx(2 / 3, rel=1e-5)
    assert result.levels[1].value == pytest.approx(5 / 3, rel=1e-5)


def test_an_instance_without_tasks_is_optimal() -> None:
    result = solve(stated(nodes=[Node(name="n")], objective="nodes"))
    assert result.status == "optimal"
    assert result.objective == 0


def test_identical_nodes_and_tasks_are_merged_and_expand() -> None:
    instance = stated(
        nodes=[Node(name="n", capacity={"gpu": 4}, count=1000)],
        tasks=[Task(name="t", demand={"gpu": 1}, count=3000)],
        objective="nodes",
    )
    result = solve(instance)
    assert result.status == "optimal"
    assert result.objective == 750
    assert len(result.assignment) == 3000


def test_a_warm_start_is_used_and_a_bad_one_dropped() -> None:
    instance = knapsacks()
    best = solve(instance).placement
    assert best is not None
    seen: list[Progress] = []
    solve(instance, warm_start=best, on_progress=seen.append)
    assert seen[0].engine == "warm start"
    everything_on_one = Placement.of(best.chosen, best.row, np.zeros_like(best.node), best.replicas)
    result = solve(instance, warm_start=everything_on_one)
    assert result.status == "optimal"
    assert result.rejected == 0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chosen": np.ones(11, np.int64)}, r"array chosen: shape \(11,\), expected \(12,\)"),
        ({"node": np.full(12, 3)}, "node 3, expected .* below 3"),
        ({"row": np.full(12, -1)}, "row -1 on node .* of a row below 12"),
        ({"replicas": [1] * 12}, "array replicas: expected an array, got list"),
    ],
)
def test_a_warm_start_of_another_instance_is_refused(
    changes: dict[str, Any], expected: str
) -> None:
    instance = knapsacks()
    start = solve(instance, engine="greedy").placement
    assert start is not None
    with pytest.raises(OptallocError, match=f"warm_start: .* of this instance; .*{expected}"):
        solve(instance, warm_start=replace(start, **changes))


@pytest.mark.parametrize("engine", ["milp", "lns"])
def test_an_engine_that_crashes_is_told_from_bad_input(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing else found an answer; where something did, the failure is noted."""
    monkeypatch.setattr("sys.executable", which("false"))
    if engine == "milp":
        with pytest.raises(EngineFailure, match=r"milp failed: exit code 1"):
            solve(knapsacks(), engine=engine)
    else:
        result = solve(knapsacks(), engine=engine)
        assert result.verified
        assert "lns failed" in result.failures[0]


def test_a_model_with_too_large_numbers_is_no_failure_of_an_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(*_: object) -> None:
        raise ModelTooLarge("state coarser quanta")

    monkeypatch.setattr("optalloc.formulation.sparse._check_size", too_large)
    with pytest.raises(OptallocError, match="coarser quanta") as caught:
        solve(knapsacks(), engine="milp")
    assert not isinstance(caught.value, EngineFailure)


def test_what_runs_now_is_the_first_answer() -> None:
    instance = stated(
        nodes=[Node(name="a", capacity={"cpu": 2}), Node(name="b", capacity={"cpu": 2})],
        tasks=[Task(name="t", demand={"cpu": 1}, current="a", count=2)],
        policies=[TaskMoveCost(weight=1)],
    )
    seen: list[Progress] = []
    assert solve(instance, on_progress=seen.append).objective == 0
    assert seen[0].engine == "current placement"


def test_transient_capacity_forbids_a_swap_that_would_fit_afterwards() -> None:
    full: Any = {"disk": 2}
    tasks = [
        Task(name="x", demand={"disk": 2}, current="a", allow={"node": ("b",)}),
        Task(name="y", demand={"disk": 2}, current="b", allow={"node": ("a",)}),
    ]
    nodes = [Node(name="a", capacity=full), Node(name="b", capacity=full)]
    plain = stated(nodes=nodes, tasks=tasks, resources={"disk": Resource()})
    moving = stated(nodes=nodes, tasks=tasks, resources={"disk": Resource(transient=True)})
    assert solve(plain).status == "optimal"
    assert solve(moving).status == "infeasible"


def test_an_interruption_returns_the_best_answer_so_far() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.engine:
            raise KeyboardInterrupt

    result = solve(knapsacks(), on_progress=interrupt)
    assert result.stopped_by == "interrupted"
    assert result.verified


@pytest.mark.parametrize("interrupted", [True, False])
def test_an_interruption_while_a_solver_is_imported_is_one_too(
    interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extension modules turn it into an error of the import; other such errors are told as such."""

    def importing(*_: object) -> None:
        cause = KeyboardInterrupt() if interrupted else None
        raise ImportError("initialization failed") from cause

    monkeypatch.setattr("optalloc.engines.auto.Run._run", importing)
    if not interrupted:
        with pytest.raises(ImportError, match="initialization"):
            solve(knapsacks())
        return
    result = solve(knapsacks())
    assert (result.stopped_by, result.verified) == ("interrupted", True)


def test_an_interruption_without_an_answer_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("optalloc.engines.auto.Run.solve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        solve(knapsacks())


def test_a_model_beyond_the_memory_limit_is_not_started() -> None:
    result = solve(knapsacks(), engine="milp", memory_limit=1)
    assert result.stopped_by == "memory"
    assert result.bound is None


def test_partial_places_what_fits_and_names_the_rest() -> None:
    instance = stated(
        nodes=[Node(name="a", capacity={"cpu": 4})],
        tasks=[Task(name=f"t{i}", demand={"cpu": 3}) for i in range(2)],
    )
    whole, part = solve(instance), solve(instance, partial=True)
    assert whole.status == "infeasible"
    assert whole.reasons
    assert len(part.assignment) == 1
    assert len(part.reasons) == 1
    assert "cpu" in part.reasons[0].message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"engine": "none"}, "no engine 'none'"),
        ({"objective": "speed"}, "expected one of"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], expected: str) -> None:
    with pytest.raises(OptallocError, match=expected):
        solve(knapsacks(), **options)  # type: ignore[arg-type]


def test_the_log_of_the_solver_comes_on_request() -> None:
    assert "HiGHS" in solve(knapsacks(), engine="milp", deterministic=True, log=True).log
    assert not solve(knapsacks(), engine="milp", deterministic=True).log
