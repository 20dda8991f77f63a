"""Cost of placing each replica where it is."""

from __future__ import annotations

from optalloc.formulation.goals.assignment_cost import AssignmentCost
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Finding, checks


@checks(AssignmentCost)
def assignment_cost(_policy: AssignmentCost, facts: Facts) -> Finding:
    """Sum over pairs of cost * replicas."""
    placed = facts.placement
    return Finding(total(facts.columns.cost.at(placed.row, placed.node), placed.replicas))
