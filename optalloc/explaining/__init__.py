"""Why an instance cannot be, and why tasks are left out, in the domain's words."""

from __future__ import annotations

from optalloc.engines.protocol import Clock
from optalloc.explaining import conflicts, groups, limits
from optalloc.explaining.infeasible import why_infeasible
from optalloc.explaining.kinds import Kinds
from optalloc.explaining.left_out import reasons
from optalloc.explaining.relaxing import relax
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement
from optalloc.result import Reason

__all__ = ["explain_infeasible", "explain_left_out", "obvious_conflicts", "relax"]


def obvious_conflicts(problem: Problem) -> tuple[Reason, ...]:
    """Find proofs of infeasibility that need no engine.

    A required task (or gang) that fits no node even alone; more demand than capacity, in all or
    for the tasks that are restricted to some nodes; anti-affinity, spread and dependency rules
    that the nodes within reach cannot meet; limits that the cheapest way to run every task breaks.

    Parameters
    ----------
    problem
        What is to be solved.

    Returns
    -------
    tuple of Reason
        Empty if nothing is obvious. If there is any, no placement keeps all rules.
    """
    kinds = Kinds(problem)
    found = [*conflicts.unplaceable(kinds)]
    found += conflicts.overdemand(kinds)
    found += conflicts.overfull_now(kinds)
    members = groups.Members(kinds)
    for check in groups.CHECKS:
        found += check(kinds, members)
    found += limits.broken_limits(kinds)
    return tuple(found)


def explain_infeasible(problem: Problem, clock: Clock | None = None) -> tuple[Reason, ...]:
    """Say why a problem is infeasible that an engine proved to be so.

    Rules, limits and capacities are left out one at a time; those without which the others still
    cannot hold stay out, so that at the end every one that is named is needed. Then as many
    required tasks as possible are placed, and the others named with what stands in their way.

    Parameters
    ----------
    problem
        An infeasible problem.
    clock
        Time left to the run; at most a few seconds of it are used.

    Returns
    -------
    tuple of Reason
        First the rules, then how many tasks can be placed, then a reason for each that cannot.
    """
    return tuple(why_infeasible(problem, clock or Clock(float("inf"))))


def explain_left_out(
    problem: Problem, placement: Placement, clock: Clock | None = None
) -> tuple[Reason, ...]:
    """Say for each task that is left out of a placement why.

    Parameters
    ----------
    problem
        What was solved.
    placement
        A placement that keeps all rules.
    clock
        Time left to the run; when it is over, the remaining tasks are named only.

    Returns
    -------
    tuple of Reason
        One for each task entry of which tasks are left out: by reason the number of nodes that do
        not take it, given what is placed; or what the objective has against a node that would.
    """
    return tuple(reasons(problem, placement, clock))
