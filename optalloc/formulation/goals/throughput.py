"""Throughput of the configurations chosen."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Chosen, Family, Membership, Metric, each, single
from optalloc.instance import quanta
from optalloc.instance.policy import Policy, Sense

IntArray = NDArray[np.int64]

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns


class Throughput(Policy, frozen=True, kw_only=True):
    """Weighted throughput: ``sum over placed tasks of weight * throughput / reference``.

    `reference` is the task's own, or the throughput of its best row; a task left out, or without
    a table, counts 0.

    Parameters
    ----------
    raw
        Sum plain samples/s instead.
    """

    raw: bool = False

    sense: ClassVar[Sense] = "max"
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "weighted throughput"

    def unit(self, columns: Columns) -> str:
        return "samples/s" if self.raw else ""

    def rates(self, columns: Columns) -> tuple[IntArray, Fraction]:
        """What a task in each row counts, in quanta, and the quantum."""
        value = columns.row_throughput
        if not self.raw:
            task = columns.row_task
            value = value * (columns.stated_weight / columns.reference)[task]
        quantum = columns.scale.quantum(("throughput", self.raw), lambda: quanta.choose(value))
        return quanta.nearest(value, quantum), quantum

    def quantum(self, columns: Columns) -> Fraction:
        return self.rates(columns)[1]


class MaxMin(Policy, frozen=True, kw_only=True):
    """The smallest ``throughput / (weight * reference)`` over all tasks with a weight above 0.

    A task left out counts 0; tasks without a table are not counted. As an objective level it is
    followed by `Throughput`, so that ties go to the larger sum.
    """

    sense: ClassVar[Sense] = "max"
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "smallest normalised throughput"

    def rates(self, columns: Columns) -> tuple[IntArray, Fraction]:
        """Normalised throughput of each row in quanta (0 where not counted), and the quantum."""
        weight = columns.stated_weight
        scale = np.where(weight > 0, 1 / (np.where(weight > 0, weight, 1) * columns.reference), 0)
        value = columns.row_throughput * scale[columns.row_task]
        quantum = columns.scale.quantum("max-min", lambda: quanta.choose(value))
        return quanta.nearest(value, quantum), quantum

    def counted(self, columns: Columns) -> NDArray[np.bool_]:
        """Which tasks are counted: those with a table and a weight above 0."""
        table = columns.row_number[columns.row_start[:-1]] >= 0
        return np.asarray(table & (columns.stated_weight > 0), bool)

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        return self.counted(columns)

    def quantum(self, columns: Columns) -> Fraction:
        return self.rates(columns)[1]


@formulates(Throughput)
def build_throughput(policy: Throughput, problem: Problem) -> Metric:
    """A linear function of y."""
    rates, _ = policy.rates(problem.columns)
    return Metric(((1, single(chosen=(Chosen(rates),))),))


@formulates(MaxMin)
def build_max_min(policy: MaxMin, problem: Problem) -> Metric:
    """The smallest of linear functions of y, one per task."""
    columns = problem.columns
    rates, _ = policy.rates(columns)
    counted = np.flatnonzero(policy.counted(columns)[problem.task_classes.task])
    if not counted.size:
        return Metric()
    parts = np.arange(counted.size, dtype=np.int64)
    chosen = Chosen(rates, Membership(counted.size, counted, parts))
    family = Family(np.zeros(counted.size, np.int64), chosen=(chosen,))
    return Metric(((1, each(family, outer="min")),))
