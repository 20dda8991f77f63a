"""Simulations: known answers by hand, an independent simulator, and laws on random traces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optalloc import Configuration, Instance, Node, OptallocError, Task
from optalloc.instance.errors import InstanceError
from optalloc.oracle import Decision, Oracle
from optalloc.policies import PowerCap
from optalloc.simulation import Job, Series, Simulation, Spread, Trace, simulate
from optalloc.simulation.ledger import Ledger
from optalloc.simulation.replay import Progress
from optalloc.verify import verify

ONE = Instance(nodes=[Node(name="n", capacity={"cpu": 4})])


def job(name: str, cpu: float, arrival: float, seconds: float | None, priority: float = 0) -> Job:
    task = Task(name=name, demand={"cpu": cpu})
    return Job(task=task, arrival_s=arrival, duration_s=seconds, priority=priority)


def times(found: Simulation) -> dict[str, tuple[float | None, float | None]]:
    return {one.name: (one.start_s, one.finish_s) for one in found.jobs}


# --- by hand -------------------------------------------------------------------------------------

BLOCKED = Trace(
    jobs=[job("a", 3, 0, 10), job("b", 4, 1, 5), job("c", 1, 2, 20), job("d", 2, 3, 4, priority=1)]
)
"""b does not fit beside a; c does; d does not fit beside a and c, and is more urgent."""


def test_later_jobs_run_where_earlier_ones_do_not_fit() -> None:
    found = simulate(ONE, BLOCKED)
    assert times(found) == {"a": (0, 10), "c": (2, 22), "d": (10, 14), "b": (22, 27)}


def test_nobody_overtakes_where_the_order_is_strict() -> None:
    found = simulate(ONE, BLOCKED, strict=True)
    assert times(found) == {"a": (0, 10), "b": (10, 15), "c": (15, 35), "d": (15, 19)}


def test_urgent_jobs_come_first() -> None:
    found = simulate(ONE, BLOCKED, order="priority", strict=True)
    assert times(found) == {"a": (0, 10), "d": (10, 14), "b": (14, 19), "c": (19, 39)}


def test_jobs_of_one_moment_are_asked_for_in_the_order_of_the_trace() -> None:
    """Those that leave at that moment make room before."""
    trace = Trace(jobs=[job("a", 4, 5, 5), job("b", 4, 0, 5), job("c", 4, 5, 5)])
    assert times(simulate(ONE, trace)) == {"b": (0, 5), "a": (5, 10), "c": (10, 15)}


def test_arrivals_come_faster_and_durations_stay() -> None:
    trace = Trace(jobs=[job("a", 1, 0, 10), job("b", 1, 8, 10)])
    assert times(simulate(ONE, trace, speed=4)) == {"a": (0, 10), "b": (2, 12)}


def test_a_job_that_fits_no_empty_cluster_is_rejected_and_blocks_nobody() -> None:
    trace = Trace(jobs=[job("big", 5, 0, 1), job("a", 4, 0, 1)])
    found = simulate(ONE, trace, strict=True)
    big, a = found.jobs
    assert (big.state, big.reason) == ("rejected", "1 node: 1 cpu short (need 5, largest free 4)")
    assert (a.start_s, found.count("done")) == (0, 1)


def test_jobs_without_duration_stay_and_others_wait_in_vain() -> None:
    found = simulate(ONE, Trace(jobs=[job("a", 3, 0, None), job("b", 2, 4, 1)]))
    assert [one.state for one in found.jobs] == ["running", "waiting"]
    assert found.allocation == {"cpu": 0.75}
    assert (found.makespan_s, found.waiting_s.count, found.completion_s.count) == (4, 1, 0)


FAST_AND_SLOW = Instance(
    nodes=[
        Node(name="fast", device="F", devices=1, idle_w=100),
        Node(name="slow", device="S", devices=1, idle_w=50),
    ],
    configurations={
        "table": [
            Configuration(device="F", throughput=4, watts=200),
            Configuration(device="S", throughput=1, watts=20),
        ]
    },
    objective="throughput",
)


def work(name: str, samples: float, arrival: float = 0) -> Job:
    task = Task(name=name, configurations="table", work=samples)
    return Job(task=task, arrival_s=arrival)


def test_work_takes_as_long_as_its_configuration_says_and_energy_is_watts_over_time() -> None:
    found = simulate(FAST_AND_SLOW, Trace(jobs=[work("a", 40), work("b", 30), work("c", 20)]))
    assert times(found) == {"a": (0, 10), "b": (0, 30), "c": (10, 15)}
    # The fast node runs a and c for 15 s, the slow one b for 30 s.
    assert found.energy_j == 15 * (100 + 200) + 30 * (50 + 20)
    assert found.energy_kwh == found.energy_j / 3.6e6
    assert list(found.series.time_s) == [0, 10, 15, 30]
    assert list(found.series.watts) == [370, 370, 70, 0]
    assert found.allocation == {"device": pytest.approx((15 * 1 + 15 * 0.5) / 30)}
    assert found.allocation_loaded == {"device": 1}


def test_what_moves_to_a_faster_node_ends_earlier() -> None:
    trace = Trace(jobs=[work("a", 40), work("b", 30)])
    found = simulate(FAST_AND_SLOW, trace, improve_every=12, max_moves=2)
    # b has done 12 samples on the slow node when it moves; the other 18 take 4.5 s.
    assert times(found) == {"a": (0, 10), "b": (0, 16.5)}
    assert (found.moves, found.jobs[1].nodes, found.jobs[1].moves) == (1, {"fast": 1}, 1)
    assert found.energy_j == 10 * 370 + 2 * 70 + 4.5 * 300
    assert found.series.time_s[-1] == 16.5


def test_idle_watts_of_shares_are_counted_by_replicas() -> None:
    """A task without a table draws its share of what its node draws beyond idling."""
    nodes = [Node(name="n", capacity={"cpu": 4}, idle_w=100, full_w=300)]
    cluster = Instance(nodes=nodes, energy={"share": "cpu"})  # type: ignore[arg-type]
    found = simulate(cluster, Trace(jobs=[job("a", 1, 0, 10), job("b", 2, 5, 10)]))
    assert found.energy_j == 5 * 150 + 5 * 250 + 5 * 200


def test_an_empty_trace_is_nothing() -> None:
    found = simulate(ONE, Trace())
    assert (found.jobs, found.makespan_s, found.energy_j, found.allocation) == ((), 0, 0, {})
    assert found.waiting_s == Spread()
    assert found.summary()["jobs"]["all"] == 0


def test_percentiles_are_numbers_that_there_are() -> None:
    spread = Spread.of(range(1, 101))
    assert (spread.p50, spread.p90, spread.p99, spread.most) == (50, 90, 99, 100)
    assert spread.mean == 50.5


def test_means_over_time_end_where_they_are_told_to() -> None:
    series = Series(time_s=(0.0, 2.0, 10.0))
    assert series.mean((1.0, 0.0, 5.0)) == 0.2
    assert series.mean((1.0, 0.0, 5.0), until=4.0) == 0.5


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "lifo"}, "expected an order .*fifo.*, got 'lifo'"),
        ({"speed": 0}, "expected speed above 0, got 0"),
        ({"speed": float("inf")}, "expected speed above 0, got inf"),
        ({"improve_every": -1}, "expected improve_every above 0, got -1"),
        ({"policy": "nonsense"}, "expected a placement policy"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptallocError, match=message):
        simulate(ONE, BLOCKED, **options)


def test_problems_of_tasks_are_told_of_the_first_job_that_has_them() -> None:
    jobs = [job("a", 1, 0, 1), *(Job(task=Task(name=n, demand={"gpu": 1})) for n in "bc")]
    with pytest.raises(InstanceError) as caught:
        simulate(ONE, Trace(jobs=jobs))
    ((path, _),) = caught.value.problems
    assert path.startswith("jobs[1].task.demand")
    assert caught.value.source == "the trace"


def test_work_without_a_rate_is_refused() -> None:
    trace = Trace(jobs=[job("a", 1, 0, 1), Job(task=Task(name="b", demand={"cpu": 1}, work=3))])
    with pytest.raises(InstanceError, match=r"jobs\[1\]\.task\.work: expected configurations"):
        simulate(ONE, trace)


def test_a_table_that_the_instance_has_is_refused() -> None:
    tables = {"table": FAST_AND_SLOW.configurations["table"]}
    with pytest.raises(InstanceError, match=r"configurations\.table: expected the name"):
        simulate(FAST_AND_SLOW, Trace(configurations=tables, jobs=[work("a", 1)]))


# --- laws ----------------------------------------------------------------------------------------

RACKS = ("r0", "r1")


@st.composite
def clusters(draw: st.DrawFn) -> Instance:
    """Nodes with CPUs and devices in two racks, sometimes with a cap on the racks' watts."""
    nodes = [
        Node(
            name=f"n{k}",
            capacity={"cpu": draw(st.integers(2, 6))},
            device="D",
            devices=draw(st.integers(int(k == 0), 3)),
            idle_w=10,
            full_w=40,
            domains={"rack": RACKS[k % 2]},
        )
        for k in range(draw(st.integers(1, 4)))
    ]
    caps = [PowerCap(scope="rack", watts={"r0": 45})] if draw(st.booleans()) else []
    return Instance(
        nodes=nodes,
        resources={"cpu": {}},  # type: ignore[dict-item]
        energy={"share": "cpu"},  # type: ignore[arg-type]
        policies=caps,
        objective=draw(st.sampled_from(["admitted", "nodes", "power"])),
    )


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Single jobs and gangs, with shares of devices; some never leave, some fit nowhere."""
    jobs = []
    for k in range(draw(st.integers(1, 14))):
        demand: dict[str, float] = {"cpu": draw(st.integers(1, 4))}
        if draw(st.booleans()):
            demand["device"] = draw(st.sampled_from([0.3, 0.5, 1, 2]))
        gang = draw(st.integers(0, 4)) == 0
        within = draw(st.sampled_from(["", "rack"])) if gang else ""
        task = Task(name=f"j{k}", demand=demand, replicas=2 if gang else 1, within=within)
        jobs.append(
            Job(
                task=task,
                arrival_s=draw(st.integers(0, 12)),
                duration_s=draw(st.sampled_from([0, 1, 3, 3, 7, 11, None])),
                priority=draw(st.integers(0, 2)),
            )
        )
    return Trace(jobs=jobs)


POLICIES = ("", "best-fit", "spread", "gang > fragmentation")


class Watch:
    """Copies of all states that a simulation went through."""

    def __init__(self) -> None:
        self.states: list[tuple[float, Oracle]] = []

    def __call__(self, oracle: Oracle, now: float) -> None:
        if self.states and self.states[-1][0] == now:
            self.states.pop()
        self.states.append((now, oracle.fork()))


def waits_at(found: Simulation, now: float) -> list[str]:
    """Jobs that wait right after a moment."""
    return [
        one.name
        for one in found.jobs
        if one.arrival_s <= now
        and one.state != "rejected"
        and (one.start_s is None or one.start_s > now)
    ]


@settings(max_examples=60)
@given(clusters(), traces(), st.sampled_from(POLICIES), st.sampled_from(["fifo", "priority"]))
def test_laws_of_simulations(cluster: Instance, trace: Trace, policy: str, order: str) -> None:
    """No job is lost, none waits that fits, every state keeps all rules, nothing is random."""
    watch = Watch()
    found = simulate(cluster, trace, policy, order=order, look=watch)
    tasks = {one.task.name: one.task for one in trace.jobs}
    assert [one.name for one in found.jobs] == [one.task.name for one in trace.jobs]
    counts = [found.count(state) for state in ("done", "running", "waiting", "rejected")]
    assert sum(counts) == len(trace.jobs)
    for stated, one in zip(trace.jobs, found.jobs, strict=True):
        if one.start_s is None:
            assert one.state in ("waiting", "rejected")
            continue
        assert one.start_s >= one.arrival_s
        if stated.duration_s is None:
            assert one.state == "running"
        else:
            assert one.finish_s == one.start_s + stated.duration_s
    for moment, oracle in watch.states:
        assert verify(*oracle.instance()).feasible
        for name in waits_at(found, moment):
            (answer,) = oracle.fork().place(tasks[name])
            assert not isinstance(answer, Decision)
    assert simulate(cluster, trace, policy, order=order) == found


@settings(max_examples=60)
@given(clusters(), traces())
def test_figures_over_time_follow_from_the_jobs(cluster: Instance, trace: Trace) -> None:
    """Energy, use and queue, computed again from the jobs' own records."""
    found = simulate(cluster, trace)
    end = found.series.time_s[-1]
    nodes = {node.name: node for node in cluster.nodes}
    tasks = {one.task.name: one.task for one in trace.jobs}
    ran = [
        (one, one.start_s, end if one.finish_s is None else one.finish_s)
        for one in found.jobs
        if one.start_s is not None
    ]
    moments = sorted({time for _, *ends in ran for time in ends} | {end})
    joules = used = 0.0
    for low, high in pairwise(moments):
        here = [one for one, start, finish in ran if start <= low and finish >= high]
        on = {name for one in here for name in one.nodes}
        watts = sum(nodes[name].idle_w for name in on)
        for one in here:
            cpu = float(tasks[one.name].demand["cpu"])  # type: ignore[arg-type]
            for name, replicas in one.nodes.items():
                node = nodes[name]
                full = node.full_w - node.idle_w
                watts += full * cpu * replicas / node.capacity["cpu"]
                used += cpu * replicas * (high - low)
        joules += watts * (high - low)
    # Watts of shares are rounded up to quanta.
    assert found.energy_j == pytest.approx(joules, rel=1e-3)
    if end > found.series.time_s[0]:
        total = sum(float(node.capacity["cpu"]) for node in cluster.nodes)
        span = end - found.series.time_s[0]
        assert found.allocation["cpu"] == pytest.approx(used / total / span)
    for time, waiting in zip(found.series.time_s, found.series.waiting, strict=True):
        assert waiting == len(waits_at(found, time))


