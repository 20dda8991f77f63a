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
    gangs : (spots,)
        Gangs in each spot.
    block, node, replicas : (k,)
        Replicas of a block on a node, each pair once.
    """

    tasks: IntArray
    gangs: IntArray
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
    choice = first[k]
    spot = problem.spot_of(choice, node)
    block, (gangs, torn) = problem.block_of(choice, spot), _gangs(problem, choice, spot, replicas)
    lost += np.bincount(k, (block < 0) | torn, problem.classes) > 0
    whole = total == problem.choice_replicas[first[:-1]] * count
    # Shares of nodes are placed anew.
    loose = np.diff(first) == 1
    loose &= problem.columns.row_per_node[problem.choice_row[first[:-1]]] == 0
    kept = np.flatnonzero((whole & loose & ~lost)[k])
    tasks = np.zeros(problem.choices, np.int64)
    tasks[choice[kept]] = count[k[kept]]
    gangs, _ = _gangs(problem, choice[kept], spot[kept], replicas[kept])
    return Kept(tasks, gangs, block[kept], node[kept], replicas[kept])


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
    spot = problem.spot_of(choice[row], node)
    block, (_, torn) = (
        problem.block_of(choice[row], spot),
        _gangs(problem, choice[row], spot, replicas),
    )
    sound &= np.bincount(row, (block < 0) | torn, columns.rows) == 0
    tasks = np.zeros(problem.choices, np.int64)
    np.add.at(tasks, choice[sound], (placement.chosen - lost)[sound])
    kept = np.flatnonzero(sound[row] & allowed)
    gangs, _ = _gangs(problem, choice[row[kept]], spot[kept], replicas[kept])
    key = block[kept] * problem.nodes + node[kept]
    pairs, at = np.unique(key, return_inverse=True)
    total = np.bincount(at.ravel(), replicas[kept], pairs.size).astype(np.int64)
    return Kept(tasks, gangs, pairs // problem.nodes, pairs % problem.nodes, total)


def _gangs(
    problem: Problem, choice: IntArray, spot: IntArray, replicas: IntArray
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Gangs in each spot, and whether replicas are of a choice with no whole gangs in its spot."""
    here = np.flatnonzero(spot >= 0)
    units, unit = np.unique(
        choice[here] * problem.spot_block.size + spot[here], return_inverse=True
    )
    total = np.bincount(unit.ravel(), replicas[here], units.size).astype(np.int64)
    of_unit = units % max(problem.spot_block.size, 1)
    size = problem.spots.size[problem.spots.shape[of_unit]]
    gangs = np.bincount(of_unit, total // size, problem.spot_block.size).astype(np.int64)
    torn = np.zeros(spot.size, bool)
    torn[here] = (total % size > 0)[unit.ravel()]
    return gangs, torn


def _allowed(problem: Problem, row: IntArray, node: IntArray) -> NDArray[np.bool_]:
    """Whether labels allow a row on a node."""
    entry = problem.columns.node_entry[problem.node_classes.node[node]]
    return problem.allowed.mask[problem.allowed.row_kind[row], entry]
