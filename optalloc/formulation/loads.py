"""Families that several goals share: loads of nodes, counts of groups, nodes in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.shapes import Steps
from optalloc.formulation.terms import Family, Linked, Placed, Term
from optalloc.instance.factored import constant

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]


def load(
    problem: Problem,
    resource: int,
    constant: IntArray | None = None,
    arrivals_only: bool = False,
) -> Family:
    """Load of each node: the sum of demand over placed replicas."""
    every = np.arange(problem.nodes, dtype=np.int64)
    demand = problem.columns.demand[resource]
    placed = Placed(demand, every, problem.nodes, arrivals_only=arrivals_only)
    base = np.zeros(problem.nodes, np.int64) if constant is None else constant
    return Family(base, (placed,))


def count(problem: Problem, groups: IntArray, scope: str) -> Family:
    """Replicas of each group in each domain of a scope."""
    domains, domain = problem.domains(scope)
    ones = constant(problem.columns.rows)
    placed = Placed(ones, domain, domains, problem.membership(groups))
    return Family(np.zeros(groups.size * domains, np.int64), (placed,))


def in_use(problem: Problem, weight: IntArray) -> Term:
    """Sum of a weight (per concrete node) over the nodes in use.

    A merged node counts ``ceil(replicas / replicas that fit on one)`` of its nodes.
    """
    per_node = weight[problem.node_classes.node]
    counted = np.flatnonzero(per_node)
    domain = np.full(problem.nodes, -1, np.int64)
    domain[counted] = np.arange(counted.size)
    ones = constant(problem.columns.rows)
    family = Family(np.zeros(counted.size, np.int64), (Placed(ones, domain, counted.size),))
    block, linked = _blocks(problem, domain, counted)
    every = np.arange(counted.size, dtype=np.int64)
    return Term(family, Steps(block), per_node[counted], every, counted.size, linked=linked)


def _blocks(
    problem: Problem, domain: IntArray, counted: IntArray
) -> tuple[IntArray, tuple[Linked, ...]]:
    """How many replicas fill one node, and the loads that a node not in use cannot have."""
    columns = problem.columns
    if np.any(problem.node_classes.count > 1):
        return problem.replicas_per_node[counted], ()
    linked = []
    for i, demand_of in enumerate(columns.demand):
        if not demand_of.is_zero and i in problem.hard_resources:
            family = Family(
                np.zeros(counted.size, np.int64), (Placed(demand_of, domain, counted.size),)
            )
            linked.append(Linked(family, problem.capacity[counted, i]))
    most = max(int(problem.most_replicas.sum()), 1)
    return np.full(counted.size, most, np.int64), tuple(linked)
