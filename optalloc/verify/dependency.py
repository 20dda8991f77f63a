"""Groups that need another group near them."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.dependency import Dependency
from optalloc.instance.model import NODE
from optalloc.verify.facts import Facts, join
from optalloc.verify.finding import Breach, Finding, checks


@checks(Dependency)
def dependency(policy: Dependency, facts: Facts) -> Finding:
    """Find the domains that host the first group of a pair without the second."""
    scope = facts.scope(policy.scope)
    counts = facts.count_groups(scope)
    width = max(len(scope.names), 1)
    index = facts.columns.group_index
    pairs = np.array([(index[a], index[b]) for a, b in policy.pairs], np.int64).reshape(-1, 2)
    pair, found = join(pairs[:, 0], counts.group)
    domain = counts.domain[found]
    hosted = counts.group * width + counts.domain
    lacking = ~np.isin(pairs[pair, 1] * width + domain, hosted)
    breaches = []
    for p, d in zip(pair[lacking], domain[lacking], strict=True):
        first, second = policy.pairs[p]
        name = scope.names[d]
        message = (
            f"{policy.scope} {name}: hosts group {first} without group {second}, which it needs"
        )
        breaches.append(Breach(None, name if policy.scope == NODE else None, 1.0, message))
    return Finding(len(breaches), tuple(breaches))
