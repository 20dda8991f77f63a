"""Required tasks by kind, the nodes that each kind can reach and what it needs at least."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.sites import empty_sites, room
from optalloc.formulation.problem import Problem
from optalloc.instance.factored import Factored

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


MOST_PAIRS = 4_000_000
"""Pairs of kinds and node entries of which each is looked at."""


class Kinds:
    """The kinds of tasks of a problem: its classes, those of one entry taken together.

    Parameters
    ----------
    problem
        What is to be solved.

    Attributes
    ----------
    task, count : (kinds,)
        A task entry that stands for the kind, and the number of its tasks.
    required : (kinds,)
        Whether they must be placed.
    row, of_row : (rows of kinds,)
        The ways in which they can run, and the kind of each.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        columns, classes = problem.columns, problem.task_classes
        self.task, kind = np.unique(classes.task, return_inverse=True)
        self.of_class: IntArray = kind.ravel()
        self.count = np.zeros(self.task.size, np.int64)
        np.add.at(self.count, self.of_class, classes.count)
        self.required = columns.required[self.task]
        first = columns.row_start[self.task]
        length = columns.row_start[self.task + 1] - first
        self.of_row = np.repeat(np.arange(self.task.size, dtype=np.int64), length)
        self.start = np.cumsum(length) - length
        self.row = first[self.of_row] + np.arange(self.of_row.size) - self.start[self.of_row]
        self.length = length

    @cached_property
    def entries(self) -> list[IntArray]:
        """Task entries of each kind."""
        classes = self.problem.task_classes
        kind = self.of_class[classes.of_class]
        pairs = np.unique(np.stack([kind, classes.of_task], axis=1), axis=0)
        cuts = np.searchsorted(pairs[:, 0], np.arange(1, self.task.size))
        return np.split(pairs[:, 1], cuts) if self.task.size else []

    @cached_property
    def replicas(self) -> IntArray:
        """Fewest replicas of one task of each kind."""
        return self.smallest(self.problem.columns.row_replicas[self.row])

    def smallest(self, of_rows: IntArray) -> IntArray:
        """Smallest of a number over the rows of each kind."""
        return np.minimum.reduceat(of_rows, self.start) if of_rows.size else of_rows

    @cached_property
    def most_replicas(self) -> IntArray:
        """Most replicas of one task of each kind."""
        return -self.smallest(-self.problem.columns.row_replicas[self.row])

    @cached_property
    def lines(self) -> tuple[BoolArray, IntArray]:
        """Sets of node entries, (lines, entries), and the one that each kind can reach."""
        allowed = self.problem.allowed
        mask_of_row = allowed.row_kind[self.row]
        return _joined(allowed.mask, mask_of_row, self.start, self.length)

    @cached_property
    def reachable(self) -> tuple[BoolArray, IntArray]:
        """As `lines`, of those entries alone on which a replica fits; as `lines` where many are."""
        problem, columns = self.problem, self.problem.columns
        signature = [demand.signature(self.row) for demand in columns.demand]
        signature.append(problem.allowed.row_kind[self.row, None])
        _, first, alike = np.unique(
            np.concatenate(signature, axis=1), axis=0, return_index=True, return_inverse=True
        )
        sites = empty_sites(problem)
        if first.size * sites.node.size > MOST_PAIRS:
            return self.lines
        fits = room(problem, self.row[first], sites, np.ones(first.size, np.int64)) > 0
        fitting, same = np.unique(fits, axis=0, return_inverse=True)
        return _joined(fitting, same.ravel()[alike.ravel()], self.start, self.length)

    def least(self, quantity: Factored, sign: int = 1) -> IntArray:
        """Smallest ``sign * quantity`` of each row over the node entries that it may use."""
        columns, allowed = self.problem.columns, self.problem.allowed
        value = sign * quantity.base[self.row]
        for part in quantity.parts:
            line = part.index[self.row]
            speaks = np.flatnonzero(line >= 0)
            if not speaks.size:
                continue
            mask = allowed.row_kind[self.row[speaks]]
            pairs, inverse = np.unique(
                np.stack([line[speaks], mask], axis=1), axis=0, return_inverse=True
            )
            column = part.column[columns.node_start[:-1]]
            usable = np.zeros((allowed.mask.shape[0], part.values.shape[1]), bool)
            kind, entry = np.nonzero(allowed.mask)
            usable[kind, column[entry]] = True
            worst = np.iinfo(np.int64).max
            seen = np.where(usable[pairs[:, 1]], sign * part.values[pairs[:, 0]], worst).min(axis=1)
            value = np.array(value)
            value[speaks] = np.where(seen == worst, 0, seen)[inverse.ravel()]
        return np.asarray(value, np.int64)


def _joined(
    table: BoolArray, of_row: IntArray, start: IntArray, length: IntArray
) -> tuple[BoolArray, IntArray]:
    """Union of the lines of the rows of each kind: the distinct ones, and that of each kind."""
    known: dict[frozenset[int], int] = {}
    line = np.zeros(start.size, np.int64)
    listed = of_row.tolist()
    for k, (low, size) in enumerate(zip(start.tolist(), length.tolist(), strict=True)):
        line[k] = known.setdefault(frozenset(listed[low : low + size]), len(known))
    joined = np.zeros((len(known), table.shape[1]), bool)
    for lines, i in known.items():
        joined[i] = table[sorted(lines)].any(axis=0)
    return joined, line
