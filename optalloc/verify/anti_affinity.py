"""Tasks of a group apart from each other."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.instance.model import NODE
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted


@checks(AntiAffinity)
def anti_affinity(policy: AntiAffinity, facts: Facts) -> Finding:
    """Count the replicas beyond the limit in every domain."""
    scope = facts.scope(policy.scope)
    counts = facts.count_groups(scope)
    selected = facts.select_groups(policy.groups, policy.kind)
    excess = np.where(selected[counts.group], np.maximum(counts.replicas - policy.limit, 0), 0)
    breaches = []
    for k in np.flatnonzero(excess):
        group = facts.instance.groups[counts.group[k]].name
        domain = scope.names[counts.domain[k]]
        found = counted(int(counts.replicas[k]), "replica")
        message = (
            f"group {group}: {found} on {policy.scope} {domain}, at most {policy.limit} "
            f"({excess[k]} over)"
        )
        node = domain if policy.scope == NODE else None
        breaches.append(Breach(None, node, float(excess[k]), message))
    return Finding(total(excess, np.ones_like(excess)), tuple(breaches))
