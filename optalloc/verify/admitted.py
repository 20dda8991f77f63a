"""Weight of the tasks placed."""

from __future__ import annotations

from optalloc.formulation.goals.admitted import Admitted
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Finding, checks


@checks(Admitted)
def admitted(_policy: Admitted, facts: Facts) -> Finding:
    """Sum over entries of weight * tasks placed."""
    return Finding(total(facts.columns.weight, facts.tasks_placed))
