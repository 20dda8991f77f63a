"""Watts saved by power limits, one for each job, while the jobs keep most of their throughput.

One job for each (dataset, network, batch size, optimiser) measured on the device at its largest
limit; every measured limit of a job can be chosen. Savings are against all jobs at the largest
limit, and are held against a bound computed without optalloc (Lagrange's, of the linear program).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.fresh import fresh

if TYPE_CHECKING:
    from optalloc.instance.model import Instance
    from optalloc.physics.power_limits import LimitedJob
    from optalloc.result import Result
    from optalloc.solution import Placed

LIMIT_S = 60.0
KEPT = {0.98: 18.0, 0.95: 27.0, 0.90: 36.0}
"""Mean relative throughput that is to be kept, and per cent of the watts to be saved then."""
ROUNDS = 200
"""Halvings of the interval in which Lagrange's multiplier lies."""


@dataclass(frozen=True)
class Device:
    """A table of measurements, and whether what is saved with it is asked for."""

    name: str
    targets: bool


DEVICES = (Device("v100", True), Device("a40", False), Device("rtx6000", False))
MADE = """gpu,dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power
made,d,a,8,adam,100,16,95
made,d,a,8,adam,150,11,140
made,d,a,8,adam,250,10,220
made,d,b,8,adam,100,8,90
made,d,b,8,adam,150,6,130
made,d,b,8,adam,250,5.9,180
"""


def jobs_at_full(path: Path) -> list[LimitedJob]:
    """Jobs measured at the largest limit of the table."""
    from optalloc.physics.power_limits import read_jobs

    jobs = read_jobs(path)
    largest = max(job.full.power_limit for job in jobs)
    return [job for job in jobs if job.full.power_limit == largest]


def instance_of(jobs: Sequence[LimitedJob], kept: float) -> Instance:
    """A device for each job; the mean of their relative throughputs is at least so much."""
    from optalloc import Instance, Node
    from optalloc.policies import Throughput

    devices = Node(name="devices", device=jobs[0].gpu, devices=len(jobs))
    floor = Throughput(at_least=round(kept * len(jobs), 9))
    tasks = [job.task() for job in jobs]
    return Instance(nodes=[devices], tasks=tasks, policies=[floor], objective="power")


def lagrange(jobs: Sequence[LimitedJob], kept: float) -> float:
    """Watts that no choice of rows is below: the linear program's bound, by its multiplier.

    ``max over m >= 0 of m T + sum over jobs of min over rows of (watts - m * relative)``.
    """
    rows = [
        [(r.average_power, j.full.time_per_epoch / r.time_per_epoch) for r in j.rows] for j in jobs
    ]
    floor = kept * len(jobs)

    def least(price: float) -> tuple[float, float]:
        chosen = [min(mine, key=lambda row: row[0] - price * row[1]) for mine in rows]
        value = price * floor + sum(watts - price * rate for watts, rate in chosen)
        return value, floor - sum(rate for _, rate in chosen)

    low, high = 0.0, 1e6
    best = 0.0
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        value, slope = least(middle)
        best = max(best, value)
        low, high = (middle, high) if slope > 0 else (low, middle)
    return best


def saved(path: str, kept: float, seed: int) -> Row:
    """Measure one solve."""
    import time

    from optalloc import solve

    jobs = jobs_at_full(Path(path))
    full = sum(job.full.average_power for job in jobs)
    instance = instance_of(jobs, kept)
    started = time.perf_counter()
    result = solve(instance, time_limit=LIMIT_S, threads=THREADS, seed=seed)
    wall = time.perf_counter() - started
    chosen = {name: placed.configuration for name, placed in _named(result).items()}
    rows = [
        (row, job.full)
        for job in jobs
        for row in job.rows
        if chosen.get(job.name) == f"{row.power_limit:g} W"
    ]
    watts = sum(row.average_power for row, _ in rows)
    mean = sum(most.time_per_epoch / row.time_per_epoch for row, most in rows) / len(jobs)
    return {
        "jobs": len(jobs),
        "rows": sum(len(job.rows) for job in jobs),
        "full_w": full,
        "watts": watts,
        "saved": 100 * (1 - watts / full),
        "mean": mean,
        "bound_w": result.bound,
        "lagrange_w": lagrange(jobs, kept),
        "status": result.status,
        "verified": result.verified and len(rows) == len(jobs),
        "wall_s": round(wall, 3),
    }


def _named(result: Result) -> dict[str, Placed]:
    from optalloc.solution import name_placement

    placement = result.placement
    return {} if placement is None else name_placement(result.instance, placement)


def _cases(context: Context) -> list[Case]:
    devices = (Device("made", True),) if context.smoke else DEVICES

    def case(device: Device, kept: float, seed: int) -> Case:
        def measure() -> Row:
            row = fresh(saved, str(_table(context, device)), kept, seed)
            return {"device": device.name, "kept": kept, "seed": seed, **row}

        return Case(f"{device.name} kept={kept} seed={seed}", measure)

    return [case(d, kept, seed) for d in devices for kept in KEPT for seed in context.seeds]


def _table(context: Context, device: Device) -> Path:
    if not context.smoke:
        return context.data("energy") / f"zeus_power_{device.name}.csv"
    path = context.folder / "made.csv"
    path.write_text(MADE, encoding="utf-8")
    return path


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for device in DEVICES:
        for kept, asked in KEPT.items():
            chosen = [r for r in rows if r["device"] == device.name and r["kept"] == kept]
            if not chosen:
                continue
            worst = min(chosen, key=lambda row: float(row["saved"]))
            figures.append(
                Figure(
                    f"power limits of {worst['jobs']} jobs on {device.name}, "
                    f"{100 * kept:g} % of the throughput kept: watts saved",
                    worst["saved"], "%", at_least(asked) if device.targets else None, (1, 1),
                    f"{worst['watts']:,.0f} of {worst['full_w']:,.0f} W, {worst['status']} "
                    f"in {worst['wall_s']:.2f} s",
                )
            )  # fmt: skip
    if not rows:
        return figures
    wrong = [
        row
        for row in rows
        if not row["verified"]
        or row["mean"] < row["kept"] - 1e-6
        or row["watts"] < row["lagrange_w"] * (1 - 1e-6)
    ]
    cases = len(rows), len(DEVICES) * len(KEPT)
    open_ones = sum(row["status"] != "optimal" for row in rows)
    return [
        *figures,
        Figure("the same: not proven optimal", open_ones, "", at_most(0), cases),
        Figure(
            "power limits: answers refused, or below an independent bound", len(wrong), "",
            at_most(0), sound=True,
        ),
    ]  # fmt: skip


BENCHMARK = Benchmark(
    summary="watts saved by a power limit for each job, at little loss of throughput",
    minutes=1,
    cases=_cases,
    figures=_figures,
)
