"""Fit the step and energy models of data-parallel groups to measured training steps.

Least squares of the logarithms of prediction over measurement, with the soft-L1 loss, and with a
prior on each parameter (its plausible value and how far it may be off), so that few rows suffice
and nothing that they do not show runs away. The priors are generic: overheads and shares as they
are met with DistributedDataParallel, factors of 1.15 for transfers within a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.physics import measurements
from optalloc.physics.interconnects import Interconnect
from optalloc.physics.measurements import AllReduce, Training
from optalloc.physics.parameters import Accuracy, Curve, Parameters
from optalloc.physics.steps import EnergyModel, Groups, StepModel

FloatArray = NDArray[np.float64]
GRADIENT_BYTES = 4
"""Bytes of a parameter's gradient (fp32)."""
NOISE = 0.08
"""Relative error at which a row begins to count less."""
STEP_PRIOR = {
    "bookkeeping": (0.4, 0.2),
    "busy": (0.64, 0.06),
    "width": (0.09, 0.045),
    "hidden_compute": (0.7, 0.3),
    "hidden_transfer": (0.6, 0.2),
    "transfer": (1.15, 0.2),
    "constant_s": (0.0005, 0.0005),
}
"""Plausible value and standard deviation of each parameter of the step time."""
FACTOR_SPREAD = 0.1
"""Standard deviation of the logarithm of an interconnect's factor over the common one."""
ENERGY_PRIOR = {"waiting_w": (140.0, 40.0), "own_share": (0.2, 0.3), "byte_j": (1e-9, 1e-9)}
"""Likewise of the energy."""
WAITING_SPREAD = 50.0
"""Standard deviation of an interconnect's waiting watts from the common ones."""
Prediction = tuple[list[Training], FloatArray, FloatArray | None]
"""Rows of several replicas, their predicted seconds and (where calibrated) joules a step."""


class Sample:
    """Rows of training with what their groups are, on some interconnects.

    Parameters
    ----------
    rows
        Measured rows, those of one replica included.
    interconnects
        By name.

    Attributes
    ----------
    several
        The rows of two and more replicas.
    groups
        What is known of them beforehand.

    Raises
    ------
    InstanceError
        For rows of several replicas without a row of one, and unknown interconnects; lists them.
    """

    def __init__(
        self,
        rows: Sequence[Training],
        interconnects: dict[str, Interconnect],
        source: str,
        full_w: float | None = None,
    ) -> None:
        self.rows = list(rows)
        self.several = [row for row in rows if row.replicas > 1]
        alone = {(r.model, r.local_batch, r.gpu): r for r in rows if r.replicas == 1}
        self.names = list(interconnects)
        problems = []
        for row in self.several:
            key = (row.model, row.local_batch, row.gpu)
            where = f"{row.model}, batch {row.local_batch}, {row.replicas} replicas"
            if key not in alone:
                problems.append((where, f"expected a row of one replica on {row.gpu!r} as well"))
            if row.interconnect not in interconnects:
                known = ", ".join(interconnects)
                message = f"expected an interconnect with all-reduce times ({known})"
                problems.append((where, f"{message}, got {row.interconnect!r}"))
        if problems:
            raise InstanceError(list(dict.fromkeys(problems)), source)
        ones = [alone[r.model, r.local_batch, r.gpu] for r in self.several]
        sizes = [float(GRADIENT_BYTES * row.parameters) for row in self.several]
        self.groups = Groups(
            alone_s=np.array([one.step_s for one in ones], np.float64),
            alone_j=np.array([one.energy_j_per_step for one in ones], np.float64),
            replicas=np.array([row.replicas for row in self.several], np.float64),
            gradient_bytes=np.array(sizes, np.float64),
            all_reduce_s=np.array(
                [
                    interconnects[row.interconnect].all_reduce(row.replicas, size)
                    for row, size in zip(self.several, sizes, strict=True)
                ],
                np.float64,
            ),
            interconnect=np.array(
                [self.names.index(row.interconnect) for row in self.several], np.int64
            ),
        )
        watts = [row.energy_j_per_step / row.step_s for row in rows if row.replicas == 1]
        self.full_w = max(watts, default=0.0) if full_w is None else full_w

    @property
    def seconds(self) -> FloatArray:
        """Measured step time of each group."""
        return np.array([row.step_s for row in self.several], np.float64)

    @property
    def joules(self) -> FloatArray:
        """Measured energy of each group's step."""
        return np.array([row.energy_j_per_step for row in self.several], np.float64)


def interconnects(rows: Sequence[AllReduce]) -> dict[str, Interconnect]:
    """Gather measured all-reduce times; those of several groups at once are left out."""
    points: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for row in rows:
        if not row.concurrent:
            sizes = points.setdefault(row.interconnect, {}).setdefault(row.ranks, [])
            sizes.append((float(row.bytes), row.median_s))
    return {name: Interconnect(name, found) for name, found in points.items()}


