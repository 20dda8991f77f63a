"""Gangs that stay within a domain, or lie on nodes in a given shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Metric
from optalloc.instance.policy import Fault, Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.model import Instance


class Gangs(Policy, frozen=True, kw_only=True):
    """The replicas of a task as its row says: within one domain, so many on a node (a rule).

    A row with ``within`` has all replicas of each of its tasks in one domain of that scope; a row
    with ``per_node`` has exactly so many of them on each node that the task uses. Always holds. The
    value is the number of replicas that would have to be elsewhere, at least: in each domain those
    beyond whole tasks, on each node those beyond whole shares or beyond one share for each task.
    """

    is_rule: ClassVar[bool] = True
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "replicas outside their gang's domain or shape"

    def problems(self, instance: Instance) -> Iterator[Fault]:
        if self.weight is not None:
            yield ".weight", "expected none: gangs cannot be torn apart"


@formulates(Gangs)
def build_gangs(policy: Gangs, problem: Problem) -> Metric:
    """No terms: a choice has a domain of its own, and shapes belong to the decisions."""
    return Metric()
