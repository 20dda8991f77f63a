"""Machine reassignment: the open instances of the ROADEF/EURO challenge 2012.

Answers are judged in the challenge's own file format, by the checker of the tests.
"""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contract import ROOT, Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.judged import Judge, Question, ask, brute_force, soundness

DATA = "roadef"
LIMIT_S = 60.0
LONGER_S = {"a1_2": 120.0}
TARGETS = {"a1_2": 1.0, "a1_3": 0.1, "a1_5": 0.1}
"""Percent above the best known."""
PROVEN = "a1_1"
MACHINES, PROCESSES = 3, 6
"""Of the instance made for a smoke run."""


@cache
def _checker() -> Any:
    """Import the checker of the tests, which are no package."""
    path = ROOT / "tests" / "roadef_checker.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Data classes look their module up there.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def judge_of(model: str, start: str) -> Judge:
    """Judge solution files by the challenge's rules."""
    challenge = _checker().Challenge(model, start)

    def judge(solution: str) -> tuple[list[str], int]:
        verdict = challenge.judge(solution)
        return list(verdict.violations), int(verdict.total)

    return judge


def questions(context: Context, limit: float | None = None) -> list[Question]:
    """All instances and seeds, each with its own limit or the given one."""
    asked = _questions(context)
    return asked if limit is None else [replace(question, limit=limit) for question in asked]


def _questions(context: Context) -> list[Question]:
    if context.smoke:
        return [_made(context.folder, context.seeds[0])]
    folder = context.data(DATA)
    with (folder / "best_known.csv").open(encoding="utf-8", newline="") as file:
        known = {row["instance"]: float(row["best_known"]) for row in csv.DictReader(file)}
    return [
        _question(folder, name, best, seed)
        for name, best in known.items()
        for seed in context.seeds
    ]


def _question(folder: Path, name: str, best: float | None, seed: int) -> Question:
    files = tuple(folder / f"{kind}_{name}.txt" for kind in ("model", "assignment"))

    def judge(solution: str) -> tuple[list[str], int]:
        model, start = (path.read_text(encoding="ascii") for path in files)
        return judge_of(model, start)(solution)

    return Question(name, DATA, files, LONGER_S.get(name, LIMIT_S), seed, best, judge)


def small_model(seed: int) -> tuple[str, str]:
    """Make a small model with every rule and cost, and a feasible start."""
    draw = np.random.Generator(np.random.PCG64(seed))
    start = [process % MACHINES for process in range(PROCESSES)]
    numbers: list[int] = [2, 1, 20, 0, 5, MACHINES]
    for machine in range(MACHINES):
        safety, distance = draw.integers(10, 20, 2), draw.integers(1, 5, MACHINES)
        distance[machine] = 0
        numbers += [machine % 2, machine, 40, 40, *safety.tolist(), *distance.tolist()]
    # Two processes a service, one machine apart; the last service depends on the first.
    services = PROCESSES // 2
    numbers += [services, *[1, 0] * (services - 1), 2, 1, 0]
    numbers.append(PROCESSES)
    for process in range(PROCESSES):
        numbers += [process // 2, *draw.integers(4, 12, 3).tolist()]
    numbers += [1, 0, 1, 2, 3, 1, 2, 1]
    return " ".join(map(str, numbers)), " ".join(map(str, start))


def _made(folder: Path, seed: int) -> Question:
    texts = small_model(1)
    for kind, text in zip(("model", "assignment"), texts, strict=True):
        (folder / f"{kind}_{PROVEN}.txt").write_text(text, encoding="ascii")
    best = brute_force(judge_of(*texts), MACHINES, PROCESSES)
    return _question(folder, PROVEN, float(best), seed)


def _cases(context: Context) -> list[Case]:
    asked = [q for q in questions(context) if q.name in TARGETS or q.name == PROVEN]
    return [Case(q.key, partial(ask, context, q)) for q in asked]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    figures = [_proven(by_name[PROVEN])] if PROVEN in by_name else []
    figures += [_gap(name, by_name[name]) for name in TARGETS if name in by_name]
    return figures + soundness(rows, "ROADEF")


def _proven(rows: Sequence[Row]) -> Figure:
    wall = max(row["wall_s"] for row in rows)
    proven = sum(row["status"] == "optimal" for row in rows)
    return Figure(
        f"ROADEF {PROVEN}: proven optimal", proven, "", at_least(len(rows)),
        detail=f"{wall:.1f} s",
    )  # fmt: skip


def _gap(name: str, rows: Sequence[Row]) -> Figure:
    gaps = [100 * row["gap"] for row in rows if row["gap"] is not None]
    return Figure(
        f"ROADEF {name}, {LONGER_S.get(name, LIMIT_S):g} s: above the best known",
        max(gaps) if len(gaps) == len(rows) else None, "%",
        at_most(TARGETS[name]), detail=_bounds(rows),
    )  # fmt: skip


def _bounds(rows: Sequence[Row]) -> str:
    values = [row for row in rows if row["value"] and row["bound"] is not None]
    if not values:
        return "no bound"
    worst = max((row["value"] - row["bound"]) / abs(row["value"]) for row in values)
    return f"proven within {100 * worst:.3g} %"


BENCHMARK = Benchmark(
    summary="machine reassignment, small public instances: gaps to the best known, judged apart",
    minutes=6,
    cases=_cases,
    figures=_figures,
)
