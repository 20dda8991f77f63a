"""The service killed, its journal damaged, its clients hostile, and asked for long."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.service import filled
from benchmarks.service_damage import cuts, flips
from benchmarks.service_kills import Kills


def _folder(context: Context) -> Path:
    return Path(tempfile.mkdtemp(dir=context.folder))


def _kills(context: Context, rounds: int) -> Row:
    folder, nodes = _folder(context), 32 if context.smoke else 96
    file, _ = filled(folder, nodes, 1)
    found = Kills(file, folder / "killed.journal", nodes).run(rounds)
    shutil.rmtree(folder)
    return {"what": "kills", **found}


def _cuts(entries: int, stride: int) -> Row:
    return {"what": "cuts", **cuts(entries, stride)}


def _flips(entries: int, number: int, seeds: Sequence[int]) -> Row:
    rows = [flips(entries, number, seed) for seed in seeds]
    total = {key: sum(row[key] for row in rows) for key in ("whole", "refused", "wrong")}
    first = [what for row in rows for what in row["first_wrong"]]
    return {"what": "flips", "entries": entries, **total, "first_wrong": first[:5]}


def _cases(context: Context) -> list[Case]:
    small = context.smoke
    return [
        Case("kills", partial(_kills, context, 2 if small else 200)),
        Case("cuts", partial(_cuts, 2 if small else 50, 997 if small else 1)),
        Case("flips", partial(_flips, 50, 20 if small else 20_000, context.seeds)),
    ]


WRONG = {
    "kills": (("lost", "twice", "violated"), "`kill -9` under load: lost, twice or violated"),
    "cuts": (("wrong",), "journal cut at every byte of its last 50 transactions: not told"),
    "flips": (("wrong",), "journal with one byte changed: not told"),
}
"""Fields that count what is wrong, and what a figure says of them."""


def _figures(rows: Sequence[Row]) -> list[Figure]:
    found = []
    for what, (fields, name) in WRONG.items():
        mine = [r for r in rows if r["what"] == what]
        wrong = max((sum(r[f] for f in fields) for r in mine), default=None)
        detail = "; ".join(_told(r) for r in mine)
        counted = len(mine), 1
        found.append(Figure(name, wrong, "", at_most(0), counted, detail, sound=True))
    return found


def _told(row: Row) -> str:
    if row["what"] == "kills":
        during = f"{row['early']} of them as it started"
        return f"{row['kills']} kills, {during}; {row['acknowledged']} acknowledged"
    damaged = row["whole"] + row["refused"] + row["wrong"]
    return f"{damaged} journals, {row['whole']} of them whole"


BENCHMARK = Benchmark(
    summary="the service killed, its journal damaged, its clients hostile, and for long",
    minutes=60,
    cases=_cases,
    figures=_figures,
)