@settings(max_examples=60)
@given(clusters(), traces())
def test_there_is_room_for_what_the_oracle_places(cluster: Instance, trace: Trace) -> None:
    """The quick look at what is free never says no to a job that fits."""
    tasks = [one.task for one in trace.jobs]
    oracle = Oracle(cluster)
    ledger = Ledger(oracle, [Task(**{**as_fields(t), "name": f"{k}"}) for k, t in enumerate(tasks)])
    for kind, task in enumerate(tasks):
        fits = bool(ledger.may_fit()[kind])
        (answer,) = oracle.place(task)
        assert fits or not isinstance(answer, Decision)
        if isinstance(answer, Decision):
            ledger.count(ledger.row(kind, answer), answer)


def as_fields(task: Task) -> dict[str, Any]:
    return {name: getattr(task, name) for name in task.__struct_fields__}


@settings(max_examples=25)
@given(clusters(), traces())
def test_better_placements_in_between_lose_no_job_and_are_the_same_again(
    cluster: Instance, trace: Trace
) -> None:
    watch = Watch()
    found = simulate(cluster, trace, improve_every=2, max_moves=3, look=watch)
    assert all(verify(*oracle.instance()).feasible for _, oracle in watch.states)
    for stated, one in zip(trace.jobs, found.jobs, strict=True):
        if one.finish_s is not None and one.start_s is not None:
            assert one.finish_s - one.start_s == pytest.approx(stated.duration_s)
    assert simulate(cluster, trace, improve_every=2, max_moves=3) == found


