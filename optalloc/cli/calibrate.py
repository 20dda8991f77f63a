"""``optalloc calibrate`` and ``predict``: from measured training steps to those of groups."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optalloc.cli import options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted

if TYPE_CHECKING:
    from optalloc.physics.parameters import Parameters
    from optalloc.physics.placements import PlacementModels


@click.command()
@click.argument("training", type=options.FILE)
@click.argument("allreduce", type=options.FILE, required=False)
@options.output("File of the parameters.")
@options.as_json
def calibrate(*, training: Path, allreduce: Path | None, output: Path, as_json: bool) -> None:
    """Fit the models of data-parallel groups to TRAINING (and ALLREDUCE) measurements.

    TRAINING has a row for each model, local_batch, gpu, interconnect and number of replicas, with
    step_s and energy_j_per_step; ALLREDUCE the seconds (median_s) of messages of some bytes by
    interconnect and ranks. Without ALLREDUCE, TRAINING has the columns app, gpu, placement,
    local_bsz, step_time and sync_time, and each app is fitted by itself on each gpu.

    The error shown is that on rows left out of the fit: each model in turn, or every other
    placement.
    """
    from optalloc.physics import parameters

    options.spare(output, training, allreduce)
    if allreduce is None:
        from optalloc.physics.placements import calibrate as calibrate_placements

        placed = calibrate_placements(training)
        parameters.dump(placed, output)
        _tell_placements(placed, output, as_json)
        return
    from optalloc.physics.calibration import calibrate as calibrate_training

    found = calibrate_training(training, allreduce)
    parameters.dump(found, output)
    _tell(found, output, as_json)


def _tell(found: Parameters, output: Path, as_json: bool) -> None:
    import msgspec

    accuracy = found.accuracy
    assert accuracy is not None, "calibrate always measures it"
    if as_json:
        click.echo(msgspec.json.encode(accuracy).decode())
        return
    energy = "-" if accuracy.energy_median is None else f"{accuracy.energy_median:.1%}"
    rows = [
        ("rows predicted, each model from the others", f"{accuracy.rows}"),
        ("step time: median error", f"{accuracy.median:.1%}"),
        ("step time: 90th percentile", f"{accuracy.p90:.1%}"),
        ("step time: largest", f"{accuracy.largest:.1%}"),
        ("energy: median error", energy),
    ]
    show(Table(f"{output}", ("figure", "value"), rows))


def _tell_placements(found: PlacementModels, output: Path, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(found.accuracy).decode())
        return
    rows = [
        (job.app, job.gpu, str(number), "-" if error is None else f"{error:.1%}")
        for job, number, error in zip(found.jobs, found.rows, found.accuracy, strict=True)
    ]
    show(Table(f"{output}", ("app", "gpu", "rows", "mean error on rows left out"), rows))


@click.command()
@click.argument("parameters", type=options.FILE)
@click.argument("rows", type=options.FILE)
@options.output("CSV file to write.")
def predict(*, parameters: Path, rows: Path, output: Path) -> None:
    """Add the predicted step time and energy of groups to ROWS, by calibrated PARAMETERS.

    Rows of several replicas are predicted from the row of the same model, local_batch and gpu with
    one replica, which ROWS must have too.
    """
    from optalloc.physics import measurements, prediction

    options.spare(output, parameters, rows)
    columns, texts = measurements.texts(rows)
    added, predicted = prediction.columns(parameters, texts, str(rows))
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        kept = [name for name in columns if name not in added]
        writer.writerow([*kept, *added])
        for row, values in zip(texts, predicted, strict=True):
            writer.writerow([*(row[name] for name in kept), *values])
    number = sum(any(values) for values in predicted)
    click.echo(f"{output}: {counted(number, 'row')} predicted")
