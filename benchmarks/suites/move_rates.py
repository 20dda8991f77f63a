"""Candidates that the local search looks at in a second, on one thread, on machine reassignment.

Time counts while it searches: not for reading, making its tables, greedy or checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_least
from benchmarks.fresh import fresh
from benchmarks.judged import Question
from benchmarks.suites import roadef

TARGETS = {"a1_2": None, "a2_2": 8e6, "b_1": None, "b_8": 4e6}
"""Candidates per second; None where the rate is only reported."""
LIMIT_S, SMOKE_S = 12.0, 5.0


def searched(form: str, files: Sequence[str], limit: float, seed: int) -> Row:
    """Search on one thread, and say what was done.

    Raises
    ------
    RuntimeError
        If the time was over before the search began.
    """
    from optalloc import solving
    from optalloc.engines.ahead import compile_ahead
    from optalloc.formats import formats

    compile_ahead()
    instance = formats()[form].read(tuple(map(Path, files)))
    result = solving.solve(instance, engine="local", threads=1, time_limit=limit, seed=seed)
    effort = result.search
    if effort is None or not effort.evaluations:
        raise RuntimeError(f"no search began within {limit:g} s")
    return {
        "evaluations_per_s": round(effort.per_second),
        "early_share": round(effort.early / effort.evaluations, 4),
        "moves_per_s": round(effort.moves / effort.seconds),
        "evaluations": effort.evaluations,
        "search_s": round(effort.seconds, 2),
        "value": result.objective,
    }


def _cases(context: Context) -> list[Case]:
    limit = SMOKE_S if context.smoke else LIMIT_S
    asked = roadef.questions(context, limit)

    def measure(question: Question) -> Row:
        files = list(map(str, question.files))
        row = fresh(searched, question.format, files, limit, question.seed)
        return {"name": question.name, "seed": question.seed, "limit": limit, **row}

    return [
        Case(question.key, partial(measure, question))
        for question in asked
        if context.smoke or question.name in TARGETS
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    return [_rate(name, measured) for name, measured in by_name.items()]


def _rate(name: str, rows: Sequence[Row]) -> Figure:
    slowest = min(rows, key=lambda row: row["evaluations_per_s"])
    target = TARGETS.get(name)
    return Figure(
        f"local search on ROADEF {name}, one thread: candidates looked at in a second",
        slowest["evaluations_per_s"], "", None if target is None else at_least(target),
        detail=f"{100 * slowest['early_share']:.0f} % of them rejected early, "
        f"{slowest['moves_per_s']:,} moves made in a second",
    )  # fmt: skip


BENCHMARK = Benchmark(
    summary="candidates of the local search per second and core",
    minutes=1,
    cases=_cases,
    figures=_figures,
)
