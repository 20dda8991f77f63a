"""Gangs of which each domain has a part of some size, such as the same number in each rack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.counts import Counts, count_gangs
from optalloc.formulation.shapes import Identity, Steps
from optalloc.formulation.terms import Limit, Metric, Term, each
from optalloc.instance.factored import Factored
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import (
    counted_together,
    selected_tasks,
    tasks_with,
    unknown_groups,
    unknown_scope,
)
from optalloc.instance.uplinks import stays_inside

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]


class Portion(Policy, frozen=True, kw_only=True):
    """Each domain that a gang uses has at least and at most so many of its replicas (a rule).

    ``min(least, replicas) <= count[t, d] <= most`` for every gang t and domain d with
    ``count[t, d] >= 1``, where ``replicas`` are those of the row in which t runs: a gang smaller
    than `least` lies in one domain. So 8 replicas balanced over three racks are `least` 2 and
    `most` 3, and racks of four each are 4 and 4. Nodes in no domain of the scope do not count. With
    a weight it is a preference: each replica missing or too many costs. The value is the total
    number of these. Gangs are stated one by one. (`most` is Slurm's ``--ntasks-per-node`` and LSF's
    ``ptile``, for any scope; a count that is 0 or at least `least` is semicontinuous.)

    Parameters
    ----------
    groups, kind
        Speak of the gangs of these groups, as in `AntiAffinity`; of all gangs by default.
    scope
        ``node`` or a domain scope.
    least
        Smallest number of replicas in a domain that has any.
    most
        Largest number of replicas in a domain; None for any.
    """

    groups: Several[str] = kept(())
    kind: str = ""
    scope: str
    least: int = 1
    most: int | None = None

    is_rule: ClassVar[bool] = True
    judged_by = "task"
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "replicas missing or too many in the portions of gangs"

    def needs(self, columns: Columns) -> IntArray:
        """The fewest replicas of each row in a domain that has any, (rows,)."""
        return np.minimum(columns.row_replicas, self.least)

    def kinds(self, columns: Columns) -> IntArray:
        """What rows that could break it need; -1 for others."""
        need, size = self.needs(columns), columns.row_replicas
        chosen = selected_tasks(columns, self.groups, self.kind)[columns.row_task]
        large = np.zeros(columns.rows, bool) if self.most is None else size > self.most
        torn = (need > 1) & ~stays_inside(columns, self.scope)[columns.row_within]
        return np.where(chosen & (torn | large), need, -1)

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        return tasks_with(columns, self.kinds(columns) >= 0)

    def scopes_seen(self, columns: Columns) -> tuple[str, ...]:
        return (self.scope,)

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (Factored(self.kinds(columns)),)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_groups(instance, self.groups, self.kind)
        yield from unknown_scope(instance, ".scope", self.scope)
        if self.least < 1:
            yield ".least", f"expected a number of at least 1, got {self.least}"
        if self.most is not None and self.most < max(self.least, 1):
            yield ".most", f"expected a number of at least {max(self.least, 1)}, got {self.most}"
        if self.most is None and self.least == 1:
            yield "", "expected least above 1, or most"
        yield from counted_together(instance, self.groups, self.kind)


@formulates(Portion)
def build_portion(policy: Portion, problem: Problem) -> Metric:
    """What is missing in the domains in use, and the replicas beyond the most."""
    columns = problem.columns
    domains, domain = problem.domains(policy.scope)
    found = count_gangs(problem, policy.kinds(columns), domain, domains)
    terms = []
    if policy.least > 1:
        terms.append(_missing(found, columns.row_replicas, policy.needs(columns)))
    if policy.most is not None:
        limit = Limit("at_most", np.full(found.family.size, policy.most, np.int64))
        terms.append(each(found.family, limit=limit))
    return Metric(tuple((1, term) for term in terms))


def _missing(found: Counts, replicas: IntArray, need: IntArray) -> Term:
    """Limit ``need * [count >= 1] - count <= 0``."""
    size = found.family.size
    every, none = np.arange(size, dtype=np.int64), np.zeros(size, np.int64)
    used = Steps(np.full(size, replicas.max(initial=1), np.int64))
    taken = Term(found.family, Identity(), np.full(size, -1, np.int64), every, size)
    need, limit = need[found.like], Limit("at_most", none)
    return Term(found.family, used, need, every, size, limit=limit, beside=taken)
