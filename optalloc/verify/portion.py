"""Gangs of which each domain has a part of some size, such as the same number in each rack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.portion import Portion
from optalloc.instance.model import NODE
from optalloc.verify.facts import Facts, sums
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted


@checks(Portion)
def portion(policy: Portion, facts: Facts) -> Finding:
    """Count what the domains that gangs use have of them, and compare it with the bounds."""
    columns, scope = facts.columns, facts.scope(policy.scope)
    domain, placed = scope.domain[facts.placement.node], facts.placement
    inside = np.flatnonzero((domain >= 0) & _gangs(policy, facts)[placed.row])
    width = max(len(scope.names), 1)
    keys, at = np.unique(placed.row[inside] * width + domain[inside], return_inverse=True)
    replicas = sums(keys.size, at.ravel(), placed.replicas[inside])
    value, breaches = 0, []
    for key, number in zip(keys.tolist(), replicas.tolist(), strict=True):
        row, name = key // width, scope.names[key % width]
        least = min(policy.least, int(columns.row_replicas[row]))
        missing = max(least - number, 0)
        beyond = 0 if policy.most is None else max(number - policy.most, 0)
        if missing + beyond:
            value += missing + beyond
            task = facts.instance.tasks[int(columns.row_task[row])].name
            limit = f"at least {least}" if missing else f"at most {policy.most}"
            found = counted(number, "replica")
            message = f"task {task}: {found} in {policy.scope} {name}, expected {limit}"
            node = name if policy.scope == NODE else None
            breaches.append(Breach(task, node, float(missing + beyond), message))
    return Finding(value, tuple(breaches))


def _gangs(policy: Portion, facts: Facts) -> NDArray[np.bool_]:
    """Which rows are of several replicas and of tasks of which the policy speaks."""
    task, group = facts.members()
    chosen = np.zeros(facts.columns.tasks, bool)
    chosen[task[facts.select_groups(policy.groups, policy.kind)[group]]] = True
    if not policy.groups and not policy.kind:
        chosen[:] = True
    return np.asarray(chosen[facts.columns.row_task] & (facts.columns.row_replicas > 1), bool)
