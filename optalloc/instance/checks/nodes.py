"""Nodes and resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from optalloc.instance.checks import bounds, names
from optalloc.instance.checks.view import View
from optalloc.instance.model import DEVICE, NODE, Node
from optalloc.instance.policy import Fault

MOST_NODES = 10_000_000
"""Counts may not expand to more nodes than this: each is an index of its own."""


def check(view: View) -> Iterator[Fault]:
    """List what is wrong with the nodes themselves."""
    nodes = view.instance.nodes
    if not nodes:
        yield "nodes", "expected at least one node, got none"
    yield from names.unique("nodes", [n.name for n in nodes], [n.count for n in nodes])
    yield from _numbers(nodes)
    total = sum(max(n.count, 0) for n in nodes)
    if total > MOST_NODES:
        yield "nodes", f"expected at most {MOST_NODES} nodes in all, got {total}"
    yield from _attributes(nodes)


def _numbers(nodes: tuple[Node, ...]) -> Iterator[Fault]:
    for field, bound in (
        ("count", bounds.WHOLE_POSITIVE),
        ("devices", bounds.WHOLE),
        ("flops", bounds.POSITIVE),
        ("memory_gib", bounds.POSITIVE),
        ("memory_bandwidth", bounds.POSITIVE),
        ("idle_w", bounds.NOT_NEGATIVE),
        ("full_w", bounds.NOT_NEGATIVE),
        ("price_h", bounds.NOT_NEGATIVE),
    ):
        values = [getattr(n, field) for n in nodes]
        yield from bounds.column(values, _of(field), bound)
    for field in ("capacity", "safety"):
        maps = [getattr(n, field) for n in nodes]
        yield from bounds.maps(maps, _of(field), bounds.NOT_NEGATIVE)
    for i, node in enumerate(nodes):
        if 0 < node.full_w < node.idle_w:
            expected = f"expected at least idle_w ({node.idle_w})"
            yield f"nodes[{i}].full_w", f"{expected}, got {node.full_w}"


def _of(field: str) -> Callable[[int], str]:
    return lambda i: f"nodes[{i}].{field}"


def _attributes(nodes: tuple[Node, ...]) -> Iterator[Fault]:
    """Labels, domain scopes and the built-in attributes must not share a name."""
    scopes = {scope for node in nodes for scope in node.domains}
    for i, node in enumerate(nodes):
        for label in node.labels:
            if label in scopes or label in (NODE, DEVICE):
                what = "a domain scope" if label in scopes else "built in"
                yield f"nodes[{i}].labels.{label}", f"expected another name: {label!r} is {what}"
        for scope in node.domains:
            if scope in (NODE, DEVICE):
                yield f"nodes[{i}].domains.{scope}", "expected another name: it is built in"
        if DEVICE in node.capacity:
            yield f"nodes[{i}].capacity.{DEVICE}", "expected the number of devices in `devices`"


def resources(view: View) -> Iterator[Fault]:
    """List what is wrong with the stated resources."""
    for name, resource in view.instance.resources.items():
        path = f"resources.{name}.quantum"
        yield from bounds.one(path, resource.quantum, bounds.POSITIVE)


def references(view: View) -> Iterator[Fault]:
    """List resources of nodes that the instance does not have."""
    nodes, known = view.instance.nodes, view.resources
    for field in ("capacity", "safety"):
        used = {name for node in nodes for name in getattr(node, field)}
        unknown = used - known - {DEVICE}
        for i, node in enumerate(nodes if unknown else ()):
            for name in getattr(node, field):
                if name in unknown:
                    path = f"nodes[{i}].{field}.{name}"
                    yield path, names.missing(name, "a resource", known)
