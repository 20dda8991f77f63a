"""Tasks of a group apart from each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import count
from optalloc.formulation.terms import Limit, Metric, each
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import selected_groups, unknown_groups, unknown_scope

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.model import Instance


class AntiAffinity(Policy, frozen=True, kw_only=True):
    """At most `limit` replicas of a group in any one domain of a scope (a rule).

    ``count[g, d] = number of replicas of tasks of g on nodes of d <= limit`` for every group and
    domain; nodes in no domain of the scope are free. The value is the total excess. (Conflict
    rule of the ROADEF/EURO challenge 2012 with scope ``node`` and limit 1.)

    Parameters
    ----------
    groups
        Names of groups; by default all, or all of `kind`.
    kind
        Speak of all groups of this kind.
    scope
        ``node`` or a domain scope.
    limit
        Largest number of replicas of a group in one domain.
    """

    groups: Several[str] = kept(())
    kind: str = ""
    scope: str = "node"
    limit: int = 1

    is_rule: ClassVar[bool] = True
    judged_by = "groups"
    summary: ClassVar[str] = "replicas too many in one domain"

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_groups(instance, self.groups, self.kind)
        yield from unknown_scope(instance, ".scope", self.scope)
        if self.limit < 0:
            yield ".limit", f"expected a number of at least 0, got {self.limit}"


@formulates(AntiAffinity)
def build_anti_affinity(policy: AntiAffinity, problem: Problem) -> Metric:
    """One linear row per group that is large enough to break the rule, and domain."""
    groups = np.array(selected_groups(problem.instance, policy.groups, policy.kind), np.int64)
    groups = groups[problem.count_per_group(groups) > policy.limit]
    family = count(problem, groups, policy.scope)
    limit = Limit("at_most", np.full(family.size, policy.limit, np.int64))
    return Metric(((1, each(family, limit=limit)),))
