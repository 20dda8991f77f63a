"""Quadratic assignment (QAPLIB): proofs up to 12 slots, gaps to the best known beyond."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least, at_most

SECONDS = "OPTALLOC_QAP_SECONDS"
LIMIT_S, MARGIN_S = 60.0, 0.3
PROVEN, SMALL = 12, 100
"""Slots up to which the optimum is to be proven, and values below which they are to be met."""
TINY, REST, LOW = 9, 62, 5
"""Open instances of up to `PROVEN` slots and of more, and those of them below `SMALL`."""


def _measure(path: Path, known: float, seed: int) -> Row:
    began = time.perf_counter()
    from optalloc.mapping import map_ranks, read_qaplib

    traffic, machine = read_qaplib(path)
    limit = float(os.environ.get(SECONDS, LIMIT_S)) if machine.slots > PROVEN else LIMIT_S
    left = limit - MARGIN_S - (time.perf_counter() - began)
    found = map_ranks(traffic, machine, time_limit=left, threads=THREADS, seed=seed)
    return {
        "instance": path.stem,
        "n": machine.slots,
        "cost": found.cost,
        "bound": found.bound,
        "status": found.status,
        "known": known,
        "gap": found.cost / known - 1 if known else found.cost,
        "limit_s": limit,
        "wall_s": round(time.perf_counter() - began, 3),
    }


def _cases(context: Context) -> list[Case]:
    if context.smoke:
        path = context.folder / "tiny.dat"
        path.write_text("3\n0 1 2\n1 0 3\n2 3 0\n0 5 1\n5 0 2\n1 2 0\n", encoding="utf-8")
        known = {path: (3, 24.0)}
    else:
        folder = context.data("qap")
        with (folder / "best_known.csv").open(encoding="utf-8", newline="") as file:
            known = {
                folder / f"{row['instance']}.dat": (int(row["n"]), float(row["best_known"]))
                for row in csv.DictReader(file)
            }
    return [
        Case(
            f"{'proof' if slots <= PROVEN else 'gap'} {path.stem} seed={seed}",
            partial(_measure, path, value, seed),
        )
        for path, (slots, value) in known.items()
        for seed in context.seeds
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    if not rows:
        return []
    tiny = [row for row in rows if row["n"] <= PROVEN]
    rest = [row for row in rows if row["n"] > PROVEN]
    low = [row for row in rows if row["known"] < SMALL]
    figures = []
    if tiny:
        proven, slow = (
            sum(row["status"] == "optimal" for row in tiny), max(tiny, key=lambda r: r["wall_s"]),
        )  # fmt: skip
        figures.append(
            Figure(
                f"QAPLIB up to {PROVEN} slots: proven optimal within 60 s", proven, "",
                at_least(len(tiny)), (len(tiny), max(TINY, len(tiny))),
                f"of {len(tiny)}; longest {slow['instance']} {slow['wall_s']} s",
            )
        )  # fmt: skip
    if rest:
        worst = max(rest, key=lambda row: row["gap"])
        cases = len(rest), max(REST, len(rest))
        limit = max(row["limit_s"] for row in rest)
        met = sum(row["gap"] <= 0 for row in rest)
        figures += [
            Figure(
                f"QAPLIB beyond, {limit:g} s each: mean gap to the best known",
                100 * float(np.mean([row["gap"] for row in rest])), "%", at_most(2), cases,
                f"{met} of {len(rest)} met",
            ),
            Figure(
                "the same: largest gap", 100 * worst["gap"], "%", at_most(5), cases,
                worst["instance"],
            ),
        ]  # fmt: skip
    if low:
        figures.append(
            Figure(
                f"QAPLIB, best known below {SMALL}: met", sum(r["gap"] <= 0 for r in low), "",
                at_least(len(low)), (len(low), max(LOW, len(low))), f"of {len(low)}",
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="quadratic assignment of QAPLIB: proofs and gaps to the best known",
    minutes=60,
    cases=_cases,
    figures=_figures,
)
