"""Numbers that depend on a row and a node, kept factored: never a rows x nodes matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A table that overrides the base value of some rows.

    Parameters
    ----------
    index : (rows,)
        Line of `values` for each row; -1 where the part does not speak.
    column : (nodes,)
        Column of `values` for each node.
    values : (lines, columns)
        The numbers.
    """

    index: IntArray
    column: IntArray
    values: IntArray


@dataclass(frozen=True)
class Factored:
    """An integer for each (row, node): a number per row, overridden by small tables.

    Parameters
    ----------
    base : (rows,)
        The number where no part speaks.
    parts
        At most one of them speaks for a row.
    """

    base: IntArray
    parts: tuple[Part, ...] = ()

    def at(self, rows: IntArray, nodes: IntArray) -> IntArray:
        """Evaluate at pairs (arrays that broadcast)."""
        value: IntArray = np.empty(np.broadcast(rows, nodes).shape, np.int64)
        value[...] = self.base[rows]
        for part in self.parts:
            index = part.index[rows]
            value = np.where(index >= 0, part.values[index, part.column[nodes]], value)
        return value

    def take(self, rows: IntArray) -> Factored:
        """Re-index: row i of the answer is row ``rows[i]`` of this."""
        return Factored(
            self.base[rows],
            tuple(Part(p.index[rows], p.column, p.values) for p in self.parts),
        )

    def only(self, rows: NDArray[np.bool_]) -> Factored:
        """Make all other rows 0."""
        return Factored(
            np.where(rows, self.base, 0),
            tuple(Part(np.where(rows, p.index, -1), p.column, p.values) for p in self.parts),
        )

    def signature(self, rows: IntArray) -> IntArray:
        """Describe rows by integers, (rows, k): equal lines mean equal values on every node."""
        lines = [self.base[rows], *(p.index[rows] for p in self.parts)]
        for i, part in enumerate(self.parts):
            speaks = part.index[rows] >= 0
            lines[0] = np.where(speaks, 0, lines[0])
            _, same = np.unique(part.values, axis=0, return_inverse=True)
            lines[i + 1] = np.where(speaks, same.ravel()[part.index[rows]], -1)
        return np.stack(lines, axis=1)

    @cached_property
    def is_zero(self) -> bool:
        """Whether every value is 0."""
        return not self.base.any() and not any(p.values.any() for p in self.parts)


def tabulate(
    evaluate: Callable[[IntArray, IntArray], IntArray],
    own: Sequence[NDArray[np.generic]],
    numbers: Sequence[Factored],
    nodes: int,
) -> Factored:
    """Tabulate a function of row and node, once for all rows and nodes that are alike to it.

    Parameters
    ----------
    evaluate
        The function, of rows and nodes (arrays that broadcast).
    own : each (rows,)
        What it knows of a row by itself; of 8 bytes each.
    numbers
        What it knows of a row on a node.
    nodes
        Number of nodes.
    """
    rows = np.arange(own[0].size, dtype=np.int64)
    lines = [np.ascontiguousarray(column).view(np.int64)[:, None] for column in own]
    lines += [number.signature(rows) for number in numbers]
    _, row, line = np.unique(
        np.concatenate(lines, axis=1), axis=0, return_index=True, return_inverse=True
    )
    columns = [part.column for number in numbers for part in number.parts]
    _, node, column = np.unique(
        np.stack([np.zeros(nodes, np.int64), *columns]),
        axis=1,
        return_index=True,
        return_inverse=True,
    )
    values = evaluate(row[:, None], node[None, :])
    if node.size == 1:
        return Factored(values[line.ravel(), 0])
    return Factored(np.zeros_like(rows), (Part(line.ravel(), column.ravel(), values),))


def constant(rows: int, value: int = 1) -> Factored:
    """Make the same number for every row and node."""
    return Factored(np.full(rows, value, np.int64))


def by_column(rows: int, values: IntArray, column: IntArray) -> Factored:
    """Make a number that any row has on each node: that of the node's column of values."""
    zeros = np.zeros(rows, np.int64)
    return Factored(zeros, (Part(zeros, column.ravel(), values[None, :]),))
