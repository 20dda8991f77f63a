"""Multi-resource capacity, now and while tasks move."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optalloc.formulation.goals.capacity import Capacity, TransientCapacity
from optalloc.verify.facts import Facts, IntArray, products, sums
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import number, stated, with_unit


@checks(Capacity)
def capacity(policy: Capacity, facts: Facts) -> Finding:
    """Compare loads with capacities."""
    return _excess(facts, policy.resources or facts.columns.resources, facts.load, "load")


@checks(TransientCapacity)
def transient_capacity(policy: TransientCapacity, facts: Facts) -> Finding:
    """Compare what current and arriving replicas demand together with capacities.

    A current replica demands what it would in the first row of its task.
    """
    columns, placed = facts.columns, facts.placement
    transient = [name for name, resource in facts.instance.resources.items() if resource.transient]
    row = np.concatenate([columns.row_start[columns.current_task], placed.row])
    node = np.concatenate([columns.current_node, placed.node])
    replicas = np.concatenate([columns.current_replicas, facts.arrivals])
    load = np.zeros_like(facts.load)
    names = policy.resources or tuple(transient)
    for name in names:
        r = columns.resource_index[name]
        amounts = products(columns.demand[r].at(row, node), replicas)
        load[:, r] = sums(columns.nodes, node, amounts)
    return _excess(facts, names, load, "load while tasks move")


def _excess(facts: Facts, names: tuple[str, ...], load: IntArray, what: str) -> Finding:
    """Every load above capacity, of the resources named."""
    value, breaches = 0, []
    for name in dict.fromkeys(names):
        r = facts.columns.resource_index[name]
        excess = np.maximum(load[:, r] - facts.capacity[:, r], 0)
        value += sum(int(e) for e in excess[excess > 0])
        breaches += list(_breaches(facts, name, load[:, r], excess, what))
    return Finding(value, tuple(breaches))


def _breaches(
    facts: Facts, name: str, load: IntArray, excess: IntArray, what: str
) -> Iterator[Breach]:
    r = facts.columns.resource_index[name]
    quantum = facts.columns.quantum_of_resource[r]
    resource = facts.instance.resources.get(name)
    unit = resource.unit if resource else ""
    for n in np.flatnonzero(excess):
        node, over = facts.columns.node_names[n], stated(excess[n], quantum)
        found = with_unit(stated(load[n], quantum), unit)
        limit = with_unit(stated(facts.capacity[n, r], quantum), unit)
        message = f"node {node}: {name} {what} {found}, capacity {limit} ({number(over)} over)"
        yield Breach(None, node, over, message)
