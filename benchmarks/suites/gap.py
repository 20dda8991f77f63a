"""Generalised assignment: all 71 open instances of the public data, from OR-Library and Yagiura.

Types A, B and OR-Library's own are to be proven; C, D and E are compared with the best known.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.generated import assignment
from benchmarks.judged import Judge, Question, ask, brute_force, soundness

DATA = "gap"
EASY_S, HARD_S = 10.0, 60.0
EASY, HARD = 43, 28
"""Instances of each kind."""
SMOKE = ((3, 6), (3, 7))
"""Agents and tasks of the instances made for a smoke run."""


def easy(name: str) -> bool:
    """Whether an instance is to be proven: OR-Library's gap1 to gap12, types A and B."""
    folder, _, file = name.partition("/")
    return folder == "cattrysse1994" or file[0] in "ab"


def judge_of(text: str) -> Judge:
    """Judge solution files of a GAP file: the agent of each task, added up by hand."""
    numbers = [int(word) for word in text.split()]
    agents, tasks = numbers[:2]
    cost, use, capacity = numbers[2:], numbers[2 + agents * tasks :], numbers[-agents:]

    def judge(solution: str) -> tuple[list[str], int]:
        chosen = [int(word) for word in solution.split()]
        if len(chosen) != tasks or not all(0 <= agent < agents for agent in chosen):
            return ["not an agent for each task"], 0
        load = [0] * agents
        for task, agent in enumerate(chosen):
            load[agent] += use[agent * tasks + task]
        pairs = zip(load, capacity, strict=True)
        broken = [f"agent {i} holds {used} > {most}" for i, (used, most) in enumerate(pairs)
                  if used > most]  # fmt: skip
        return broken, sum(cost[agent * tasks + task] for task, agent in enumerate(chosen))

    return judge


def questions(context: Context) -> list[Question]:
    """All instances for every seed; small ones made here for a smoke run."""
    if context.smoke:
        return [_made(context.folder, *size, context.seeds[0]) for size in SMOKE]
    folder = context.data(DATA)
    with (folder / "best_known.csv").open(encoding="utf-8", newline="") as file:
        known = {row["file"]: float(row["best_known_min"]) for row in csv.DictReader(file)}
    return [
        _published(folder, name, best, seed)
        for name, best in known.items()
        for seed in context.seeds
    ]


def _published(folder: Path, file: str, best: float, seed: int) -> Question:
    path = folder / file
    name = str(PurePosixPath(file).with_suffix(""))
    limit = EASY_S if easy(name) else HARD_S
    judge = judge_of(path.read_text(encoding="ascii"))
    return Question(name, DATA, (path,), limit, seed, best, judge)


def _made(folder: Path, agents: int, tasks: int, seed: int) -> Question:
    path = folder / f"a{agents:02}{tasks:03}.txt"
    text = assignment(tasks, agents, seed=1).text()
    path.write_text(text, encoding="ascii")
    judge = judge_of(text)
    best = float(brute_force(judge, agents, tasks))
    return Question(f"made/{path.stem}", DATA, (path,), EASY_S, seed, best, judge)


def _cases(context: Context) -> list[Case]:
    return [Case(q.key, partial(ask, context, q)) for q in questions(context)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    small = [row for row in rows if easy(row["name"])]
    large = [row for row in rows if not easy(row["name"])]
    figures = [_proven(small)] if small else []
    if large:
        figures += _gaps(large)
    return figures + soundness(rows, "GAP")


def _proven(rows: Sequence[Row]) -> Figure:
    late = [r for r in rows if r["status"] != "optimal" or r["wall_s"] > r["time_limit"]]
    worst = max(rows, key=lambda row: row["wall_s"])
    detail = f"longest {worst['name']} {worst['wall_s']:.1f} s"
    if late:
        detail += "; not " + ", ".join(row["name"] for row in late)
    return Figure(
        f"GAP types A and B and OR-Library: proven optimal within {EASY_S:g} s",
        len(rows) - len(late), "", at_least(len(rows)),
        (len({row["name"] for row in rows}), EASY), detail,
    )  # fmt: skip


def _gaps(rows: Sequence[Row]) -> list[Figure]:
    answered = [row for row in rows if row["gap"] is not None]
    cases = (len({row["name"] for row in rows}), HARD)
    kinds = {kind: [r for r in answered if _kind(r) == kind] for kind in "cde"}
    means = ", ".join(
        f"{kind.upper()} {_mean(found):.2f} %" for kind, found in kinds.items() if found
    )
    worst = max(answered, key=lambda row: row["gap"], default=None)
    proven = sum(row["status"] == "optimal" for row in rows)
    return [
        Figure(
            f"GAP types C, D and E, {HARD_S:g} s: answers", len(answered), "",
            at_least(len(rows)), cases, f"{proven} proven optimal",
        ),
        Figure(
            "the same: mean gap to the best known", _mean(answered) if answered else None, "%",
            at_most(0.4), cases, means,
        ),
        Figure(
            "the same: largest gap to the best known",
            100 * worst["gap"] if worst else None, "%", at_most(2), cases,
            worst["name"] if worst else "",
        ),
    ]  # fmt: skip


def _kind(row: Row) -> str:
    return str(row["name"].rpartition("/")[2][0])


def _mean(rows: Sequence[Row]) -> float:
    """Mean gap in percent."""
    return 100 * float(sum(row["gap"] for row in rows)) / len(rows)


BENCHMARK = Benchmark(
    summary="generalised assignment, 71 public instances: proofs and gaps to the best known",
    minutes=35,
    cases=_cases,
    figures=_figures,
)
