"""Cost of placing each replica where it is."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Metric, Placed, single
from optalloc.instance.policy import Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns


class AssignmentCost(Policy, frozen=True, kw_only=True):
    """Sum over placed replicas of the task's ``cost`` on that node."""

    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "cost of the assignment"

    def quantum(self, columns: Columns) -> Fraction:
        return columns.cost_quantum


@formulates(AssignmentCost)
def build_assignment_cost(policy: AssignmentCost, problem: Problem) -> Metric:
    """A linear function of x."""
    placed = Placed(problem.columns.cost, problem.everywhere(), 1)
    return Metric(((1, single(placed=(placed,))),))
