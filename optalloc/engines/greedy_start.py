"""What stays in place when a first answer is made: what runs now, or what an earlier one says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.problem import Problem
from optalloc.formulation.translating import choice_of_row
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Kept:
    """Whole tasks, and where their replicas stay.

    Parameters
    ----------
    tasks : (choices,)
        Tasks that run in each choice.
    block, node, replicas : (k,)
        Replicas of a block on a node, each pair once.
    """

    tasks: IntArray
    block: IntArray
    node: IntArray
    replicas: IntArray


def what_runs(problem: Problem) -> Kept:
    """Keep all tasks with one way to run that may stay where they run now."""
    k, node, replicas = problem.home
    first = np.searchsorted(problem.choice_class, np.arange(problem.classes + 1))
    total = np.bincount(k, replicas, problem.classes).astype(np.int64)
    allowed = _allowed(problem, problem.choice_row[first[k]], node)
    lost = np.bincount(k, ~allowed, problem.classes) > 0
    count = problem.task_classes.count
    whole = total == problem.choice_replicas[first[:-1]] * count
    # What must stay in one domain is not known to be there.
    loose = (np.diff(first) == 1) & (problem.choice_anchor[first[:-1]] < 0)
    loose &= problem.columns.row_per_node[problem.choice_row[first[:-1]]] == 0
    kept = np.flatnonzero((whole & loose & ~lost)[k])
    tasks = np.zeros(problem.choices, np.int64)
    tasks[first[k[kept]]] = count[k[kept]]
    return Kept(tasks, problem.choice_block[first[k[kept]]], node[kept], replicas[kept])


def what_is_given(problem: Problem, placement: Placement) -> Kept:
    """Keep of an earlier answer all that may stay there, gangs as a whole.

    Tasks of an entry that run on different nodes now are told apart by that, and begin anew.
    """
    columns, choice = problem.columns, choice_of_row(problem)
    row, replicas = placement.row, placement.replicas
    node = problem.node_classes.of_node[placement.node]
    held = np.bincount(row, replicas, columns.rows).astype(np.int64)
    stated = np.bincount(columns.row_task, placement.chosen, columns.tasks)
    sound = (choice >= 0) & (held == placement.chosen * columns.row_replicas)
    sound &= (stated <= columns.task_count)[columns.row_task]
    allowed = _allowed(problem, row, node)
    lost = np.bincount(row, np.where(allowed, 0, replicas), columns.rows).astype(np.int64)
    sound &= (columns.row_replicas == 1) | (lost == 0)
    sound &= columns.row_per_node == 0
    tasks = np.zeros(problem.choices, np.int64)
    np.add.at(tasks, choice[sound], (placement.chosen - lost)[sound])
    kept = np.flatnonzero(sound[row] & allowed)
    key = problem.choice_block[choice[row[kept]]] * problem.nodes + node[kept]
    pairs, at = np.unique(key, return_inverse=True)
    total = np.bincount(at.ravel(), replicas[kept], pairs.size).astype(np.int64)
    return Kept(tasks, pairs // problem.nodes, pairs % problem.nodes, total)


def _allowed(problem: Problem, row: IntArray, node: IntArray) -> NDArray[np.bool_]:
    """Whether labels allow a row on a node."""
    entry = problem.columns.node_entry[problem.node_classes.node[node]]
    return problem.allowed.mask[problem.allowed.row_kind[row], entry]
