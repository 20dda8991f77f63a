"""Checks a placement against every policy and scores it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.instance.quanta import exact
from optalloc.objective import Objective, read_objective
from optalloc.verify.facts import Facts
from optalloc.verify.finding import Breach, checker_of
from optalloc.verify.placement import scorable, unsound
from optalloc.verify.report import Report, Violation
from optalloc.verify.words import number, with_unit

PLACEMENT = "placement"
"""Rule label of what no policy could allow."""


def verify(
    instance: Instance, placement: Placement, objective: Objective | str | None = None
) -> Report:
    """Check a placement against every rule and limit of an instance, and score every policy.

    Works from the instance alone, in the integers of `Instance.columns`. A placement that is not
    even well formed is reported as such; what is well formed of it is scored.

    Parameters
    ----------
    instance
        What was to be placed.
    placement
        What runs where.
    objective
        Whose policies are scored; by default the instance's own.

    Returns
    -------
    Report
        The violations and the value of each policy of the objective, in quanta.

    Raises
    ------
    InstanceError
        For an objective that names an unknown policy.
    QuantityOverflow
        If a total passes 2**62 quanta, so that it cannot be computed exactly.
    """
    if not isinstance(objective, Objective):
        objective = read_objective(instance, objective)
    violations = [_violation(PLACEMENT, breach, True) for breach in unsound(instance, placement)]
    facts = Facts(instance, scorable(instance, placement))
    values = []
    for policy, label in zip(objective.policies, objective.labels, strict=True):
        finding = checker_of(type(policy))(policy, facts)
        hard = policy.weight is None
        violations += [_violation(label, breach, hard) for breach in finding.breaches]
        limits = _limits(policy, label, finding.value, facts)
        violations += [_violation(label, breach, True) for breach in limits]
        values.append(finding.value)
    return Report(tuple(violations), tuple(values))


def _violation(rule: str, breach: Breach, hard: bool) -> Violation:
    return Violation(rule, breach.task, breach.node, breach.amount, breach.message, hard)


def _limits(policy: Policy, label: str, value: int, facts: Facts) -> Iterator[Breach]:
    """Compare the value of a policy with its own limits, exactly."""
    if policy.at_most is None and policy.at_least is None:
        return
    unit = policy.unit(facts.columns)
    measured = value * policy.quantum(facts.columns)
    for limit, sign, bound, direction in (
        (policy.at_most, 1, "at most", "over"),
        (policy.at_least, -1, "at least", "short"),
    ):
        if limit is None:
            continue
        amount: Fraction = sign * (measured - exact(limit))
        if amount > 0:
            message = (
                f"{label}: {with_unit(float(measured), unit)}, {bound} {number(float(limit))} "
                f"({number(float(amount))} {direction})"
            )
            yield Breach(None, None, float(amount), message)
