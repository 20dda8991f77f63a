"""Power, energy and cost of the nodes in use and of what runs on them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import in_use
from optalloc.formulation.terms import Chosen, Metric, Placed, single
from optalloc.instance.policy import Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns, Draw


class Power(Policy, frozen=True, kw_only=True):
    """Watts: idle watts of the nodes in use + active watts of the chosen configurations.

    A replica of a task without a table draws ``(full - idle) * demand / capacity`` of the resource
    ``energy.share`` on its node. ``at_most`` is a power cap.
    """

    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "power"

    def unit(self, columns: Columns) -> str:
        return "W"

    def draw(self, columns: Columns) -> Draw:
        """What nodes, rows and replicas draw."""
        return columns.power

    def quantum(self, columns: Columns) -> Fraction:
        return self.draw(columns).quantum


class Energy(Policy, frozen=True, kw_only=True):
    """Joules: power times ``energy.horizon_s``; rows of a task with ``work`` draw work / rate."""

    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "energy"

    def unit(self, columns: Columns) -> str:
        return "J"

    def draw(self, columns: Columns) -> Draw:
        """What nodes, rows and replicas draw."""
        return columns.energy

    def quantum(self, columns: Columns) -> Fraction:
        return self.draw(columns).quantum


class Cost(Policy, frozen=True, kw_only=True):
    """Money: node price over the horizon + energy in kWh * ``price_kwh`` * ``pue``."""

    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "cost of nodes and energy"

    def draw(self, columns: Columns) -> Draw:
        """What nodes, rows and replicas draw."""
        return columns.money

    def quantum(self, columns: Columns) -> Fraction:
        return self.draw(columns).quantum


@formulates(Power)
def build_power(policy: Power, problem: Problem) -> Metric:
    """Steps of the nodes in use, and linear functions of x and y."""
    return _metric(policy.draw(problem.columns), problem)


@formulates(Energy)
def build_energy(policy: Energy, problem: Problem) -> Metric:
    """Steps of the nodes in use, and linear functions of x and y."""
    return _metric(policy.draw(problem.columns), problem)


@formulates(Cost)
def build_cost(policy: Cost, problem: Problem) -> Metric:
    """Steps of the nodes in use, and linear functions of x and y."""
    return _metric(policy.draw(problem.columns), problem)


def _metric(draw: Draw, problem: Problem) -> Metric:
    running = single(
        placed=(Placed(draw.share, problem.everywhere(), 1),), chosen=(Chosen(draw.row),)
    )
    return Metric(((1, in_use(problem, draw.on)), (1, running)))
