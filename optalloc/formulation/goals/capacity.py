"""Multi-resource capacity, now and while tasks move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import load
from optalloc.formulation.terms import Limit, Metric, each
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import unknown_resource

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class Capacity(Policy, frozen=True, kw_only=True):
    """Load of every node within its capacity (a rule; holds for every resource unstated).

    ``load[n, r] = sum over placed replicas of demand[r] <= capacity[n, r]``. The value is the sum
    over nodes and resources of ``max(0, load - capacity)`` in quanta of each resource.

    Parameters
    ----------
    resources
        The resources it speaks of; all by default.
    """

    resources: Several[str] = kept(())

    is_rule: ClassVar[bool] = True
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "load above capacity"

    def indices(self, columns: Columns) -> tuple[int, ...]:
        """Indices of the resources it speaks of."""
        return tuple(columns.resource_index[name] for name in self.resources or columns.resources)

    def caps(self, columns: Columns) -> tuple[int, ...]:
        return self.indices(columns) if self.hard else ()

    def problems(self, instance: Instance) -> Iterator[Fault]:
        for i, name in enumerate(self.resources):
            yield from unknown_resource(instance, f".resources[{i}]", name)


class TransientCapacity(Policy, frozen=True, kw_only=True):
    """Capacity while tasks move: a moved task still occupies its current node.

    ``sum of demand over current replicas + sum of demand over replicas that arrive <=
    capacity[n, r]``: replicas that stay are counted once, those that leave still count, those
    that start elsewhere count there. Holds unstated for resources with ``transient``. The value is
    the total excess in quanta. (Rule 5 of the ROADEF/EURO challenge 2012.)

    Parameters
    ----------
    resources
        The resources it speaks of; those with ``transient`` by default.
    """

    resources: Several[str] = kept(())

    is_rule: ClassVar[bool] = True
    summary: ClassVar[str] = "load above capacity while tasks move"

    def indices(self, columns: Columns) -> tuple[int, ...]:
        """Indices of the resources it speaks of."""
        stated = columns.instance.resources
        names = self.resources or tuple(name for name, r in stated.items() if r.transient)
        return tuple(columns.resource_index[name] for name in names)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        for i, name in enumerate(self.resources):
            yield from unknown_resource(instance, f".resources[{i}]", name)


@formulates(Capacity)
def build_capacity(policy: Capacity, problem: Problem) -> Metric:
    """One linear row per node and resource."""
    terms = []
    for i in policy.indices(problem.columns):
        limit = Limit("at_most", problem.capacity[:, i])
        terms.append((1, each(load(problem, i), limit=limit)))
    return Metric(tuple(terms))


@formulates(TransientCapacity)
def build_transient(policy: TransientCapacity, problem: Problem) -> Metric:
    """One linear row per node and resource: what runs there now is constant, arrivals add to it."""
    columns = problem.columns
    terms = []
    for i in policy.indices(columns):
        now = np.zeros(problem.nodes, np.int64)
        row = columns.row_start[columns.current_task]
        demand = columns.demand[i].at(row, columns.current_node) * columns.current_replicas
        np.add.at(now, problem.node_classes.of_node[columns.current_node], demand)
        family = load(problem, i, constant=now, arrivals_only=True)
        terms.append((1, each(family, limit=Limit("at_most", problem.capacity[:, i]))))
    return Metric(tuple(terms))
