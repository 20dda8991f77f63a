"""Small is fast: the command's start, a small instance as a whole command, a second `solve`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from statistics import median

from benchmarks.contract import ROOT, THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh
from optalloc.generators import generate
from optalloc.instance.files import dump_instance

SCENARIOS = ("ai-cloud", "edge-sites", "hpc-centre")
"""Those that are as varied when small as when large."""
NODES, TASKS = 5, 10
OPTALLOC = (sys.executable, "-m", "optalloc")
STARTS, INSTANCES = 20, 20


def second_solves(scenario: str, seeds: list[int], solver_seed: int) -> Row:
    """Measure `solve` on instances of a scenario, after a first one in the same process."""
    from optalloc.solving import solve

    made = [generate(scenario, seed, NODES, TASKS) for seed in seeds]
    solve(generate(scenario, max(seeds) + 1, NODES, TASKS), threads=THREADS)
    walls, statuses = [], []
    for instance in made:
        started = time.perf_counter()
        result = solve(instance, threads=THREADS, seed=solver_seed)
        walls.append(round(time.perf_counter() - started, 4))
        statuses.append(result.status)
    return {"walls_s": walls, "statuses": statuses}


def _command(*arguments: str) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        [*OPTALLOC, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()}")
    return round(wall, 4)


def _start(times: int) -> Row:
    return {"what": "version", "walls_s": [_command("--version") for _ in range(times)]}


def _whole(context: Context, scenario: str, seeds: Sequence[int], solver_seed: int) -> Row:
    walls = []
    for seed in seeds:
        path = context.folder / f"{scenario}-{seed}.json"
        dump_instance(generate(scenario, seed, NODES, TASKS), path)
        options = ("--threads", str(THREADS), "--seed", str(solver_seed))
        walls.append(_command("solve", str(path), *options))
    return {"what": "command", "scenario": scenario, "seed": solver_seed, "walls_s": walls}


def _second(scenario: str, seeds: Sequence[int], solver_seed: int) -> Row:
    measured = fresh(second_solves, scenario, list(seeds), solver_seed)
    return {"what": "solve", "scenario": scenario, "seed": solver_seed, **measured}


def _cases(context: Context) -> list[Case]:
    starts, instances = (2, 1) if context.smoke else (STARTS, INSTANCES)
    cases = [Case("version", partial(_start, starts))]
    for scenario in SCENARIOS[: 1 if context.smoke else None]:
        for seed in context.seeds:
            commands = range(max(instances // 4, 1))
            what = f"{scenario} seed={seed}"
            cases += [
                Case(f"command {what}", partial(_whole, context, scenario, commands, seed)),
                Case(f"solve {what}", partial(_second, scenario, range(instances), seed)),
            ]
    return cases


def _figures(rows: Sequence[Row]) -> list[Figure]:
    def figure(what: str, name: str, unit: str, limit: float, need: int) -> Figure:
        found = [row for row in rows if row["what"] == what]
        scale = 1000 if unit == "ms" else 1
        walls = [wall * scale for row in found for wall in row["walls_s"]]
        return Figure(
            name,
            median(walls) if walls else None,
            unit,
            at_most(limit),
            (len({row.get("scenario") for row in found}), need),
            f"median of {len(walls)}, worst {max(walls):.3g} {unit}" if walls else "",
        )

    size = f"{TASKS} tasks, {NODES} nodes"
    return [
        figure("version", "`optalloc --version`, wall", "s", 0.15, 1),
        figure("command", f"`optalloc solve`, {size}, wall", "s", 1, len(SCENARIOS)),
        figure("solve", f"second `solve()` in a process, {size}, wall", "ms", 50, len(SCENARIOS)),
    ]


BENCHMARK = Benchmark(
    summary="start of the command, small instances as a command and in a process",
    minutes=1,
    cases=_cases,
    figures=_figures,
)
