"""Step time of data-parallel jobs by placement: devices on each node and local batch.

For a job on a type of device, with c(b) the compute seconds at local batch b (one value for each
batch measured, straight lines in log-log between), N nodes and K devices:

* ``exchange = exp(w . features)``, with one form inside a node (``log K``) and one across nodes
  (whether N = 2, log N, log K/N, log of the fullest node, whether it holds several devices, and
  how unevenly the devices lie, by itself and on two nodes);
* a share f of the compute (the backward pass) runs beside the exchange:
  ``step = (1 - f) c + ((f c)^g + exchange^g)^(1/g)``.

Pollux' own form, for comparison: ``step = ((a + b_c b)^g + n^g)^(1/g)`` with ``n = a_n + b_n
max(K - 2, 0)`` across nodes and another pair inside one (Qiao et al., OSDI 2021, section 4.1;
adaptdl/goodput.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.physics import measurements
from optalloc.physics.measurements import Placed

FloatArray = NDArray[np.float64]
NOISE = 0.05
"""Relative error at which a row begins to count less."""
COMPUTE_WEIGHT = 0.3
"""Weight of the measured compute time (step less exchange) beside the step time."""
INSIDE = ("one", "devices")
ACROSS = (
    "one", "per_node", "two_nodes", "nodes", "uneven", "uneven_on_two", "fullest", "several",
)  # fmt: skip
SPREAD = {"one": 10.0, "devices": 1.0, "fullest": 1.0, "several": 1.0}
"""Standard deviations of the features' weights around 0; 0.5 for all others."""
LARGEST = 30.0
"""Exponents beyond this one are the maximum of both."""


@dataclass(frozen=True)
class Layout:
    """What matters of some rows, one element each."""

    batch: FloatArray
    nodes: FloatArray
    devices: FloatArray
    inside: FloatArray
    across: FloatArray

    @staticmethod
    def of(rows: Sequence[Placed]) -> Layout:
        """Read the features of rows' placements."""
        counts = [row.counts for row in rows]
        nodes = np.array([len(count) for count in counts], np.float64)
        devices = np.array([sum(count) for count in counts], np.float64)
        most = np.array([max(count) for count in counts], np.float64)
        least = np.array([min(count) for count in counts], np.float64)
        one, two, uneven = np.ones(len(rows)), nodes == 2, (most - least) / most
        inside = np.stack([one, np.log(np.maximum(devices, 2) / 2)])
        across = np.stack([
            one, np.log(devices / nodes), two, np.log(np.maximum(nodes, 2) / 2), uneven,
            uneven * two, np.log(most), most > 1,
        ])  # fmt: skip
        return Layout(
            np.array([r.local_bsz for r in rows], np.float64), nodes, devices, inside, across
        )


class PlacementModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fitted numbers of one job on one type of device; see the module's formula.

    Parameters
    ----------
    app, gpu
        The job and the type of device.
    compute_s
        Seconds of compute by local batch.
    inside, across
        Weights of the features of the exchange.
    beside
        f, the share of the compute beside which the exchange runs.
    sharpness
        g, at least 1.
    """

    app: str
    gpu: str
    compute_s: dict[int, float]
    inside: tuple[float, ...]
    across: tuple[float, ...]
    beside: float
    sharpness: float

    def seconds(self, rows: Sequence[Placed]) -> FloatArray:
        """Predicted step time of rows."""
        batches = np.array(sorted(self.compute_s), np.float64)
        known = np.log([self.compute_s[int(batch)] for batch in batches])
        layout = Layout.of(rows)
        compute = _compute(layout.batch, batches, known)
        weights = np.array([*self.inside, *self.across], np.float64)
        return _step(layout, compute, weights, self.beside, self.sharpness)


def _compute(batch: FloatArray, batches: FloatArray, known: FloatArray) -> FloatArray:
    """Read compute times between batches; beyond them the ends' slope of log over log goes on."""
    x, at = np.log(batches), np.log(batch)
    found = np.interp(at, x, known)
    if x.size > 1:
        first, last = (
            (known[1] - known[0]) / (x[1] - x[0]),
            (known[-1] - known[-2]) / (x[-1] - x[-2]),
        )
        found = np.where(at < x[0], known[0] + first * (at - x[0]), found)
        found = np.where(at > x[-1], known[-1] + last * (at - x[-1]), found)
    return np.exp(found)


