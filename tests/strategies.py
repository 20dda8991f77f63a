"""Small valid instances for laws, drawn so that every field of the format is exercised."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from optalloc import policies as rules
from optalloc.instance.model import (
    Configuration,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Quantity,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy

DEVICES = ("", "H100", "TPU v5e")
ZONES = ("north", "süd")
RACKS = ("r0", "r1")
RESOURCES = ("cpu", "memory_gib")

Draw = st.DrawFn

small = st.one_of(
    st.integers(0, 12),
    st.integers(0, 80).map(lambda k: k / 8),
    st.integers(0, 300).map(lambda k: k / 100),
)
"""Numbers with few digits, so that brute force and integers agree exactly."""
positive = small.map(lambda number: number + 0.5)
MATCHED = {
    "zone": st.lists(st.sampled_from(ZONES), max_size=2).map(tuple),
    "device": st.lists(st.sampled_from(DEVICES), max_size=2).map(tuple),
}
texts = st.text(st.characters(codec="utf-8", exclude_characters=">"), max_size=6)


@cache
def some(values: tuple[str, ...]) -> st.SearchStrategy[list[Any]]:
    """Lists of some of the values, each at most once, in any order."""
    return st.lists(st.sampled_from(values), unique=True)


def _some(draw: Draw, entries: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Draw a mapping that holds some of the keys, in any order."""
    return {key: draw(entries[key]) for key in draw(some(tuple(entries)))}


resources = st.builds(
    Resource, unit=texts, quantum=st.sampled_from([None, 1, 0.25, 0.01]), transient=st.booleans()
)


@st.composite
def nodes(draw: Draw, name: str, counts: int) -> Node:
    """Draw a node entry; all have a zone, so that tables can go by it without a default."""
    idle = draw(small)
    device = draw(st.sampled_from(DEVICES))
    return Node(
        name=name,
        capacity={"cpu": draw(small), **_some(draw, {"memory_gib": small})},
        safety=_some(draw, {"cpu": small}),
        device=device,
        devices=draw(st.integers(0, 4)) if device else 0,
        idle_w=idle,
        full_w=draw(st.one_of(st.just(0), small.map(lambda extra: idle + extra))),
        price_h=draw(small),
        labels={"zone": draw(st.sampled_from(ZONES)), **_some(draw, {"spot": texts})},
        domains=_some(draw, {"rack": st.sampled_from(RACKS)}),
        count=draw(st.integers(1, counts)),
        **_some(draw, {"flops": positive, "memory_gib": positive, "memory_bandwidth": positive}),
    )


@st.composite
def lookups(draw: Draw) -> Lookup:
    """Draw a table that covers every node."""
    if draw(st.booleans()):
        return Lookup(by="zone", values={zone: draw(small) for zone in ZONES})
    # Only the attributes that every instance has can be named.
    by = draw(st.sampled_from(["zone", "node"]))
    values = st.dictionaries(st.sampled_from([*ZONES, "node0"]), small)
    return Lookup(by=by, values=draw(values), default=draw(small))


@cache
def quantities(entries: int, tables: tuple[str, ...]) -> st.SearchStrategy[Quantity]:
    """Numbers, lists by node entry, inline tables and names of shared tables."""
    listed = st.tuples(*[small] * entries)
    return st.one_of(small, small, listed, lookups(), *[st.just(name) for name in tables])


@cache
def tables_of_rows(shared: tuple[str, ...]) -> st.SearchStrategy[tuple[Configuration, ...] | str]:
    """No configurations, some of the task's own, or the name of a shared table."""
    return st.one_of(st.just(()), configurations(), *[st.just(name) for name in shared])


@st.composite
def configurations(draw: Draw, most: int = 3) -> tuple[Configuration, ...]:
    """Draw a configuration table; every row has a name of its own."""
    return tuple(
        Configuration(
            name=draw(st.sampled_from([f"row{i}", f"reihe {i} “ü”"])),
            device=draw(st.sampled_from(DEVICES)),
            replicas=draw(st.integers(1, 3)),
            throughput=draw(small),
            watts=draw(small),
            demand=_some(draw, {"cpu": small}),
        )
        for i in range(draw(st.integers(1, most)))
    )


@st.composite
def tasks(draw: Draw, name: str, context: dict[str, Any], counts: int) -> Task:
    """Draw a task entry that fits the rest of the instance."""
    stated = draw(tables_of_rows(context["configurations"]))
    replicas = 1 if stated else draw(st.integers(1, 3))
    count = draw(st.integers(1, counts))
    where = st.sampled_from(context["names"])
    length = draw(st.integers(1, 3)) if stated else count * replicas
    quantity = quantities(context["entries"], context["tables"])
    listed = st.tuples(*[where] * length)
    return Task(
        name=name,
        demand={"cpu": draw(quantity), **_some(draw, {"memory_gib": quantity})},
        cost=draw(quantity),
        replicas=replicas,
        configurations=stated,
        required=draw(st.booleans()),
        weight=draw(small),
        reference=draw(st.one_of(st.none(), positive)),
        work=draw(st.one_of(st.none(), small)),
        allow=_some(draw, MATCHED),
        forbid=_some(draw, MATCHED),
        current=draw(st.one_of(st.none(), where, listed)),
        move_cost=draw(small),
        groups=tuple(draw(some(context["groups"]))),
        count=count,
    )


