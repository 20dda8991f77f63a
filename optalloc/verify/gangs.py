"""Gangs that stay within a domain, or lie on nodes in a given shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from optalloc.formulation.goals.gangs import Gangs
from optalloc.instance.model import Configuration, Task
from optalloc.verify.facts import Facts
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted


@checks(Gangs)
def gangs(_policy: Gangs, facts: Facts) -> Finding:
    """Count what lies outside whole tasks of a domain, and outside shares of a node."""
    breaches = []
    for row in np.flatnonzero(facts.placement.chosen).tolist():
        task = facts.instance.tasks[int(facts.columns.row_task[row])]
        within, per_node = _stated(task, facts.columns.row_configuration[row])
        if within or per_node:
            breaches += list(_of_row(facts, row, task, within, per_node))
    return Finding(int(sum(breach.amount for breach in breaches)), tuple(breaches))


def _stated(task: Task, configuration: Configuration | None) -> tuple[str, int]:
    """What a row says, else its task."""
    own = (configuration.within, configuration.per_node) if configuration else ("", 0)
    return own[0] or task.within, own[1] or task.per_node


def _of_row(facts: Facts, row: int, task: Task, within: str, per_node: int) -> Iterator[Breach]:
    placed = facts.placement
    mine = slice(*np.searchsorted(placed.row, [row, row + 1]).tolist())
    size = int(facts.columns.row_replicas[row])
    nodes, replicas = placed.node[mine].tolist(), placed.replicas[mine].tolist()
    if within:
        scope = facts.scope(within)
        domains = [int(scope.domain[node]) for node in nodes]
        names = scope.names
    else:
        domains, names = [0] * len(nodes), ("",)
    total: dict[int, int] = {}
    for domain, number in zip(domains, replicas, strict=True):
        total[domain] = total.get(domain, 0) + number
    for domain, number in sorted(total.items()) if within else ():
        torn = number if domain < 0 else number % size
        if torn:
            where = f"{within} {names[domain]}" if domain >= 0 else f"no {within}"
            message = f"task {task.name}: {counted(torn, 'replica')} in {where} beyond whole tasks"
            yield Breach(task.name, None, float(torn), f"{message} of {size}")
    if per_node:
        tasks = {d: number // size for d, number in total.items()}
        for node, domain, number in zip(nodes, domains, replicas, strict=True):
            whole = min(number // per_node, tasks[domain]) * per_node
            if number > whole:
                name = facts.columns.node_names[node]
                message = (
                    f"task {task.name}: {counted(number, 'replica')} on node {name}, expected "
                    f"{per_node} for each of at most {counted(tasks[domain], 'task')}"
                )
                yield Breach(task.name, name, float(number - whole), message)
