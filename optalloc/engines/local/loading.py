"""Between placements and what the compiled search knows: a choice per task, a node per slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import Tables
from optalloc.engines.local.translating import build_tables
from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.formulation.translating import concrete_nodes
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoadedTables:
    """Tables with their problem; values are the tasks' choices, then the slots' nodes."""

    problem: Problem
    model: Tables

    @cached_property
    def task_entry(self) -> IntArray:
        """The instance's entry of each task; tasks of a class are dealt to its members in order."""
        classes = self.problem.task_classes
        return np.repeat(classes.of_task, classes.of_count)

    def placement(self, values: IntArray) -> Placement:
        """Deal out what the search placed."""
        columns, tables = self.problem.columns, self.model
        tasks = tables.task_class.size
        choice, node = values[:tasks], values[tasks:]
        number = choice - tables.class_choice[tables.task_class]
        row = columns.row_start[self.task_entry] + number
        chosen = np.bincount(row[choice >= 0], minlength=columns.rows)
        used = np.flatnonzero(node >= 0)
        concrete = concrete_nodes(self.problem, node[used])
        one = np.ones(used.size, np.int64)
        return Placement.of(chosen, row[tables.slot_task[used]], concrete, one)

    def values(self, placement: Placement) -> IntArray | None:
        """Deal a placement to the tasks of each entry; None if its replicas are too few or many."""
        columns, tables = self.problem.columns, self.model
        replicas = np.bincount(placement.row, placement.replicas, columns.rows).astype(np.int64)
        if not np.array_equal(replicas, placement.chosen * columns.row_replicas):
            return None
        tasks = tables.task_class.size
        by_entry = np.argsort(self.task_entry, kind="stable")
        first = np.searchsorted(self.task_entry[by_entry], np.arange(columns.tasks))
        row = np.repeat(np.arange(columns.rows), placement.chosen)
        entry = columns.row_task[row]
        task = by_entry[first[entry] + np.arange(row.size) - np.searchsorted(entry, entry)]
        choice = np.full(tasks, -1, np.int64)
        number = row - columns.row_start[entry]
        choice[task] = tables.class_choice[tables.task_class[task]] + number
        size = columns.row_replicas[row]
        slot = np.repeat(tables.task_slot[task], size)
        slot = slot + numbered(size)
        node = np.full(tables.slot_task.size, -1, np.int64)
        node[slot] = self.problem.node_classes.of_node[
            np.repeat(placement.node, placement.replicas)
        ]
        return np.concatenate([choice, node])


def load_tables(problem: Problem) -> LoadedTables:
    """Make the tables of a problem.

    Raises
    ------
    Unsupported
        When the search has no form for something in it.
    """
    return LoadedTables(problem, build_tables(problem))
