"""Groups spread over failure domains."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.spread import Spread
from optalloc.verify.facts import Facts, IntArray, total
from optalloc.verify.finding import Breach, Finding, checks


@checks(Spread)
def spread(policy: Spread, facts: Facts) -> Finding:
    """Count the domains that groups lack."""
    counts = facts.count_groups(facts.scope(policy.scope))
    groups = len(facts.instance.groups)
    found = np.bincount(counts.group, minlength=groups)
    wanted = _wanted(policy, facts)
    missing = np.maximum(wanted - found, 0)
    breaches = []
    for g in np.flatnonzero(missing):
        group = facts.instance.groups[g].name
        message = (
            f"group {group}: in {found[g]} of the scope {policy.scope}, at least {wanted[g]} "
            f"({missing[g]} missing)"
        )
        breaches.append(Breach(None, None, float(missing[g]), message))
    return Finding(total(missing, np.ones_like(missing)), tuple(breaches))


def _wanted(policy: Spread, facts: Facts) -> IntArray:
    """Domains that each group needs: none if not selected, empty or, all optional, left out."""
    task, group = facts.members()
    demanding = facts.columns.required | (facts.tasks_placed > 0)
    needed = np.zeros(len(facts.instance.groups), bool)
    needed[group[demanding[task]]] = True
    needed &= facts.select_groups(policy.groups, policy.kind)
    stated = policy.domains
    numbers = [
        stated.get(group.name, 0) if isinstance(stated, dict) else stated
        for group in facts.instance.groups
    ]
    return np.where(needed, np.array(numbers, np.int64), 0)
