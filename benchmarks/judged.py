"""One solve of a suite, by the package's own batch: compared with the best known, and judged."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.contract import THREADS, Context, Figure, Row, at_most
from optalloc.batch.compare import Best, compare_rows
from optalloc.batch.jobs import SOLUTION, make_jobs
from optalloc.batch.runner import Settings, run_batch
from optalloc.cli.words import counted
from optalloc.engines import AUTO
from optalloc.formats import formats
from optalloc.instance.files import dump_instance
from optalloc.solution import read_solution

Judge = Callable[[str], tuple[list[str], int]]
"""Takes a solution file in the format's own words; returns the broken rules and the cost."""

KEPT = ("status", "stopped_by", "found_by", "wall_s", "process_s", "peak_rss_mib", "rejected")


@dataclass(frozen=True)
class Question:
    """An instance of a public suite and what is known of it.

    Parameters
    ----------
    name
        Path below the suite's folder, without extension.
    format
        Name of the format.
    files
        What the format reads.
    limit
        Seconds.
    seed
        Of the solver.
    best
        Best-known value; None if none is known.
    judge
        Shares no code with the package.
    engine
        What solves it.
    """

    name: str
    format: str
    files: tuple[Path, ...]
    limit: float
    seed: int
    best: float | None
    judge: Judge
    engine: str = AUTO

    @property
    def key(self) -> str:
        """Name of the case."""
        engine = "" if self.engine == AUTO else f" {self.engine}"
        return f"{self.name} {self.limit:g}s seed={self.seed}{engine}"


def ask(context: Context, question: Question) -> Row:
    """Convert, solve in a process of its own, export, judge and compare."""
    form = formats()[question.format]
    instance = form.read(question.files)
    stem = question.name.replace("/", "-")
    path = context.folder / f"{stem}.json"
    dump_instance(instance, path)
    solutions = context.folder / "solutions"
    jobs = make_jobs([str(path)], [question.engine], [question.seed], time_limit=question.limit)
    settings = Settings(jobs=1, threads=THREADS, grace_s=30, solutions=solutions)
    (answer,) = run_batch(jobs, settings)
    if "error" in answer:
        failure = answer["error"]
        said = "\n".join(filter(None, (failure["message"], failure.get("detail"))))
        raise RuntimeError(f"{answer['status']}: {said}")
    best = Best({} if question.best is None else {stem: question.best})
    (compared,) = compare_rows([answer], best)
    facts = asdict(compared)
    row = {
        "name": question.name,
        "engine": question.engine,
        "seed": question.seed,
        "time_limit": question.limit,
        "threads": THREADS,
        **{field: answer[field] for field in KEPT},
        **{field: facts[field] for field in ("value", "bound", "best", "gap", "contradicts")},
    }
    refused: list[str] = []
    solution = solutions / f"{stem}.{jobs[0].engine}.{question.seed}{SOLUTION}"
    if answer["verified"]:
        exported = context.folder / f"{stem}.txt"
        form.write(instance, read_solution(solution, instance), exported)
        broken, cost = question.judge(exported.read_text(encoding="ascii"))
        wrong = [] if cost == row["value"] else [f"costs {cost}, not {row['value']}"]
        refused = [*broken, *wrong]
    return {**row, "refused": refused}


def soundness(rows: Sequence[Row], suite: str) -> list[Figure]:
    """Count wrong answers: refused by the judge, and bounds that a known solution contradicts."""
    refused = [row["name"] for row in rows if row["refused"]]
    contradicted = [row["name"] for row in rows if row["contradicts"]]
    answered = sum(row["value"] is not None for row in rows)
    return [
        Figure(
            f"{suite}: answers refused by an independent checker", len(refused), "", at_most(0),
            detail=", ".join(refused) or counted(answered, "answer"), sound=True,
        ),
        Figure(
            f"{suite}: bounds above the best-known value", len(contradicted), "", at_most(0),
            detail=", ".join(contradicted) or counted(len(rows), "solve"), sound=True,
        ),
    ]  # fmt: skip


def brute_force(judge: Judge, places: int, tasks: int) -> int:
    """Cost of the best assignment of a few tasks to a few places, by trying all of them."""
    every: Iterable[tuple[int, ...]] = itertools.product(range(places), repeat=tasks)
    verdicts = (judge(" ".join(map(str, nodes))) for nodes in every)
    return min(cost for broken, cost in verdicts if not broken)
