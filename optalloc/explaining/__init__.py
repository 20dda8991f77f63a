"""Why an instance cannot be, and why tasks are left out, in the domain's words."""

from __future__ import annotations

from optalloc.engines.protocol import Clock
from optalloc.explaining.relaxing import relax
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement
from optalloc.result import Reason

__all__ = ["explain_infeasible", "explain_left_out", "obvious_conflicts", "relax"]


def obvious_conflicts(problem: Problem) -> tuple[Reason, ...]:
    """Find proofs of infeasibility that need no engine."""
    return ()


def explain_infeasible(problem: Problem, clock: Clock | None = None) -> tuple[Reason, ...]:
    """Find a smallest set of rules that cannot hold together."""
    return ()


def explain_left_out(problem: Problem, placement: Placement) -> tuple[Reason, ...]:
    """Say for each task that is left out why."""
    return ()
