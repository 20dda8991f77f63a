"""How many replicas of each gang are in each domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.formulation.terms import Family, Membership, Placed
from optalloc.instance.factored import Factored

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How many replicas of gangs are in domains.

    A gang has aggregates for each kind of its rows, so that replicas of rows that differ are not
    counted together: there is one by gang, kind and domain.

    Parameters
    ----------
    family
        The aggregates.
    gangs
        Number of gangs.
    like : (aggregates,)
        A row of the aggregate's kind.
    domain : (aggregates,)
        Its domain.
    """

    family: Family
    gangs: int
    like: IntArray
    domain: IntArray


def count_gangs(problem: Problem, kind: IntArray, domain: IntArray, domains: int) -> Counts:
    """Count the replicas of gangs in domains, apart for each kind of row.

    Parameters
    ----------
    problem
        Whatever has rows of a kind is a class of its own in it.
    kind : (rows,)
        Equal numbers for rows of one kind; -1 for those that need not be counted.
    domain : (nodes,)
        Domain of each node of the problem; -1 for none.
    domains
        Number of domains.
    """
    columns = problem.columns
    rows = np.flatnonzero(kind >= 0)
    lines = np.stack([columns.row_task[rows], kind[rows]])
    # A pair of a task and a kind has a rank among those of the task.
    pairs, first, pair = np.unique(lines, axis=1, return_index=True, return_inverse=True)
    start = np.searchsorted(pairs[0], np.arange(columns.tasks + 1))
    rank = np.full(columns.rows, -1, np.int64)
    rank[rows] = (np.arange(pairs.shape[1]) - start[pairs[0]])[pair.ravel()]
    of_class = np.diff(start)[problem.task_classes.task]
    parts = int(of_class.sum())
    owner, within = np.repeat(np.arange(problem.classes), of_class), numbered(of_class)
    placed = []
    for k in np.unique(within).tolist():
        mine = np.flatnonzero(within == k)
        member = Membership(parts, owner[mine], mine)
        counted = Factored((rank == k).astype(np.int64))
        placed.append(Placed(counted, domain, domains, member))
    like = rows[first[start[problem.task_classes.task[owner]] + within]]
    like = np.repeat(like, domains)
    return Counts(
        Family(np.zeros(parts * domains, np.int64), tuple(placed)),
        int(np.count_nonzero(of_class)),
        like,
        np.tile(np.arange(domains, dtype=np.int64), parts),
    )
