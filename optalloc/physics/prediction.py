"""Predicted columns for rows of text: what `optalloc predict` adds to a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.physics import measurements, parameters
from optalloc.physics.calibration import predict
from optalloc.physics.measurements import Placed, Training
from optalloc.physics.parameters import Parameters
from optalloc.physics.placements import PlacementModels

STEP, ENERGY = "predicted_step_s", "predicted_energy_j_per_step"
Rows = Sequence[dict[str, str]]


def columns(path: Path, rows: Rows, source: str) -> tuple[list[str], list[list[str]]]:
    """Predict rows by calibrated parameters.

    Parameters
    ----------
    path
        File of the parameters.
    rows
        Text by column.
    source
        The rows' file, for errors.

    Returns
    -------
    tuple
        The names of the columns, and each row's values: empty where nothing is predicted.

    Raises
    ------
    InstanceError
        For files that are none, and rows that cannot be predicted: lists them.
    """
    known = parameters.load(path, (Parameters, PlacementModels))
    if isinstance(known, PlacementModels):
        placed = measurements.parse(Placed, rows, source, ("step_time", "sync_time"))
        return [STEP], [[f"{value:.6g}"] for value in known.seconds(placed, source)]
    assert isinstance(known, Parameters)
    return _training(known, rows, source)


def _training(known: Parameters, rows: Rows, source: str) -> tuple[list[str], list[list[str]]]:
    measured = ("step_s", "energy_j_per_step")
    parsed: list[Training] = measurements.parse(Training, rows, source, measured)
    wrong = [
        (f"line {number}", "expected step_s and energy_j_per_step above 0 of one replica alone")
        for number, row in enumerate(parsed, 2)
        if row.replicas == 1 and not (row.step_s > 0 and row.energy_j_per_step > 0)
    ]
    if wrong:
        raise InstanceError(wrong, source)
    _, seconds, joules = predict(known, parsed, source)
    names = [STEP] if joules is None else [STEP, ENERGY]
    values: list[list[str]] = []
    next_ = 0
    for row in parsed:
        if row.replicas == 1:
            values.append([""] * len(names))
            continue
        found = [seconds[next_]] if joules is None else [seconds[next_], joules[next_]]
        values.append([f"{value:.6g}" for value in found])
        next_ += 1
    return names, values
