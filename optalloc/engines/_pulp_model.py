"""A sparse model as a PuLP problem: the only place where PuLP's modelling interface is used."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.model import INFINITY, ModelTooLarge
from optalloc.formulation.sparse import SparseModel

IntArray = NDArray[np.int64]
DIGITS = 12
"""PuLP writes numbers with so many significant digits."""


class PulpModel:
    """A PuLP problem with the columns and rows of a sparse model.

    Parameters
    ----------
    model
        In the MILP form.
    names
        Of the columns; by default ``X`` and the column's number, in an order that sorts.

    Raises
    ------
    ModelTooLarge
        When a coefficient or limit has more digits than PuLP writes.
    """

    def __init__(self, model: SparseModel, names: Sequence[str] | None = None) -> None:
        import pulp

        _check(model.value, model.lower, model.upper)
        _check(*(limit[np.abs(limit) < INFINITY] for limit in (model.low, model.high)))
        self.model = model
        self.pulp = pulp
        self.problem: Any = pulp.LpProblem("optalloc")
        self.variables = self._make_variables(names or _numbered("X", model.columns))
        self.index = {variable.name: i for i, variable in enumerate(self.variables)}
        # Part of every objective, so that none is empty: PuLP would add a column of its own, and
        # keep it where later levels have no use for it.
        self.one = self.problem.add_variable("one", 1, 1, pulp.LpInteger)
        self._add_rows()

    def _make_variables(self, names: Sequence[str]) -> list[Any]:
        model, pulp = self.model, self.pulp
        kinds = [pulp.LpInteger if whole else pulp.LpContinuous for whole in model.integer]
        bounds = zip(model.lower.tolist(), model.upper.tolist(), strict=True)
        add = self.problem.add_variable
        return [
            add(name, low, high, kind)
            for name, (low, high), kind in zip(names, bounds, kinds, strict=True)
        ]

    def _add_rows(self) -> None:
        model, pulp = self.model, self.pulp
        columns, values, starts = model.column.tolist(), model.value.tolist(), model.start.tolist()
        limits = zip(model.low.tolist(), model.high.tolist(), strict=True)
        names = _numbered("r", model.rows)
        for i, (low, high) in enumerate(limits):
            span = slice(starts[i], starts[i + 1])
            entries = list(zip(columns[span], values[span], strict=True))
            if low == high:
                self._add_row(entries, pulp.LpConstraintEQ, low, names[i])
                continue
            if low > -INFINITY:
                self._add_row(entries, pulp.LpConstraintGE, low, names[i] + "_low")
            if high < INFINITY:
                self._add_row(entries, pulp.LpConstraintLE, high, names[i] + "_high")

    def _add_row(self, entries: list[tuple[int, int]], sense: int, limit: int, name: str) -> None:
        row = self.pulp.LpConstraint(self._expression(entries), sense, name, limit)
        self.problem.addConstraint(row)

    def _expression(self, entries: list[tuple[int, int]]) -> Any:
        return self.pulp.LpAffineExpression([(self.variables[c], v) for c, v in entries])

    def minimise(self, level: int) -> None:
        """Make a level the objective, divided by the gcd of its coefficients, without constant."""
        column, value, _, unit = scaled_objective(self.model, level)
        self._set_objective(column, value // unit, 0)

    def state(self, level: int) -> None:
        """Make a level the objective as it is, for people.

        Its constant is the cost of a column that is always 1: the one way that every reader of LP
        and MPS files understands.
        """
        self._set_objective(*self.model.objective(level))

    def _set_objective(self, column: IntArray, value: IntArray, constant: int) -> None:
        _check(value, np.array([constant]))
        objective = self._expression(list(zip(column.tolist(), value.tolist(), strict=True)))
        objective.addterm(self.one, constant)
        self.problem.setObjective(objective)

    def hold(self, level: int, given: int) -> None:
        """Let a level be no worse than a value."""
        column, value, constant, unit = scaled_objective(self.model, level)
        limit = (given - constant) // unit
        _check(np.array([limit]))
        entries = list(zip(column.tolist(), (value // unit).tolist(), strict=True))
        self._add_row(entries, self.pulp.LpConstraintLE, limit, f"level{level}")

    def write_mps(self, path: Path) -> IntArray:
        """Write an MPS file; returns the column of each of its variables (-1: none)."""
        written = self.problem.writeMPS(str(path))
        return np.array([self.index.get(v.name, -1) for v in written], np.int64)


def scaled_objective(model: SparseModel, level: int) -> tuple[IntArray, IntArray, int, int]:
    """Columns, coefficients and constant of a level, and the gcd of the coefficients."""
    if not model.levels:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), 0, 1
    column, value, constant = model.objective(level)
    return column, value, constant, max(gcd(*value.tolist()), 1)


def _numbered(letter: str, count: int) -> list[str]:
    """Names whose order is that of their numbers."""
    width = len(str(count))
    return [f"{letter}{i:0{width}d}" for i in range(count)]


def _check(*numbers: IntArray) -> None:
    for array in numbers:
        for number in array[np.abs(array) > 10**DIGITS].tolist():
            if int(float(f"{number:.{DIGITS}g}")) != number:
                raise ModelTooLarge(
                    f"a number of the model is {number}, and PuLP writes {DIGITS} digits: state "
                    "coarser quanta or smaller weights, or use another engine"
                )
