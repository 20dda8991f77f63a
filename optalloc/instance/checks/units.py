"""Quantities that are too large for their quantum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from math import inf, log10
from operator import mul

import numpy as np

from optalloc.instance import quanta
from optalloc.instance.checks.bounds import FloatArray
from optalloc.instance.checks.view import View
from optalloc.instance.columns import Columns, resource_names
from optalloc.instance.model import DEVICE, Instance, Lookup, Quantity, Task
from optalloc.instance.policy import Fault, Number
from optalloc.instance.stated import cost_quantum, delay_quantum, resource_quantum

FINEST = Fraction(1, 10**300)
"""Finer quanta leave the range of floating-point numbers."""

Stated = tuple[str, Number]
"""Where a number is, and the number."""


def check(view: View) -> Iterator[Fault]:
    """List numbers and totals of more than 2**62 quanta."""
    instance, tasks = view.instance, view.instance.tasks
    copies = view.of_tasks.count
    replicas = list(map(mul, copies, view.of_tasks.replicas))
    for i in view.with_rows:
        replicas[i] = copies[i] * _replicas(instance, tasks[i])
    yield from _column("weight", view.of_tasks.weight, copies)
    yield from _column("move_cost", view.of_tasks.move_cost, replicas)
    yield from _column("requests_s", view.of_tasks.requests_s, copies)
    nodes = sum(node.count for node in instance.nodes)
    if _surely_small(_numbers(view), max(sum(replicas), nodes)):
        return
    for name in resource_names(instance):
        quantum = resource_quantum(instance, name)
        yield from _capacity(instance, name, quantum)
        demands = [t.demand.get(name, 0) for t in tasks]
        yield from _quantities(instance, f"demand.{name}", demands, replicas, quantum)
        yield from _rows(instance, name, quantum)
    costs = [t.cost for t in tasks]
    yield from _quantities(instance, "cost", costs, replicas, cost_quantum(instance))
    delays = [t.delay_s for t in tasks]
    yield from _quantities(instance, "delay_s", delays, replicas, delay_quantum(instance))


def check_tasks(view: View, columns: Columns) -> Iterator[Fault]:
    """List numbers of tasks, and totals, of more than 2**62 quanta that are chosen already."""
    instance, tasks = view.instance, view.instance.tasks
    copies = view.of_tasks.count
    replicas = list(map(mul, copies, view.of_tasks.replicas))
    for i in view.with_rows:
        replicas[i] = copies[i] * _replicas(instance, tasks[i])
    for name, quantum in zip(columns.resources, columns.quantum_of_resource, strict=True):
        demands = [t.demand.get(name, 0) for t in tasks]
        yield from _quantities(instance, f"demand.{name}", demands, replicas, quantum)
        yield from _rows(instance, name, quantum)
    costs = [t.cost for t in tasks]
    yield from _quantities(instance, "cost", costs, replicas, columns.cost_quantum)
    delays = [t.delay_s for t in tasks]
    yield from _quantities(instance, "delay_s", delays, replicas, columns.delay[1])


def _replicas(instance: Instance, task: Task) -> int:
    """Largest number of replicas in the configurations of a task."""
    return max(row.replicas for row in instance.rows_of(task))


def _surely_small(numbers: FloatArray, copies: int) -> bool:
    """Whether no quantum can be so fine that a total overflows, by the extreme numbers alone."""
    numbers = numbers[numbers > 0]
    if not numbers.size:
        return True
    finest = max(quanta.DIGITS, quanta.DIGITS + 1 - log10(float(numbers.min())))
    largest = log10(float(numbers.max())) + log10(max(copies, 1))
    return finest + largest < log10(quanta.LARGEST)


def _numbers(view: View) -> FloatArray:
    """Every quantum, capacity, demand and cost of an instance."""
    instance = view.instance
    numbers: list[Number] = [r.quantum for r in instance.resources.values() if r.quantum]
    for quantity in view.quantities if view.plain is None else ():
        if not isinstance(quantity, str):
            numbers += [value for _, value in _entries("", quantity)]
    for table in instance.tables.values():
        numbers += [value for _, value in _entries("", table)]
    for node in instance.nodes:
        numbers += [node.devices, *node.capacity.values(), *node.safety.values()]
    listed = [instance.tasks[i].configurations for i in view.with_rows]
    inline = [rows for rows in listed if not isinstance(rows, str)]
    for row in chain.from_iterable(chain(instance.shared_rows.values(), inline)):
        numbers += row.demand.values()
    return _array(numbers) if view.plain is None else np.append(view.plain, _array(numbers))


def _entries(path: str, quantity: Number | tuple[Number, ...] | Lookup) -> list[Stated]:
    """The numbers of a quantity, each with its path."""
    if isinstance(quantity, tuple):
        return [(f"{path}[{k}]", value) for k, value in enumerate(quantity)]
    if isinstance(quantity, Lookup):
        listed: list[Stated] = [(f"{path}.values.{k}", v) for k, v in quantity.values.items()]
        default = [] if quantity.default is None else [(f"{path}.default", quantity.default)]
        return listed + default
    return [(path, quantity)]


def _array(values: Sequence[Number]) -> FloatArray:
    return np.array(values, np.float64)


def _column(field: str, values: list[Number], copies: list[int]) -> Iterator[Fault]:
    """Check a number of every task, and its total."""
    if _surely_small(_array(values), sum(copies)):
        return
    quantum = quanta.choose(values)
    yield from _large(values, lambda i: f"tasks[{i}].{field}", quantum)
    yield from _total(f"tasks[*].{field}", values, copies, quantum)


def _limit(quantum: Fraction) -> float:
    """The largest number of a quantum, less what reading it may add."""
    try:
        return float(quanta.LARGEST * quantum) * (1 - 2.0**-40)
    except OverflowError:
        return inf


def _large(
    values: Sequence[Number], path: Callable[[int], str], quantum: Fraction
) -> Iterator[Fault]:
    """List numbers of too many quanta."""
    limit = _limit(quantum)
    above = [i for i, value in enumerate(values) if value > 0] if quantum < FINEST else []
    if above:
        i = min(above, key=values.__getitem__)
        yield path(i), f"expected 0 or a number above {float(FINEST):g}, got {values[i]}"
    for i in np.flatnonzero(_array(values) > limit).tolist():
        yield (
            path(i),
            f"expected at most {limit:.4g} (2**62 quanta of {float(quantum):g}), got {values[i]}",
        )


def _total(
    path: str, values: Sequence[Number], copies: Sequence[int], quantum: Fraction
) -> Iterator[Fault]:
    """Report a total of too many quanta; numbers that are too large by themselves are reported."""
    limit = _limit(quantum)
    numbers = _array(values)
    total = float(numbers @ _array(copies))
    if total > limit and not np.any(numbers > limit):
        yield (
            path,
            f"expected a total of at most {limit:.4g} (2**62 quanta of {float(quantum):g}), "
            f"got {total:.4g}",
        )


def _capacity(instance: Instance, name: str, quantum: Fraction) -> Iterator[Fault]:
    nodes = instance.nodes
    copies = [node.count for node in nodes]
    stated = [n.devices if name == DEVICE else n.capacity.get(name, 0) for n in nodes]
    field = "devices" if name == DEVICE else f"capacity.{name}"
    yield from _large(stated, lambda i: f"nodes[{i}].{field}", quantum)
    yield from _total(f"nodes[*].{field}", stated, copies, quantum)
    safety = [n.safety.get(name, 0) for n in nodes]
    yield from _large(safety, lambda i: f"nodes[{i}].safety.{name}", quantum)


def _quantities(
    instance: Instance,
    field: str,
    stated: list[Quantity],
    copies: list[int],
    quantum: Fraction,
) -> Iterator[Fault]:
    """Check a quantity of every task, and the total of the largest each can be."""
    largest: list[Number] = []
    numbers: list[Number] = []
    paths: list[str] = []
    tables: dict[str, Lookup] = {}
    for i, quantity in enumerate(stated):
        at = f"tasks[{i}].{field}"
        if isinstance(quantity, str):
            tables[quantity] = instance.tables[quantity]
            entries = _entries("", tables[quantity])
        else:
            entries = _entries(at, quantity)
            paths += [path for path, _ in entries]
            numbers += [value for _, value in entries]
        largest.append(max((value for _, value in entries), default=0))
    for name, table in tables.items():
        for path, value in _entries(f"tables.{name}", table):
            paths.append(path)
            numbers.append(value)
    yield from _large(numbers, lambda i: paths[i], quantum)
    if not np.any(_array(numbers) > _limit(quantum)):
        yield from _total(f"tasks[*].{field}", largest, copies, quantum)


def _rows(instance: Instance, name: str, quantum: Fraction) -> Iterator[Fault]:
    """Check what configurations demand of a resource."""
    tables = {f"configurations.{k}": rows for k, rows in instance.shared_rows.items()}
    for i, task in enumerate(instance.tasks):
        if not isinstance(task.configurations, str) and task.configurations:
            tables[f"tasks[{i}].configurations"] = task.configurations
    entries = [
        (f"{path}[{k}].demand.{name}", row.demand[name])
        for path, rows in tables.items()
        for k, row in enumerate(rows)
        if name in row.demand
    ]
    yield from _large([value for _, value in entries], lambda i: entries[i][0], quantum)
