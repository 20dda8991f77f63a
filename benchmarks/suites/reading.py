"""An instance file of 100,000 tasks (about 20 MB), read and validated in full."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh, peak_mb

FULL, SMOKE = (100_000, 2_000), (500, 20)
REPEATS = 7
SEED = 1
REGIONS, TENANTS = 8, 50


def write(path: Path, tasks: int, nodes: int) -> None:
    """Write a file with a bit of everything: demands, costs, labels, groups, positions."""
    from optalloc.instance.files import dump_instance
    from optalloc.instance.model import Group, Instance, Node, Resource, Task

    draw = np.random.Generator(np.random.PCG64([SEED, tasks, nodes]))
    cpu, memory = draw.integers(1, 33, tasks).tolist(), draw.integers(1, 257, tasks).tolist()
    weight, cost = draw.integers(1, 100, tasks).tolist(), draw.random(tasks).round(3).tolist()
    at, tenant = draw.integers(0, nodes, tasks).tolist(), draw.integers(0, TENANTS, tasks).tolist()
    instance = Instance(
        name=f"{tasks} tasks",
        resources={"cpu": Resource(unit="core"), "memory": Resource(unit="GiB")},
        nodes=tuple(
            Node(
                name=f"node-{n:05}",
                capacity={"cpu": 128, "memory": 1024},
                domains={"rack": f"rack-{n // 40:03}", "region": f"region-{n % REGIONS}"},
                idle_w=210,
                full_w=830,
            )
            for n in range(nodes)
        ),
        tasks=tuple(
            Task(
                name=f"service-{t:06}",
                demand={"cpu": cpu[t], "memory": memory[t]},
                cost=cost[t],
                required=t % 3 > 0,
                weight=weight[t],
                allow={"region": (f"region-{at[t] % REGIONS}", f"region-{t % REGIONS}")},
                current=f"node-{at[t]:05}",
                groups=(f"tenant-{tenant[t]}",),
            )
            for t in range(tasks)
        ),
        groups=tuple(Group(name=f"tenant-{g}", kind="tenant") for g in range(TENANTS)),
    )
    dump_instance(instance, path)


def read(path: str) -> Row:
    """Measure one reading."""
    from optalloc.instance.files import load_instance

    cpu, wall = time.process_time(), time.perf_counter()
    instance = load_instance(path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "peak_mb": round(peak_mb(), 1),
        "tasks": len(instance.tasks),
        "file_mb": round(Path(path).stat().st_size / 1e6, 2),
    }


def _cases(context: Context) -> list[Case]:
    tasks, nodes = SMOKE if context.smoke else FULL

    @cache
    def file() -> Path:
        path = context.folder / "reading.json"
        write(path, tasks, nodes)
        return path

    def case(repeat: int) -> Case:
        return Case(f"{tasks} tasks #{repeat}", lambda: fresh(read, str(file())))

    return [case(repeat) for repeat in range(2 if context.smoke else REPEATS)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    cases = len(rows), REPEATS
    what = f"file of {rows[0]['tasks']:,} tasks ({rows[0]['file_mb']:g} MB) read and validated"
    worst = max(row["wall_s"] for row in rows)
    return [
        Figure(
            f"{what}, wall", median(row["wall_s"] for row in rows), "s", at_most(0.5), cases,
            f"median of {len(rows)}, worst {worst:.2f} s",
        ),
        Figure("the same, CPU", median(row["cpu_s"] for row in rows), "s", at_most(0.5), cases),
        Figure("the same, peak memory", median(row["peak_mb"] for row in rows), "MB", None, cases),
    ]  # fmt: skip


BENCHMARK = Benchmark(
    summary="a file of 100,000 tasks read and validated",
    minutes=0.5,
    cases=_cases,
    figures=_figures,
)
