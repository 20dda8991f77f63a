"""Free resources in proportion to each other."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.balance import Balance
from optalloc.verify.facts import Facts, products
from optalloc.verify.finding import Finding, checks


@checks(Balance)
def balance(policy: Balance, facts: Facts) -> Finding:
    """Sum over nodes of ``max(0, a * free[resource] - b * free[against])``."""
    index = facts.columns.resource_index
    wanted, counterpart = policy.coefficients(facts.columns)
    free = (facts.capacity - facts.load)[:, [index[policy.resource], index[policy.against]]]
    missing = products(free, np.array([wanted, -counterpart], np.int64)).sum(axis=1)
    return Finding(int(np.maximum(missing, 0).sum()))
