"""Meta's Rebalancer on machine reassignment, with the same time and judged by the same checker.

It needs a Python of its own (3.12 or newer) and is installed into a virtual environment that is
made for the run. Where it cannot be had, the rows say why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.judged import ask
from benchmarks.suites import roadef

NAMES = ("a1_2", "a2_2", "a2_5", "b_1", "b_3")
SECONDS = "OPTALLOC_REBALANCER_SECONDS"
LIMIT_S = float(os.environ.get(SECONDS, "120"))
PACKAGE = "rebalancer==1.0.4"
NEWEST, OLDEST = 16, 12
"""Minor versions of Python 3 that are looked for, and the first that it runs on."""
GRACE_S = 120.0
DRIVER = Path(__file__).parents[1] / "peers" / "reassign.py"


def _pythons() -> Iterator[str]:
    """Interpreters that may be new enough: this one, those on the path, and those of pyenv."""
    yield sys.executable
    for minor in range(NEWEST, OLDEST - 1, -1):
        yield from filter(None, [shutil.which(f"python3.{minor}")])
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(map(str, root.glob("versions/3.*/bin/python")), reverse=True)


def _new_enough(python: str) -> bool:
    asked = f"import sys, venv, ensurepip; sys.exit(sys.version_info < (3, {OLDEST}))"
    done = subprocess.run([python, "-c", asked], capture_output=True, check=False)
    return done.returncode == 0


@cache
def environment(folder: Path) -> tuple[Path | None, str]:
    """Make a virtual environment with Rebalancer; its Python, or None and why there is none."""
    python = next(filter(_new_enough, _pythons()), None)
    if python is None:
        return None, f"no Python 3.{OLDEST} or newer was found, which it needs"
    inside = folder / "rebalancer" / "bin" / "python"
    for command in (
        [python, "-m", "venv", str(inside.parents[1])],
        [str(inside), "-m", "pip", "--quiet", "install", "--only-binary", ":all:", PACKAGE],
        [str(inside), "-c", "import rebalancer"],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return None, f"{PACKAGE} cannot be installed for {python}: {error}"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            return None, f"{PACKAGE} cannot be installed for {python}: {last}"
    return inside, ""


def theirs(python: Path, question: Any, folder: Path) -> Row:
    """Let Rebalancer solve an instance and have its answer judged."""
    solution = folder / f"{question.name}.theirs.txt"
    done = subprocess.run(
        [str(python), "-I", str(DRIVER), *map(str, question.files), str(LIMIT_S), str(solution)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S + GRACE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it says nothing"])[-1])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    broken, cost = question.judge(solution.read_text(encoding="ascii"))
    return {"theirs": cost, "broken": len(broken), "theirs_s": told["wall_s"], **told}


def _cases(context: Context) -> list[Case]:
    questions = [
        question
        for question in roadef.questions(context, LIMIT_S)
        if context.smoke or question.name in NAMES
    ]

    def case(question: Any) -> Case:
        def measure() -> Row:
            # A smoke run must not depend on what can be installed.
            python, why = (None, "smoke run") if context.smoke else environment(context.folder)
            row = ask(context, question)
            peer = {"skipped": why} if python is None else theirs(python, question, context.folder)
            return {**row, "ours_s": row["wall_s"], **peer}

        return Case(question.key, measure)

    return [case(question) for question in questions]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    both = [row for row in rows if "theirs" in row]
    skipped = sorted({row["skipped"] for row in rows if "skipped" in row})
    if not both:
        text = "Rebalancer: not compared"
        return [Figure(text, None, "", None, (0, len(NAMES)), "; ".join(skipped))]
    costs = [
        f"{row['name']} {row['value']:,.0f} against {row['theirs']:,}"
        + (f" with {row['broken']} broken rules" if row["broken"] else "")
        for row in both
    ]
    worse = [row for row in both if row["value"] is None or row["value"] >= row["theirs"]]
    return [
        Figure(
            f"Rebalancer, {both[0]['time_limit']:g} s each: instances on which it is not beaten",
            len(worse), "", at_most(0), (len({row["name"] for row in both}), len(NAMES)),
            "; ".join(costs),
        )
    ]  # fmt: skip


BENCHMARK = Benchmark(
    summary=f"machine reassignment against Meta's Rebalancer, {THREADS} threads, equal time",
    minutes=2 * len(NAMES) * LIMIT_S / 60,
    cases=_cases,
    figures=_figures,
)