# --- an independent simulator --------------------------------------------------------------------


def naive(
    capacity: int, jobs: Sequence[tuple[int, int, int]], strict: bool
) -> list[tuple[float, float] | None]:
    """Replay (arrival, size, seconds) on one node, second by second."""
    free, waiting, leaving = capacity, list[int](), dict[int, list[int]]()
    found: list[tuple[float, float] | None] = [None] * len(jobs)
    for second in range(400):
        for k in leaving.pop(second, []):
            free += jobs[k][1]
        waiting += [k for k, (arrival, *_) in enumerate(jobs) if arrival == second]
        for k in sorted(waiting, key=lambda k: (jobs[k][0], k)):
            _, size, seconds = jobs[k]
            if size <= free:
                free -= size
                found[k] = (second, second + seconds)
                leaving.setdefault(second + seconds, []).append(k)
                waiting.remove(k)
            elif strict and size <= capacity:
                break
    return found


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(1, 8)), max_size=14),
    st.booleans(),
)
def test_an_independent_simulator_finds_the_same(
    jobs: list[tuple[int, int, int]], strict: bool
) -> None:
    stated = [job(f"{k}", size, at, seconds) for k, (at, size, seconds) in enumerate(jobs)]
    cluster = Instance(nodes=[Node(name="n", capacity={"cpu": 5})])
    found = simulate(cluster, Trace(jobs=stated), strict=strict)
    expected = naive(5, jobs, strict)
    assert [None if j.start_s is None else (j.start_s, j.finish_s) for j in found.jobs] == expected


# --- effort --------------------------------------------------------------------------------------


def test_who_finds_no_room_is_not_asked_for_again_before_there_is_some() -> None:
    """Of 200 jobs of 20 kinds in a queue, each is asked for about once."""
    jobs = [job(f"{k}", 1 + (k % 20) / 20, k / 100, 10) for k in range(200)]
    found = simulate(Instance(nodes=[Node(name="n", capacity={"cpu": 2})]), Trace(jobs=jobs))
    assert found.count("done") == 200
    assert max(found.series.waiting) > 190
    assert found.asked <= 205


def test_progress_ends_with_the_last_event() -> None:
    heard: list[Progress] = []
    simulate(ONE, BLOCKED, on_progress=heard.append)
    assert (heard[-1].events, heard[-1].total, heard[-1].running) == (8, 8, 0)
