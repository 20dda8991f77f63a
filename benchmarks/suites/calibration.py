"""Step time and energy of data-parallel groups, predicted for models and placements left out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_least, at_most

if TYPE_CHECKING:
    from optalloc.physics.measurements import Placed

JOBS = 16
"""Jobs and devices in `throughputs_sia`."""
SMALL = ("a", "b", "c")


def _made(folder: Path) -> tuple[Path, Path]:
    """Make rows for a smoke run."""
    training = ["gpu,interconnect,model,parameters,local_batch,replicas,step_s,energy_j_per_step"]
    for k, model in enumerate(SMALL, 1):
        for replicas in (1, 2, 4):
            step = 0.02 * k * (1 + 0.1 * replicas)
            training.append(f"g,x,{model},{k * 10**7},8,{replicas},{step},{400 * step * replicas}")
    reduce = ["interconnect,ranks,bytes,median_s"]
    reduce += [f"x,{n},{2**p},{1e-5 + 2**p / 1e10}" for n in (2, 4) for p in range(12, 28, 4)]
    paths = folder / "training.csv", folder / "allreduce.csv"
    for path, lines in zip(paths, (training, reduce), strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths


def _models(context: Context) -> Row:
    from optalloc.physics.calibration import calibrate

    if context.smoke:
        training, reduce = _made(context.folder)
    else:
        folder = context.data("gpu-calibration")
        training, reduce = folder / "training.csv", folder / "allreduce.csv"
    accuracy = calibrate(training, reduce).accuracy
    assert accuracy is not None, "calibrate always measures it"
    return {
        "kind": "models",
        "rows": accuracy.rows,
        "median": accuracy.median,
        "p90": accuracy.p90,
        "energy": accuracy.energy_median,
    }


def _jobs(context: Context) -> list[Case]:
    from optalloc.physics import measurements
    from optalloc.physics.placements import by_job

    if context.smoke:
        return []
    path = context.data("throughputs_sia") / "placements.csv"
    jobs = by_job(measurements.read(measurements.Placed, path))
    return [Case(f"{app} {gpu}", partial(_job, rows)) for (app, gpu), rows in jobs.items()]


def _job(rows: Sequence[Placed]) -> Row:
    from optalloc.physics import placements

    ours = placements.cross_validate(rows, lambda train: placements.fit(train).seconds)
    pollux = placements.cross_validate(rows, placements.fit_pollux)
    return {
        "kind": "placements",
        "rows": len(rows),
        "error": float(np.abs(ours).mean()),
        "pollux": float(np.abs(pollux).mean()),
    }


def _cases(context: Context) -> list[Case]:
    return [Case("models left out", lambda: _models(context)), *_jobs(context)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    figures = []
    for row in rows:
        if row["kind"] == "models":
            cases, detail = (1, 1), f"{row['rows']} rows, each model from the others"
            figures += [
                Figure(
                    "step time of models left out: median error", 100 * row["median"], "%",
                    at_most(7), cases, detail,
                ),
                Figure("the same: 90th percentile", 100 * row["p90"], "%", at_most(15), cases),
                Figure(
                    "energy of their steps: median error", 100 * row["energy"], "%", at_most(10),
                    cases,
                ),
            ]  # fmt: skip
    placed = [row for row in rows if row["kind"] == "placements"]
    if placed:
        ours = float(np.mean([row["error"] for row in placed]))
        pollux = float(np.mean([row["pollux"] for row in placed]))
        figures.append(
            Figure(
                "step time of placements left out: mean error, below Pollux' own form",
                100 * (1 - ours / pollux), "%", at_least(8), (len(placed), JOBS),
                f"{ours:.1%} against {pollux:.1%}",
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="step time and energy of data-parallel groups left out of the fit",
    minutes=1.5,
    cases=_cases,
    figures=_figures,
)
