"""Moves: their cost per task, for the worst group and per pair of nodes; their number."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Family, Metric, Placed, each, single
from optalloc.instance import quanta
from optalloc.instance.factored import Factored, Part
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Number, Policy
from optalloc.instance.references import attributes, choices, selected_groups, unknown_groups

IntArray = NDArray[np.int64]

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class Moves(Policy, frozen=True, kw_only=True):
    """Number of replicas moved; a move budget with ``at_most``.

    A replica of a task with a current placement counts as moved when it runs on a node in excess
    of the replicas that run there now: ``sum over nodes of max(0, x[t, n] - current[t, n])``. A
    task left out moves nothing.
    """

    summary: ClassVar[str] = "replicas moved"


class TaskMoveCost(Policy, frozen=True, kw_only=True):
    """Sum over moved replicas (see `Moves`) of the task's ``move_cost``."""

    summary: ClassVar[str] = "cost of moving tasks"

    def quantum(self, columns: Columns) -> Fraction:
        return columns.move_quantum


class GroupMoveCost(Policy, frozen=True, kw_only=True):
    """Largest number of replicas moved (see `Moves`) in any one group.

    Parameters
    ----------
    groups, kind
        As in `AntiAffinity`.
    """

    groups: Several[str] = kept(())
    kind: str = ""

    summary: ClassVar[str] = "replicas moved in the worst group"

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_groups(instance, self.groups, self.kind)


class PairMoveCost(Policy, frozen=True, kw_only=True):
    """Sum over moved replicas (see `Moves`) of ``costs[from][to]``.

    Where a task runs on several nodes now, a replica is taken from the one that is cheapest.

    Parameters
    ----------
    costs
        Cost by the attribute's value at the current node, then at the new one; missing means 0.
    by
        ``node``, ``device``, a label or a domain scope.
    """

    costs: dict[str, dict[str, Number]]
    by: str = "node"

    summary: ClassVar[str] = "cost of moving between nodes"

    def quantum(self, columns: Columns) -> Fraction:
        return quanta.choose([v for row in self.costs.values() for v in row.values()])

    def matrix(self, columns: Columns) -> tuple[IntArray, IntArray]:
        """Costs in quanta, (values, values), and the index of each concrete node into them.

        Nodes without the attribute have the last index, whose costs are 0.
        """
        attribute = columns.attribute(self.by)
        names = attribute.values
        table = np.zeros((len(names) + 1, len(names) + 1))
        position = {name: i for i, name in enumerate(names)}
        for source, row in self.costs.items():
            for target, value in row.items():
                if source in position and target in position:
                    table[position[source], position[target]] = value
        index = np.where(attribute.index < 0, len(names), attribute.index)
        return quanta.nearest(table, self.quantum(columns)), index[columns.node_entry]

    def problems(self, instance: Instance) -> Iterator[Fault]:
        known = attributes(instance)
        values = known.get(self.by, set())
        if self.by not in known:
            yield ".by", f"expected an attribute of the nodes ({choices(known)}), got {self.by!r}"
        for source, row in self.costs.items():
            for name in sorted({source, *row} - values) if self.by in known else ():
                where = f".costs.{source}" if name == source else f".costs.{source}.{name}"
                yield where, f"expected a node's {self.by} ({choices(values)}), got {name!r}"
            for target, value in row.items():
                if not 0 <= value < float("inf"):
                    yield (
                        f".costs.{source}.{target}",
                        f"expected a finite number of at least 0, got {value}",
                    )


@formulates(Moves)
def build_moves(policy: Moves, problem: Problem) -> Metric:
    """A linear function of the arrivals."""
    return Metric(((1, single(placed=(_arrivals(problem, Factored(_runs(problem))),))),))


@formulates(TaskMoveCost)
def build_task_move_cost(policy: TaskMoveCost, problem: Problem) -> Metric:
    """A linear function of the arrivals."""
    columns = problem.columns
    cost = Factored(_runs(problem) * columns.move_cost[columns.row_task])
    return Metric(((1, single(placed=(_arrivals(problem, cost),))),))


@formulates(GroupMoveCost)
def build_group_move_cost(policy: GroupMoveCost, problem: Problem) -> Metric:
    """The largest of linear functions of the arrivals."""
    groups = np.array(selected_groups(problem.instance, policy.groups, policy.kind), np.int64)
    groups = groups[problem.count_per_group(groups) > 0]
    if not groups.size:
        return Metric()
    arrivals = Placed(
        Factored(_runs(problem)),
        problem.everywhere(),
        1,
        problem.membership(groups),
        arrivals_only=True,
    )
    family = Family(np.zeros(groups.size, np.int64), (arrivals,))
    return Metric(((1, each(family, outer="max")),))


@formulates(PairMoveCost)
def build_pair_move_cost(policy: PairMoveCost, problem: Problem) -> Metric:
    """A linear function of the arrivals, by (current node, new node)."""
    columns = problem.columns
    matrix, index = policy.matrix(columns)
    if not columns.current_task.size:
        return Metric()
    order = np.argsort(columns.current_task, kind="stable")
    tasks, start = np.unique(columns.current_task[order], return_index=True)
    origin = index[columns.current_node[order]].tolist()
    # A line of costs for each set of origins, not for each task: few sets differ.
    line_of: dict[frozenset[int], int] = {}
    of_task = np.full(columns.tasks, -1, np.int64)
    of_task[tasks] = [
        line_of.setdefault(frozenset(origin[first:end]), len(line_of))
        for first, end in pairwise([*start.tolist(), len(origin)])
    ]
    lines = np.array([matrix[list(origins)].min(axis=0) for origins in line_of])
    cost = Factored(
        np.zeros(columns.rows, np.int64), (Part(of_task[columns.row_task], index, lines),)
    )
    return Metric(((1, single(placed=(_arrivals(problem, cost),))),))


def _runs(problem: Problem) -> IntArray:
    """1 for the rows of tasks that have a current placement, else 0."""
    columns = problem.columns
    runs = np.zeros(columns.tasks, np.int64)
    runs[columns.current_task] = 1
    return runs[columns.row_task]


def _arrivals(problem: Problem, cost: Factored) -> Placed:
    return Placed(cost, problem.everywhere(), 1, arrivals_only=True)
