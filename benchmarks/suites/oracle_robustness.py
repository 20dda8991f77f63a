"""The service killed, its journal damaged, its clients hostile, and asked for long."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.service import filled
from benchmarks.service_damage import file_cuts, flips, log_cuts
from benchmarks.service_fuzz import hostile
from benchmarks.service_kills import Kills
from benchmarks.service_mixed import grown
from benchmarks.service_schemathesis import environment, tested

PARTS = 8


def _folder(context: Context) -> Path:
    return Path(tempfile.mkdtemp(dir=context.folder))


def _kills(context: Context, rounds: int) -> Row:
    folder, nodes = _folder(context), 32 if context.smoke else 96
    file, _ = filled(folder, nodes, 1)
    found = Kills(file, folder / "killed.journal", nodes).run(rounds)
    shutil.rmtree(folder)
    return {"what": "kills", **found}


def _cuts(entries: int, stride: int) -> list[Case]:
    """The log is cut in parts, of a minute or so each."""

    def part(k: int) -> Row:
        return {"what": "cuts", **log_cuts(entries, stride, k, PARTS)}

    def main() -> Row:
        return {"what": "cuts", **file_cuts(entries, stride)}

    logs = [Case(f"cuts log {k + 1}/{PARTS}", partial(part, k)) for k in range(PARTS)]
    return [*logs, Case("cuts file", main)]


def _flips(entries: int, number: int, seed: int) -> Row:
    return {"what": "flips", **flips(entries, number, seed)}


def _hostile(context: Context, size: int) -> Row:
    folder = _folder(context)
    file, _ = filled(folder, 32, 1)
    found = hostile(file, folder, size, context.seeds[0])
    shutil.rmtree(folder)
    return {"what": "hostile", **found}


def _schemathesis(context: Context, examples: int) -> Row:
    folder = _folder(context)
    # A smoke run must not depend on what can be installed.
    python, why = (None, "smoke run") if context.smoke else environment(folder)
    if python is None:
        return {"what": "schemathesis", "skipped": why}
    file, _ = filled(folder, 32, 1)
    found = tested(python, file, folder, examples, context.seeds[0])
    shutil.rmtree(folder)
    return {"what": "schemathesis", **found}


def _memory(context: Context, few: int, many: int) -> Row:
    folder = _folder(context)
    file, journal = filled(folder, 32, 100)
    found = grown(file, journal, few, many, context.seeds[0])
    shutil.rmtree(folder)
    return {"what": "memory", **found}


def _cases(context: Context) -> list[Case]:
    small = context.smoke
    return [
        Case("kills", partial(_kills, context, 2 if small else 200)),
        *_cuts(2 if small else 50, 997 if small else 1),
        Case("flips", partial(_flips, 50, 20 if small else 20_000, context.seeds[0])),
        Case("hostile", partial(_hostile, context, 150 if small else 10_000)),
        Case("schemathesis", partial(_schemathesis, context, 30)),
        Case(
            "memory", partial(_memory, context, 40 if small else 20_000, 85 if small else 200_000)
        ),
    ]


WRONG = {
    "kills": (("lost", "twice", "violated"), "`kill -9` under load: lost, twice or violated"),
    "cuts": (("wrong",), "journal cut at every byte of its last 50 transactions: not told"),
    "flips": (("wrong",), "journal with one byte changed: not told"),
    "hostile": (("wrong",), "hostile requests: failures, and answers that are not described"),
    "schemathesis": (("wrong",), "the same: found by Schemathesis"),
    "memory": (("wrong",), "the same: among 200,000 mixed requests"),
}
"""Fields that count what is wrong, and what a figure says of them."""


def _figures(rows: Sequence[Row]) -> list[Figure]:
    found = []
    for what, (fields, name) in WRONG.items():
        mine = [r for r in rows if r["what"] == what and "skipped" not in r]
        wrong = sum(r[f] for r in mine for f in fields) if mine else None
        detail = _told(mine) if mine else ""
        counted = len(mine), PARTS + 1 if what == "cuts" else 1
        found.append(Figure(name, wrong, "", at_most(0), counted, detail, sound=True))
    rises = [100 * (r["many_mb"] / r["few_mb"] - 1) for r in rows if r["what"] == "memory"]
    name = "memory after 200,000 mixed requests over that after 20,000"
    detail = "".join(
        f"{r['few_mb']:.3g} and {r['many_mb']:.3g} MB" for r in rows if r["what"] == "memory"
    )
    found.append(Figure(name, max(rises, default=None), "%", at_most(10), (len(rises), 1), detail))
    return found


def _told(rows: Sequence[Row]) -> str:
    total = {k: sum(r[k] for r in rows) for k, v in rows[0].items() if type(v) is int}
    if rows[0]["what"] == "kills":
        during = f"{total['early']} of them as it started"
        return f"{total['kills']} kills, {during}; {total['acknowledged']} acknowledged"
    if rows[0]["what"] == "schemathesis":
        return f"{total['requests']} requests"
    if "answers" in rows[0]:
        answers = ", ".join(f"{n} x {status}" for status, n in rows[0]["answers"].items())
        return f"{total['requests']} requests: {answers}"
    damaged = total["whole"] + total["refused"] + total["wrong"]
    return f"{damaged} journals, {total['whole']} of them whole"


BENCHMARK = Benchmark(
    summary="the service killed, its journal damaged, its clients hostile, and for long",
    minutes=60,
    cases=_cases,
    figures=_figures,
)
