"""Numbers of goals, computed from several stated ones, that are too large for their quantum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from optalloc.instance import quanta
from optalloc.instance.checks.view import View
from optalloc.instance.model import Configuration, Instance
from optalloc.instance.policy import Fault, Number, Policy
from optalloc.instance.uplinks import traffic_of

if TYPE_CHECKING:
    from optalloc.instance.columns import Draw
    from optalloc.policies import MaxMin, Throughput

PLAIN_FROM, PLAIN_TO = 1e-3, 1e9
"""A policy all of whose numbers are 0 or between these cannot overflow by itself."""
SMALLEST = 1e-200
"""A quantum for smaller numbers may leave the range of floats."""


@dataclass(frozen=True)
class Range:
    """The extremes of numbers above 0; of none, ``Range(inf, 0)``."""

    low: float
    high: float

    @classmethod
    def of(cls, numbers: Iterable[Number | None]) -> Range:
        """Find the extremes."""
        above = [float(n) for n in numbers if n is not None and n > 0]
        return cls(min(above, default=inf), max(above, default=0.0))

    def __bool__(self) -> bool:
        return self.high > 0

    def __mul__(self, other: Range) -> Range:
        return Range(self.low * other.low, self.high * other.high) if self and other else NONE

    def __truediv__(self, other: Range) -> Range:
        return self * Range(1 / other.high, 1 / other.low) if other else NONE

    def __or__(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))

    def is_small(self, copies: int) -> bool:
        """Whether no quantum can be so fine that a total of so many numbers overflows."""
        if not self:
            return True
        if not SMALLEST < self.low <= self.high < inf:
            return False
        finest = max(quanta.DIGITS, quanta.DIGITS + 1 - log10(self.low))
        return finest + log10(self.high) + log10(max(copies, 1)) < log10(quanta.LARGEST)


NONE = Range(inf, 0.0)
ONE = Range(1.0, 1.0)


def check(view: View) -> Iterator[Fault]:
    """List goals and policies whose values would be more than 2**62 quanta."""
    for name, small, compute in _goals(view):
        if not small:
            yield from _tried(name, compute)
    for i, policy in enumerate(view.instance.policies):
        if not _is_plain(policy):
            yield from _tried(f"policies[{i}]", partial(_scored, view.instance, policy))


def _tried(path: str, compute: Callable[[], float]) -> Iterator[Fault]:
    """Report a computation that overflows."""
    expected = "expected numbers that add up to at most 2**62 quanta"
    try:
        with np.errstate(all="ignore"):
            total = compute()
    except (quanta.QuantityOverflow, OverflowError) as error:
        yield path, f"{expected}: {error}"
    else:
        if not total <= quanta.LARGEST:
            yield path, f"{expected}, got {total:.3g}"


def _goals(view: View) -> Iterator[tuple[str, bool, Callable[[], float]]]:
    """Every goal that stands without parameters: whether it is surely small, and its size."""
    from optalloc.policies import MaxMin, Throughput

    instance = view.instance
    rows = list(_rows(view))
    copies = sum(n.count for n in instance.nodes) + sum(view.of_tasks.count)
    watts, seconds = _watts(view, rows), _seconds(view, rows)
    energy, horizon = instance.energy, Range.of([instance.energy.horizon_s])
    joules = watts * (seconds | horizon)
    kwh = Range.of([float(energy.price_kwh) * float(energy.pue) / 3.6e6])
    price = Range.of(n.price_h for n in instance.nodes) * horizon / Range.of([3600])
    sent = Range.of(row.traffic for row in rows)
    yield "traffic", sent.is_small(copies), partial(_sent, instance)
    for name, size in (
        ("power", watts),
        ("energy", joules),
        ("money", (joules * kwh) | price),
    ):
        yield name, size.is_small(2 * copies), partial(_drawn, instance, name)
    rates = Range.of(row.throughput for row in rows)
    references = rates | Range.of(view.of_tasks.reference[i] for i in view.with_rows) | ONE
    weights = Range.of(view.of_tasks.weight[i] for i in view.with_rows)
    relative = rates / references
    for goal, size in (
        (Throughput(), relative * weights),
        (Throughput(raw=True), rates),
        (MaxMin(), relative / weights),
    ):
        yield goal.type, size.is_small(copies), partial(_rated, instance, goal)


def _rows(view: View) -> Iterator[Configuration]:
    for table in view.instance.shared_rows.values():
        yield from table
    for i in view.with_rows:
        stated = view.of_tasks.configurations[i]
        if not isinstance(stated, str):
            yield from stated


def _watts(view: View, rows: list[Configuration]) -> Range:
    """What nodes, rows and shares of nodes can draw."""
    nodes = view.instance.nodes
    drawn = Range.of([*(n.idle_w for n in nodes), *(row.watts for row in rows)])
    if not view.instance.energy.share:
        return drawn
    if view.plain is None:
        return Range(0.0, inf)
    demand = Range.of([view.plain.min(initial=inf, where=view.plain > 0)]) | Range.of(
        [view.plain.max(initial=0.0)]
    )
    capacity = Range.of(c for n in nodes for c in (n.devices, *n.capacity.values()))
    # Rounding to quanta at most halves a capacity and at most doubles a demand.
    share = demand / capacity * Range(0.5, 4.0)
    return drawn | Range.of(n.full_w - n.idle_w for n in nodes) * share


def _seconds(view: View, rows: list[Configuration]) -> Range:
    """For how long rows of tasks with work can draw."""
    work = Range.of(view.of_tasks.work[i] for i in view.with_rows)
    return work / Range.of(row.throughput for row in rows)


def _drawn(instance: Instance, quantity: str) -> float:
    """The most that can be drawn of watts, joules or money, in quanta."""
    columns = instance.columns
    draw: Draw = getattr(columns, quantity)
    row = draw.row.astype(float) * columns.task_count[columns.row_task]
    return float(draw.on.sum(dtype=float) + row.sum())


def _sent(instance: Instance) -> float:
    """The most that all rows can send, in quanta."""
    columns = instance.columns
    sent, _ = traffic_of(columns)
    return float((sent.astype(float) * columns.task_count[columns.row_task]).sum())


def _rated(instance: Instance, goal: Throughput | MaxMin) -> float:
    """The most that the rows of a throughput goal can add up to, in quanta."""
    columns = instance.columns
    rates, _ = goal.rates(columns)
    return float((rates.astype(float) * columns.task_count[columns.row_task]).sum())


def _is_plain(policy: Policy) -> bool:
    """Whether a policy states only numbers of a usual size."""
    fields = policy.__struct_fields__
    numbers = [n for field in fields for n in _numbers(getattr(policy, field))]
    return all(not n or PLAIN_FROM <= abs(n) <= PLAIN_TO for n in numbers)


def _numbers(value: Any) -> Iterator[Number]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def _scored(instance: Instance, policy: Policy) -> float:
    """The value of a policy where nothing is placed, in quanta: it uses all that is stated."""
    from optalloc.instance.placement import Placement
    from optalloc.verify.facts import Facts
    from optalloc.verify.finding import checker_of

    none = np.zeros(0, np.int64)
    empty = Placement(np.zeros(instance.columns.rows, np.int64), none, none, none)
    return float(checker_of(type(policy))(policy, Facts(instance, empty)).value)
