"""Power, energy and cost of the nodes in use and of what runs on them."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.draw import Cost, Energy, Power
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Finding, checks


@checks(Power, Energy, Cost)
def draw(policy: Power | Energy | Cost, facts: Facts) -> Finding:
    """Sum what nodes in use, chosen rows and replicas without a table draw."""
    drawn, placed = policy.draw(facts.columns), facts.placement
    in_use = np.ones(facts.nodes_in_use.size, np.int64)
    return Finding(
        total(drawn.on[facts.nodes_in_use], in_use)
        + total(drawn.row, placed.chosen)
        + total(drawn.share.at(placed.row, placed.node), placed.replicas)
    )
