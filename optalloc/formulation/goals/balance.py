"""Free resources in proportion to each other."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.shapes import Excess
from optalloc.formulation.terms import Family, Metric, Placed, each
from optalloc.instance import quanta
from optalloc.instance.policy import Fault, Number, Policy
from optalloc.instance.references import unknown_resource

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class Balance(Policy, frozen=True, kw_only=True):
    """What is free of one resource should be matched by what is free of another.

    ``sum over nodes of max(0, ratio * free[n, resource] - free[n, against])`` with
    ``free = capacity - load``, in units of `against`. (Balance cost of the ROADEF/EURO challenge
    2012.)

    Parameters
    ----------
    resource, against
        The two resources.
    ratio
        Units of `against` wanted for each unit of `resource`.
    """

    resource: str
    against: str
    ratio: Number

    summary: ClassVar[str] = "free resource without its counterpart"

    def coefficients(self, columns: Columns) -> tuple[int, int]:
        """Integers a, b of the sum of ``max(0, a * free[resource] - b * free[against])``."""
        q = self.quantum(columns)
        index, quantum = columns.resource_index, columns.quantum_of_resource
        a = quanta.exact(self.ratio) * quantum[index[self.resource]] / q
        return int(a), int(quantum[index[self.against]] / q)

    def unit(self, columns: Columns) -> str:
        stated = columns.instance.resources.get(self.against)
        return stated.unit if stated else ""

    def quantum(self, columns: Columns) -> Fraction:
        index, quantum = columns.resource_index, columns.quantum_of_resource
        return quanta.common(
            quanta.exact(self.ratio) * quantum[index[self.resource]],
            quantum[index[self.against]],
        )

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_resource(instance, ".resource", self.resource)
        yield from unknown_resource(instance, ".against", self.against)
        if not 0 < self.ratio < float("inf"):
            yield ".ratio", f"expected a positive number, got {self.ratio}"


@formulates(Balance)
def build_balance(policy: Balance, problem: Problem) -> Metric:
    """The excess over 0 of a signed sum of two free resources."""
    columns = problem.columns
    a, b = policy.coefficients(columns)
    r, s = columns.resource_index[policy.resource], columns.resource_index[policy.against]
    every = np.arange(problem.nodes, dtype=np.int64)
    free = a * problem.capacity[:, r] - b * problem.capacity[:, s]
    family = Family(
        free,
        (
            Placed(columns.demand[r], every, problem.nodes, scale=-a),
            Placed(columns.demand[s], every, problem.nodes, scale=b),
        ),
    )
    return Metric(((1, each(family, Excess(np.zeros(problem.nodes, np.int64)))),))
