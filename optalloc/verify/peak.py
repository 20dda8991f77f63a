"""The largest relative load of a resource."""

from __future__ import annotations

from optalloc.formulation.goals.peak import PeakLoad
from optalloc.verify.facts import Facts, products
from optalloc.verify.finding import Finding, checks


@checks(PeakLoad)
def peak(policy: PeakLoad, facts: Facts) -> Finding:
    """Compare the nodes' loads in parts of their capacities."""
    load = facts.load[:, facts.columns.resource_index[policy.resource]]
    return Finding(int(products(load, policy.parts(facts.columns)).max(initial=0)))
