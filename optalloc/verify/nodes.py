"""Number of nodes in use."""

from __future__ import annotations

from optalloc.formulation.goals.nodes import Nodes
from optalloc.verify.facts import Facts
from optalloc.verify.finding import Finding, checks


@checks(Nodes)
def nodes(_policy: Nodes, facts: Facts) -> Finding:
    """Count the nodes that host a replica."""
    return Finding(int(facts.nodes_in_use.size))
