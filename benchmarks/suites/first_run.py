"""Compilation is hidden: first runs without compiled code, and the start of the search with it.

The first runs keep their compiled code in a new folder each, as on a machine where the project has
never run: the local search is compiled meanwhile, other engines must answer in time. Each run is
timed around `solve`, as in the benchmark of time limits.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.fresh import Stages, fresh
from benchmarks.sources import Source, reassignment
from benchmarks.suites.time_limit import FIXED_S, SHARE

LIMIT_S = 5.0
CACHE = "NUMBA_CACHE_DIR"
"""Variable of the environment that names the folder of compiled code."""
MADE = (("ai-cloud", 2000, 20_000), ("hpc-centre", 2000, 20_000), ("edge-sites", 500, 5000))
SMOKE = (("ai-cloud", 12, 60),)
"""What is made, with how many nodes and tasks."""
INSTANCES = 15 + len(MADE)
SEARCH_S = 0.1
"""How long the search then runs where its start is measured."""


def first(source: dict[str, Any], limit: float, seed: int) -> Row:
    """Measure a `solve` where nothing is compiled yet."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE] = folder
        from optalloc import solving

        found: list[float] = []

        def note(progress: solving.Progress) -> None:
            if progress.objective is not None:
                found.append(progress.wall_s)

        instance = Source(**source).instance()
        started = time.perf_counter()
        result = solving.solve(
            instance, time_limit=limit, threads=THREADS, seed=seed, on_progress=note
        )
        wall = time.perf_counter() - started
    return {
        "limit": limit,
        "wall_s": round(wall, 3),
        "over_allowed": round((wall - limit) / (SHARE * limit + FIXED_S), 3),
        "first_s": round(found[0], 3) if found else None,
        "verified": result.verified,
        "status": result.status,
        "found_by": result.engine,
        "value": result.objective,
    }


def compiling(folder: str) -> Row:
    """Measure the compilation into a folder; nothing is left to do if it has been done."""
    os.environ[CACHE] = folder
    from optalloc.engines.ahead import compile_ahead

    stages = Stages()
    seconds = compile_ahead()
    stages.done("compile")
    return {"wall_s": round(seconds, 3), "cpu_s": stages.cpu_s["compile"]}


def start(source: dict[str, Any], folder: str) -> Row:
    """Measure how long a compiled search takes from its tables to its first moves."""
    os.environ[CACHE] = folder
    from optalloc.engines import engine
    from optalloc.engines.greedy import Greedy
    from optalloc.engines.loading import load
    from optalloc.engines.protocol import Clock, Job, run
    from optalloc.formulation.problem import Problem
    from optalloc.objective import read_objective

    instance = Source(**source).instance()
    problem = Problem(instance, read_objective(instance))
    loaded, greedy = load(problem, "tables"), Greedy(problem)
    known = loaded.values(greedy.placement()) if greedy.run(Clock(float("inf"))) else None
    stages, started = Stages(), time.perf_counter()
    session = engine("local").open(loaded.model, Job(hint=known))
    run(session, loaded.model, Job(SEARCH_S, hint=known), lambda message: None)
    wall = time.perf_counter() - started - SEARCH_S
    stages.done("start")
    return {"wall_s": round(wall, 3), "cpu_s": stages.cpu_s["start"]}


def _cases(context: Context) -> list[Case]:
    limit = 0.5 if context.smoke else LIMIT_S
    sources = _sources(context)
    # In a smoke run the code that is compiled anyway is good enough.
    folder = os.environ.get(CACHE, "") if context.smoke else str(context.folder / "compiled")

    def run_first(name: str, seed: int) -> Case:
        def measure() -> Row:
            row = fresh(first, asdict(sources[name]), limit, seed)
            return {"kind": "first", "instance": name, "seed": seed, **row}

        return Case(f"first {name} seed={seed}", measure)

    def compile_all() -> Row:
        return {"kind": "compile", **fresh(compiling, str(Path(folder) / "again"))}

    def start_search(name: str) -> Case:
        def measure() -> Row:
            fresh(compiling, folder)
            row = fresh(start, asdict(sources[name]), folder)
            return {"kind": "start", "instance": name, **row}

        return Case(f"start {name}", measure)

    cases = [run_first(name, seed) for name in sources for seed in context.seeds]
    if not context.smoke:
        cases.append(Case("compile", compile_all))
    return cases + [start_search(name) for name in sources]


def _sources(context: Context) -> dict[str, Source]:
    made = {
        f"{kind} {tasks}x{nodes}": Source(kind, nodes=nodes, tasks=tasks)
        for kind, nodes, tasks in (SMOKE if context.smoke else MADE)
    }
    if context.smoke:
        return made
    folder = context.data("roadef")
    names = sorted(path.stem.removeprefix("model_") for path in folder.glob("model_[ab]*.txt"))
    return {f"roadef {name}": reassignment(folder, name) for name in names} | made


def _figures(rows: Sequence[Row]) -> list[Figure]:
    runs = [row for row in rows if row["kind"] == "first"]
    starts = [row for row in rows if row["kind"] == "start"]
    figures = []
    if runs:
        seeds = len({row["seed"] for row in runs})
        cases = len(runs), INSTANCES * seeds
        answered = [row for row in runs if row["verified"]]
        without = ", ".join(row["instance"] for row in runs if not row["verified"])
        latest = max(answered, key=lambda row: row["first_s"], default=None)
        worst = max(runs, key=lambda row: row["over_allowed"])
        figures += [
            Figure(
                f"first run, nothing compiled, {runs[0]['limit']:g} s: verified answers",
                len(answered), "", at_least(len(runs)), cases,
                f"none for {without}" if without else f"of {len(runs)}",
            ),
            Figure(
                "the same: latest first answer", latest["first_s"] if latest else None, "s",
                None, cases, latest["instance"] if latest else "",
            ),
            Figure(
                "the same: worst overshoot, of what is allowed (5 % + 0.5 s)",
                100 * worst["over_allowed"], "%", at_most(100), cases,
                f"{worst['instance']}: {worst['wall_s']} s",
            ),
        ]  # fmt: skip
    figures += [
        Figure("compiling the local search, CPU", row["cpu_s"], "s")
        for row in rows
        if row["kind"] == "compile"
    ]
    if starts:
        slowest = max(starts, key=lambda row: row["wall_s"])
        figures.append(
            Figure(
                "start of the compiled search in a new process", slowest["wall_s"], "s",
                at_most(1), (len(starts), INSTANCES), f"slowest: {slowest['instance']}",
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="first runs without compiled code, and the start of the search with it",
    minutes=4,
    cases=_cases,
    figures=_figures,
)
