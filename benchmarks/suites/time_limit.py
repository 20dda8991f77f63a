"""A time limit is a promise: limits of 1 to 10 s on instances too hard to finish.

Each `solve` runs in a process of its own and is timed around the call, with the imports, the model
building and the checking inside. It may take 5 % of its limit and 0.5 s more than its limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh
from benchmarks.sources import Source, reassignment

SHARE, FIXED_S = 0.05, 0.5
"""What may be added to a limit."""
LIMITS = (1, 2, 3, 5, 10)
RUNS = 50
GAP = ("chu1997/d20200", "yagiura2004/d201600", "yagiura2004/e60900")
ROADEF = ("a1_2", "a1_4", "a2_2", "b_1", "b_3", "b_8")
MADE = (("assignment", 500, 2000), ("ai-cloud", 2000, 20_000))
SMOKE = (("assignment", 12, 60), ("ai-cloud", 12, 60))
"""What is made, with how many nodes and tasks."""


def limited(source: dict[str, Any], limit: float, seed: int) -> Row:
    """Measure a `solve` with a time limit."""
    from optalloc import solving

    instance = Source(**source).instance()
    started = time.perf_counter()
    result = solving.solve(instance, time_limit=limit, threads=THREADS, seed=seed)
    wall = time.perf_counter() - started
    over = wall - limit
    return {
        "limit": limit,
        "wall_s": round(wall, 3),
        "over_s": round(over, 3),
        "over_allowed": round(over / (SHARE * limit + FIXED_S), 3),
        "status": result.status,
        "stopped_by": result.stopped_by,
        "found_by": result.engine,
        "value": result.objective,
        "gap": result.gap,
    }


def _cases(context: Context) -> list[Case]:
    limits: Sequence[float] = (0.5,) if context.smoke else LIMITS
    sources = _sources(context)

    def case(name: str, limit: float, seed: int) -> Case:
        def measure() -> Row:
            row = fresh(limited, asdict(sources[name]), limit, seed)
            return {"instance": name, "seed": seed, **row}

        return Case(f"{name} {limit:g}s seed={seed}", measure)

    return [case(name, lim, seed) for name in sources for lim in limits for seed in context.seeds]


def _sources(context: Context) -> dict[str, Source]:
    made = {
        f"{kind} {tasks}x{nodes}": Source(kind, nodes=nodes, tasks=tasks)
        for kind, nodes, tasks in (SMOKE if context.smoke else MADE)
    }
    if context.smoke:
        return made
    gap, roadef = context.data("gap"), context.data("roadef")
    for name in GAP:
        made[f"gap {name}"] = Source("gap", (str(gap / f"{name}.txt"),))
    for name in ROADEF:
        made[f"roadef {name}"] = reassignment(roadef, name)
    return made


def _figures(rows: Sequence[Row]) -> list[Figure]:
    hard = [row for row in rows if row["stopped_by"] != "proof"]
    cases = len(hard), RUNS
    worst = max(hard, key=lambda row: row["over_allowed"], default=None)
    later = max(hard, key=lambda row: row["over_s"], default=None)
    answered = sum(row["value"] is not None for row in hard)
    return [
        Figure(
            "time limits of 1 to 10 s: worst overshoot, of what is allowed (5 % + 0.5 s)",
            100 * worst["over_allowed"] if worst else None, "%", at_most(100), cases,
            _words(worst),
        ),
        Figure(
            "the same: worst overshoot", later["over_s"] if later else None, "s", None, cases,
            _words(later),
        ),
        Figure(
            "the same: runs with a verified answer", answered, "", None, cases,
            f"of {len(hard)}; {len(rows) - len(hard)} more ended by proof",
        ),
    ]  # fmt: skip


def _words(row: Row | None) -> str:
    return "" if row is None else f"{row['instance']}, limit {row['limit']:g} s: {row['wall_s']} s"


BENCHMARK = Benchmark(
    summary="overshoot of time limits on instances too hard to finish",
    minutes=6,
    cases=_cases,
    figures=_figures,
)
