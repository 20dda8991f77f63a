"""Fitted parameters with their source: what `calibrate` writes and `predict` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import msgspec
import numpy as np

from optalloc.instance.errors import InstanceError
from optalloc.instance.policy import Fault
from optalloc.physics.interconnects import Interconnect
from optalloc.physics.steps import EnergyModel, StepModel

OF_INTERCONNECTS = {"transfers", "waitings_w"}
"""What the models take from each interconnect."""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Relative errors on what was left out of the fit.

    Parameters
    ----------
    left_out
        What was left out at a time, such as ``each model``.
    rows
        Number of rows predicted.
    mean, median, p90, largest
        Of the absolute relative errors of the step time.
    energy_median
        Median absolute relative error of the energy; None where none was measured.
    """

    left_out: str
    rows: int
    mean: float
    median: float
    p90: float
    largest: float
    energy_median: float | None = None


class Curve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An interconnect: its factors and its measured all-reduce times.

    Parameters
    ----------
    name
        As the rows call it.
    transfer
        Factor of the all-reduce times within training steps.
    waiting_w
        Watts of a device that waits for it; None where not measured.
    points
        Ranks, bytes and seconds.
    """

    name: str
    transfer: float
    waiting_w: float | None
    points: tuple[tuple[int, float, float], ...]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of data-parallel groups on some interconnects.

    Parameters
    ----------
    kind
        ``data-parallel``.
    source, date
        The files that were fitted, and when.
    step, energy
        The numbers of `StepModel` and `EnergyModel` by name.
    interconnects
        What is known of each.
    accuracy
        Errors on rows left out.
    """

    kind: str
    source: tuple[str, ...]
    date: str
    step: dict[str, float]
    energy: dict[str, float]
    interconnects: tuple[Curve, ...]
    accuracy: Accuracy | None = None

    @property
    def step_model(self) -> StepModel:
        """The step time's model."""
        factors = np.array([curve.transfer for curve in self.interconnects], np.float64)
        return StepModel(**self.step, transfers=factors)

    @property
    def energy_model(self) -> EnergyModel | None:
        """The energy's model; None where no energy was measured."""
        if not self.energy:
            return None
        base = self.energy["waiting_w"]
        watts = [base if c.waiting_w is None else c.waiting_w for c in self.interconnects]
        return EnergyModel(**self.energy, waitings_w=np.array(watts, np.float64))

    def faults(self) -> Iterator[Fault]:
        """List numbers that the models need and that are missing or unknown."""
        stated = {"step": (self.step, StepModel), "energy": (self.energy, EnergyModel)}
        for path, (numbers, model) in stated.items():
            known = {f.name for f in fields(model)} - OF_INTERCONNECTS
            if path == "energy" and not numbers:
                continue
            for name in sorted(known ^ numbers.keys()):
                message = "expected a number" if name in known else "unknown number"
                yield f"{path}.{name}", message

    def interconnect(self, name: str) -> tuple[int, Interconnect]:
        """Index and measured times of an interconnect.

        Raises
        ------
        InstanceError
            If there are none: says for which there are.
        """
        for k, curve in enumerate(self.interconnects):
            if curve.name == name:
                points: dict[int, list[tuple[float, float]]] = {}
                for ranks, size, seconds in curve.points:
                    points.setdefault(ranks, []).append((size, seconds))
                return k, Interconnect(name, points)
        known = ", ".join(curve.name for curve in self.interconnects)
        message = f"expected an interconnect that was calibrated ({known})"
        raise InstanceError([(name, message)], "the parameters")


def dump(parameters: msgspec.Struct, path: Path) -> None:
    """Write parameters as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=2) + b"\n")


def load(path: Path, kinds: Sequence[type[msgspec.Struct]] = (Parameters,)) -> msgspec.Struct:
    """Read parameters of one of some kinds.

    Raises
    ------
    InstanceError
        If the file cannot be read or holds something else: says what was expected where.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InstanceError([("", error.strerror or str(error))], str(path)) from None
    problem = ""
    for kind in kinds:
        try:
            read = msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            problem = problem or str(error)
        else:
            if isinstance(read, Parameters) and (faults := [*read.faults()]):
                raise InstanceError(faults, str(path))
            return read
    raise InstanceError(
        [("", f"expected parameters as calibrate writes them: {problem}")], str(path)
    )
