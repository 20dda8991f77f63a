"""Jobs measured at several power limits: what is read, what is kept, and which limits are best."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tradeoffs import limited_job, stated

from benchmarks.suites.power_limits import instance_of, jobs_at_full, lagrange
from optalloc import Instance, InstanceError, Node, solve
from optalloc.metrics import metrics
from optalloc.physics.measurements import Limited
from optalloc.physics.power import undominated
from optalloc.physics.power_limits import LimitedJob, read_jobs

HEADER = "gpu,dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power,more"
ROWS = """v100,d,a,8,adam,250,10,220,x
v100,d,a,8,adam,100,16,95,x
v100,d,b,8,adam,250,5,180,x
v100,d,a,8,adam,150,11,140,x
v100,d,a,8,adam,200,11,190,x"""


def table(folder: Path, rows: str = ROWS, header: str = HEADER) -> Path:
    path = folder / "limits.csv"
    path.write_text(f"{header}\n{rows}\n", encoding="utf-8")
    return path


def made_jobs(number: int, seed: int) -> list[LimitedJob]:
    """Jobs whose throughput rises with the limit, by chance as a concave function or not."""
    rng = np.random.default_rng(seed)
    jobs = []
    for k in range(number):
        watts = np.sort(rng.uniform(80, 250, 5))
        seconds = np.sort(rng.uniform(5, 20, 5))[::-1]
        rows = [
            Limited("g", "d", f"n{k}", 8, "adam", float(limit), float(s), float(w))
            for limit, s, w in zip((100, 125, 150, 200, 250), seconds, watts, strict=True)
        ]
        jobs.append(LimitedJob("g", "d", f"n{k}", 8, "adam", tuple(rows)))
    return jobs


def fewest_watts(jobs: list[LimitedJob], kept: float) -> float:
    """Fewest watts at a floor, by dynamic programming over all undominated sums."""
    sums = [(0.0, 0.0)]
    for job in jobs:
        rows = [(r.average_power, job.full.time_per_epoch / r.time_per_epoch) for r in job.rows]
        added = [(w + more, rate + faster) for w, rate in sums for more, faster in rows]
        sums = [added[i] for i in undominated(added)]
    return min(watts for watts, rate in sums if rate >= kept * len(jobs) - 1e-9)


def test_a_table_is_read_job_by_job_and_by_rising_limits(tmp_path: Path) -> None:
    first, second = read_jobs(table(tmp_path))
    assert (first.name, second.name) == ("v100-d-a-8-adam", "v100-d-b-8-adam")
    assert [row.power_limit for row in first.rows] == [100, 150, 200, 250]
    assert (first.full.average_power, second.full.average_power) == (220, 180)
    task = first.task(samples=1000, idle_w=40)
    assert task.reference == 100
    row = first.configurations(samples=1000, idle_w=40)[0]
    assert task.configurations[0] == row
    assert (row.name, row.device, row.throughput, row.watts) == ("100 W", "v100", 62.5, 55)


def test_limits_that_others_beat_can_be_dropped(tmp_path: Path) -> None:
    """200 W is no faster than 150 W; without that, a mix of 100 W and 250 W is."""
    job = read_jobs(table(tmp_path))[0]
    assert [row.power_limit for row in job.kept()] == [100, 150, 200, 250]
    assert [row.power_limit for row in job.kept("undominated")] == [100, 150, 250]
    bent = LimitedJob("g", "d", "n", 8, "adam", (*job.rows[:1], job.rows[2], job.rows[3]))
    assert [row.power_limit for row in bent.kept("undominated")] == [100, 200, 250]
    assert [row.power_limit for row in bent.kept("envelope")] == [100, 250]
    assert [row.power_limit for row in job.kept("envelope")] == [100, 150, 250]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("v100,d,a,8,adam,250,10,0,x", "line 2, average_power: expected a number above 0"),
        ("v100,d,a,8,adam,250,x,9,x", "line 2, time_per_epoch: expected a number above 0"),
        ("v100,d,a,1.5,adam,250,9,9,x", "line 2, batch_size: expected a whole number"),
        (f"{ROWS}\nv100,d,a,8,adam,150,9,9,x", "line 7.*one row for each job and limit.*150 W"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(rows: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=expected):
        read_jobs(table(tmp_path, rows))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="columns average_power"):
        read_jobs(table(tmp_path, header=HEADER.replace("average_power", "watts")))


def test_rows_below_idle_power_are_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="100 W: expected average_power of at least 100 W"):
        read_jobs(table(tmp_path))[0].configurations(idle_w=100)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_what_is_kept_dominates_what_is_dropped(points: list[tuple[int, int]]) -> None:
    kept = [points[k] for k in undominated(points)]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(kept))
    assert all(any(k[0] <= w and k[1] >= rate for k in kept) for w, rate in points)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kept", [0.95, 0.8])
def test_the_limits_chosen_are_those_of_a_dynamic_program(seed: int, kept: float) -> None:
    jobs = made_jobs(7, seed)
    result = solve(instance_of(jobs, kept), deterministic=True)
    assert result.status == "optimal"
    assert result.objective is not None
    # Watts and throughputs are rounded to at least six digits, once.
    assert result.objective == pytest.approx(fewest_watts(jobs, kept), rel=1e-5)
    assert result.objective >= lagrange(jobs, kept) * (1 - 1e-5)


@pytest.mark.data
def test_limits_of_public_measurements_save_a_quarter_of_the_watts(data: Path) -> None:
    """68 jobs keep 95 % of their throughput; the linear program's bound is not far below."""
    jobs = jobs_at_full(data / "energy" / "zeus_power_v100.csv")
    full = sum(job.full.average_power for job in jobs)
    result = solve(instance_of(jobs, 0.95), threads=1, time_limit=60)
    assert len(jobs) == 68
    assert result.status == "optimal"
    assert result.objective is not None
    assert 0.27 <= 1 - result.objective / full <= 0.28
    assert result.objective * 0.999 <= lagrange(jobs, 0.95) <= result.objective * (1 + 1e-6)


# --- figures of a placement ----------------------------------------------------------------------


def test_metrics_are_rates_watts_and_their_ratios() -> None:
    instance = stated(
        nodes=[Node(name="n", device="g", devices=4, idle_w=100, flops=1e14)],
        tasks=[limited_job((300, 50), demand={"device": 3})],
    )
    found = solve(instance, "power").metrics
    assert found == {
        "samples_per_s": 300,
        "power_w": 150,
        "samples_per_joule": 2,
        "joules_per_sample": 0.5,
        "peak_flops": 3e14,
        "peak_flops_per_watt": 2e12,
    }


def test_metrics_that_nothing_is_stated_for_are_left_out() -> None:
    instance: Instance = stated(nodes=[Node(name="n")], tasks=[limited_job((0, 5))])
    result = solve(instance, "power")
    assert result.placement is not None
    assert metrics(instance, result.placement) == {"power_w": 5}
    infeasible = stated(
        nodes=[Node(name="n", capacity={"cpu": 1})], tasks=[limited_job((1, 1), demand={"cpu": 2})]
    )
    assert solve(infeasible).metrics == {}
