"""Why an instance cannot be, and why tasks are left out, in the domain's words."""

from __future__ import annotations

from optalloc.engines.protocol import Clock
from optalloc.explaining import conflicts, groups, limits
from optalloc.explaining.kinds import Kinds
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
    """Find a smallest set of rules that cannot hold together."""
    return ()


def explain_left_out(problem: Problem, placement: Placement) -> tuple[Reason, ...]:
    """Say for each task that is left out why."""
    return ()
