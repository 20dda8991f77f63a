"""Load above a soft threshold."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import load
from optalloc.formulation.shapes import Excess
from optalloc.formulation.terms import Metric, each
from optalloc.instance.policy import Fault, Policy
from optalloc.instance.references import unknown_resource

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance


class SafetyCapacity(Policy, frozen=True, kw_only=True):
    """Load above the nodes' safety threshold of one resource.

    ``sum over nodes of max(0, load[n, r] - safety[n, r])`` in units of the resource. (Load cost of
    the ROADEF/EURO challenge 2012.)

    Parameters
    ----------
    resource
        The resource.
    """

    resource: str

    summary: ClassVar[str] = "load above the safety threshold"

    def unit(self, columns: Columns) -> str:
        stated = columns.instance.resources.get(self.resource)
        return stated.unit if stated else ""

    def quantum(self, columns: Columns) -> Fraction:
        return columns.quantum_of_resource[columns.resource_index[self.resource]]

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_resource(instance, ".resource", self.resource)


@formulates(SafetyCapacity)
def build_safety_capacity(policy: SafetyCapacity, problem: Problem) -> Metric:
    """The excess of every node's load."""
    columns = problem.columns
    i = columns.resource_index[policy.resource]
    entry = columns.node_entry[problem.node_classes.node]
    return Metric(((1, each(load(problem, i), Excess(columns.safety[entry, i]))),))
