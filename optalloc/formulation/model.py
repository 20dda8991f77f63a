"""The engine-neutral sparse form: columns, rows and objectives as arrays.

One `Model` feeds HiGHS and CP-SAT. `Linear` is a vector of linear expressions over its columns;
shapes turn such vectors into others and add the rows that tie them together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import join

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

INFINITY = 2**62
"""Stands for "no limit" on a row."""
Form = Literal["milp", "cpsat"]
Side = Literal["over", "under", "exact"]
"""What an encoded value may be: at least the true one, at most, or equal to it."""


class OutOfTime(Exception):
    """Building a model would take longer than there is time."""


class ModelTooLarge(ValueError):
    """A model's numbers pass what an engine computes exactly."""


@dataclass(frozen=True)
class Linear:
    """A vector of expressions: ``constant[k] + sum of value * column`` over its entries.

    Parameters
    ----------
    constant : (size,)
        Constant part.
    row, column, value : (entries,)
        Expression, model column and coefficient of each entry.
    """

    constant: IntArray
    row: IntArray
    column: IntArray
    value: IntArray

    @property
    def size(self) -> int:
        """Number of expressions."""
        return int(self.constant.size)

    @classmethod
    def of_columns(cls, columns: IntArray) -> Linear:
        """Make expressions that are single columns."""
        n = columns.size
        return cls(np.zeros(n, np.int64), np.arange(n), columns, np.ones(n, np.int64))

    @classmethod
    def of_constants(cls, constants: IntArray) -> Linear:
        """Make expressions without columns."""
        none = np.zeros(0, np.int64)
        return cls(np.asarray(constants, np.int64), none, none, none)

    def scaled(self, factor: IntArray | int) -> Linear:
        """Multiply each expression by its factor."""
        factors = np.broadcast_to(np.asarray(factor, np.int64), (self.size,))
        return Linear(
            self.constant * factors, self.row, self.column, self.value * factors[self.row]
        )

    def plus(self, other: Linear) -> Linear:
        """Add vectors of the same size."""
        return Linear(
            self.constant + other.constant,
            np.concatenate([self.row, other.row]),
            np.concatenate([self.column, other.column]),
            np.concatenate([self.value, other.value]),
        )

    def shifted(self, constant: IntArray | int) -> Linear:
        """Add constants."""
        return Linear(self.constant + constant, self.row, self.column, self.value)

    def summed(self, owner: IntArray, owners: int) -> Linear:
        """Add up the expressions of each owner."""
        constant = np.zeros(owners, np.int64)
        np.add.at(constant, owner, self.constant)
        return Linear(constant, owner[self.row], self.column, self.value)

    def combined(self) -> Linear:
        """Add up repeated entries, so that each column appears once in an expression."""
        width = int(self.column.max(initial=0)) + 1
        key, inverse = np.unique(self.row * width + self.column, return_inverse=True)
        value = np.zeros(key.size, np.int64)
        np.add.at(value, inverse.ravel(), self.value)
        used = np.flatnonzero(value)
        return Linear(self.constant, key[used] // width, key[used] % width, value[used])

    def repeated(self, index: IntArray) -> Linear:
        """Select expressions, as often as they are named; their entries are sorted by row."""
        row, entry = join(index, self.row)
        return Linear(self.constant[index], row, self.column[entry], self.value[entry])

    def take(self, index: IntArray) -> Linear:
        """Select expressions (each at most once)."""
        place = np.full(self.size, -1, np.int64)
        place[index] = np.arange(index.size)
        kept = place[self.row] >= 0
        return Linear(
            self.constant[index], place[self.row[kept]], self.column[kept], self.value[kept]
        )


@dataclass(frozen=True)
class Rows:
    """A block of constraints ``low <= sum of value * column <= high``.

    Parameters
    ----------
    row, column, value : (entries,)
        Coefficients, rows counted within the block.
    low, high : (rows,)
        Limits; `INFINITY` in absolute value where there is none.
    literal : (rows,) or None
        Column of a 0/1 variable that must be 1 (``c``) or 0 (``-c - 1``) for the row to hold;
        CP-SAT only.
    """

    row: IntArray
    column: IntArray
    value: IntArray
    low: IntArray
    high: IntArray
    literal: IntArray | None = None


@dataclass(frozen=True)
class Maximum:
    """Column `target` equals the largest of some expressions; CP-SAT only."""

    target: int
    of: Linear


class Model:
    """Columns with bounds, blocks of rows, and one objective vector a level (all minimised).

    Parameters
    ----------
    form
        For whom it is built: shapes choose their encoding by it.
    deadline
        Time (`time.monotonic`) after which adding rows raises `OutOfTime`.
    """

    def __init__(self, form: Form, deadline: float = float("inf")) -> None:
        self.form: Form = form
        self._deadline = deadline
        self._lower: list[IntArray] = []
        self._upper: list[IntArray] = []
        self._integer: list[BoolArray] = []
        self.columns = 0
        self.blocks: list[Rows] = []
        self.maxima: list[Maximum] = []
        self.levels: list[Linear] = []

    def add_columns(
        self, lower: IntArray | int, upper: IntArray | int, count: int, integer: bool = True
    ) -> IntArray:
        """Add columns and return their indices. CP-SAT knows integers only."""
        self._lower.append(np.broadcast_to(np.asarray(lower, np.int64), (count,)))
        self._upper.append(np.broadcast_to(np.asarray(upper, np.int64), (count,)))
        self._integer.append(np.full(count, integer or self.form == "cpsat"))
        self.columns += count
        return np.arange(self.columns - count, self.columns, dtype=np.int64)

    @property
    def lower(self) -> IntArray:
        """Lower bound of each column."""
        return _joined(self._lower)

    @property
    def upper(self) -> IntArray:
        """Upper bound of each column."""
        return _joined(self._upper)

    @property
    def integer(self) -> BoolArray:
        """Whether each column is integer."""
        joined = np.concatenate(self._integer) if self._integer else np.zeros(0, bool)
        self._integer = [joined]
        return joined

    def add_rows(
        self,
        expressions: Linear,
        low: IntArray | int = -INFINITY,
        high: IntArray | int = INFINITY,
        literal: IntArray | None = None,
    ) -> None:
        """Constrain ``low <= expression <= high`` (constants are moved to the limits)."""
        n = expressions.size
        self._check_time()
        lows = np.broadcast_to(np.asarray(low, np.int64), (n,))
        highs = np.broadcast_to(np.asarray(high, np.int64), (n,))
        lows = np.where(lows <= -INFINITY, -INFINITY, lows - expressions.constant)
        highs = np.where(highs >= INFINITY, INFINITY, highs - expressions.constant)
        self.blocks.append(
            Rows(expressions.row, expressions.column, expressions.value, lows, highs, literal)
        )

    def add_maximum(self, of: Linear, lower: int, upper: int) -> int:
        """Add a column that equals the largest of the expressions (CP-SAT only)."""
        target = int(self.add_columns(lower, upper, 1)[0])
        self.maxima.append(Maximum(target, of))
        return target

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise OutOfTime

    def range_of(self, expressions: Linear) -> tuple[IntArray, IntArray]:
        """Smallest and largest value that the columns' bounds allow each expression."""
        at_lower = expressions.value * self.lower[expressions.column]
        at_upper = expressions.value * self.upper[expressions.column]
        low, high = expressions.constant.copy(), expressions.constant.copy()
        np.add.at(low, expressions.row, np.minimum(at_lower, at_upper))
        np.add.at(high, expressions.row, np.maximum(at_lower, at_upper))
        return low, high


def _joined(pieces: list[IntArray]) -> IntArray:
    """Join a list of arrays in place, so that repeated reads cost nothing."""
    joined = pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros(0, np.int64), *pieces])
    pieces[:] = [joined]
    return joined
