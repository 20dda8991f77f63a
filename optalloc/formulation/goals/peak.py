"""The largest relative load of a resource."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import load
from optalloc.formulation.shapes import Identity
from optalloc.formulation.terms import Metric, Term
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import unknown_resource

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]

FINEST = 2**32
"""Most quanta in a full node."""


class PeakLoad(Policy, frozen=True, kw_only=True):
    """The largest relative load of a resource: ``max over nodes of load / capacity``.

    Nodes without the resource do not count. In parts of a full node: of the least common multiple
    of all capacities (in quanta) where that is at most 2**32, else of 2**32, rounded to nearest.

    Parameters
    ----------
    resource
        The resource.
    """

    resource: str

    summary: ClassVar[str] = "largest relative load"

    def quantum(self, columns: Columns) -> Fraction:
        return Fraction(1, self._full(columns))

    def parts(self, columns: Columns) -> IntArray:
        """Quanta of the value for each quantum of load, on every concrete node; 0 without any."""
        capacity = self._capacity(columns)
        full = self._full(columns)
        part = (2 * full + capacity) // np.maximum(2 * capacity, 1)
        return np.where(capacity > 0, part, 0)[columns.node_entry]

    def _capacity(self, columns: Columns) -> IntArray:
        return columns.capacity[:, columns.resource_index[self.resource]]

    def _full(self, columns: Columns) -> int:
        """Quanta of a full node."""
        full = 1
        for capacity in np.unique(self._capacity(columns)).tolist():
            full = lcm(full, max(capacity, 1))
            if full > FINEST:
                return FINEST
        return full

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_resource(instance, ".resource", self.resource)


@formulates(PeakLoad)
def build_peak(policy: PeakLoad, problem: Problem) -> Metric:
    """The largest of the loads, each in parts of its node's capacity."""
    columns = problem.columns
    part = policy.parts(columns)[problem.node_classes.node]
    family = load(problem, columns.resource_index[policy.resource])
    owner = np.arange(problem.nodes, dtype=np.int64)
    term = Term(family, Identity(), part, owner, problem.nodes, outer="max")
    return Metric(((1, term),))
