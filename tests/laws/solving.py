"""Several copies of a model, each with some columns fixed, in one call of an engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optalloc.engines import engine
from optalloc.engines.protocol import Engine, Job, Message
from optalloc.formulation.encoding import Encoding
from optalloc.formulation.model import INFINITY, Form, Linear
from optalloc.formulation.sparse import SparseModel, finish

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
ENGINES: dict[Form, Engine] = {"milp": engine("milp"), "cpsat": engine("cpsat")}
JOB = Job(threads=1)
LONG = 20.0
"""Seconds after which a tiny model counts as not solved; all take milliseconds."""


class NotSolved(AssertionError):
    """An engine did not solve a tiny model."""


def minimise_fixed(encoding: Encoding, goal: Linear, fixed: IntArray) -> IntArray | None:
    """Minimise the sum of a goal over copies whose first columns are fixed.

    Parameters
    ----------
    encoding
        The model; its levels are left out.
    goal
        One expression.
    fixed : (copies, fixed columns)
        Values of the first columns of each copy.

    Returns
    -------
    IntArray or None
        Values of all columns, (copies, columns); None where there is no solution.
    """
    model = replace_levels(finished(encoding), goal)
    decided = fixed.shape[1]
    if np.any(fixed < model.lower[:decided]) or np.any(fixed > model.upper[:decided]):
        return None
    copies = _copies(model, fixed)
    session = ENGINES[encoding.model.form].open(copies, JOB)
    result = session.minimise(0, (), LONG, _ignore)
    if result.ended == "infeasible":
        return None
    if result.ended != "optimal" or result.values is None:
        raise NotSolved(f"the engine ended with {result.ended}")
    return result.values.reshape(len(fixed), model.columns)


def finished(encoding: Encoding) -> SparseModel:
    """Finish a model and make sure that engines can read it at all."""
    model = finish(encoding)
    assert all(level.size == 1 for level in encoding.model.levels), "a level is one number"
    used = np.concatenate([model.column, model.level_column, model.max_column, model.max_target])
    assert not used.size or (used.min() >= 0 and used.max() < model.columns), "columns exist"
    literal = model.literal[model.literal != INFINITY]
    assert np.all(np.where(literal < 0, -literal - 1, literal) < model.columns), "literals exist"
    assert np.all(model.lower <= model.upper), "columns have a value"
    row = np.repeat(np.arange(model.rows), np.diff(model.start))
    entries = np.unique(row * model.columns + model.column)
    assert entries.size == model.column.size, "a column appears once in a row"
    assert model.start[0] == 0, "rows start at the first entry"
    assert model.start[-1] == model.column.size, "rows end at the last entry"
    return model


def replace_levels(model: SparseModel, goal: Linear) -> SparseModel:
    """The model with one expression as its only level."""
    goal = goal.combined()
    return replace(
        model,
        level_start=np.array([0, goal.column.size], np.int64),
        level_column=goal.column,
        level_value=goal.value,
        level_constant=goal.constant,
    )


def evaluate(expression: Linear, values: IntArray) -> IntArray:
    """Value of each expression for each line of column values, (copies, expressions)."""
    total = np.tile(expression.constant, (len(values), 1))
    for line, amounts in zip(total, values[:, expression.column] * expression.value, strict=True):
        np.add.at(line, expression.row, amounts)
    return total


def _copies(model: SparseModel, fixed: IntArray) -> SparseModel:
    copies, decided = fixed.shape
    lower, upper = np.tile(model.lower, (copies, 1)), np.tile(model.upper, (copies, 1))
    lower[:, :decided], upper[:, :decided] = fixed, fixed
    offset = np.arange(copies, dtype=np.int64)[:, None] * model.columns
    literal = np.where(model.literal < 0, model.literal - offset, model.literal + offset)
    literal = np.where(model.literal == INFINITY, INFINITY, literal)
    return replace(
        model,
        lower=lower.ravel(),
        upper=upper.ravel(),
        integer=np.tile(model.integer, copies),
        start=_starts(model.start, copies),
        column=(model.column + offset).ravel(),
        value=np.tile(model.value, copies),
        low=np.tile(model.low, copies),
        high=np.tile(model.high, copies),
        literal=literal.ravel(),
        level_start=model.level_start * copies,
        level_column=(model.level_column + offset).ravel(),
        level_value=np.tile(model.level_value, copies),
        level_constant=model.level_constant * copies,
        max_target=(model.max_target + offset).ravel(),
        max_start=_starts(model.max_start, copies),
        max_constant=np.tile(model.max_constant, copies),
        max_entry_start=_starts(model.max_entry_start, copies),
        max_column=(model.max_column + offset).ravel(),
        max_value=np.tile(model.max_value, copies),
        decision_class=np.zeros(0, np.int64),
        decision_node=np.zeros(0, np.int64),
    )


def _starts(start: IntArray, copies: int) -> IntArray:
    sizes = np.tile(np.diff(start), copies)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _ignore(_message: Message) -> None:
    pass


def minimise_relaxed(encoding: Encoding, goal: Linear, fixed: FloatArray) -> FloatArray:
    """Minimise a goal with the first columns fixed and all others continuous."""
    import highspy

    model = replace_levels(finished(encoding), goal)
    lower, upper = model.lower.astype(float), model.upper.astype(float)
    lower[: fixed.size], upper[: fixed.size] = fixed, fixed
    cost = np.zeros(model.columns)
    cost[model.level_column] = model.level_value
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    highs.passModel(
        model.columns,
        model.rows,
        model.value.size,
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.ObjSense.kMinimize),
        0.0,
        cost,
        lower,
        upper,
        np.where(model.low <= -INFINITY, -highspy.kHighsInf, model.low.astype(float)),
        np.where(model.high >= INFINITY, highspy.kHighsInf, model.high.astype(float)),
        model.start[:-1].astype(np.int32),
        model.column.astype(np.int32),
        model.value.astype(float),
        np.zeros(model.columns, np.int32),
    )
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise NotSolved("the relaxation has no optimum")
    return np.array(highs.getSolution().col_value)
