"""A finished model: plain arrays that any engine, in any process, can load."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.encoding import Encoding
from optalloc.formulation.model import INFINITY, Linear, Model, ModelTooLarge

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
EXACT_FLOAT = 2**53
"""Beyond this a float, and so HiGHS, cannot count."""
EXACT_INTEGER = 2**62
"""Beyond this CP-SAT refuses."""


@dataclass(frozen=True)
class SparseModel:
    """Columns, rows in compressed form and levels; all minimised, all integers.

    Parameters
    ----------
    lower, upper, integer : (columns,)
        Bounds, and whether the column is integer.
    start, column, value, low, high, literal
        Rows: entries of row i are ``start[i]:start[i + 1]``; limits (`INFINITY`: none); the
        literal under which the row holds (``c``: column c is 1; ``-c - 1``: it is 0; `INFINITY`:
        always).
    level_start, level_column, level_value, level_constant
        Objective of each level.
    max_target, max_start, max_constant, max_entry_start, max_column, max_value
        Maxima for CP-SAT: target i is the largest of the expressions
        ``max_start[i]:max_start[i + 1]``.
    decision_class, decision_node : (decisions,)
        The first columns decide everything and the others follow: task class of each (-1 where
        classes share it), and the node, or set of nodes that nest, where it places replicas (-1 for
        others).
    who : (decisions,)
        Where some gangs stay within a domain: whether a decision says who runs, not where.
    """

    lower: IntArray
    upper: IntArray
    integer: BoolArray
    start: IntArray
    column: IntArray
    value: IntArray
    low: IntArray
    high: IntArray
    literal: IntArray
    level_start: IntArray
    level_column: IntArray
    level_value: IntArray
    level_constant: IntArray
    max_target: IntArray
    max_start: IntArray
    max_constant: IntArray
    max_entry_start: IntArray
    max_column: IntArray
    max_value: IntArray
    decision_class: IntArray
    decision_node: IntArray
    who: BoolArray

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.lower.size)

    @property
    def decisions(self) -> int:
        """Number of columns that decide everything."""
        return int(self.decision_class.size)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.low.size)

    @property
    def levels(self) -> int:
        """Number of levels."""
        return int(self.level_constant.size)

    def objective(self, level: int) -> tuple[IntArray, IntArray, int]:
        """Columns, coefficients and constant of a level; nothing where there is none."""
        if level >= self.levels:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
        span = slice(self.level_start[level], self.level_start[level + 1])
        return self.level_column[span], self.level_value[span], int(self.level_constant[level])

    def level_value_at(self, level: int, values: IntArray) -> int:
        """Value of a level."""
        column, value, constant = self.objective(level)
        return int(value @ values[column]) + constant

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def satisfied(self, values: IntArray) -> bool:
        """Whether values keep every bound and unconditional row, in integers."""
        if np.any(values < self.lower) or np.any(values > self.upper):
            return False
        if not self.rows:
            return True
        products = np.append(self.value * values[self.column], 0)
        total = np.add.reduceat(products, self.start[:-1])
        total[self.start[:-1] == self.start[1:]] = 0
        inside = (total >= self.low) & (total <= self.high) | (self.literal != INFINITY)
        return bool(np.all(inside))


def finish(encoding: Encoding) -> SparseModel:
    """Join the pieces of a model, dividing every row by its greatest common divisor.

    Raises
    ------
    ModelTooLarge
        When a sum of ``|coefficient * bound|`` passes what the engine computes exactly: 2**53 for
        a MILP engine, 2**62 for CP-SAT.
    """
    model = encoding.model
    blocks = model.blocks
    sizes = np.array([b.low.size for b in blocks], np.int64)
    offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    row = _joined([b.row + o for b, o in zip(blocks, offset[:-1], strict=True)])
    order = np.argsort(row, kind="stable")
    row = row[order]
    column = _joined([b.column for b in blocks])[order]
    value = _joined([b.value for b in blocks])[order]
    start = np.searchsorted(row, np.arange(offset[-1] + 1)).astype(np.int64)
    low, high = _joined([b.low for b in blocks]), _joined([b.high for b in blocks])
    literal = _joined(
        [np.full(b.low.size, INFINITY) if b.literal is None else b.literal for b in blocks]
    )
    value, low, high = _reduced_rows(row, value, start, low, high)
    sparse = SparseModel(
        model.lower,
        model.upper,
        model.integer,
        start,
        column,
        value,
        low,
        high,
        literal,
        *_levels(model.levels),
        *_maxima(model),
        *_decisions(encoding),
    )
    _check_size(sparse, EXACT_FLOAT if model.form == "milp" else EXACT_INTEGER)
    return sparse


def _joined(pieces: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, np.int64), *pieces])


def _reduced_rows(
    row: IntArray, value: IntArray, start: IntArray, low: IntArray, high: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Divide rows by the gcd of their coefficients, rounding their limits inward.

    Exact, because all that can be non-integer (continuous columns of a MILP) takes integer values
    at an optimum.
    """
    filled = np.flatnonzero(start[1:] > start[:-1])
    if not filled.size:
        return value, low, high
    divisor = np.ones(low.size, np.int64)
    divisor[filled] = np.maximum(np.gcd.reduceat(np.abs(value), start[filled]), 1)
    value = value // divisor[row]
    low = np.where(low <= -INFINITY, low, -(-low // divisor))
    high = np.where(high >= INFINITY, high, high // divisor)
    return value, low, high


def _decisions(encoding: Encoding) -> tuple[IntArray, IntArray, BoolArray]:
    problem, nesting = encoding.problem, encoding.problem.nesting
    pairs = problem.pairs
    chosen = problem.choice_class[encoding.y_of_choice >= 0]
    placed, begun = problem.block_class[pairs.block], problem.block_class[problem.spot_block]
    if problem.joint:
        placed, begun = np.full_like(placed, -1), np.full_like(begun, -1)
    spot_node = np.full_like(begun, -1)
    if nesting is not None:
        spot_node = nesting.of_block[problem.spot_block]
    who = np.zeros(placed.size + chosen.size + begun.size, np.bool_)
    who[placed.size : placed.size + chosen.size] = begun.size > 0
    return (
        np.concatenate([placed, chosen, begun]),
        np.concatenate([pairs.node, np.full_like(chosen, -1), spot_node]),
        who,
    )


def _levels(levels: list[Linear]) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    sizes = [level.column.size for level in levels]
    return (
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        _joined([level.column for level in levels]),
        _joined([level.value for level in levels]),
        np.array([int(level.constant[0]) for level in levels], np.int64),
    )


def _maxima(
    model: Model,
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray, IntArray]:
    target = np.array([m.target for m in model.maxima], np.int64)
    starts = np.concatenate([[0], np.cumsum([m.of.size for m in model.maxima])]).astype(np.int64)
    constants, entry_sizes, columns, values = [], [], [], []
    for maximum in model.maxima:
        order = np.argsort(maximum.of.row, kind="stable")
        constants.append(maximum.of.constant)
        entry_sizes.append(np.bincount(maximum.of.row, minlength=maximum.of.size))
        columns.append(maximum.of.column[order])
        values.append(maximum.of.value[order])
    entries = np.concatenate([[0], np.cumsum(_joined(entry_sizes))]).astype(np.int64)
    return target, starts, _joined(constants), entries, _joined(columns), _joined(values)


def _check_size(model: SparseModel, most: int) -> None:
    largest = np.maximum(np.abs(model.lower), np.abs(model.upper)).astype(np.float64)
    terms = np.abs(model.value) * largest[model.column]
    sums = np.add.reduceat(np.append(terms, 0.0), model.start[:-1]) if model.rows else terms
    objective = np.abs(model.level_value) * largest[model.level_column]
    total = max(float(sums.max(initial=0.0)), float(objective.sum()))
    if total > most:
        raise ModelTooLarge(
            f"numbers of the model add up to {total:.3g}, more than {most:.3g}; "
            "state coarser quanta or smaller weights"
        )
