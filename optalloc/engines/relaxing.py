"""The linear relaxation of a model: where it places things, what columns cost, and a bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.milp import HighsSession, run_highs
from optalloc.engines.protocol import IntArray, Job
from optalloc.formulation.model import INFINITY
from optalloc.formulation.sparse import SparseModel

FloatArray = NDArray[np.float64]

ROUNDING = 1e-12
"""Relative error of a sum of floats, many times what it can be."""


@dataclass(frozen=True)
class Relaxation:
    """An optimal solution of the relaxation.

    Parameters
    ----------
    values : (columns,)
        Column values.
    price : (columns,)
        Reduced cost of each column: what one unit more of it costs at least.
    dual : (rows,)
        What one unit less of each row's limit costs, negative for an upper limit.
    bound
        No integer solution has a smaller value of the level; None if that could not be shown.
    value
        The relaxation's value in units of the level, without its constant, rounded outward.
    """

    values: FloatArray
    price: FloatArray
    dual: FloatArray
    bound: int | None
    value: float


def relax(
    model: SparseModel, level: int, given: Sequence[int], seconds: float
) -> Relaxation | None:
    """Solve the relaxation of a level with HiGHS; None if it takes longer."""
    session = HighsSession(model, Job())
    highs: Any = session.prepare(level, given)
    highs.setOptionValue("solve_relaxation", True)
    highs.setOptionValue("time_limit", seconds)
    run_highs(highs)
    if highs.getModelStatus() != session.optimal:
        return None
    solution = highs.getSolution()
    dual = np.array(solution.row_dual)
    price = np.array(solution.col_dual)
    value = _dual_value(model, level, given, dual)
    bound = _whole_bound(model, level, value)
    return Relaxation(np.array(solution.col_value), price, dual[: model.rows], bound, value)


def waste(
    model: SparseModel, relaxation: Relaxation, values: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Split what a solution costs more than the relaxation, over columns and rows.

    By its price, each column pays for its distance from the bound at which it is free, and each
    row for the room that it leaves; the sum of all is the difference (of a first level).
    """
    price, dual = relaxation.price, relaxation.dual
    columns = np.where(price > 0, values - model.lower, values - model.upper) * price
    row = np.repeat(np.arange(model.rows), np.diff(model.start))
    activity = np.bincount(row, model.value * values[model.column].astype(float), model.rows)
    limit = np.where(dual > 0, model.low, np.where(dual < 0, model.high, activity))
    return columns, (activity - limit) * dual


def dual_bound(
    model: SparseModel, level: int, given: Sequence[int], dual: FloatArray
) -> int | None:
    """Bound a level from below by any prices of the rows: right even if they are not optimal.

    ``sum over rows of price * limit + sum over columns of the smallest reduced cost * bound``,
    rounded outward (Neumaier and Shcherbina 2004). A price that needs a limit which a row does
    not have counts 0.

    Parameters
    ----------
    dual : (rows + len(given),)
        Prices in units of the level's coefficients divided by their greatest common divisor, of
        the rows followed by the earlier levels held at `given`.
    """
    return _whole_bound(model, level, _dual_value(model, level, given, dual))


def level_unit(model: SparseModel, level: int) -> int:
    """Greatest common divisor of a level's coefficients."""
    _, value, _ = model.objective(level)
    return max(int(np.gcd.reduce(value)), 1) if value.size else 1


def _whole_bound(model: SparseModel, level: int, value: float) -> int | None:
    """Round a bound in units of a level up to what its values can be."""
    if not isfinite(value):
        return None
    _, _, constant = model.objective(level)
    return ceil(value - 1e-6) * level_unit(model, level) + constant


def _dual_value(model: SparseModel, level: int, given: Sequence[int], dual: FloatArray) -> float:
    """Value of prices in units of a level, without its constant; -inf if there is none."""
    column, value, _ = model.objective(level)
    unit = level_unit(model, level)
    cost = np.zeros(model.columns)
    cost[column] = value // unit
    price = dual[: model.rows].copy()
    price[(price > 0) & (model.low <= -INFINITY)] = 0.0
    price[(price < 0) & (model.high >= INFINITY)] = 0.0
    limit = np.where(price > 0, model.low, np.where(price < 0, model.high, 0)).astype(np.float64)
    row = np.repeat(np.arange(model.rows), np.diff(model.start))
    paid = model.value * price[row]
    reduced = cost - np.bincount(model.column, paid, model.columns)
    size = np.abs(cost) + np.bincount(model.column, np.abs(paid), model.columns)
    total = float((price * limit).sum())
    error = float(np.abs(price * limit).sum())
    for held, most in enumerate(given):
        at, amount, base = model.objective(held)
        charge = min(float(dual[model.rows + held]), 0.0)
        np.add.at(reduced, at, -charge * amount)
        np.add.at(size, at, abs(charge) * np.abs(amount))
        total += charge * (most - base)
        error += abs(charge * (most - base))
    best = np.where(reduced > 0, model.lower, model.upper).astype(np.float64)
    total += float((reduced * best).sum())
    largest = np.maximum(np.abs(model.lower), np.abs(model.upper)).astype(np.float64)
    error += float((size * largest).sum())
    if not isfinite(total) or not isfinite(error):
        return float("-inf")
    return total - ROUNDING * error
