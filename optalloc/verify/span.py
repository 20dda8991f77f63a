"""Gangs within few domains."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.span import Span
from optalloc.verify.facts import Facts
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted


@checks(Span)
def span(policy: Span, facts: Facts) -> Finding:
    """Count the domains that tasks use beyond those that they may."""
    scope = facts.scope(policy.scope)
    domain = scope.domain[facts.placement.node]
    inside = domain >= 0
    width = max(len(scope.names), 1)
    used = np.unique(facts.task[inside] * width + domain[inside]) // width
    found = np.bincount(used, minlength=facts.columns.tasks)
    task, group = facts.members()
    chosen = np.zeros(facts.columns.tasks, bool)
    chosen[task[facts.select_groups(policy.groups, policy.kind)[group]]] = True
    if not policy.groups and not policy.kind:
        chosen[:] = True
    beyond = np.where(chosen, np.maximum(found - policy.domains, 0), 0)
    breaches = []
    for t in np.flatnonzero(beyond).tolist():
        name = facts.instance.tasks[t].name
        message = (
            f"task {name}: in {counted(int(found[t]), 'domain')} of the scope {policy.scope}, "
            f"expected at most {policy.domains}"
        )
        breaches.append(Breach(name, None, float(beyond[t]), message))
    return Finding(int(beyond.sum()), tuple(breaches))
