"""Generalised assignment, the hard open instances: `auto` against each exact engine alone.

All of Yagiura's (types C, D and E) and type D of Chu and Beasley's, each solved with the same time
and threads by every engine, so that it can be counted where `auto` is the worse choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.judged import Question, ask, soundness
from benchmarks.suites.gap import questions

ENGINES = ("auto", "cpsat", "milp")
INSTANCES = 24
MEAN, LARGEST = 0.05, 0.25
"""Gaps to reach, in percent."""


def hard(name: str) -> bool:
    """Whether an instance belongs here; those made for a smoke run do."""
    folder, _, file = name.partition("/")
    return folder in ("yagiura2004", "made") or (folder == "chu1997" and file.startswith("d"))


def _questions(context: Context) -> Iterator[Question]:
    for question in questions(context):
        if hard(question.name):
            yield from (replace(question, engine=engine) for engine in ENGINES)


def _cases(context: Context) -> list[Case]:
    return [Case(q.key, partial(ask, context, q)) for q in _questions(context)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    auto = [row for row in rows if row["engine"] == ENGINES[0]]
    return [*_gaps(auto), _worse(auto, rows), *soundness(rows, "GAP, hard")]


def _gaps(rows: Sequence[Row]) -> list[Figure]:
    answered = [row for row in rows if row["gap"] is not None]
    cases = (len({row["name"] for row in answered}), INSTANCES)
    mean: float | None = None
    largest: float | None = None
    worst = max(answered, key=lambda row: row["gap"], default=None)
    if worst is not None and len(answered) == len(rows):
        mean = 100 * sum(row["gap"] for row in rows) / len(rows)
        largest = 100 * worst["gap"]
    return [
        Figure("GAP, hard, 60 s: mean gap to the best known", mean, "%", at_most(MEAN), cases),
        Figure(
            "the same: largest gap to the best known", largest, "%", at_most(LARGEST), cases,
            worst["name"] if worst else "",
        ),
    ]  # fmt: skip


def _worse(auto: Sequence[Row], rows: Sequence[Row]) -> Figure:
    """Count solves where an engine alone found a smaller value than `auto`."""
    alone = {(row["name"], row["seed"], row["engine"]): row["value"] for row in rows}
    worse = [
        f"{row['name']} {engine}"
        for row in auto
        for engine in ENGINES[1:]
        if _smaller(alone.get((row["name"], row["seed"], engine)), row["value"])
    ]
    compared = {
        row["name"]
        for row in auto
        if all((row["name"], row["seed"], engine) in alone for engine in ENGINES)
    }
    return Figure(
        "the same: answers worse than those of CP-SAT or HiGHS alone", len(worse), "", at_most(0),
        (len(compared), INSTANCES), ", ".join(worse),
    )  # fmt: skip


def _smaller(value: float | None, other: float | None) -> bool:
    return value is not None and (other is None or value < other)


BENCHMARK = Benchmark(
    summary="generalised assignment, 24 hard instances: auto against CP-SAT and HiGHS alone",
    minutes=75,
    cases=_cases,
    figures=_figures,
)
