"""The choices of each task class, and where gangs that stay within a domain may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import numbered

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Anchors:
    """The domains of a scope, in which gangs can be anchored.

    Parameters
    ----------
    count
        Number of domains.
    domain : (nodes,)
        Domain of each node of the problem; -1 for none.
    """

    count: int
    domain: IntArray

    @cached_property
    def size(self) -> IntArray:
        """Number of nodes of each domain."""
        return np.bincount(self.domain[self.domain >= 0], minlength=self.count)

    @cached_property
    def _order(self) -> tuple[IntArray, IntArray]:
        order = np.argsort(self.domain, kind="stable")
        return order, np.searchsorted(self.domain[order], np.arange(self.count + 1))

    def nodes_of(self, domain: int) -> IntArray:
        """Nodes of a domain, sorted."""
        order, start = self._order
        return order[start[domain] : start[domain + 1]]

    def room(self, fits: IntArray) -> IntArray:
        """What fits into each domain, (domains,), of what fits on each node."""
        inside = self.domain >= 0
        total = np.zeros(self.count, np.int64)
        np.add.at(total, self.domain[inside], fits[inside])
        return total


@dataclass(frozen=True)
class Spots:
    """Where gangs that stay within a domain may be: a shape of gang in a domain of its scope.

    Gangs of one shape are alike for the nodes: who they are, their choices say; where they are, the
    spots do: ``sum over choices of a shape of y = sum over its spots of w``.

    Parameters
    ----------
    of_choice : (choices,)
        Shape of the gangs that run in each choice; -1 where they may be anywhere.
    row, size, fits : (shapes,)
        A row of each shape, the replicas of one gang, and whether some domain has room for it.
    shape, domain, most : (spots,)
        Sorted by shape, then domain of the scope; and how many gangs fit there by themselves.
    """

    of_choice: IntArray
    row: IntArray
    size: IntArray
    fits: BoolArray
    shape: IntArray
    domain: IntArray
    most: IntArray

    @property
    def shapes(self) -> int:
        """Number of shapes."""
        return int(self.row.size)

    @cached_property
    def first(self) -> IntArray:
        """First spot of each shape, and their number, (shapes + 1,)."""
        return np.searchsorted(self.shape, np.arange(self.shapes + 1))

    def at(self, shape: IntArray, domain: IntArray) -> IntArray:
        """The spots of shapes in domains; -1 for none."""
        width = int(self.domain.max(initial=0)) + 2
        key, wanted = self.shape * width + self.domain, shape * width + domain
        at = np.minimum(np.searchsorted(key, wanted), max(key.size - 1, 0))
        known = (shape >= 0) & (domain >= 0) & (domain < width) & (np.append(key, -1)[at] == wanted)
        return np.where(known, at, -1)


def list_choices(problem: Problem) -> tuple[IntArray, IntArray]:
    """List the choices, rows of the classes: class and representative row, sorted."""
    columns, tasks = problem.columns, problem.task_classes.task
    start = columns.row_start[tasks]
    length = columns.row_start[tasks + 1] - start
    of_class = np.repeat(np.arange(tasks.size, dtype=np.int64), length)
    within = numbered(length)
    return of_class, start[of_class] + within


def find_spots(problem: Problem, kind: IntArray) -> Spots:
    """Find where gangs that stay within a scope may be.

    A shape has a spot in each domain that has room for one of its gangs by itself; if none has, in
    the roomiest, so that what is missing can be told.

    Parameters
    ----------
    problem
        Its choices are known.
    kind : (choices, k)
        Equal lines where the nodes see no difference between replicas.
    """
    columns, row = problem.columns, problem.choice_row
    anchored = np.flatnonzero(columns.row_within[row] >= 0)
    of_choice = np.full(row.size, -1, np.int64)
    lines = np.column_stack([kind[anchored], problem.choice_replicas[anchored]])
    _, first, shape = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    of_choice[anchored] = shape.ravel()
    like = row[anchored[first]]
    size = columns.row_replicas[like]
    found = [(np.zeros(0, np.int64),) * 3]
    somewhere = np.zeros(like.size, np.bool_)
    for members, one, all_ in _rooms(problem, like):
        replicas = size[members, None]
        fits = np.where(one >= replicas, all_ // replicas, 0)
        somewhere[members] = fits.any(axis=1)
        fits[~somewhere[members], int(np.argmax(one))] = 1
        member, domain = np.nonzero(fits)
        found.append((members[member], domain.astype(np.int64), fits[member, domain]))
    where, domain, most = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((domain, where))
    return Spots(of_choice, like, size, somewhere, where[order], domain[order], most[order])


def _rooms(problem: Problem, row: IntArray) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Members of `row` that need equal room; room for replicas of one gang, and of all."""
    columns = problem.columns
    signature = [d.signature(row) for d in columns.demand]
    signature.append(problem.allowed.row_kind[row, None])
    signature.append(np.stack([columns.row_within[row], columns.row_per_node[row]], axis=1))
    lines = np.concatenate(signature, axis=1)
    _, first, kind = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    for k, like in enumerate(row[first].tolist()):
        yield np.flatnonzero(kind.ravel() == k), *_room(problem, like)


def _room(problem: Problem, row: int) -> tuple[IntArray, IntArray]:
    """How many replicas of a gang in a row each domain of its scope can take, and of all gangs."""
    nodes, most = np.arange(problem.nodes, dtype=np.int64), problem.most_replicas.sum()
    fits = problem.fitting(np.array([row]), nodes, np.array([most]))
    fits = np.where(problem.node_mask[problem.allowed.row_kind[row]], fits, 0)
    anchors = problem.anchors(int(problem.columns.row_within[row]))
    share = int(problem.columns.row_per_node[row])
    if not share:
        return anchors.room(fits), anchors.room(fits)
    # Shares are whole, and a gang has one on each node that it uses.
    fits = fits // share * share
    return anchors.room(np.minimum(fits, share)), anchors.room(fits)
