"""Replicas that cannot stay where they run: what a move budget must allow at least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.words import counted, names
from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Leaving:
    """Replicas of required tasks with one way to run that no placement leaves where they are.

    Those on nodes that labels or their size rule out leave; of the others on a node that holds
    more than its capacity, as few as can be, the largest first, for each resource by itself.
    Optional tasks can be left out instead, which moves nothing.

    Parameters
    ----------
    problem
        What is to be solved.

    Attributes
    ----------
    tasks : (k,)
        Task entries of which some replicas can stay nowhere they run.
    nodes : (n,)
        Nodes that hold more than their capacity.
    replicas
        How many replicas move at least.
    """

    def __init__(self, problem: Problem) -> None:
        columns = problem.columns
        task, node = columns.current_task, columns.current_node
        single = np.diff(columns.row_start)[task] == 1
        kept = np.flatnonzero(columns.required[task] & single)
        self.problem = problem
        self._node, self._replicas = node[kept], columns.current_replicas[kept]
        self._row = columns.row_start[task[kept]]
        self._capacity = columns.capacity[columns.node_entry[self._node]]
        out = self._ruled_out()
        self.tasks: IntArray = np.unique(task[kept[out]])
        fewest = self._crowded_out(~out)
        self.nodes: IntArray = np.flatnonzero(fewest)
        self.replicas = int(self._replicas[out].sum() + fewest.sum())

    def _demand(self, resource: int) -> IntArray:
        return self.problem.columns.demand[resource].at(self._row, self._node)

    def _ruled_out(self) -> BoolArray:
        """Which pairs of a task and its node cannot be, even alone."""
        allowed, entry = self.problem.allowed, self.problem.columns.node_entry[self._node]
        out = ~allowed.mask[allowed.row_kind[self._row], entry]
        for i in self.problem.hard_resources:
            out |= self._demand(i) > self._capacity[:, i]
        return out

    def _crowded_out(self, fits: BoolArray) -> IntArray:
        """Fewest replicas of those that fit alone to leave each node."""
        nodes = self.problem.columns.nodes
        fewest = np.zeros(nodes, np.int64)
        for i in self.problem.hard_resources:
            demand = self._demand(i)
            load = np.zeros(nodes, np.int64)
            np.add.at(load, self._node[fits], (demand * self._replicas)[fits])
            over = load - self.problem.columns.capacity[self.problem.columns.node_entry, i]
            order = np.lexsort((-demand, self._node))
            order = order[fits[order]]
            start = np.searchsorted(self._node[order], np.arange(nodes + 1))
            for n in np.flatnonzero(over > 0).tolist():
                here = order[start[n] : start[n + 1]]
                leaving = _fewest(demand[here], self._replicas[here], int(over[n]))
                fewest[n] = max(fewest[n], leaving)
        return fewest

    def said(self) -> str:
        """Name what leaves."""
        columns = self.problem.columns
        tasks: Sequence[str] = [columns.instance.tasks[t].name for t in self.tasks.tolist()]
        nodes: Sequence[str] = [columns.node_names[n] for n in self.nodes.tolist()]
        parts = [f"{names(tasks)} cannot stay"] if tasks else []
        if nodes:
            parts.append(f"{counted(len(nodes), 'node')} over capacity now: {names(nodes)}")
        return "; ".join(parts)


def _fewest(demand: IntArray, replicas: IntArray, over: int) -> int:
    """Fewest replicas, largest first, whose demand makes up for what is over."""
    freed = np.cumsum(demand * replicas)
    last = int(np.searchsorted(freed, over))
    before = int(freed[last - 1]) if last else 0
    return int(replicas[:last].sum()) - (before - over) // int(demand[last])