def _solve(
    prior: dict[str, tuple[float, float]],
    spread: float,
    factors: int,
    ratio: Callable[[FloatArray], FloatArray],
) -> FloatArray:
    """Fit parameters and one deviation for each interconnect."""
    from scipy.optimize import least_squares

    mean = np.array([value for value, _ in prior.values()] + [0.0] * factors, np.float64)
    deviation = np.array([off for _, off in prior.values()] + [spread] * factors, np.float64)

    def residuals(values: FloatArray) -> FloatArray:
        errors = np.log(np.maximum(ratio(values), 1e-6)) / NOISE
        return np.concatenate([errors, (values - mean) / deviation])

    low = np.concatenate([np.zeros(len(prior)), np.full(factors, -np.inf)])
    fit = least_squares(residuals, mean, loss="soft_l1", x_scale=deviation, bounds=(low, np.inf))
    return np.asarray(fit.x, np.float64)


def _step_model(values: FloatArray, full_w: float) -> StepModel:
    known = dict(zip(STEP_PRIOR, values.tolist(), strict=False))
    factors = known["transfer"] * np.exp(values[len(STEP_PRIOR) :])
    return StepModel(**known, transfers=factors, full_w=full_w)


def _energy_model(values: FloatArray) -> EnergyModel:
    known = dict(zip(ENERGY_PRIOR, values.tolist(), strict=False))
    return EnergyModel(**known, waitings_w=known["waiting_w"] + values[len(ENERGY_PRIOR) :])


def fit_step(sample: Sample) -> StepModel:
    """Fit the step time."""
    seconds, full_w = sample.seconds, sample.full_w

    def ratio(values: FloatArray) -> FloatArray:
        return _step_model(values, full_w).seconds(sample.groups) / seconds

    return _step_model(_solve(STEP_PRIOR, FACTOR_SPREAD, len(sample.names), ratio), full_w)


def fit_energy(sample: Sample) -> EnergyModel:
    """Fit the energy, at the measured step times."""
    seconds, joules = sample.seconds, sample.joules

    def ratio(values: FloatArray) -> FloatArray:
        return _energy_model(values).joules(sample.groups, seconds) / joules

    return _energy_model(_solve(ENERGY_PRIOR, WAITING_SPREAD, len(sample.names), ratio))


def leave_one_out(
    rows: Sequence[Training], curves: dict[str, Interconnect], source: str
) -> tuple[list[Training], FloatArray, FloatArray]:
    """Predict each model from a fit to all others.

    Returns
    -------
    tuple
        The rows predicted, and the relative errors of their step time and energy.

    Raises
    ------
    InstanceError
        For rows of fewer than two models.
    """
    models = list(dict.fromkeys(row.model for row in rows if row.replicas > 1))
    if len(models) < 2:
        message = "expected rows of two and more replicas of at least two models"
        raise InstanceError([("", message)], source)
    predicted: list[Training] = []
    steps, energies = [], []
    for model in models:
        train = Sample([row for row in rows if row.model != model], curves, source)
        test = Sample([row for row in rows if row.model == model], curves, source, train.full_w)
        seconds = fit_step(train).seconds(test.groups)
        joules = fit_energy(train).joules(test.groups, seconds)
        predicted += test.several
        steps.append(seconds / test.seconds - 1)
        energies.append(joules / test.joules - 1)
    return predicted, np.concatenate(steps), np.concatenate(energies)


def calibrate(training: Path, all_reduce: Path) -> Parameters:
    """Fit the models to ``training.csv`` and ``allreduce.csv``; say how well they predict.

    Raises
    ------
    InstanceError
        For files that cannot be read, or that hold too little: says what was expected.
    """
    rows: list[Training] = measurements.read(Training, training)
    curves = interconnects(measurements.read(AllReduce, all_reduce))
    source = str(training)
    _, steps, energies = leave_one_out(rows, curves, source)
    sample = Sample(rows, curves, source)
    step, energy = fit_step(sample), fit_energy(sample)
    errors = np.abs(steps)
    accuracy = Accuracy(
        left_out="each model",
        rows=errors.size,
        mean=float(errors.mean()),
        median=float(np.median(errors)),
        p90=float(np.percentile(errors, 90)),
        largest=float(errors.max()),
        energy_median=float(np.median(np.abs(energies))),
    )
    named = [
        Curve(
            name=name,
            transfer=float(step.transfers[k]),
            waiting_w=float(energy.waitings_w[k]),
            points=tuple(
                (ranks, size, seconds)
                for ranks, points in sorted(curve.points.items())
                for size, seconds in sorted(points)
            ),
        )
        for k, (name, curve) in enumerate(curves.items())
    ]
    return Parameters(
        kind="data-parallel",
        source=(training.name, all_reduce.name),
        date=date.today().isoformat(),  # noqa: DTZ011 - the user's own day.
        step={name: float(getattr(step, name)) for name in (*STEP_PRIOR, "full_w")},
        energy={name: float(getattr(energy, name)) for name in ENERGY_PRIOR},
        interconnects=tuple(named),
        accuracy=accuracy,
    )


def predict(parameters: Parameters, rows: Sequence[Training], source: str) -> Prediction:
    """Predict the step time and energy of the rows of several replicas.

    Raises
    ------
    InstanceError
        For rows without one of a single replica, and unknown interconnects; lists them.
    """
    known = [curve.name for curve in parameters.interconnects]
    curves = {name: parameters.interconnect(name)[1] for name in known}
    sample = Sample(rows, curves, source)
    seconds = parameters.step_model.seconds(sample.groups)
    energy = parameters.energy_model
    joules = None if energy is None else energy.joules(sample.groups, seconds)
    return sample.several, seconds, joules
