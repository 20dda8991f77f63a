"""The local search as an engine, and closed-form bounds, on instances that are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_solving import knapsacks

from optalloc import policies as rules
from optalloc.engines.local import annealing
from optalloc.engines.local.loading import load_tables
from optalloc.engines.local.placed import Placed, focus
from optalloc.engines.protocol import Clock, Job
from optalloc.formulation.bounding import level_bounds
from optalloc.formulation.problem import Problem
from optalloc.instance.files import load_instance
from optalloc.instance.model import Configuration, Group, Instance, Node, Resource, Task
from optalloc.objective import read_objective
from optalloc.solving import solve

SHIPPED = sorted((Path(__file__).parents[1] / "instances").glob("*/instance.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_proven_optimum_keeps_the_bounds_and_has_the_same_values_in_tables(path: Path) -> None:
    instance = load_instance(path)
    problem = Problem(instance, read_objective(instance))
    best = solve(instance, deterministic=True)
    assert best.status == "optimal"
    assert best.placement is not None
    loaded = load_tables(problem)
    values = loaded.values(best.placement)
    assert values is not None
    levels = zip(problem.objective.levels, best.levels, level_bounds(problem), strict=True)
    for k, (level, found, bound) in enumerate(levels):
        sign = 1 if level.sense == "min" else -1
        value = loaded.model.level_value_at(k, values)
        assert level.stated(sign * value) == found.value
        assert bound is None or bound <= value


def test_the_local_search_finds_the_same_placement_again_and_none_below_the_optimum() -> None:
    instance = knapsacks()
    first, second = (solve(instance, engine="local", deterministic=True) for _ in range(2))
    best = solve(instance, deterministic=True)
    assert first.status == "feasible"
    assert first.assignment == second.assignment
    assert first.objective is not None
    assert best.objective is not None
    assert first.objective >= best.objective


def test_the_result_says_how_many_moves_were_evaluated() -> None:
    result = solve(knapsacks(), engine="local", deterministic=True)
    effort = result.search
    assert effort is not None
    assert effort.evaluations > effort.early > 0
    assert effort.evaluations - effort.early >= effort.moves > 0
    assert effort.per_second > 0
    assert result.summary()["search"]["evaluations"] == effort.evaluations
    assert solve(knapsacks(), engine="milp", deterministic=True).search is None


def test_a_record_that_is_not_what_the_placement_says_is_found_out() -> None:
    instance = knapsacks()
    problem = Problem(instance, read_objective(instance))
    best = solve(instance, deterministic=True).placement
    assert best is not None
    loaded = load_tables(problem)
    placed = Placed(loaded.model, 0, loaded.values(best))
    placed.recheck()
    placed.state.total[0] += 1
    with pytest.raises(AssertionError, match="total"):
        placed.recheck()


def test_a_missing_dependency_breaks_the_rule_once_for_every_replica_that_wants_it() -> None:
    nodes = [Node(name=f"n{i}", device="x", domains={"rack": f"r{i}"}) for i in range(2)]
    ways = (Configuration(device="x"),)
    tasks = [Task(name=f"g{i}", configurations=ways, groups=("g",)) for i in range(3)]
    tasks.append(Task(name="h0", configurations=ways, groups=("h",)))
    instance = Instance(
        nodes=nodes,
        tasks=tasks,
        groups=[Group(name=name) for name in "gh"],
        policies=[rules.Dependency(scope="rack", pairs=(("g", "h"),))],
    )
    model = load_tables(Problem(instance, read_objective(instance))).model
    together, apart, some = [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 1]
    broken = [
        Placed(model, 0, np.array([0, 0, 0, 1, *where])).state.violation[0]
        for where in (together, apart, some)
    ]
    assert broken == [0, 3, 2]


def test_the_debug_mode_checks_every_move(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    monkeypatch.setattr(annealing, "DEBUG", True)
    monkeypatch.setattr(Placed, "recheck", lambda placed: checked.append(placed.walk.taken.sum()))
    instance = knapsacks()
    tables = focus(load_tables(Problem(instance, read_objective(instance))).model, 0, ())
    found = annealing.Annealing(tables, Job(deterministic=True), None, lambda _: None).run(
        Clock(float("inf"))
    )
    assert found is not None
    assert checked[-1] > 0
    # Of one turn to the next there is at most one move that is not checked.
    assert np.diff(checked).max() <= 1


def test_a_run_ends_somewhat_colder_than_where_a_pilot_took_no_more_than_when_coldest() -> None:
    temperatures = np.geomspace(1.0, annealing.COLDEST, 91)
    thawed_to = temperatures[50]
    shares = np.where(temperatures >= thawed_to, 0.1, 0.006)
    end = annealing.frozen(list(zip(temperatures, shares, strict=True)))
    assert end == pytest.approx(annealing.MARGIN * thawed_to)


def test_a_run_ends_within_its_limits_whatever_a_pilot_took() -> None:
    frozen_at_once = [(1.0, 0.0), (annealing.COLDEST, 0.0)]
    never_frozen = [(1.0, 0.5), (0.5, 0.5), (annealing.COLDEST, 0.2), (annealing.COLDEST, 0.0)]
    assert annealing.frozen(frozen_at_once) == annealing.WARMEST_END
    assert annealing.frozen([(1.0, 0.5), (1e-6, 0.4)]) == pytest.approx(1e-6 * annealing.MARGIN)
    assert annealing.frozen(never_frozen) >= annealing.COLDEST
    assert annealing.frozen([]) == annealing.COLDEST


@pytest.mark.parametrize("better", annealing.HOLDING)
def test_room_held_twice_has_the_price_with_which_a_trial_ended_best(
    better: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def energy(search: annealing.Annealing) -> float:
        tried.append(search.holding)
        return 0.0 if search.holding == better else 1.0

    monkeypatch.setattr(annealing.Annealing, "_energy", energy)
    monkeypatch.setattr(annealing, "TURNS_WITHOUT_CLOCK", 100_000)
    nodes = [Node(name=f"n{i}", capacity={"cpu": 6}) for i in range(2)]
    tasks = [Task(name=f"t{i}", demand={"cpu": 2}, current="n0") for i in range(3)]
    held = Instance(
        nodes=nodes,
        tasks=tasks,
        resources={"cpu": Resource(transient=True)},
        policies=[rules.PeakLoad(resource="cpu", weight=1)],
    )
    for instance, prices in ((held, annealing.HOLDING), (knapsacks(), annealing.HOLDING[:1])):
        tables = focus(load_tables(Problem(instance, read_objective(instance))).model, 0, ())
        tried.clear()
        search = annealing.Annealing(tables, Job(deterministic=True), None, lambda _: None)
        assert search.run(Clock(float("inf"))) is not None
        assert tuple(tried) == prices
        assert search.holding == (better if len(prices) > 1 else prices[0])


@pytest.mark.parametrize(("demand", "least", "most"), [(5.0, 0.0, 0.0), (5.001, 1 / 8, 1 / 4)])
def test_next_to_no_excess_of_a_node_breaks_a_rule_as_clearly_as_some(
    demand: float, least: float, most: float
) -> None:
    ways = (Configuration(device="x", demand={"memory": demand}),)
    instance = Instance(
        nodes=[Node(name="n", device="x", capacity={"memory": 10.0})],
        tasks=[Task(name=f"t{i}", configurations=ways) for i in range(2)],
    )
    model = load_tables(Problem(instance, read_objective(instance))).model
    placed = Placed(model, 0, np.array([0, 0, 0, 0]))
    assert least <= placed.state.violation[0] <= most
    placed.recheck()
