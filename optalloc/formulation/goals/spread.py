"""Groups spread over failure domains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.shapes import Steps
from optalloc.formulation.terms import Family, Limit, Metric, Obligation, Placed, Term
from optalloc.instance.factored import constant
from optalloc.instance.field import Several, kept
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import selected_groups, unknown_groups, unknown_scope

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class Spread(Policy, frozen=True, kw_only=True):
    """A group runs in at least so many domains of a scope (a rule).

    ``sum over domains d of [count[g, d] >= 1] >= domains``; nodes in no domain of the scope do not
    count. A group whose tasks are all optional needs no domain while none of them is placed. The
    value is the total number of domains missing. (Spread rule
    of the ROADEF/EURO challenge 2012.)

    Parameters
    ----------
    groups, kind
        As in `AntiAffinity`.
    scope
        ``node`` or a domain scope.
    domains
        Smallest number of domains: one for all groups, or by group name (others: 0).
    """

    groups: Several[str] = kept(())
    kind: str = ""
    scope: str
    domains: int | dict[str, int]

    is_rule: ClassVar[bool] = True
    judged_by = "groups"
    summary: ClassVar[str] = "domains missing in the spread of groups"

    def wanted(self, columns: Columns) -> dict[int, int]:
        """How many domains each selected group needs, by index; groups that need some."""
        chosen = selected_groups(columns.instance, self.groups, self.kind)
        if isinstance(self.domains, int):
            needs = dict.fromkeys(chosen, self.domains)
        else:
            names = [group.name for group in columns.instance.groups]
            needs = {g: self.domains.get(names[g], 0) for g in chosen}
        return {g: number for g, number in needs.items() if number > 0}

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_groups(instance, self.groups, self.kind)
        yield from unknown_scope(instance, ".scope", self.scope)
        numbers = self.domains if isinstance(self.domains, dict) else {"": self.domains}
        known = {group.name for group in instance.groups}
        for name, number in numbers.items():
            if name and name not in known:
                yield f".domains.{name}", "expected the name of a group"
            if number < 0:
                yield ".domains", f"expected numbers of at least 0, got {number}"


@formulates(Spread)
def build_spread(policy: Spread, problem: Problem) -> Metric:
    """Indicators of the domains in use, summed per group.

    A group of optional tasks has one more domain, the whole, whose indicator takes away what the
    rule wants: without any task placed nothing is wanted.
    """
    wanted = policy.wanted(problem.columns)
    groups = np.array(sorted(wanted), np.int64)
    groups = groups[problem.count_per_group(groups) > 0]
    numbers = np.array([wanted[g] for g in groups.tolist()], np.int64)
    member = problem.membership(groups)
    must = np.zeros(groups.size, bool)
    must[member.part[problem.class_required[member.task_class]]] = True
    domains, domain = problem.domains(policy.scope)
    ones = constant(problem.columns.rows)
    inside = Placed(ones, domain, domains + 1, member)
    anywhere = Placed(ones, np.full(problem.nodes, domains, np.int64), domains + 1, member)
    size = groups.size * (domains + 1)
    family = Family(np.zeros(size, np.int64), (inside, anywhere))
    factor = np.ones((groups.size, domains + 1), np.int64)
    factor[:, domains] = np.where(must, 0, -numbers)
    bound = Limit("at_least", np.where(must, numbers, 0))
    blocks = Steps(np.repeat(np.maximum(problem.count_per_group(groups), 1), domains + 1))
    every = np.arange(groups.size, dtype=np.int64)
    owner = np.repeat(every, domains + 1)
    term = Term(
        family,
        blocks,
        factor.ravel(),
        owner,
        groups.size,
        limit=bound,
        obligation=Obligation(member, numbers, every * (domains + 1) + domains),
    )
    return Metric(((1, term),))
