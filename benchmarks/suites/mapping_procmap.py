"""Process mapping on hierarchies: one vertex a slot in 10 s, many in 60 s, reading included."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least, at_most

if TYPE_CHECKING:
    from optalloc.mapping import Machine

ONE_S, MANY_S = 10.0, 60.0
IMBALANCE = 1.03
MARGIN_S = 0.3
"""Left for reading before and for returning after the search."""


def _one(row: dict[str, str], folder: Path, seed: int) -> Row:
    began = time.perf_counter()
    from optalloc.mapping import Traffic, map_ranks, read_metis

    graph = read_metis(folder / row["graph"])
    traffic = Traffic.of_pairs(graph.ranks, graph.source, graph.target, graph.volume)
    left = ONE_S - MARGIN_S - (time.perf_counter() - began)
    found = map_ranks(traffic, _machine(row, 1), time_limit=left, threads=THREADS, seed=seed)
    return {
        "kind": "one",
        "instance": f"{row['graph']} {row['hierarchy']}",
        "cost": found.cost,
        "known": float(row["best_known"]),
        "above": found.cost / float(row["best_known"]) - 1,
        "wall_s": round(time.perf_counter() - began, 3),
    }


def _many(row: dict[str, str], folder: Path, seed: int) -> Row:
    began = time.perf_counter()
    import numpy as np

    from optalloc.mapping import map_ranks, read_metis

    traffic = read_metis(folder / f"{row['graph']}.graph")
    room = math.floor(IMBALANCE * math.ceil(traffic.ranks / int(row["pes"])) + 1e-9)
    left = MANY_S - MARGIN_S - (time.perf_counter() - began)
    found = map_ranks(traffic, _machine(row, room), time_limit=left, threads=THREADS, seed=seed)
    known = float(row["best_cost_of_3_seeds"])
    return {
        "kind": "many",
        "instance": f"{row['graph']} {row['hierarchy']}",
        "cost": found.cost,
        "known": known,
        "above": found.cost / known - 1,
        "largest": int(np.bincount(found.assignment).max()),
        "room": room,
        "wall_s": round(time.perf_counter() - began, 3),
    }


def _machine(row: dict[str, str], room: int) -> Machine:
    from optalloc.mapping import Machine

    sizes = [int(s) for s in row["hierarchy"].split(":")]
    return Machine.hierarchy(sizes, [float(d) for d in row["distance"].split(":")], room)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _made(folder: Path) -> list[dict[str, str]]:
    """Make a ring for a smoke run."""
    lines = ["16 16", *(f"{(k - 1) % 16 + 1} {(k + 1) % 16 + 1}" for k in range(16))]
    (folder / "ring.graph").write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = {"graph": "ring.graph", "hierarchy": "4:4", "distance": "1:10", "best_known": "104"}
    return [made]


def _cases(context: Context) -> list[Case]:
    if context.smoke:
        folder, one, many = context.folder, _made(context.folder), []
    else:
        folder = context.data("procmap")
        one = _rows(folder / "reference_one_to_one.csv")
        many = _rows(folder / "reference_many_to_one.csv")
    cases = [
        Case(f"one {r['graph']} {r['hierarchy']} seed={seed}", partial(_one, r, folder, seed))
        for r in one
        for seed in context.seeds
    ]
    return cases + [
        Case(f"many {r['graph']} {r['hierarchy']} seed={seed}", partial(_many, r, folder, seed))
        for r in many
        if r["method"] == "strong"
        for seed in context.seeds
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    one = [row for row in rows if row["kind"] == "one"]
    many = [row for row in rows if row["kind"] == "many"]
    if one:
        worst, cases = max(one, key=lambda row: row["above"]), (len(one), max(12, len(one)))
        figures += [
            Figure(
                "one vertex a slot, 10 s: at most the best known cost",
                sum(row["above"] <= 0 for row in one), "", at_least(0.75 * len(one)), cases,
                f"of {len(one)}; below it {sum(row['above'] < 0 for row in one)}",
            ),
            Figure(
                "the same: most above it", 100 * worst["above"], "%", at_most(2), cases,
                worst["instance"],
            ),
        ]  # fmt: skip
    if many:
        worst, cases = max(many, key=lambda row: row["above"]), (len(many), max(6, len(many)))
        figures.append(
            Figure(
                "many vertices a slot, 60 s: most above SharedMap (strong)",
                100 * worst["above"], "%", at_most(5), cases,
                ", ".join(f"{row['instance']} {100 * row['above']:.1f}" for row in many),
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="task graphs on hierarchical machines, against VieM and SharedMap",
    minutes=8,
    cases=_cases,
    figures=_figures,
)
