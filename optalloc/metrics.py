"""Figures of a placement that people ask for beside its objective: rates, watts, their ratios."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from optalloc.instance.model import DEVICE, Instance
from optalloc.instance.placement import Placement

if TYPE_CHECKING:
    from optalloc.instance.policy import Policy
    from optalloc.verify.facts import Facts

UNITS = {
    "samples_per_s": "samples/s",
    "power_w": "W",
    "samples_per_joule": "samples/J",
    "joules_per_sample": "J/sample",
    "peak_flops": "FLOP/s",
    "peak_flops_per_watt": "FLOP/s/W",
    "response_s": "s",
}
"""Unit of each figure."""


def metrics(instance: Instance, placement: Placement) -> dict[str, float]:
    """Compute the figures that an instance states enough for, with the independent checker.

    Parameters
    ----------
    instance
        What was placed.
    placement
        A sound placement of it.

    Returns
    -------
    dict
        ``samples_per_s``: of all configurations chosen; ``power_w``: of nodes in use and what runs
        on them; ``samples_per_joule`` and ``joules_per_sample``: the one over the other;
        ``peak_flops``: FLOP/s that the devices in use could do; ``peak_flops_per_watt``;
        ``response_s``: mean response time of the requests, where a policy says which resource
        serves them. In the units of `UNITS`; what is 0 or would divide by 0 is left out.
    """
    from optalloc.policies import Power, Throughput
    from optalloc.verify.facts import Facts

    facts = Facts(instance, placement)
    samples, watts = _value(Throughput(raw=True), facts), _value(Power(), facts)
    flops = _peak_flops(instance, placement)
    found = {
        "samples_per_s": samples,
        "power_w": watts,
        "samples_per_joule": _ratio(samples, watts),
        "joules_per_sample": _ratio(watts, samples),
        "peak_flops": flops,
        "peak_flops_per_watt": _ratio(flops, watts),
        "response_s": _response_s(facts),
    }
    return {name: float(value) for name, value in found.items() if value}


def _value(policy: Policy, facts: Facts) -> Fraction:
    from optalloc.verify.finding import checker_of

    finding = checker_of(type(policy))(policy, facts)
    return finding.value * policy.quantum(facts.columns)


def _ratio(over: Fraction, under: Fraction) -> Fraction:
    return over / under if under else Fraction(0)


def _response_s(facts: Facts) -> Fraction:
    """Requests under way over requests/s (Little's law), of M/M/1 nodes; 0 where one is full."""
    from optalloc.policies import ResponseLimit, ResponseTime

    columns, placed = facts.columns, facts.placement
    asked = (p for p in facts.instance.policies if isinstance(p, ResponseLimit | ResponseTime))
    policy = next(asked, None)
    if policy is None:
        return Fraction(0)
    resource = columns.resource_index[policy.resource]
    load, capacity = facts.load[:, resource], facts.capacity[:, resource]
    busy = load > 0
    if (load >= capacity)[busy].any():
        return Fraction(0)
    delay, quantum = columns.delay
    rate = columns.request_rate[placed.row] * placed.replicas
    under_way = rate @ delay.at(placed.row, placed.node) * float(quantum)
    at_nodes = (load[busy] / (capacity - load)[busy]).sum()
    return _ratio(Fraction(float(under_way + at_nodes)), Fraction(float(rate.sum())))


def _peak_flops(instance: Instance, placement: Placement) -> Fraction:
    """FLOP/s of the devices in use: replicas * devices of each * FLOP/s of the node's devices."""
    columns = instance.columns
    if DEVICE not in columns.resource_index:
        return Fraction(0)
    resource = columns.resource_index[DEVICE]
    per_device = np.array([node.flops or 0 for node in instance.nodes], float)
    devices = columns.demand[resource].at(placement.row, placement.node) * placement.replicas
    total = float((devices * per_device[columns.node_entry[placement.node]]).sum())
    return Fraction(total) * columns.quantum_of_resource[resource]
