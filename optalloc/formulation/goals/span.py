"""Gangs within few domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.shapes import Steps
from optalloc.formulation.terms import Family, Limit, Membership, Metric, Placed, Term
from optalloc.instance.factored import constant
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import (
    counted_together,
    selected_tasks,
    unknown_groups,
    unknown_scope,
)

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class Span(Policy, frozen=True, kw_only=True):
    """The replicas of each task lie in at most so many domains of a scope (a rule).

    ``sum over domains d of [count[t, d] >= 1] <= domains`` for every task t with several replicas;
    nodes in no domain of the scope do not count. With a weight it is a preference: each domain too
    many costs. The value is the total number of domains too many. (Slurm's ``--switches``, Kueue's
    required and preferred topology.)

    Parameters
    ----------
    groups, kind
        Speak of the tasks of these groups, as in `AntiAffinity`; of all tasks by default.
    scope
        ``node`` or a domain scope.
    domains
        Largest number of domains.
    """

    groups: Several[str] = kept(())
    kind: str = ""
    scope: str
    domains: int = 1

    is_rule: ClassVar[bool] = True
    judged_by = "task"
    summary: ClassVar[str] = "domains too many in the span of tasks"

    def tasks(self, columns: Columns) -> NDArray[np.bool_]:
        """Which task entries it speaks of: those that could break it."""
        chosen = selected_tasks(columns, self.groups, self.kind)
        most = np.maximum.reduceat(columns.row_replicas, columns.row_start[:-1])
        return np.asarray(chosen & (most > self.domains), bool)

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        return self.tasks(columns)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_groups(instance, self.groups, self.kind)
        yield from unknown_scope(instance, ".scope", self.scope)
        if self.domains < 1:
            yield ".domains", f"expected a number of at least 1, got {self.domains}"
        yield from counted_together(instance, self.groups, self.kind)


@formulates(Span)
def build_span(policy: Span, problem: Problem) -> Metric:
    """Indicators of the domains in use, summed per task."""
    columns = problem.columns
    classes = np.flatnonzero(policy.tasks(columns)[problem.task_classes.task])
    parts = np.arange(classes.size, dtype=np.int64)
    domains, domain = problem.domains(policy.scope)
    member = Membership(classes.size, classes, parts)
    placed = Placed(constant(columns.rows), domain, domains, member)
    size = classes.size * domains
    family = Family(np.zeros(size, np.int64), (placed,))
    block = np.repeat(problem.most_replicas[classes], domains)
    limit = Limit("at_most", np.full(classes.size, policy.domains, np.int64))
    owner = np.repeat(parts, domains)
    ones = np.ones(size, np.int64)
    return Metric(((1, Term(family, Steps(block), ones, owner, classes.size, limit=limit)),))
