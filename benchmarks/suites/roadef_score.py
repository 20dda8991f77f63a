"""Machine reassignment by the challenge's score: ``100 (cost - best known) / initial cost``.

The five large instances in a minute and in the challenge's five, the ten small ones in five minutes
with one seed.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import inf, isfinite

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.judged import Question, ask, soundness
from benchmarks.suites.roadef import DATA, questions

SHORT_S, LONG_S = 60.0, 300.0
LARGE, SMALL = 5, 10
"""Instances of the second set, and of the first."""
TOGETHER = {SHORT_S: 0.25, LONG_S: 0.10}
ALONE = {"b_3": 0.002, "b_5": 0.002, "b_6": 0.0005, "b_8": 0.002}
"""Largest scores of the large instances: together, by time, and in five minutes each."""
NEAR = {"a1_3": 0.001, "a1_5": 0.001}
"""Percent above the best known."""
VALUES = {"a2_1": 250.0, "a2_2": 712e6}
REACHED = 5
"""Small instances at or below the best known."""
FAR, LEAST = 1.5, 1e6
"""No small instance is more than so many percent above a best known of at least that."""


def _cases(context: Context) -> list[Case]:
    facts = {} if context.smoke else _facts(context)
    return [Case(q.key, partial(_ask, context, q, facts.get(q.name, {}))) for q in _asked(context)]


def _asked(context: Context) -> list[Question]:
    every = questions(context)
    if context.smoke:
        return every
    large = [q for q in every if q.name.startswith("b_")]
    small = [q for q in every if not q.name.startswith("b_") and q.seed == context.seeds[0]]
    short = [replace(q, limit=SHORT_S) for q in large]
    return short + [replace(q, limit=LONG_S) for q in large + small]


def _facts(context: Context) -> dict[str, dict[str, float]]:
    """Initial cost of each instance, and what the challenge's winner reached in five minutes."""
    path = context.data(DATA) / "best_known.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["instance"]: {
                "initial": float(row["initial_cost"]),
                "winner": float(row["S41_own_300s"]),
            }
            for row in csv.DictReader(file)
        }


def _ask(context: Context, question: Question, facts: dict[str, float]) -> Row:
    return {**ask(context, question), **facts}


def _value(row: Row) -> float:
    """The cost; infinite without an answer."""
    return inf if row["value"] is None else float(row["value"])


def _known(number: float) -> float | None:
    """A number that may be stated; None, which misses every target, where an answer is missing."""
    return number if isfinite(number) else None


def _score(row: Row) -> float:
    return float(100 * (_value(row) - row["best"]) / row["initial"])


def _figures(rows: Sequence[Row]) -> list[Figure]:
    known = [row for row in rows if "initial" in row]
    large = [row for row in known if row["name"].startswith("b_")]
    small = [row for row in known if not row["name"].startswith("b_")]
    figures: list[Figure] = []
    for limit, most in TOGETHER.items():
        scores = _scores([row for row in large if row["time_limit"] == limit])
        if scores:
            figures.append(_together(scores, limit, most))
        if limit == LONG_S:
            figures += [_alone(name, scores[name], ALONE[name]) for name in ALONE if name in scores]
    if small:
        figures += _small(small)
    return figures + soundness(rows, "ROADEF")


def _scores(rows: Sequence[Row]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["name"], []).append(_score(row))
    return found


def _together(scores: dict[str, list[float]], limit: float, most: float) -> Figure:
    middle = {name: statistics.median(values) for name, values in sorted(scores.items())}
    detail = ", ".join(
        f"{name} {middle[name]:.2g} ({min(values):.2g} to {max(values):.2g})"
        for name, values in sorted(scores.items())
    )
    return Figure(
        f"ROADEF b, {limit:g} s: sum of scores (medians of the seeds)",
        _known(sum(middle.values())), "", at_most(most), (len(middle), LARGE), detail,
    )  # fmt: skip


def _alone(name: str, scores: list[float], most: float) -> Figure:
    return Figure(
        f"ROADEF {name}, {LONG_S:g} s: score", _known(statistics.median(scores)), "", at_most(most),
        detail=f"{min(scores):.2g} to {max(scores):.2g}",
    )  # fmt: skip


def _small(rows: Sequence[Row]) -> list[Figure]:
    named = {row["name"]: row for row in rows}
    measured = (len(named), SMALL)
    above = {name: 100 * (_value(row) - row["best"]) / row["best"] for name, row in named.items()}
    reached = sorted(name for name, gap in above.items() if gap <= 0)
    behind = sorted(
        name
        for name, row in named.items()
        if row["winner"] > row["best"] and not _value(row) < row["winner"]
    )
    far = {name: gap for name, gap in above.items() if named[name]["best"] > LEAST}
    figures = [
        Figure(
            f"ROADEF a, {LONG_S:g} s: at or below the best known", len(reached), "",
            at_least(REACHED), measured, ", ".join(reached),
        ),
        Figure(
            f"ROADEF a, {LONG_S:g} s: no better than the winner, who left a gap", len(behind), "",
            at_most(0), measured, ", ".join(behind),
        ),
        Figure(
            f"ROADEF a, {LONG_S:g} s: most above the best known",
            _known(max(far.values(), default=inf)), "%", at_most(FAR), measured,
            ", ".join(f"{name} {gap:.2g}" for name, gap in sorted(far.items())),
        ),
    ]  # fmt: skip
    figures += [
        Figure(f"ROADEF {name}, {LONG_S:g} s: above the best known", _known(above[name]), "%",
               at_most(most))
        for name, most in NEAR.items() if name in named
    ]  # fmt: skip
    figures += [
        Figure(f"ROADEF {name}, {LONG_S:g} s: value", named[name]["value"], "", at_most(most))
        for name, most in VALUES.items()
        if name in named
    ]
    return figures


BENCHMARK = Benchmark(
    summary="machine reassignment, the challenge's score: large in 60 s and 300 s, small in 300 s",
    minutes=145,
    cases=_cases,
    figures=_figures,
)
