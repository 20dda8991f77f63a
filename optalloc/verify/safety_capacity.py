"""Load above a soft threshold."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.safety_capacity import SafetyCapacity
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Finding, checks


@checks(SafetyCapacity)
def safety_capacity(policy: SafetyCapacity, facts: Facts) -> Finding:
    """Sum over nodes of the load above the threshold."""
    columns = facts.columns
    r = columns.resource_index[policy.resource]
    excess = np.maximum(facts.load[:, r] - columns.safety[columns.node_entry, r], 0)
    return Finding(total(excess, np.ones_like(excess)))
