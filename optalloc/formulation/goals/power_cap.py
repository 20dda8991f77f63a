"""Power of each rack (or any other domain) within a cap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import in_use
from optalloc.formulation.terms import Family, Limit, Metric, Placed, each
from optalloc.instance.caps import Caps, caps_of, numbers_of, wrong_caps
from optalloc.instance.factored import Factored
from optalloc.instance.policy import Fault, Number, Policy
from optalloc.instance.quanta import LARGEST, choose, common, exact
from optalloc.instance.references import unknown_scope

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]


class PowerCap(Policy, frozen=True, kw_only=True):
    """Watts of every domain of a scope within a cap (a rule).

    ``sum of idle_w over its nodes in use + sum over its replicas of what each draws <= watts``. A
    replica of a row draws ``watts / replicas`` of the row, one of a task without a table what
    `Power` says, on its node. Nodes in no domain of the scope are free. The value is the total
    number of watts above the caps. (For all nodes together, give `Power` an ``at_most``.)

    Parameters
    ----------
    scope
        ``node`` or a domain scope, such as ``rack``.
    watts
        Largest number of watts: one for all domains, or by domain name (others: no cap).
    """

    scope: str
    watts: Caps

    is_rule: ClassVar[bool] = True
    summary: ClassVar[str] = "power above the caps of domains"

    def unit(self, columns: Columns) -> str:
        return "W"

    def quantum(self, columns: Columns) -> Fraction:
        return common(columns.power_of_replicas.quantum, choose(numbers_of(self.watts)))

    def scale(self, columns: Columns) -> int:
        """Quanta of the value in one of `Columns.power_of_replicas`."""
        return int(columns.power_of_replicas.quantum / self.quantum(columns))

    def caps_of(self, columns: Columns) -> tuple[IntArray, IntArray]:
        """Cap of each domain that has one, in quanta, and the cap of each concrete node (-1)."""
        return caps_of(columns, self.scope, self.watts, lambda w: self.cap_in_quanta(w, columns))

    def cap_in_quanta(self, watts: Number, columns: Columns) -> int:
        """A cap, rounded down; one above all that could be drawn is none."""
        return min(floor(exact(watts) / self.quantum(columns)), LARGEST // 2)

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (columns.power_of_replicas.share,)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_scope(instance, ".scope", self.scope)
        yield from wrong_caps(instance, ".watts", self.scope, self.watts)


@formulates(PowerCap)
def build_power_cap(policy: PowerCap, problem: Problem) -> Metric:
    """Idle watts of the nodes in use, and beside them what replicas draw."""
    draw, scale = problem.columns.power_of_replicas, policy.scale(problem.columns)
    caps, domain = policy.caps_of(problem.columns)
    watts = np.where(domain >= 0, draw.on * scale, 0)
    idle, counted = in_use(problem, watts), np.flatnonzero(watts[problem.node_classes.node])
    domain = domain[problem.node_classes.node]
    running = Placed(draw.share, domain, caps.size, scale=scale)
    term = replace(
        idle,
        owner=domain[counted],
        owners=caps.size,
        limit=Limit("at_most", caps),
        beside=each(Family(np.zeros(caps.size, np.int64), (running,))),
    )
    return Metric(((1, term),) if caps.size else ())