def _step(
    layout: Layout, compute: FloatArray, weights: FloatArray, beside: float, sharpness: float
) -> FloatArray:
    split = len(INSIDE)
    inside, across = weights[:split] @ layout.inside, weights[split:] @ layout.across
    exchange = np.exp(np.clip(np.where(layout.nodes > 1, across, inside), -30, 30))
    hidden = beside * compute
    most, least = np.maximum(hidden, exchange), np.minimum(hidden, exchange)
    both = most * (1 + (least / most) ** min(sharpness, LARGEST)) ** (1 / sharpness)
    return np.where(layout.devices > 1, compute - hidden + both, compute)


def fit(rows: Sequence[Placed]) -> PlacementModel:
    """Fit one job on one type of device: robust least squares of logarithms."""
    from scipy.optimize import least_squares

    layout = Layout.of(rows)
    step = np.array([row.step_time for row in rows], np.float64)
    own = np.maximum(step - np.array([row.sync_time for row in rows]), 1e-3 * step)
    batches = np.unique(layout.batch)
    split = batches.size
    names = (*INSIDE, *ACROSS)
    deviation = np.array([SPREAD.get(name, 0.5) for name in names])
    start = np.zeros(split + len(names) + 2)
    start[:split] = [np.log(np.median(own[layout.batch == batch])) for batch in batches]
    start[split] = np.log(0.3 * np.median(step))
    start[split + len(INSIDE)] = np.log(0.5 * np.median(step))
    centre = start[split : split + len(names)].copy()
    start[-2] = 0.5

    def parts(values: FloatArray) -> tuple[FloatArray, FloatArray, float, float]:
        beside = 1 / (1 + np.exp(-np.clip(values[-2], -30, 30)))
        sharpness = 1 + np.exp(np.clip(values[-1], -30, np.log(LARGEST - 1)))
        return values[:split], values[split:-2], float(beside), float(sharpness)

    def residuals(values: FloatArray) -> FloatArray:
        known, weights, beside, sharpness = parts(values)
        compute = _compute(layout.batch, batches, known)
        errors = np.log(_step(layout, compute, weights, beside, sharpness) / step)
        own_errors = COMPUTE_WEIGHT * np.log(compute / own)
        prior = np.concatenate([(weights - centre) / deviation, [values[-2] - 0.5, values[-1]]])
        return np.concatenate([errors / NOISE, own_errors / NOISE, prior])

    found = np.asarray(least_squares(residuals, start, loss="soft_l1").x, np.float64)
    known, weights, beside, sharpness = parts(found)
    return PlacementModel(
        app=rows[0].app,
        gpu=rows[0].gpu,
        compute_s={int(b): float(np.exp(c)) for b, c in zip(batches, known, strict=True)},
        inside=tuple(weights[: len(INSIDE)].tolist()),
        across=tuple(weights[len(INSIDE) :].tolist()),
        beside=beside,
        sharpness=sharpness,
    )


def fit_pollux(rows: Sequence[Placed]) -> Callable[[Sequence[Placed]], FloatArray]:
    """Fit Pollux' own form as its authors do (RMSLE and its priors, L-BFGS-B); see the module."""
    from scipy.optimize import minimize

    layout = Layout.of(rows)
    step = np.array([row.step_time for row in rows], np.float64)
    own = np.maximum(step - np.array([row.sync_time for row in rows]), 1e-3 * step)

    def evaluate(values: FloatArray, at: Layout) -> tuple[FloatArray, FloatArray]:
        base, slope, node, node_slope, rack, rack_slope = np.exp(values[:6])
        compute = base + slope * at.batch
        more = np.maximum(at.devices - 2, 0)
        single = np.where(at.devices > 1, rack + rack_slope * more, 1e-8)
        network = np.where(at.nodes > 1, node + node_slope * more, single)
        gamma = values[6]
        return compute, (compute**gamma + network**gamma) ** (1 / gamma)

    def loss(values: FloatArray) -> float:
        compute, predicted = evaluate(values, layout)
        rates = np.exp(values[:6])
        return float(
            np.sqrt(np.mean(np.log(compute / own) ** 2))
            + np.sqrt(np.mean(np.log(predicted / step) ** 2))
            + 1e-3 * (values[6] - 1) ** 2
            + 1e-2 * ((rates[3] / rates[2]) ** 2 + (rates[5] / rates[4]) ** 2)
        )

    first = np.log(
        np.array([step.min() / 2, *(step.min() * np.array([0.01, 0.1, 0.01, 0.1, 0.01]))])
    )
    bounds = [(np.log(1e-8), np.log(10.0))] * 6 + [(1.0, 10.0)]
    fits = [
        minimize(loss, np.append(first, gamma), method="L-BFGS-B", bounds=bounds)
        for gamma in (1.5, 5.0)
    ]
    best = min(fits, key=lambda found: float(found.fun)).x
    return lambda wanted: evaluate(best, Layout.of(wanted))[1]


