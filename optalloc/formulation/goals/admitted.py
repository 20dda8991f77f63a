"""Weight of the tasks placed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Chosen, Metric, single
from optalloc.instance.policy import Policy, Sense

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns


class Admitted(Policy, frozen=True, kw_only=True):
    """Sum of the weights of the placed tasks."""

    sense: ClassVar[Sense] = "max"
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "weight of the tasks placed"

    def quantum(self, columns: Columns) -> Fraction:
        return columns.weight_quantum


@formulates(Admitted)
def build_admitted(policy: Admitted, problem: Problem) -> Metric:
    """A linear function of y."""
    columns = problem.columns
    return Metric(((1, single(chosen=(Chosen(columns.weight[columns.row_task]),))),))
