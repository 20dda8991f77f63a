"""Instances of a hundred thousand nodes or tasks: first answers, proven gaps and memory.

Limits count from an instance in memory. Each `solve` runs in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh, peak_mb

if TYPE_CHECKING:
    from optalloc.solving import Progress

SEEDS = (1, 2, 3)
FULL = {"consolidation": (100_000, 1_000_000, 600), "rebalancing": (5000, 100_000, 120)}
SMOKE = {"consolidation": (40, 400, 5), "rebalancing": (10, 60, 5)}
"""Nodes, tasks and seconds of each scenario."""
NAMES = {
    "consolidation": "a million tasks of 500 kinds on 100,000 nodes of 20 kinds",
    "rebalancing": "100,000 tasks that all differ on 5,000 nodes, 20,000 moves",
}
FIRST_S, GAP, MEMORY_MB = 60, 3, 16 * 1024**3 / 1e6


def solved(scenario: str, seed: int, nodes: int, tasks: int, limit: float) -> Row:
    """Measure one `solve`, and when its first better answer than the present one came."""
    import resource

    from optalloc import generators, solving

    instance = generators.generate(scenario, seed, nodes, tasks)
    started = time.perf_counter()
    first: list[float] = []

    def listen(progress: Progress) -> None:
        if progress.objective is not None and progress.engine != "current placement":
            first.append(time.perf_counter() - started)

    result = solving.solve(
        instance, time_limit=limit, threads=THREADS, seed=seed, on_progress=listen
    )
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return {
        "wall_s": round(time.perf_counter() - started, 2),
        "first_s": round(first[0], 2) if first else None,
        "status": result.status,
        "value": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "found_by": result.engine,
        "rejected": result.rejected,
        "peak_mb": round(peak_mb() + children, 1),
    }


def _cases(context: Context) -> list[Case]:
    sizes = SMOKE if context.smoke else FULL
    seeds = SEEDS[:1] if context.smoke else SEEDS

    def case(scenario: str, seed: int) -> Case:
        nodes, tasks, limit = sizes[scenario]

        def measure() -> Row:
            row = fresh(solved, scenario, seed, nodes, tasks, limit)
            return {"scenario": scenario, "seed": seed, "limit": limit, **row}

        return Case(f"{scenario} {nodes}x{tasks} seed={seed}", measure)

    return [case(scenario, seed) for scenario in sizes for seed in seeds]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for scenario, (_, _, limit) in FULL.items():
        chosen = [row for row in rows if row["scenario"] == scenario]
        cases = len(chosen), len(SEEDS)
        gaps = [100 * row["gap"] for row in chosen if row["gap"] is not None]
        first = [row["first_s"] for row in chosen if row["first_s"] is not None]
        memory = [row["peak_mb"] for row in chosen]
        walls = [row["wall_s"] for row in chosen]
        complete = len(gaps) == len(chosen) and bool(gaps)
        detail = f"median {median(gaps):.2g} %, at most {max(walls):.0f} s" if gaps else ""
        figures += [
            Figure(
                f"{NAMES[scenario]}, {limit} s: largest proven gap",
                max(gaps) if complete else None, "%", at_most(GAP), cases, detail,
            ),
            Figure(
                "the same: first verified answer", max(first, default=None), "s",
                at_most(FIRST_S), cases,
            ),
            Figure(
                "the same: peak memory, workers included", max(memory, default=None), "MB",
                at_most(MEMORY_MB), cases,
            ),
        ]  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="proven gaps on a hundred thousand nodes or tasks",
    minutes=12,
    cases=_cases,
    figures=_figures,
)
