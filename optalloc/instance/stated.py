"""Quanta of what an instance states, each chosen from every number that is stated of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from optalloc.instance import quanta
from optalloc.instance.model import DEVICE, Configuration, Instance, Lookup, Quantity
from optalloc.instance.policy import Number


def resource_quantum(instance: Instance, name: str) -> Fraction:
    """Quantum of a resource: stated, or chosen from every number stated of it."""
    stated = instance.resources.get(name)
    if stated is not None and stated.quantum is not None:
        return quanta.exact(stated.quantum)
    if name == DEVICE:
        return Fraction(1)
    seen: list[Number] = [node.capacity[name] for node in instance.nodes if name in node.capacity]
    seen += [node.safety[name] for node in instance.nodes if name in node.safety]
    seen += [row.demand[name] for row in _all_configurations(instance) if name in row.demand]
    demands = [task.demand[name] for task in instance.tasks if name in task.demand]
    return quanta.choose(seen + _numbers(instance, demands))


def cost_quantum(instance: Instance) -> Fraction:
    """Quantum of the tasks' placement costs, chosen from every number stated."""
    return quanta.choose(_numbers(instance, [task.cost for task in instance.tasks]))


def delay_quantum(instance: Instance) -> Fraction:
    """Quantum of the tasks' delays, chosen from every number stated."""
    return quanta.choose(_numbers(instance, [task.delay_s for task in instance.tasks]))


def _all_configurations(instance: Instance) -> Iterator[Configuration]:
    for table in instance.shared_rows.values():
        yield from table
    for task in instance.tasks:
        if not isinstance(task.configurations, str):
            yield from task.configurations


def _numbers(instance: Instance, quantities: Sequence[Quantity]) -> list[Number]:
    """Every number that quantities state, those of shared tables once."""
    seen: list[Number] = []
    tables: set[str] = set()
    for quantity in quantities:
        if isinstance(quantity, int | float):
            seen.append(quantity)
        elif isinstance(quantity, str):
            tables.add(quantity)
        elif isinstance(quantity, tuple):
            seen += quantity
        else:
            seen += _of_table(quantity)
    return seen + [number for name in tables for number in _of_table(instance.tables[name])]


def _of_table(table: Lookup) -> list[Number]:
    default = [] if table.default is None else [table.default]
    return [*table.values.values(), *default]
