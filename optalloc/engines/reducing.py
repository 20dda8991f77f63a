"""Small models cut out of a large one: some columns free, all others fixed.

Only the entries of free columns are looked at: rows keep their activity, so that what is fixed
enters as ``activity - contribution of the free columns``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optalloc.engines.protocol import IntArray
from optalloc.formulation.arrays import numbered
from optalloc.formulation.model import INFINITY
from optalloc.formulation.sparse import SparseModel


@dataclass(frozen=True)
class Reduced:
    """A small model: columns of the large one, and the rows that they touch less what is fixed."""

    columns: IntArray
    start: IntArray
    column: IntArray
    value: IntArray
    low: IntArray
    high: IntArray


class Reducer:
    """Cuts small models out of a model whose earlier levels are held.

    Parameters
    ----------
    model
        The large model, in MILP form.
    given
        Values that the first levels must not exceed.
    """

    def __init__(self, model: SparseModel, given: Sequence[int]) -> None:
        self.model = model
        row = np.repeat(np.arange(model.rows, dtype=np.int64), np.diff(model.start))
        column, value = model.column, model.value
        low, high = model.low, model.high
        for level, most in enumerate(given):
            held_column, held_value, constant = model.objective(level)
            row = np.concatenate([row, np.full(held_column.size, low.size)])
            column = np.concatenate([column, held_column])
            value = np.concatenate([value, held_value])
            low, high = np.append(low, -INFINITY), np.append(high, most - constant)
        self.low, self.high = low, high
        order = np.argsort(column, kind="stable")
        self.entry_row, self.entry_value = row[order], value[order]
        self.start = np.searchsorted(column[order], np.arange(model.columns + 1))
        auxiliary = np.flatnonzero(column >= model.decisions)
        self.auxiliary_column = column[auxiliary]
        self.auxiliary_start = np.searchsorted(row[auxiliary], np.arange(low.size + 1))

    def cut(self, base: IntArray, free: IntArray) -> Reduced:
        """Cut out the model of some decision columns, and of the others that they reach."""
        columns = self._closure(np.unique(free))
        entry, owner = _spans(self.start, columns)
        row, value = self.entry_row[entry], self.entry_value[entry]
        order = np.argsort(row, kind="stable")
        row, owner, value = row[order], owner[order], value[order]
        rows, start = np.unique(row, return_index=True)
        fixed = self.activity(base)[rows]
        if rows.size:
            fixed = fixed - np.add.reduceat(value * base[columns[owner]], start)
        low, high = self.low[rows], self.high[rows]
        return Reduced(
            columns,
            np.append(start, row.size),
            owner,
            value,
            np.where(low <= -INFINITY, -INFINITY, low - fixed),
            np.where(high >= INFINITY, INFINITY, high - fixed),
        )

    def activity(self, values: IntArray) -> IntArray:
        """Value of every row."""
        used = np.flatnonzero(values)
        entry, owner = _spans(self.start, used)
        total = np.bincount(
            self.entry_row[entry],
            weights=self.entry_value[entry] * values[used[owner]].astype(np.float64),
            minlength=self.low.size,
        )
        return np.rint(total).astype(np.int64)

    def _closure(self, columns: IntArray) -> IntArray:
        """Add the auxiliary columns of all rows that are touched, until none is missing."""
        known = np.zeros(self.model.columns, bool)
        known[columns] = True
        seen = np.zeros(self.low.size, bool)
        newest = columns
        while newest.size:
            entry, _ = _spans(self.start, newest)
            rows = np.unique(self.entry_row[entry])
            rows = rows[~seen[rows]]
            seen[rows] = True
            reached, _ = _spans(self.auxiliary_start, rows)
            found = np.unique(self.auxiliary_column[reached])
            newest = found[~known[found]]
            known[newest] = True
        return np.flatnonzero(known)


def _spans(start: IntArray, index: IntArray) -> tuple[IntArray, IntArray]:
    """Positions of the entries of some lines of a compressed table, and whose they are."""
    size = start[index + 1] - start[index]
    owner = np.repeat(np.arange(index.size, dtype=np.int64), size)
    within = numbered(size)
    return start[index][owner] + within, owner
