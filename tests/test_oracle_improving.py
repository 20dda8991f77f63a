"""Better places: what a trial counts, what is proven of it, and what is of no use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optalloc import Instance, Node, Task, policies, solve
from optalloc.engines.protocol import Clock
from optalloc.instance.errors import OptallocError
from optalloc.oracle import Oracle
from optalloc.oracle.answers import Decision
from optalloc.oracle.bounding import bounds, gaps
from optalloc.oracle.fragmenting import Fragments
from optalloc.oracle.replacing import place_anew
from optalloc.oracle.trying import Trial, levels
from optalloc.verify import verify

OBJECTIVES = ("nodes > power", "power", "peak-load > nodes", "nodes > penalty")
NODES = 5


def cluster(objective: str) -> Instance:
    return Instance(
        nodes=[
            Node(
                name=f"n{i}",
                capacity={"cpu": 8 + 2 * (i % 2)},
                devices=2,
                device="A",
                idle_w=100 + 30 * i,
                full_w=500,
                domains={"rack": f"r{i // 2}"},
            )
            for i in range(NODES)
        ],
        policies=[
            policies.Nodes(),
            policies.Power(),
            policies.PeakLoad(resource="cpu"),
            policies.AssignmentCost(weight=1),
        ],
        objective=objective,
    )


TASKS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([0, 0.5, 1]), st.integers(1, 2), st.booleans()),
    min_size=1,
    max_size=8,
)


def filled(objective: str, tasks: list[tuple[int, float, int, bool]], seed: int) -> Oracle:
    """Tasks placed, then each moved to any place that takes it."""
    oracle, rng = Oracle(cluster(objective)), np.random.default_rng(seed)
    for k, (cpu, device, replicas, near) in enumerate(tasks):
        demand = {"cpu": cpu, **({"device": device} if device else {})}
        within = "rack" if near and replicas > 1 else ""
        oracle.place(Task(name=f"t{k}", demand=demand, replicas=replicas, within=within))
    for name in oracle.tasks():
        if oracle.task(name).replicas == 1:
            for n in rng.permutation(NODES):
                try:
                    oracle.move(Decision(task=name, nodes={f"n{n}": 1}))
                    break
                except OptallocError:
                    continue
    return oracle


def stated(oracle: Oracle) -> dict[str, float]:
    """Value of each level, by the independent checker."""
    instance, placement = oracle.instance()
    objective = oracle.ground.objective
    report = verify(instance, placement, objective)
    assert report.feasible
    return {level.name: level.read(report.values) for level in objective.levels}


FEW = settings(max_examples=30)
CASES = given(st.sampled_from(OBJECTIVES), TASKS, st.integers(0, 99))


@FEW
@CASES
def test_levels_of_counters_differ_as_those_of_the_checker(
    objective: str, tasks: list[tuple[int, float, int, bool]], seed: int
) -> None:
    oracle = filled(objective, tasks, seed)
    assume(oracle.tasks())
    counted, checked = levels(oracle), [*stated(oracle).values()]
    for name in oracle.tasks()[:3]:
        task = oracle.task(name)
        oracle.release(name)
        oracle.place(task)
    quanta = [float(level.quantum) for level in oracle.ground.objective.levels]
    found = [(b - a) * q for a, b, q in zip(counted, levels(oracle), quanta, strict=True)]
    wanted = [b - a for a, b in zip(checked, stated(oracle).values(), strict=True)]
    assert found == pytest.approx(wanted)


@FEW
@CASES
def test_a_trial_taken_back_leaves_all_as_it_was(
    objective: str, tasks: list[tuple[int, float, int, bool]], seed: int
) -> None:
    """Also where the nodes have been closed in between, to which nothing may come."""
    oracle = filled(objective, tasks, seed)
    oracle.close("n0", "n1")
    before, free = oracle.snapshot(), oracle.ground.free()
    counted, trial = levels(oracle), Trial(oracle)
    for name in oracle.tasks():
        if not trial.place_anew(name):
            break
    assert trial.better == (levels(oracle) < counted) or not oracle.tasks()
    trial.back()
    after = oracle.snapshot()
    assert (after.placements, after.devices) == (before.placements, before.devices)
    assert (after.version, levels(oracle)) == (before.version, counted)
    assert (oracle.ground.free() == free).all()


@FEW
@CASES
def test_placing_anew_makes_better_within_the_budget(
    objective: str, tasks: list[tuple[int, float, int, bool]], seed: int
) -> None:
    oracle = filled(objective, tasks, seed)
    assume(oracle.tasks())
    before, trial = levels(oracle), oracle.fork()
    where = {name: oracle.where(name) for name in oracle.tasks()}
    target = place_anew(trial, Clock(60), 4)
    moved = {name for name in where if trial.where(name) != where[name]}
    assert moved == target.keys()
    assert len(moved) <= 4
    assert levels(trial) < before or not target
    stated(trial)


@pytest.mark.parametrize("seconds", [5e-324, 1e-308, 1e-100])
@pytest.mark.parametrize("max_moves", [0, 4])
def test_no_time_for_a_search_is_a_plan_without_moves_and_no_error(
    seconds: float, max_moves: int
) -> None:
    oracle = filled("nodes > power", [(4, 0.5, 1, False), (3, 0, 1, False)], 0)
    plan = oracle.improve(seconds, max_moves)
    assert (plan.moves, plan.before, plan.after) == ((), stated(oracle), stated(oracle))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_placement_passes_the_bounds_and_gaps_are_of_what_runs(
    objective: str, seed: int
) -> None:
    tasks = [(4, 0.5, 1, False), (3, 1, 2, True), (2, 0, 1, False), (5, 0, 1, False)]
    oracle = filled(objective, tasks, seed)
    instance, placement = oracle.instance()
    found = bounds(instance, placement, oracle.ground.objective, 20, 1)
    best = solve(instance, time_limit=20, threads=1)
    first = best.levels[0]
    assert found[first.name] == pytest.approx(first.value)
    now = stated(oracle)
    gap = gaps(now, found, oracle.ground.objective.levels)
    quantum = float(oracle.ground.objective.levels[0].quantum)
    assert first.value is not None
    wanted = (now[first.name] - first.value) / max(quantum, abs(now[first.name]))
    assert gap[first.name] == pytest.approx(wanted)
    assert all(value == 0 for value in [*gap.values()][:-1])


# -- fragmentation ---------------------------------------------------------------------------------


def wasted(oracle: Oracle, tasks: list[Task]) -> float:
    """The share of free devices that the next task cannot use, told by trying, node by node."""
    assert oracle.ground.devices is not None
    lost = total = 0.0
    names = oracle.ground.problem.columns.node_names
    for n, name in enumerate(names):
        if oracle.ground.closed[n]:
            continue
        free = oracle.ground.devices.free[n] / 1000
        total += free.sum()
        for task in tasks:
            fork = oracle.fork()
            fork.close(*(other for other in names if other != name))
            fits = isinstance(fork.place(task)[0], Decision)
            need = task.demand["device"]
            assert isinstance(need, (int, float))
            too_small = free[free < min(need, 1) - 1e-9].sum()
            lost += (too_small if fits else free.sum()) / len(tasks)
    assume(total)
    return float(lost / total)


@FEW
@given(TASKS, st.integers(0, 99), st.lists(st.tuples(st.integers(1, 9), st.sampled_from(
    [0.25, 0.5, 1, 2])), min_size=1, max_size=4, unique=True))  # fmt: skip
def test_fragmentation_is_what_trying_tells(
    tasks: list[tuple[int, float, int, bool]], seed: int, mix: list[tuple[int, float]]
) -> None:
    oracle = filled("nodes", tasks, seed)
    oracle.close("n4")
    expected = [
        Task(name=f"next{k}", demand={"cpu": cpu, "device": device})
        for k, (cpu, device) in enumerate(mix)
    ]
    oracle.check(*expected)
    without = Task(name="none", demand={"cpu": 1})
    fragments = Fragments()
    sample = fragments.take(oracle, [*expected, without])
    assert sample is not None
    assert fragments.share(sample) == pytest.approx(wasted(oracle, expected))


def test_without_devices_or_requests_there_is_no_fragmentation() -> None:
    bare = Oracle(Instance(nodes=[Node(name="a", capacity={"cpu": 4})]))
    assert Fragments().take(bare, []) is None
    oracle = filled("nodes", [], 0)
    sample = Fragments().take(oracle, [])
    assert sample is not None
    assert Fragments().share(sample) is None


def test_fragmentation_forgets_requests_that_come_no_more() -> None:
    oracle = filled("nodes", [], 0)
    fragments = Fragments()
    for cpu in range(1, 6):
        tasks = [Task(name=f"t{cpu}", demand={"cpu": cpu, "device": 1})]
        oracle.check(*tasks)
        sample = fragments.take(oracle, tasks)
        assert sample is not None
        fragments._until = 0.0
        assert fragments.share(sample) is not None
        assert fragments._known.keys() == {Oracle._key(task) for task in tasks}
