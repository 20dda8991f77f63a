"""Groups that need another group near them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import count
from optalloc.formulation.shapes import Missing
from optalloc.formulation.terms import Limit, Metric, each
from optalloc.instance.field import Several
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import unknown_scope

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.model import Instance


class Dependency(Policy, frozen=True, kw_only=True):
    """Every domain that hosts one group also hosts the group on which it depends (a rule).

    For every pair (a, b) and domain d of the scope: ``count[a, d] >= 1`` implies
    ``count[b, d] >= 1``; nodes in no domain of the scope are free. The value is the number of
    (pair, domain) where that fails. (Dependency rule of the ROADEF/EURO challenge 2012.)

    Parameters
    ----------
    scope
        ``node`` or a domain scope.
    pairs
        Pairs of group names: the first depends on the second.
    """

    scope: str
    pairs: Several[tuple[str, str]]

    is_rule: ClassVar[bool] = True
    judged_by = "groups"
    summary: ClassVar[str] = "domains where a dependency is missing"

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_scope(instance, ".scope", self.scope)
        known = {group.name for group in instance.groups}
        for i, pair in enumerate(self.pairs):
            for j, name in enumerate(pair):
                if name not in known:
                    yield f".pairs[{i}][{j}]", f"expected the name of a group, got {name!r}"


@formulates(Dependency)
def build_dependency(policy: Dependency, problem: Problem) -> Metric:
    """An implication between two counts for every pair and domain."""
    index = problem.columns.group_index
    first = [index[a] for a, _ in policy.pairs]
    second = [index[b] for _, b in policy.pairs]
    family = count(problem, np.array(first + second, np.int64), policy.scope)
    limit = Limit("at_most", np.zeros(family.size // 2, np.int64))
    return Metric(((1, each(family, Missing(), limit=limit)),))
