"""Response times of requests and power caps of racks: what users state, and what comes back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optalloc import policies as p
from optalloc.engines.greedy_terms import Fold
from optalloc.formulation.shapes import Identity
from optalloc.formulation.terms import Family, Term
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Configuration, Energy, Instance, Lookup, Node, Task
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.metrics import metrics
from optalloc.physics.response import Site, chord_loads, delay_table
from optalloc.solving import solve
from optalloc.verify import verify

ENGINES = ("milp", "cpsat", "greedy", "local", "auto")


def sites(*capacities: float) -> list[Node]:
    """Nodes of one site each."""
    return [
        Node(name=f"n{k}", capacity={"req": c}, domains={"site": f"s{k}"})
        for k, c in enumerate(capacities)
    ]


def placed(instance: Instance, *nodes: int) -> Placement:
    """One replica of each task, on the nodes in order."""
    every = np.arange(len(nodes), dtype=np.int64)
    ones = np.ones(len(nodes), np.int64)
    return Placement.of(ones, every, np.array(nodes, np.int64), ones)


def value_of(instance: Instance, placement: Placement) -> float:
    """Value of the last policy, in its unit."""
    value = verify(instance, placement).values[-1]
    return float(value * instance.policies[-1].quantum(instance.columns))


def test_the_mean_response_time_is_reported() -> None:
    """0.01 s under way and 1 / (100 - 40) s at the node; none where a node is full."""
    for rate, expected in ((40, 0.01 + 1 / 60), (100, None)):
        instance = Instance(
            nodes=sites(100),
            tasks=[Task(name="web", demand={"req": rate}, requests_s=rate, delay_s=0.01)],
            policies=[p.ResponseTime(resource="req")],
        )
        found = metrics(instance, placed(instance, 0)).get("response_s")
        assert found == (None if expected is None else pytest.approx(expected))


# -- limits ------------------------------------------------------------------------------------


def test_a_limit_is_kept_just_where_the_queue_is_fast_enough() -> None:
    """M/M/1: 0.01 s of delay and 1 / (100 - load) s at the node, 0.03 s in all, is a load of 50."""
    limited = Task(name="limited", demand={"req": 10}, requests_s=10, delay_s=0.01, response_s=0.03)
    for more, kept in ((40, True), (41, False)):
        instance = Instance(
            nodes=sites(100),
            tasks=[limited, Task(name="more", demand={"req": more}, requests_s=more)],
            policies=[p.ResponseLimit(resource="req")],
        )
        report = verify(instance, placed(instance, 0, 0))
        assert report.feasible is kept
        answer = Site(100, round_trip_s=0.01).response_s(10 + more)
        assert (answer <= 0.03 * (1 + 1e-9)) is kept
    (breach,) = report.violations
    assert breach.task == "limited"
    assert "within 0.03 s (1 over)" in breach.message


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_keeps_limits_and_caps(engine: str) -> None:
    """Tasks that need a fast answer share a site with few others; racks draw no more than 150 W."""
    nodes = [
        Node(
            name=f"n{k}",
            capacity={"req": 60},
            idle_w=20,
            full_w=120,
            domains={"site": f"s{k}", "rack": f"r{k // 2}"},
        )
        for k in range(4)
    ]
    near = Lookup(by="site", values={"s0": 0.001, "s1": 0.002}, default=0.04)
    tasks = [
        Task(name="fast", demand={"req": 10}, requests_s=10, delay_s=near, response_s=0.04),
        Task(name="slow", demand={"req": 12}, requests_s=6, delay_s=near, response_s=0.2, count=6),
    ]
    instance = Instance(
        nodes=nodes,
        tasks=tasks,
        energy=Energy(share="req"),
        policies=[
            p.ResponseLimit(resource="req"),
            p.PowerCap(scope="rack", watts=150),
            p.ResponseTime(resource="req"),
        ],
        objective="response-time",
    )
    result = solve(instance, engine=engine, time_limit=10, deterministic=engine != "auto")
    assert result.verified
    assert result.terms["response-limit"] == result.terms["power-cap"] == 0
    if engine != "greedy":
        assert result.objective == pytest.approx(solve(instance, engine="cpsat").objective)


def test_a_task_that_no_site_can_answer_in_time_is_named() -> None:
    instance = Instance(
        nodes=sites(100, 20),
        tasks=[
            Task(
                name="camera",
                demand={"req": 10},
                requests_s=10,
                delay_s=Lookup(by="site", values={"s0": 0.05, "s1": 0.001}),
                response_s=0.02,
            )
        ],
        policies=[p.ResponseLimit(resource="req")],
    )
    result = solve(instance)
    assert result.status == "infeasible"
    (reason,) = result.reasons
    assert reason.task == "camera"
    assert "1 node: too far away to answer within 0.02 s, however fast it is" in reason.message
    assert "1 node: too slow in req to answer within 0.02 s" in reason.message


# -- mean response time ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [0.02, 0.1])
def test_requests_under_way_are_those_of_the_queue(error: float) -> None:
    """Up to the stated error and three digits, at any load up to 63/64 of the capacity."""
    policy = p.ResponseTime(resource="req", error=error)
    for load in [*range(1, 1000, 37), 984]:
        task = Task(name="t", demand={"req": load}, requests_s=load, delay_s=0.01)
        instance = Instance(nodes=sites(1000), tasks=[task], policies=[policy])
        truth = load * 0.01 + load / (1000 - load)
        found = value_of(instance, placed(instance, 0))
        assert truth * 0.995 <= found <= truth * (1 + error) * 1.005


def test_the_line_is_the_curve_itself_at_whole_loads_of_a_small_capacity() -> None:
    policy = p.ResponseTime(resource="req")
    for load in range(5):
        task = Task(name="t", demand={"req": load}, requests_s=1)
        instance = Instance(nodes=sites(5), tasks=[task], policies=[policy])
        found = value_of(instance, placed(instance, 0))
        assert found == pytest.approx(load / (5 - load), rel=5e-3)


def test_chords_are_as_near_as_they_say() -> None:
    for capacity, error in ((7, 0.02), (1000, 0.02), (100_000, 0.3)):
        loads = np.array(chord_loads(capacity, error, 63 / 64))
        curve = loads / (capacity - loads)
        every = np.arange(1, loads[-1] + 1)
        truth = every / (capacity - every)
        chord = np.interp(every, loads, curve)
        assert np.all(chord >= truth * (1 - 1e-12))
        assert np.all(chord <= truth * (1 + error) + 1e-12)
        assert np.all(np.diff(loads) > 0)
        assert loads.size < 64


def test_a_table_of_delays_is_what_sites_say() -> None:
    near, far = Site(100, 0.001, up=1e6, down=2e6), Site(100, 0.02, up=1e6, down=2e6)
    table = delay_table("site", {"s0": near, "s1": far}, 1000, 4000)
    assert table.values == {"s0": pytest.approx(0.004), "s1": pytest.approx(0.023)}


# -- power caps --------------------------------------------------------------------------------


def test_a_rack_draws_for_the_replicas_that_it_has() -> None:
    """A gang of three at 90 W has one replica in r0 and two in r1, beside 50 W of each node."""
    nodes = [
        Node(name=f"n{k}", capacity={"gpu": 2}, idle_w=50, domains={"rack": f"r{k}"})
        for k in range(2)
    ]
    rows = [Configuration(name="three", replicas=3, watts=90)]
    task = Task(name="t", demand={"gpu": 1}, configurations=rows)
    cases: list[tuple[float | dict[str, float], float]] = [
        ({"r0": 80, "r1": 110}, 0),
        ({"r0": 79.5, "r1": 100}, 10.5),
        (90, 20),
    ]
    for watts, over in cases:
        policy = p.PowerCap(scope="rack", watts=watts)
        instance = Instance(nodes=nodes, tasks=[task], policies=[policy])
        one, two = np.array([1], np.int64), np.array([1, 2], np.int64)
        placement = Placement.of(one, np.zeros(2, np.int64), np.array([0, 1], np.int64), two)
        assert value_of(instance, placement) == over


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "task", "path"),
    [
        (p.ResponseLimit(resource="gpu"), {}, "policies[0].resource"),
        (p.ResponseTime(resource="req"), {"requests_s": 0}, "policies[0]"),
        (p.ResponseTime(resource="req", error=0), {}, "policies[0].error"),
        (p.ResponseTime(resource="req", error=1), {}, "policies[0].error"),
        (p.PowerCap(scope="rack", watts=1), {}, "policies[0].scope"),
        (p.PowerCap(scope="site", watts={"s9": 1}), {}, "policies[0].watts.s9"),
        (p.PowerCap(scope="node", watts={"n0": -1}), {}, "policies[0].watts.n0"),
        (p.PowerCap(scope="site", watts=float("nan")), {}, "policies[0].watts"),
        (p.Nodes(), {"requests_s": 0, "response_s": 1}, "tasks[0].requests_s"),
        (p.Nodes(), {"requests_s": -1}, "tasks[0].requests_s"),
        (p.Nodes(), {"delay_s": -1}, "tasks[0].delay_s"),
        (p.Nodes(), {"delay_s": "far"}, "tasks[0].delay_s"),
        (p.Nodes(), {"delay_s": Lookup(by="site", values={"s0": -1})}, "tasks[0].delay_s"),
        (p.Nodes(), {"response_s": 0}, "tasks[0].response_s"),
    ],
)
def test_bad_input_is_told_with_its_path(policy: Policy, task: dict[str, Any], path: str) -> None:
    stated = {"requests_s": 1} | task
    with pytest.raises(InstanceError) as caught:
        Instance(
            nodes=sites(10, 10),
            tasks=[Task(name="t", demand={"req": 1}, **stated)],
            policies=[policy],
        )
    assert any(found.startswith(path) for found, _ in caught.value.problems)


# -- folds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduce", ["max", "min"])
def test_a_fold_follows_its_members_up_and_down(reduce: Any) -> None:
    """What single changes would do, and what they do, is what a fold made afresh says."""
    random = np.random.default_rng(1)
    y, owner = random.integers(0, 5, 12), np.arange(12) % 3
    factor = random.integers(1, 4, 12)
    term = Term(Family(y.copy()), Identity(), factor, owner, 3, reduce=reduce)
    fold = Fold.of(term, y)
    for _ in range(40):
        index = random.choice(12, 4, replace=False)
        more = random.integers(-3, 4, 4)
        alone = fold.change(index, y[index] + more)
        for i, step, change in zip(index, more, alone, strict=True):
            other = y.copy()
            other[i] += step
            fresh = Fold.of(term, other)
            assert change == fold.sign * (fresh.top - fold.top)[owner[i]]
        changed, owners = fold.go(index, y[index] + more)
        before = np.array([Fraction(0)] * 3)
        before[owners] = changed
        y[index] += more
        assert np.array_equal(fold.top, Fold.of(term, y).top)
