"""Small valid instances for laws, drawn so that every field of the format is exercised."""

from __future__ import annotations

from typing import Any

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
texts = st.text(st.characters(codec="utf-8", exclude_characters=">"), max_size=6)


def _some(draw: Draw, entries: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Draw a mapping that holds some of the keys, in any order."""
    keys = draw(st.lists(st.sampled_from(sorted(entries)), unique=True))
    return {key: draw(entries[key]) for key in keys}


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


def quantities(entries: int, tables: list[str]) -> st.SearchStrategy[Quantity]:
    """Numbers, lists by node entry, inline tables and names of shared tables."""
    listed = st.lists(small, min_size=entries, max_size=entries).map(tuple)
    return st.one_of(small, small, listed, lookups(), *[st.just(name) for name in tables])


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
    stated = draw(
        st.one_of(st.just(()), configurations(), *[st.just(t) for t in context["configurations"]])
    )
    replicas = 1 if stated else draw(st.integers(1, 3))
    count = draw(st.integers(1, counts))
    where = st.sampled_from(context["names"])
    length = draw(st.integers(1, 3)) if stated else count * replicas
    quantity = quantities(context["entries"], context["tables"])
    matched = {"zone": st.sampled_from(ZONES), "device": st.sampled_from(DEVICES)}
    matched = {k: st.lists(v, max_size=2).map(tuple) for k, v in matched.items()}
    listed = st.lists(where, min_size=length, max_size=length).map(tuple)
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
        allow=_some(draw, matched),
        forbid=_some(draw, matched),
        current=draw(st.one_of(st.none(), where, listed)),
        move_cost=draw(small),
        groups=tuple(draw(st.lists(st.sampled_from(context["groups"]), unique=True))),
        count=count,
    )


def policy(groups: list[str]) -> st.SearchStrategy[Policy]:
    """One policy of any type, with valid parameters."""
    soft = {"name": texts, "weight": st.one_of(st.none(), small)}
    goal = {**soft, "at_most": st.one_of(st.none(), small.map(lambda x: 100 + x))}
    scope = st.sampled_from(["node", "rack"])
    chosen = st.lists(st.sampled_from(groups), unique=True).map(tuple)
    pairs = st.lists(st.tuples(st.sampled_from(groups), st.sampled_from(groups))).map(tuple)
    costs = st.dictionaries(st.just("node0"), st.dictionaries(st.just("node0"), small))
    some = st.lists(st.sampled_from(["cpu"]), unique=True).map(tuple)
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
        st.builds(
            rules.Balance, resource=st.just("cpu"), against=st.just("cpu"), ratio=positive, **goal
        ),
        st.builds(rules.Capacity, resources=some, **soft),
        st.builds(rules.TransientCapacity, resources=some, **soft),
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
        "tables": sorted(tables),
        "configurations": sorted(shared),
        "groups": [g.name for g in group],
        "names": names,
    }
    stated = st.builds(
        Resource,
        unit=texts,
        quantum=st.sampled_from([None, 1, 0.25, 0.01]),
        transient=st.booleans(),
    )
    return Instance(
        name=draw(texts),
        description=draw(texts),
        resources={r: draw(stated) for r in RESOURCES} if draw(st.booleans()) else {},
        nodes=node,
        tasks=[
            draw(tasks(f"task{i}", context, most_count))
            for i in range(draw(st.integers(0, most_tasks)))
        ],
        groups=group,
        tables=tables,
        configurations=shared,
        energy=Energy(
            horizon_s=draw(positive),
            price_kwh=draw(small),
            pue=1 + draw(small),
            share=draw(st.sampled_from(["", "cpu"])),
        ),
        policies=[
            draw(policy([g.name for g in group]))
            for _ in range(draw(st.integers(0, most_policies)))
        ],
        objective=draw(st.sampled_from(["", "penalty", "admitted > energy", "max-min"])),
    )


def _with_rack_and_memory(node: Node) -> Node:
    """The first node has what policies and tasks of every instance name."""
    return Node(
        **{
            **{name: getattr(node, name) for name in node.__struct_fields__},
            "capacity": {"memory_gib": 8, **node.capacity},
            "domains": {"rack": "r0"},
        }
    )
