"""Response times of requests that nodes answer: a limit for each task, and their mean."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.response import ResponseLimit, ResponseTime
from optalloc.verify.facts import Facts, products, total
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import number, stated, with_unit


@checks(ResponseLimit)
def response_limit(policy: ResponseLimit, facts: Facts) -> Finding:
    """Add to each node's load the largest need of what runs there, and compare with capacity."""
    columns, placed = facts.columns, facts.placement
    r = columns.resource_index[policy.resource]
    quantum, unit = columns.quantum_of_resource[r], _unit(facts, policy.resource)
    asked = policy.needs(columns).at(placed.row, placed.node)
    largest = np.zeros(columns.nodes, np.int64)
    np.maximum.at(largest, placed.node, asked)
    excess = np.maximum(facts.load[:, r] + largest - facts.capacity[:, r], 0)
    breaches = []
    for n in np.flatnonzero(excess).tolist():
        node, over = columns.node_names[n], stated(excess[n], quantum)
        here = np.flatnonzero(placed.node == n)
        first = int(here[np.argmax(asked[here])])
        task = facts.instance.tasks[facts.task[first]]
        load = with_unit(stated(facts.load[n, r], quantum), unit)
        has = with_unit(stated(facts.capacity[n, r], quantum), unit)
        need = with_unit(stated(largest[n], quantum), unit)
        message = f"node {node}: {policy.resource} load {load}, capacity {has}"
        if largest[n]:
            message += f", of which task {task.name} needs {need} left to answer within "
            message += f"{number(task.response_s or 0)} s"
        breaches.append(Breach(task.name, node, over, f"{message} ({number(over)} over)"))
    return Finding(total(excess, np.ones_like(excess)), tuple(breaches))


@checks(ResponseTime)
def response_time(policy: ResponseTime, facts: Facts) -> Finding:
    """Add up requests under way, and at each node those that its load keeps there.

    Along the line of a node: each stretch up to the load, times how steep it is.
    """
    columns, placed = facts.columns, facts.placement
    waiting = policy.waiting(columns)
    load = facts.load[:, columns.resource_index[policy.resource]]
    under_way = total(policy.delays(columns).at(placed.row, placed.node), placed.replicas)
    busy = np.flatnonzero(load)
    start, slope = waiting.load[waiting.of_node[busy]], waiting.slope[waiting.of_node[busy]]
    end = np.append(start[:, 1:], np.maximum(load[busy], start[:, -1])[:, None], axis=1)
    stretch = np.clip(load[busy][:, None], start, end) - start
    return Finding(under_way + int(products(slope, stretch).sum()))


def _unit(facts: Facts, resource: str) -> str:
    known = facts.instance.resources.get(resource)
    return known.unit if known else ""
