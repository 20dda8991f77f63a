"""Gangs on a busy fabric: how soon the best placement is proven, to a gap.

Each `solve` runs in a process of its own, for up to five times what it should take; the time counts
from an instance in memory to the moment at which value and bound are near enough.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh

if TYPE_CHECKING:
    from optalloc.solving import Progress

SEEDS = range(1, 11)
DEMANDS = (0.8, 1.0, 1.3)
"""Nodes that all gangs ask for over those that are free."""
WORST = 5
"""How many times the median's limit the slowest may take."""


@dataclass(frozen=True)
class Size:
    """A size of instance, and what is asked of it: a gap (relative) within seconds."""

    nodes: int
    gangs: int
    kinds: int | None
    gap: float
    seconds: float

    @property
    def name(self) -> str:
        kinds = "" if self.kinds is None else f" of {self.kinds} kinds"
        return f"{self.nodes} nodes, {self.gangs} gangs{kinds}"


SIZES = (
    Size(110, 30, None, 0.0, 1.0),
    Size(1000, 100, None, 1e-3, 2.0),
    Size(8700, 2000, 40, 1e-4, 30.0),
)
ONE = (6000, 512)
"""Nodes of a busy cluster, and replicas of one gang that is placed in it."""
ONE_SECONDS = 0.1
SMOKE = (Size(20, 5, None, 0.0, 1.0),)


def solved(fields: Sequence[Any], demand: float, seed: int) -> Row:
    """Measure one `solve` of a `Size`, and when its gap came down to what is asked."""
    import numpy as np

    from optalloc import solving
    from optalloc.generators.scenarios.gang_fabric import gangs

    size = Size(*fields)
    random = np.random.default_rng([seed, size.nodes, size.gangs])
    instance = gangs(random, size.nodes, size.gangs, demand=demand, kinds=size.kinds)
    started = time.perf_counter()
    reached: list[float] = []

    def listen(progress: Progress) -> None:
        if progress.gap is not None and progress.gap <= size.gap:
            reached.append(time.perf_counter() - started)

    limit = WORST * size.seconds
    result = solving.solve(
        instance, time_limit=limit, threads=THREADS, seed=seed, on_progress=listen
    )
    wall = time.perf_counter() - started
    done = result.gap is not None and result.gap <= size.gap
    return {
        "wall_s": round(wall, 3),
        "reached_s": round(min([*reached, wall]), 3) if done else None,
        "status": result.status,
        "verified": result.verified,
        "value": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "found_by": result.engine,
    }


def one_placed(nodes: int, replicas: int, seed: int) -> Row:
    """Measure `place_group` in a busy cluster, after one call in another one."""
    import numpy as np

    from optalloc.generators.scenarios.gang_fabric import busy_cluster, gang
    from optalloc.group_placing import place_group

    walls = []
    for draw in (seed + 1000, seed):
        cluster = busy_cluster(np.random.default_rng([draw, nodes]), nodes)
        group = gang(replicas, 0.3, levels=("rack", "pod", "zone", ""))
        started = time.perf_counter()
        result = place_group(cluster, group, time_limit=10, threads=THREADS)
        walls.append(time.perf_counter() - started)
    scopes = {(scope, name) for node in cluster.nodes for scope, name in node.domains.items()}
    return {
        "wall_s": round(walls[-1], 4),
        "domains": len(scopes) + nodes,
        "status": result.status,
        "verified": result.verified,
        "value": result.objective,
    }


def _cases(context: Context) -> list[Case]:
    sizes = SMOKE if context.smoke else SIZES
    seeds = SEEDS[:1] if context.smoke else SEEDS

    def case(size: Size, demand: float, seed: int) -> Case:
        def measure() -> Row:
            row = fresh(solved, astuple(size), demand, seed)
            return {"size": size.name, "demand": demand, "seed": seed, **row}

        return Case(f"{size.nodes}x{size.gangs} demand={demand} seed={seed}", measure)

    def one(seed: int) -> Case:
        nodes, replicas = (60, 16) if context.smoke else ONE
        key = f"{replicas} replicas on {nodes} nodes seed={seed}"
        return Case(key, lambda: {"size": "one", **fresh(one_placed, nodes, replicas, seed)})

    cases = [case(size, d, seed) for size in sizes for d in DEMANDS for seed in seeds]
    return cases + [one(seed) for seed in seeds]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for size in SIZES:
        chosen = [row for row in rows if row["size"] == size.name]
        cases = len(chosen), len(DEMANDS) * len(SEEDS)
        # What was not reached took longer than was given.
        limit = WORST * size.seconds
        times = [limit if row["reached_s"] is None else row["reached_s"] for row in chosen]
        missed = sum(row["reached_s"] is None for row in chosen)
        gaps = [100 * row["gap"] for row in chosen if row["gap"] is not None]
        asked = f"gap {100 * size.gap:g} %" if size.gap else "proven optimal"
        detail = f"largest gap {max(gaps):.2g} %" if gaps else ""
        figures += [
            Figure(
                f"{size.name}: {asked}, median", median(times) if times else None, "s",
                at_most(size.seconds), cases, detail,
            ),
            Figure(
                "the same: slowest", max(times, default=None), "s", at_most(limit), cases,
                f"{missed} not within {limit:g} s" if missed else "",
            ),
            Figure(
                "the same: not reached or not verified",
                sum(row["reached_s"] is None or not row["verified"] for row in chosen)
                if chosen else None,
                "", at_most(0), cases,
            ),
        ]  # fmt: skip
    ones = [row for row in rows if row["size"] == "one"]
    walls = [row["wall_s"] for row in ones]
    proven = sum(row["status"] == "optimal" and row["verified"] for row in ones)
    domains = max((row["domains"] for row in ones), default=0)
    figures.append(
        Figure(
            f"a gang of {ONE[1]} replicas into {ONE[0]:,} busy nodes, proven optimal: median",
            median(walls) if walls else None, "s", at_most(ONE_SECONDS), (len(ones), len(SEEDS)),
            f"slowest {max(walls):.3f} s; {domains:,} domains; {proven} of {len(ones)} proven"
            if walls else "",
        )
    )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="gangs on a busy fabric, placed with proof",
    minutes=25,
    cases=_cases,
    figures=_figures,
)
