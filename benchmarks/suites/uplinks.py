"""Gangs on leaves with thin uplinks: how soon the best placement is proven.

Each `solve` runs in a process of its own; the time counts from an instance in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh

SEEDS = range(1, 6)
SIZES = ((16, 50), (32, 100))
"""Leaves, and gangs."""
UPLINKS = (2.0, 1.0, 0.5)
"""What each uplink carries, in rates of a node: the first hardly binds, the last one does."""
SECONDS = 60.0
COUNTED = {(16, 50): "0.4 to 0.6 s", (32, 100): "12.5 s, or a gap of 0.04 % after 60 s"}
"""What counts by leaf took on HiGHS with two threads, on other instances of the size."""
SMOKE = ((3, 6),)


def solved(leaves: int, tasks: int, uplink: float, seed: int) -> Row:
    """Measure one `solve`."""
    import numpy as np

    from optalloc import solving
    from optalloc.generators.scenarios.gang_fabric import LEAF, gangs

    nodes = leaves * LEAF
    random = np.random.default_rng([seed, nodes, tasks])
    instance = gangs(random, nodes, tasks, uplink=uplink)
    started = time.perf_counter()
    result = solving.solve(instance, time_limit=SECONDS, threads=THREADS, seed=seed)
    return {
        "wall_s": round(time.perf_counter() - started, 3),
        "status": result.status,
        "verified": result.verified,
        "value": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "found_by": result.engine,
    }


def _cases(context: Context) -> list[Case]:
    def case(leaves: int, tasks: int, uplink: float, seed: int) -> Case:
        def measure() -> Row:
            row = fresh(solved, leaves, tasks, uplink, seed)
            return {"leaves": leaves, "gangs": tasks, "uplink": uplink, "seed": seed, **row}

        return Case(f"{leaves}x{tasks} uplink={uplink:g} seed={seed}", measure)

    return [
        case(leaves, tasks, uplink, seed)
        for leaves, tasks in (SMOKE if context.smoke else SIZES)
        for uplink in (UPLINKS[-1:] if context.smoke else UPLINKS)
        for seed in (SEEDS[:1] if context.smoke else SEEDS)
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for leaves, tasks in SIZES:
        for uplink in UPLINKS:
            wanted = (leaves, tasks, uplink)
            chosen = [r for r in rows if (r["leaves"], r["gangs"], r["uplink"]) == wanted]
            walls = [row["wall_s"] for row in chosen]
            figures.append(
                Figure(
                    f"{leaves} leaves, {tasks} gangs, uplinks of {uplink:g} x a node's: median",
                    median(walls) if walls else None, "s", None, (len(chosen), len(SEEDS)),
                    _detail(chosen, COUNTED[leaves, tasks]) if walls else "",
                )
            )  # fmt: skip
    wrong = sum(not row["verified"] for row in rows)
    cases = len(rows), len(SIZES) * len(UPLINKS) * len(SEEDS)
    figures.append(
        Figure("placements with uplinks that fail the check", wrong, "", at_most(0), cases)
    )
    return figures


def _detail(rows: Sequence[Row], counted: str) -> str:
    slowest = max(row["wall_s"] for row in rows)
    gaps = [100 * row["gap"] for row in rows if row["gap"] is not None]
    proven = sum(row["status"] == "optimal" for row in rows)
    largest = max(gaps, default=100.0)
    return (
        f"slowest {slowest:.2g} s; {proven} of {len(rows)} proven, gaps up to {largest:.2g} %; "
        f"counts by leaf on HiGHS, other instances: {counted}"
    )


BENCHMARK = Benchmark(
    summary="gangs on leaves with thin uplinks, placed with proof",
    minutes=2,
    cases=_cases,
    figures=_figures,
)
