"""Calibration: what made the rows is found again, errors are told, bad files are refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from optalloc.cli import cli
from optalloc.instance.errors import InstanceError
from optalloc.physics import calibration, measurements, parameters, placements
from optalloc.physics.measurements import Placed, Training

TRAINING = (
    "gpu", "interconnect", "model", "parameters", "local_batch", "replicas", "step_s",
    "energy_j_per_step",
)  # fmt: skip
REDUCE = ("interconnect", "ranks", "bytes", "median_s", "concurrent")


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _made(folder: Path) -> tuple[Path, Path]:
    """Rows made by a simple law: compute + 1.2 x the transfer less what the backward pass hides."""
    curve = [
        (k, 2.0**p, 1e-5 + 2.0**p * 2 * (k - 1) / k / 1e10)
        for k in (2, 4)
        for p in range(12, 29, 2)
    ]
    reduce = [("ib", k, int(size), seconds, 0) for k, size, seconds in curve]
    reduce.append(("ib", 2, 4096, 9.0, 1))
    rows: list[tuple[object, ...]] = []
    models = {"a": 20e6, "b": 120e6, "c": 300e6, "d": 60e6}
    for (model, size), (batch, seconds) in (
        (m, b) for m in models.items() for b in ((8, 0.05), (32, 0.1))
    ):
        joules = 600 * seconds
        rows.append(("G", "none", model, int(size), batch, 1, seconds, joules))
        for k in (2, 4):
            transfer = 1.2 * 4 * size * 2 * (k - 1) / k / 1e10
            hidden = min(0.6 * transfer, 0.7 * seconds)
            step = seconds + transfer - hidden
            energy = k * (joules + 130 * (step - seconds))
            rows.append(("G", "ib", model, int(size), batch, k, step, energy))
    return _write(folder / "training.csv", TRAINING, rows), _write(
        folder / "ar.csv", REDUCE, reduce
    )


def test_rows_made_by_the_law_are_predicted_within_a_few_percent(tmp_path: Path) -> None:
    found = calibration.calibrate(*_made(tmp_path))
    assert found.accuracy is not None
    assert found.accuracy.rows == 16
    assert found.accuracy.median < 0.03
    assert found.accuracy.largest < 0.12
    assert (found.accuracy.energy_median or 1) < 0.05


def test_parameters_survive_their_file(tmp_path: Path) -> None:
    found = calibration.calibrate(*_made(tmp_path))
    parameters.dump(found, tmp_path / "p.json")
    assert parameters.load(tmp_path / "p.json") == found
    text = json.loads((tmp_path / "p.json").read_text())
    assert text["source"] == ["training.csv", "ar.csv"]
    assert text["date"]


def test_the_commands_add_predictions_to_rows_of_several_replicas(tmp_path: Path) -> None:
    """The measured step time of several replicas is not needed to predict it."""
    training, reduce = _made(tmp_path)
    runner = CliRunner()
    done = runner.invoke(
        cli, ["calibrate", str(training), str(reduce), "-o", str(tmp_path / "p.json")]
    )
    assert done.exit_code == 0, done.output
    assert "median error" in done.output
    rows = _rows(training)
    blank = [
        {**row, **({"step_s": "", "energy_j_per_step": ""} if row["replicas"] != "1" else {})}
        for row in rows
    ]
    asked = _write(tmp_path / "rows.csv", TRAINING, [list(row.values()) for row in blank])
    done = runner.invoke(
        cli, ["predict", str(tmp_path / "p.json"), str(asked), "-o", str(tmp_path / "o.csv")]
    )
    assert done.exit_code == 0, done.output
    told = _rows(tmp_path / "o.csv")
    for row, predicted in zip(rows, told, strict=True):
        if row["replicas"] == "1":
            assert predicted["predicted_step_s"] == predicted["predicted_energy_j_per_step"] == ""
        else:
            assert float(predicted["predicted_step_s"]) == pytest.approx(
                float(row["step_s"]), rel=0.1
            )
            energy = float(predicted["predicted_energy_j_per_step"])
            assert energy == pytest.approx(float(row["energy_j_per_step"]), rel=0.1)


def test_rows_that_cannot_be_predicted_are_all_named(tmp_path: Path) -> None:
    found = calibration.calibrate(*_made(tmp_path))
    rows = [
        Training("G", "ib", "new", 10, 8, 2, 0.1, 1.0),
        Training("G", "wifi", "a", 10, 8, 2, 0.1, 1.0),
        Training("G", "none", "a", 10, 8, 1, 0.1, 1.0),
    ]
    with pytest.raises(InstanceError) as error:
        calibration.predict(found, rows, "rows")
    assert "new, batch 8, 2 replicas: expected a row of one replica on 'G'" in str(error.value)
    assert "expected an interconnect with all-reduce times (ib), got 'wifi'" in str(error.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("G,ib,m,10,8,2,-1,3", "line 2, step_s: expected a number above 0, got '-1'"),
        ("G,ib,m,10,8,2,nan,3", "line 2, step_s: expected a number above 0"),
        ("G,ib,m,ten,8,2,1,3", "line 2, parameters: expected a whole number above 0, got 'ten'"),
        ("G,ib,,10,8,2,1,3", "line 2, model: expected text"),
        ("G,ib,m,10,8", "line 2, replicas: expected a whole number above 0, got ''"),
    ],
)
def test_wrong_numbers_are_named_with_their_line(tmp_path: Path, line: str, expected: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(",".join(TRAINING) + "\n" + line + "\n")
    with pytest.raises(InstanceError) as error:
        measurements.read(Training, file)
    assert expected in str(error.value)


def test_missing_columns_and_models_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("gpu,model\nG,m\n")
    with pytest.raises(InstanceError, match="columns interconnect, parameters, local_batch"):
        measurements.read(Training, file)
    training, reduce = _made(tmp_path)
    rows = [list(row.values()) for row in _rows(training) if row["model"] == "a"]
    one = _write(tmp_path / "one.csv", TRAINING, rows)
    with pytest.raises(InstanceError, match="of at least two models"):
        calibration.calibrate(one, reduce)


def test_a_file_that_holds_no_parameters_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(InstanceError, match="expected parameters as calibrate writes them"):
        parameters.load(tmp_path / "p.json")


def _placed() -> list[Placed]:
    """Step times of a job whose exchange grows with the nodes and with how many lie on one."""
    rows = []
    for placement in ("1", "2", "3", "4", "11", "12", "22", "14", "24", "44", "111", "222", "444"):
        nodes, devices = len(placement), sum(map(int, placement))
        exchange = (
            0.0 if devices == 1 else 0.05 * devices**0.3 if nodes == 1 else 0.2 * devices**0.2
        )
        for batch in (8, 16, 32):
            own = 0.05 + 0.004 * batch
            step = 0.4 * own + max(0.6 * own, exchange)
            rows.append(Placed("job", "gpu", placement, batch, step, step - own))
    return rows


def test_placements_left_out_are_predicted() -> None:
    rows = _placed()
    errors = placements.cross_validate(rows, lambda train: placements.fit(train).seconds)
    assert errors.size == len(rows)
    assert np.abs(errors).mean() < 0.05
    pollux = placements.cross_validate(rows, placements.fit_pollux)
    assert np.abs(errors).mean() < np.abs(pollux).mean()


def test_placements_are_calibrated_and_predicted_by_the_commands(tmp_path: Path) -> None:
    columns = ("app", "gpu", "placement", "local_bsz", "step_time", "sync_time")
    rows = [[getattr(row, name) for name in columns] for row in _placed()]
    file = _write(tmp_path / "placements.csv", columns, rows)
    runner = CliRunner()
    done = runner.invoke(cli, ["calibrate", str(file), "-o", str(tmp_path / "p.json")])
    assert done.exit_code == 0, done.output
    asked = _write(tmp_path / "rows.csv", columns[:4], [row[:4] for row in rows])
    done = runner.invoke(
        cli, ["predict", str(tmp_path / "p.json"), str(asked), "-o", str(tmp_path / "o.csv")]
    )
    assert done.exit_code == 0, done.output
    told = [float(row["predicted_step_s"]) for row in _rows(tmp_path / "o.csv")]
    assert told == pytest.approx([row.step_time for row in _placed()], rel=0.1)
    other = _write(tmp_path / "x.csv", columns[:4], [["x", "gpu", "1", 8]])
    done = runner.invoke(
        cli, ["predict", str(tmp_path / "p.json"), str(other), "-o", str(tmp_path / "o.csv")]
    )
    assert done.exit_code == 2
    assert "x on gpu: expected a job and device that were calibrated (job on gpu)" in done.output


@pytest.mark.data
def test_the_public_measurements_are_predicted_as_promised(data: Path) -> None:
    """Each model from the others: median 7 %, 90th percentile 15 %; energy 10 % in the median."""
    folder = data / "gpu-calibration"
    found = calibration.calibrate(folder / "training.csv", folder / "allreduce.csv").accuracy
    assert found is not None
    assert found.median <= 0.07
    assert found.p90 <= 0.15
    assert (found.energy_median or 1) <= 0.10