def by_job(rows: Sequence[Placed]) -> dict[tuple[str, str], list[Placed]]:
    """Gather rows by job and type of device, sorted."""
    found: dict[tuple[str, str], list[Placed]] = {}
    for row in rows:
        found.setdefault((row.app, row.gpu), []).append(row)
    return dict(sorted(found.items()))


def cross_validate(
    rows: Sequence[Placed],
    fitter: Callable[[Sequence[Placed]], Callable[[Sequence[Placed]], FloatArray]],
) -> FloatArray:
    """Relative errors of one job's rows: odd and even placements (sorted) predict each other."""
    places = sorted({row.placement for row in rows})
    even = set(places[::2])
    halves = [
        [r for r in rows if r.placement in even],
        [r for r in rows if r.placement not in even],
    ]
    errors = []
    for train, test in (halves, halves[::-1]):
        if train and test:
            measured = np.array([row.step_time for row in test], np.float64)
            errors.append(fitter(train)(test) / measured - 1)
    return np.concatenate(errors) if errors else np.zeros(0)


class PlacementModels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models of several jobs: what `calibrate` writes for measured placements.

    Parameters
    ----------
    kind
        ``placements``.
    source, date
        The file that was fitted, and when.
    jobs
        One for each job and type of device.
    accuracy
        Mean absolute relative error of each on the rows left out (odd and even placements predict
        each other); None where it has a single placement.
    rows
        Number of rows of each.
    """

    kind: str
    source: tuple[str, ...]
    date: str
    jobs: tuple[PlacementModel, ...]
    accuracy: tuple[float | None, ...]
    rows: tuple[int, ...]

    def seconds(self, rows: Sequence[Placed], source: str) -> FloatArray:
        """Predicted step time of rows.

        Raises
        ------
        InstanceError
            For jobs and devices that were not calibrated; lists them.
        """
        jobs = {(job.app, job.gpu): job for job in self.jobs}
        wanted = by_job(rows)
        known = ", ".join(f"{app} on {gpu}" for app, gpu in jobs)
        problems = [
            (f"{app} on {gpu}", f"expected a job and device that were calibrated ({known})")
            for app, gpu in wanted
            if (app, gpu) not in jobs
        ]
        if problems:
            raise InstanceError(problems, source)
        found = np.zeros(len(rows))
        at: dict[tuple[str, str], list[int]] = {}
        for k, row in enumerate(rows):
            at.setdefault((row.app, row.gpu), []).append(k)
        for key, places in at.items():
            found[places] = jobs[key].seconds([rows[k] for k in places])
        return found


def calibrate(path: Path) -> PlacementModels:
    """Fit a model to each job and type of device of a ``placements.csv``.

    Raises
    ------
    InstanceError
        For files that cannot be read or are none of the format.
    """
    jobs = by_job(measurements.read(Placed, path))
    errors = [
        np.abs(cross_validate(rows, lambda train: fit(train).seconds)) for rows in jobs.values()
    ]
    return PlacementModels(
        kind="placements",
        source=(path.name,),
        date=date.today().isoformat(),  # noqa: DTZ011 - the user's own day.
        jobs=tuple(fit(rows) for rows in jobs.values()),
        accuracy=tuple(float(e.mean()) if e.size else None for e in errors),
        rows=tuple(len(rows) for rows in jobs.values()),
    )
