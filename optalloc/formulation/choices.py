"""The choices of each task class: a row, and the domain in which it runs where it needs one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]


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


def make_choices(problem: Problem) -> tuple[IntArray, IntArray, IntArray]:
    """List the choices: class, representative row and anchor (-1 for none), sorted.

    A row that stays within a scope has a choice for each domain that has room for one of its tasks
    by itself; if none has, one for the roomiest, so that what is missing can be told.
    """
    columns, tasks = problem.columns, problem.task_classes.task
    start, last = columns.row_start[tasks], columns.row_start[tasks + 1]
    length = last - start
    of_class = np.repeat(np.arange(tasks.size, dtype=np.int64), length)
    within = np.arange(of_class.size) - np.repeat(np.cumsum(length) - length, length)
    row = start[of_class] + within
    anchor = np.full(row.size, -1, np.int64)
    anchored = np.flatnonzero(columns.row_within[row] >= 0)
    if not anchored.size:
        return of_class, row, anchor
    pieces = [np.setdiff1d(np.arange(row.size), anchored)]
    anchors = [anchor[pieces[0]]]
    for members, domains in _anchored(problem, row, anchored):
        pieces.append(members)
        anchors.append(domains)
    index, anchor = np.concatenate(pieces), np.concatenate(anchors)
    order = np.lexsort((anchor, index))
    index = index[order]
    return of_class[index], row[index], anchor[order]


def _anchored(
    problem: Problem, row: IntArray, anchored: IntArray
) -> list[tuple[IntArray, IntArray]]:
    """Members of `anchored` with each of their domains, by kinds of rows that need equal room."""
    columns, wanted = problem.columns, row[anchored]
    signature = [d.signature(wanted) for d in columns.demand]
    signature.append(problem.allowed.row_kind[wanted, None])
    signature.append(np.stack([columns.row_within[wanted], columns.row_per_node[wanted]], axis=1))
    lines = np.concatenate(signature, axis=1)
    _, first, kind = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    found = []
    for k, like in enumerate(wanted[first].tolist()):
        members = anchored[kind.ravel() == k]
        replicas = columns.row_replicas[row[members]]
        room = _room(problem, like, int(replicas.max()))
        fits = room[None, :] >= replicas[:, None]
        nowhere = ~fits.any(axis=1)
        fits[nowhere, int(np.argmax(room))] = True
        member, domain = np.nonzero(fits)
        found.append((members[member], domain.astype(np.int64)))
    return found


def _room(problem: Problem, row: int, most: int) -> IntArray:
    """How many replicas of a task in a row each domain of its scope can take, up to `most`."""
    nodes = np.arange(problem.nodes, dtype=np.int64)
    fits = problem.fitting(np.array([row]), nodes, np.array([most]))
    entry = problem.columns.node_entry[problem.node_classes.node]
    fits = np.where(problem.allowed.mask[problem.allowed.row_kind[row], entry], fits, 0)
    share = int(problem.columns.row_per_node[row])
    if share:
        # A task has one share on each node that it uses.
        fits = np.where(fits >= share, share, 0)
    return problem.anchors(int(problem.columns.row_within[row])).room(fits)