@cache
def policy(groups: tuple[str, ...]) -> st.SearchStrategy[Policy]:
    """One policy of any type, with valid parameters."""
    soft = {"name": texts, "weight": st.one_of(st.none(), small)}
    goal = {**soft, "at_most": st.one_of(st.none(), small.map(lambda x: 100 + x))}
    scope = st.sampled_from(["node", "rack"])
    chosen = some(groups).map(tuple)
    pairs = st.lists(st.tuples(st.sampled_from(groups), st.sampled_from(groups))).map(tuple)
    costs = st.dictionaries(st.just("node0"), st.dictionaries(st.just("node0"), small))
    domains = st.one_of(
        st.integers(0, 2), st.dictionaries(st.sampled_from(groups), st.integers(0, 2))
    )
    plain = [
        rules.Admitted,
        rules.AssignmentCost,
        rules.Cost,
        rules.Energy,
        rules.MaxMin,
        rules.Moves,
        rules.Nodes,
        rules.Power,
        rules.TaskMoveCost,
    ]
    return st.one_of(
        *[st.builds(cls, **goal) for cls in plain],
        st.builds(rules.Throughput, raw=st.booleans(), **goal),
        st.builds(rules.GroupMoveCost, groups=chosen, **goal),
        st.builds(rules.PairMoveCost, costs=costs, **goal),
        st.builds(rules.SafetyCapacity, resource=st.just("cpu"), **goal),
        st.builds(rules.PeakLoad, resource=st.just("cpu"), **goal),
        st.builds(
            rules.Balance, resource=st.just("cpu"), against=st.just("cpu"), ratio=positive, **goal
        ),
        st.builds(rules.Capacity, resources=some(("cpu",)).map(tuple), **soft),
        st.builds(rules.TransientCapacity, resources=some(("cpu",)).map(tuple), **soft),
        st.builds(rules.Labels, name=texts),
        st.builds(rules.AntiAffinity, groups=chosen, scope=scope, limit=st.integers(0, 3), **soft),
        st.builds(rules.Spread, groups=chosen, scope=scope, domains=domains, **soft),
        st.builds(rules.Dependency, scope=scope, pairs=pairs, **soft),
    )


@st.composite
def instances(
    draw: Draw,
    *,
    most_nodes: int = 4,
    most_tasks: int = 4,
    most_count: int = 2,
    most_policies: int = 4,
) -> Instance:
    """Draw a small valid instance in which every field of the format can occur.

    Parameters
    ----------
    most_nodes, most_tasks
        Largest number of entries.
    most_count
        Largest count of an entry.
    most_policies
        Largest number of policies.
    """
    entries = draw(st.integers(1, most_nodes))
    node = [draw(nodes(f"node{i}", most_count)) for i in range(entries)]
    node[0] = _with_rack_and_memory(node[0])
    tables = {f"table {i}": draw(lookups()) for i in range(draw(st.integers(0, 2)))}
    shared = {f"rows{i}": draw(configurations()) for i in range(draw(st.integers(0, 2)))}
    group = [
        Group(name=f"g{i}", kind=draw(st.sampled_from(["group", "service"])))
        for i in range(draw(st.integers(1, 3)))
    ]
    names = [
        name
        for n in node
        for name in ([n.name] if n.count == 1 else [f"{n.name}/{i}" for i in range(n.count)])
    ]
    context = {
        "entries": entries,
        "tables": tuple(tables),
        "configurations": tuple(shared),
        "groups": tuple(g.name for g in group),
        "names": names,
    }
    return Instance(
        name=draw(texts),
        description=draw(texts),
        resources={r: draw(resources) for r in RESOURCES} if draw(st.booleans()) else {},
        nodes=tuple(node),
        tasks=tuple(
            draw(tasks(f"task{i}", context, most_count))
            for i in range(draw(st.integers(0, most_tasks)))
        ),
        groups=tuple(group),
        tables=tables,
        configurations=shared,
        energy=Energy(
            horizon_s=draw(positive),
            price_kwh=draw(small),
            pue=1 + draw(small),
            share=draw(st.sampled_from(["", "cpu"])),
        ),
        policies=tuple(
            _unlike_others(i, draw(policy(context["groups"])))
            for i in range(draw(st.integers(0, most_policies)))
        ),
        objective=draw(st.sampled_from(["", "penalty", "admitted > energy", "max-min"])),
    )


def _unlike_others(number: int, stated: Policy) -> Policy:
    """The policy, with a name of its own if it has one."""
    name = f"{number} {stated.name}".strip() if stated.name else ""
    return msgspec.structs.replace(stated, name=name)


def _with_rack_and_memory(node: Node) -> Node:
    """The first node has what policies and tasks of every instance name."""
    return Node(
        **{
            **{name: getattr(node, name) for name in node.__struct_fields__},
            "capacity": {"memory_gib": 8, **node.capacity},
            "domains": {"rack": "r0"},
        }
    )
