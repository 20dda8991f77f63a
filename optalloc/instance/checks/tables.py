"""Tables of numbers by node attribute, and configuration tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from optalloc.instance.checks import bounds, names
from optalloc.instance.checks.view import View
from optalloc.instance.columns import row_label
from optalloc.instance.model import Configuration, Lookup
from optalloc.instance.policy import Fault, Number


def fits(path: str, table: Lookup, view: View) -> Iterator[Fault]:
    """List the nodes' values that a table lacks."""
    if table.by not in view.attributes:
        what = "an attribute of the nodes"
        yield f"{path}.by", names.missing(table.by, what, view.attributes)
    elif table.default is None:
        for value in sorted(view.attributes[table.by] - table.values.keys()):
            yield (
                f"{path}.values.{value}",
                f"expected a number (some node's {table.by} is {value!r}) or a default",
            )
        if table.by in view.incomplete:
            yield f"{path}.default", f"expected a number: some node has no {table.by}"


def lookup(path: str, table: Lookup) -> Iterator[Fault]:
    """List the numbers of a table that are out of bounds."""
    yield from bounds.maps([table.values], lambda _: f"{path}.values", bounds.NOT_NEGATIVE)
    yield from bounds.one(f"{path}.default", table.default, bounds.NOT_NEGATIVE)


def configurations(path: str, rows: tuple[Configuration, ...]) -> Iterator[Fault]:
    """List what is wrong with the rows of a configuration table."""
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        at = f"{path}[{i}]"
        yield from bounds.one(f"{at}.replicas", row.replicas, bounds.WHOLE_POSITIVE)
        yield from bounds.one(f"{at}.per_node", row.per_node, bounds.NOT_NEGATIVE)
        if row.device_memory_gib is not None:
            memory = row.device_memory_gib
            yield from bounds.one(f"{at}.device_memory_gib", memory, bounds.NOT_NEGATIVE)
        if row.per_node > 0 and row.replicas % row.per_node:
            yield f"{at}.per_node", f"expected a divisor of {row.replicas}, got {row.per_node}"
        yield from bounds.one(f"{at}.throughput", row.throughput, bounds.NOT_NEGATIVE)
        yield from bounds.one(f"{at}.watts", row.watts, bounds.NOT_NEGATIVE)
        yield from bounds.one(f"{at}.traffic", row.traffic, bounds.NOT_NEGATIVE)
        yield from bounds.one(f"{at}.sharing", row.sharing, bounds.NOT_NEGATIVE)
        for name, value in row.demand.items():
            yield from bounds.one(f"{at}.demand.{name}", value, bounds.NOT_NEGATIVE)
        label = row_label(row)
        if first.setdefault(label, i) != i:
            taken = f"{path}[{first[label]}]"
            yield f"{at}.name", f"expected a unique name, got {label!r} as in {taken}"


def row_resources(path: str, rows: tuple[Configuration, ...], view: View) -> Iterator[Fault]:
    """List resources that rows demand and the instance does not have."""
    for i, row in enumerate(rows):
        yield from demanded(f"{path}[{i}]", row.demand, view)


def demanded(path: str, demand: Mapping[str, Number], view: View) -> Iterator[Fault]:
    """List resources that something demands and the instance does not have."""
    for name in demand:
        if name not in view.resources:
            yield f"{path}.demand.{name}", names.missing(name, "a resource", view.resources)


def row_scopes(path: str, rows: tuple[Configuration, ...], view: View) -> Iterator[Fault]:
    """List scopes within which rows must stay and that the nodes do not have."""
    for i, row in enumerate(rows):
        if row.within and row.within not in view.scopes:
            at = f"{path}[{i}].within"
            yield at, names.missing(row.within, "a domain scope", view.scopes)


def shared(view: View) -> Iterator[Fault]:
    """List what is wrong with the shared tables themselves."""
    for name, table in view.instance.tables.items():
        yield from lookup(f"tables.{name}", table)
    for name, rows in view.instance.configurations.items():
        path = f"configurations.{name}"
        if not rows:
            yield path, "expected at least one configuration, got none"
        yield from configurations(path, rows)


def references(view: View) -> Iterator[Fault]:
    """List what the shared tables refer to and the nodes do not have."""
    for name, table in view.instance.tables.items():
        yield from fits(f"tables.{name}", table, view)
    for name, rows in view.instance.configurations.items():
        yield from row_resources(f"configurations.{name}", rows, view)
        yield from row_scopes(f"configurations.{name}", rows, view)
