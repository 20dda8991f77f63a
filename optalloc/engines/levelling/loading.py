"""Between placements and what levelling knows: a node for each task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.levelling.fleet import Fleet, fleet_of
from optalloc.engines.local.loading import LoadedTables, load_tables
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoadedFleet:
    """A fleet with its tables; values are the nodes of the tasks."""

    tables: LoadedTables
    model: Fleet

    def placement(self, values: IntArray) -> Placement:
        """Deal out what was placed."""
        tables = self.tables.model
        choice = tables.class_choice[tables.task_class].astype(np.int64)
        return self.tables.placement(np.concatenate([choice, values]))

    def values(self, placement: Placement) -> IntArray | None:
        """The nodes of all tasks; None if the placement leaves any out."""
        values = self.tables.values(placement)
        if values is None:
            return None
        node = values[self.model.block.size :]
        return node if bool(np.all(node >= 0)) else None


def load_fleet(problem: Problem) -> LoadedFleet:
    """Make the fleet of a problem.

    Raises
    ------
    Unsupported
        When there is more to the problem than levelling knows.
    """
    _check(problem)
    tables = load_tables(problem)
    return LoadedFleet(tables, fleet_of(tables.model))


def _check(problem: Problem) -> None:
    """Say no at once, before the tables are made, where the goals are others."""
    levels = problem.objective.levels
    terms = [
        term for level in levels for _, i in level.factors for _, term in problem.metrics[i].terms
    ]
    if len(levels) != 1 or not all(term.outer == "max" for term in terms):
        raise Unsupported("goals other than one sum of peaks")
