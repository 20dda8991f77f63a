"""Gangs that share uplinks: the average load of each, and how many gangs share it at most."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.uplinks import UplinkLoad, UplinkShare
from optalloc.instance.caps import cap_of
from optalloc.instance.model import NODE
from optalloc.instance.uplinks import sharing_of, traffic_of
from optalloc.verify.facts import Facts, products, sums
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted, number, stated, with_unit

IntArray = NDArray[np.int64]


@checks(UplinkLoad)
def uplink_load(policy: UplinkLoad, facts: Facts) -> Finding:
    """Add up, by domain, what the gangs partly inside send."""
    columns, scope = facts.columns, facts.scope(policy.scope)
    row, domain = _crossings(facts, policy.scope)
    traffic, stated_in = traffic_of(columns)
    quantum = policy.quantum(columns)
    sent = products(traffic[row], np.array([int(stated_in / quantum)], np.int64))
    load = sums(len(scope.names), domain, sent)
    value, breaches = 0, []
    for d, name in enumerate(scope.names):
        cap = cap_of(policy.capacity, name)
        over = 0 if cap is None else int(load[d]) - policy.cap_in_quanta(cap, columns)
        if cap is not None and over > 0:
            value += over
            amount = stated(over, quantum)
            found, limit = with_unit(stated(load[d], quantum), "B/s"), with_unit(cap, "B/s")
            part = "" if policy.utilisation == 1 else f"{number(policy.utilisation)} of "
            message = (
                f"{policy.scope} {name}: gangs send {found} over its uplink of {part}{limit} "
                f"({number(amount)} over)"
            )
            breaches.append(Breach(None, name if policy.scope == NODE else None, amount, message))
    return Finding(value, tuple(breaches))


@checks(UplinkShare)
def uplink_share(policy: UplinkShare, facts: Facts) -> Finding:
    """Compare the gangs partly inside each domain with the fewest that one of them bears."""
    row, domain = _crossings(facts, policy.scope)
    breaches = list(_crowded(policy, facts, row, domain))
    return Finding(int(sum(breach.amount for breach in breaches)), tuple(breaches))


def _crowded(
    policy: UplinkShare, facts: Facts, row: IntArray, domain: IntArray
) -> Iterator[Breach]:
    columns, names = facts.columns, facts.scope(policy.scope).names
    sharing = sharing_of(columns)
    for d in np.unique(domain).tolist():
        here = row[domain == d]
        limited = here[sharing[here] > 0]
        if not limited.size:
            continue
        first = int(limited[np.argmin(sharing[limited])])
        most = int(sharing[first])
        if here.size > most:
            gangs, task = counted(int(here.size), "gang"), int(columns.row_task[first])
            message = (
                f"{policy.scope} {names[d]}: {gangs} share its uplink, {columns.row_name(first)} "
                f"of task {facts.instance.tasks[task].name} bears {most}"
            )
            node = names[d] if policy.scope == NODE else None
            yield Breach(None, node, float(here.size - most), message)


def _crossings(facts: Facts, scope: str) -> tuple[IntArray, IntArray]:
    """Row and domain wherever some, but not all replicas of a gang are inside."""
    domain = facts.scope(scope).domain[facts.placement.node]
    inside = np.flatnonzero(domain >= 0)
    width = max(len(facts.scope(scope).names), 1)
    key = facts.placement.row[inside] * width + domain[inside]
    keys, at = np.unique(key, return_inverse=True)
    replicas = sums(keys.size, at.ravel(), facts.placement.replicas[inside])
    row = keys // width
    partly = np.flatnonzero(replicas < facts.columns.row_replicas[row])
    return row[partly], keys[partly] % width
