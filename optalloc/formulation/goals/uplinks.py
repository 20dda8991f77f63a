"""Gangs that share uplinks: the average load of each, and how many gangs share it at most."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.counts import count_gangs
from optalloc.formulation.shapes import Partly
from optalloc.formulation.terms import Limit, Metric, Term
from optalloc.instance.caps import Caps, caps_of, numbers_of, wrong_caps
from optalloc.instance.factored import Factored
from optalloc.instance.policy import Fault, Number, Policy
from optalloc.instance.quanta import LARGEST, choose, common, exact
from optalloc.instance.references import counted_together, tasks_with, unknown_scope
from optalloc.instance.uplinks import crossing_kinds, sharing_of, traffic_of

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]


class UplinkLoad(Policy, frozen=True, kw_only=True):
    """Average traffic of gangs over the uplink of every domain within its capacity (a rule).

    ``sum of traffic(row) over the gangs partly inside the domain <= utilisation * capacity``: a
    gang crosses the uplink if some of its replicas are inside and some are not, however many (as
    in a ring or a hierarchical all-reduce). Nodes in no domain of the scope are outside of all. The
    value is the total number of bytes/s beyond. Gangs are stated one by one.

    Parameters
    ----------
    scope
        ``node`` or a domain scope, such as ``leaf``.
    capacity
        Bytes/s of the uplink: of all domains, or by domain name (others: no limit); see
        `optalloc.topology.Domains.uplinks`.
    utilisation
        Part of the capacity that may be used on average.
    """

    scope: str
    capacity: Caps
    utilisation: Number = 1

    is_rule: ClassVar[bool] = True
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "traffic beyond the uplinks of domains"

    def unit(self, columns: Columns) -> str:
        return "B/s"

    def quantum(self, columns: Columns) -> Fraction:
        return common(traffic_of(columns)[1], choose(numbers_of(self.capacity)))

    def traffic(self, columns: Columns) -> IntArray:
        """What each row sends over the uplinks that it crosses, in quanta."""
        amount, quantum = traffic_of(columns)
        return amount * int(quantum / self.quantum(columns))

    def cap_in_quanta(self, capacity: Number, columns: Columns) -> int:
        """What an uplink carries, rounded down; one above all that could be sent has no limit."""
        usable = exact(capacity) * exact(self.utilisation)
        return min(floor(usable / self.quantum(columns)), LARGEST // 2)

    def kinds(self, columns: Columns) -> IntArray:
        """Kinds of the rows that may send something over an uplink (-1: others)."""
        traffic = traffic_of(columns)[0]
        return np.where(traffic > 0, crossing_kinds(columns, self.scope, traffic), -1)

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        return tasks_with(columns, self.kinds(columns) >= 0)

    def scopes_seen(self, columns: Columns) -> tuple[str, ...]:
        return (self.scope,)

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (Factored(self.kinds(columns)),)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_scope(instance, ".scope", self.scope)
        yield from wrong_caps(instance, ".capacity", self.scope, self.capacity)
        if not 0 < self.utilisation <= 1:
            path = ".utilisation"
            yield path, f"expected a number above 0 and at most 1, got {self.utilisation}"
        yield from counted_together(instance, (), "")


class UplinkShare(Policy, frozen=True, kw_only=True):
    """No uplink is shared by more gangs than the rows of those that cross it reckon with (a rule).

    ``gangs partly inside a domain <= sharing(row)`` for each gang partly inside whose row states
    it: where k gangs cross an uplink, each has 1/k of it in the worst case, and a row with
    ``sharing`` k has the throughput for that. The value is the total, over all domains of the
    scope, of the gangs beyond the smallest ``sharing`` of those that cross. Gangs are stated one by
    one.

    Parameters
    ----------
    scope
        ``node`` or a domain scope, such as ``leaf``.
    """

    scope: str

    is_rule: ClassVar[bool] = True
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "gangs too many on the uplinks of domains"

    def kinds(self, columns: Columns) -> IntArray:
        """Kinds of the rows that may cross an uplink (-1: others)."""
        return crossing_kinds(columns, self.scope, sharing_of(columns))

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        return tasks_with(columns, self.kinds(columns) >= 0)

    def scopes_seen(self, columns: Columns) -> tuple[str, ...]:
        return (self.scope,)

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (Factored(self.kinds(columns)),)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_scope(instance, ".scope", self.scope)
        yield from counted_together(instance, (), "")


@formulates(UplinkLoad)
def build_uplink_load(policy: UplinkLoad, problem: Problem) -> Metric:
    """Traffic of the gangs that cross, summed per domain."""
    columns = problem.columns
    caps, domain = caps_of(
        columns, policy.scope, policy.capacity, lambda b: policy.cap_in_quanta(b, columns)
    )
    domain = domain[problem.node_classes.node]
    found = count_gangs(problem, policy.kinds(columns), domain, caps.size)
    partly = Partly(columns.row_replicas[found.like])
    traffic, limit = policy.traffic(columns)[found.like], Limit("at_most", caps)
    term = Term(found.family, partly, traffic, found.domain, caps.size, limit=limit)
    return Metric(((1, term),))


@formulates(UplinkShare)
def build_uplink_share(policy: UplinkShare, problem: Problem) -> Metric:
    """The gangs that cross, and what the one that bears the fewest others lacks to all of them.

    With G gangs, ``gangs that cross + max over those that cross of (G - sharing) <= G``.
    """
    columns = problem.columns
    domains, domain = problem.domains(policy.scope)
    found = count_gangs(problem, policy.kinds(columns), domain, domains)
    if not found.gangs:
        return Metric()
    partly = Partly(columns.row_replicas[found.like])
    sharing = sharing_of(columns)[found.like]
    lacking = (sharing > 0) * (found.gangs - np.minimum(sharing, found.gangs))
    every = Term(found.family, partly, np.ones_like(lacking), found.domain, domains)
    term = Term(
        found.family,
        partly,
        lacking,
        found.domain,
        domains,
        reduce="max",
        limit=Limit("at_most", np.full(domains, found.gangs, np.int64)),
        beside=every,
    )
    return Metric(((1, term),))
