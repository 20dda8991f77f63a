"""Power of each rack (or any other domain) within a cap."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.power_cap import PowerCap
from optalloc.instance.caps import cap_of
from optalloc.instance.model import NODE
from optalloc.verify.facts import Facts, products, sums
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import number, stated, with_unit


@checks(PowerCap)
def power_cap(policy: PowerCap, facts: Facts) -> Finding:
    """Add up watts by domain: of its nodes in use, and of the replicas on all of them."""
    columns, placed, scope = facts.columns, facts.placement, facts.scope(policy.scope)
    drawn, quantum = columns.power_of_replicas, policy.quantum(columns)
    scale = np.array([policy.scale(columns)], np.int64)
    size = len(scope.names) + 1
    # What is in no domain goes to the last place, -1.
    idle = products(drawn.on[facts.nodes_in_use], scale)
    watts = sums(size, scope.domain[facts.nodes_in_use], idle)
    running = products(drawn.share.at(placed.row, placed.node), placed.replicas * scale)
    watts += sums(size, scope.domain[placed.node], running)
    value, breaches = 0, []
    for d, name in enumerate(scope.names):
        cap = cap_of(policy.watts, name)
        if cap is None:
            continue
        over = int(watts[d]) - policy.cap_in_quanta(cap, columns)
        if over > 0:
            value += over
            amount = stated(over, quantum)
            found, limit = with_unit(stated(watts[d], quantum), "W"), with_unit(cap, "W")
            message = f"{policy.scope} {name}: draws {found}, cap {limit} ({number(amount)} over)"
            breaches.append(Breach(None, name if policy.scope == NODE else None, amount, message))
    return Finding(value, tuple(breaches))
