"""Between placements and what the engine knows: replicas of blocks on nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import ClassTables, Dealt
from optalloc.engines.columns.translating import build_tables
from optalloc.formulation.problem import Problem
from optalloc.formulation.translating import choice_of_row, expand_placement
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoadedClasses:
    """Tables with their problem; values are those of `Dealt`."""

    problem: Problem
    model: ClassTables

    def placement(self, values: IntArray) -> Placement:
        """Deal an answer out to single tasks."""
        return expand_placement(self.problem, *Dealt.of(self.model, values))

    def values(self, placement: Placement) -> IntArray | None:
        """Take a placement apart, where the engine can go on from one."""
        problem = self.problem
        choice = choice_of_row(problem)
        if not self.model.single or np.any(choice[placement.row] < 0):
            return None
        tasks = np.zeros(problem.choices, np.int64)
        np.add.at(tasks, choice, placement.chosen)
        block = problem.choice_block[choice[placement.row]]
        node = problem.node_classes.of_node[placement.node]
        order = np.lexsort((node, block))
        return Dealt(tasks, block[order], node[order], placement.replicas[order]).vector()


def load_classes(problem: Problem) -> LoadedClasses:
    """Make the tables of a problem.

    Raises
    ------
    Unsupported
        When classes do not tell what matters in it.
    """
    return LoadedClasses(problem, build_tables(problem))
