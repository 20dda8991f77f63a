"""Ranks of data-, tensor- and pipeline-parallel groups on two levels, proven optimal in 10 s."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least

LIMIT_S = 10.0
Shape = tuple[int, int, int, int, Literal["ring", "all-to-all"], Literal["ring", "all-to-all"]]
SHAPES: tuple[Shape, ...] = (
    (2, 4, 1, 4, "all-to-all", "ring"), (2, 4, 2, 4, "all-to-all", "ring"),
    (4, 8, 1, 8, "all-to-all", "ring"), (2, 8, 4, 8, "ring", "ring"),
    (4, 4, 4, 8, "all-to-all", "ring"), (8, 8, 1, 16, "ring", "all-to-all"),
    (1, 8, 8, 8, "ring", "ring"), (3, 4, 3, 8, "ring", "ring"),
    (4, 6, 1, 4, "all-to-all", "ring"), (2, 6, 2, 8, "all-to-all", "ring"),
    (5, 4, 2, 8, "ring", "all-to-all"), (4, 6, 2, 16, "ring", "ring"),
    (3, 6, 3, 4, "ring", "ring"), (8, 4, 2, 16, "all-to-all", "all-to-all"),
    (4, 8, 2, 4, "all-to-all", "ring"), (2, 8, 4, 16, "all-to-all", "ring"),
    (16, 4, 1, 8, "ring", "ring"), (6, 3, 3, 8, "ring", "ring"),
    (7, 3, 3, 16, "all-to-all", "ring"), (4, 5, 3, 8, "all-to-all", "ring"),
    (2, 12, 2, 8, "ring", "ring"), (4, 16, 1, 8, "all-to-all", "ring"),
    (64, 1, 1, 8, "ring", "ring"), (2, 16, 2, 16, "ring", "ring"),
    (3, 7, 3, 16, "ring", "ring"), (8, 8, 1, 4, "all-to-all", "ring"),
)  # fmt: skip
"""Data, tensor and pipeline degrees, ranks of a leaf, how tensor and data groups reduce."""


def _measure(shape: Shape, seed: int) -> Row:
    from optalloc.mapping import Machine, Model, map_ranks, model_traffic

    data, tensor, pipeline, leaf, tensor_as, data_as = shape
    model = Model(7e9, layers=32, hidden=4096)
    traffic = model_traffic(model, data, tensor, pipeline, tensor_as=tensor_as, data_as=data_as)
    machine = Machine.hierarchy((leaf, -(-traffic.ranks // leaf)), (1, 10))
    found = map_ranks(traffic, machine, time_limit=LIMIT_S, threads=THREADS, seed=seed)
    fits = tensor * data * pipeline % leaf == 0 and (leaf % tensor == 0 or tensor % leaf == 0)
    return {
        "shape": " x ".join(map(str, shape[:3])),
        "leaf": leaf,
        "fits": fits,
        "cost": found.cost,
        "bound": found.bound,
        "status": found.status,
        "gap": found.gap,
        "wall_s": round(found.wall_s, 3),
    }


def _cases(context: Context) -> list[Case]:
    return [
        Case(
            f"{data} x {tensor} x {pipeline} on {leaf} ({how}, {other}) seed={seed}",
            partial(_measure, (data, tensor, pipeline, leaf, how, other), seed),
        )
        for data, tensor, pipeline, leaf, how, other in SHAPES[: 2 if context.smoke else None]
        for seed in context.seeds
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for fits, name in ((True, "that fill their leaves"), (False, "that do not")):
        mine = [row for row in rows if row["fits"] == fits]
        if not mine:
            continue
        proven = [row for row in mine if row["status"] == "optimal"]
        left = ", ".join(
            f"{row['shape']} on {row['leaf']}: {100 * row['gap']:.2g} %"
            for row in mine
            if row not in proven
        )
        figures.append(
            Figure(
                f"groups of 8 to 64 ranks on two levels, {name}: proven optimal within 10 s",
                len(proven), "", at_least(len(mine)), (len(mine), len(mine)),
                f"of {len(mine)}" + (f"; left: {left}" if left else ""),
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="parallel groups of 8 to 64 ranks on two-level machines, proven optimal",
    minutes=3,
    cases=_cases,
    figures=_figures,
)
