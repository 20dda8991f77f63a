"""Seeded random tiny instances in which a given policy class is at work among others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace
from space import Space, space_of

from optalloc import policies as p
from optalloc.formulation.registry import policy_classes
from optalloc.instance.errors import InstanceError
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
from optalloc.instance.policy import Number, Policy
from optalloc.objective import read_objective
from optalloc.verify import verify

MOST_PLACEMENTS = 70
"""Brute force scores every placement of an instance: so many at most."""
RACKS = ("r0", "r1")
ARRIVALS = (p.GroupMoveCost, p.Moves, p.PairMoveCost, p.TaskMoveCost, p.TransientCapacity)
"""Classes that tell replicas that stay from those that arrive."""
UPLINKS = (p.UplinkLoad, p.UplinkShare)
"""Classes that are at work together, in instances of their own, in which gangs send something."""
SINGLE = (p.Portion, p.Span, *UPLINKS)
"""Classes that tell gangs apart, which are stated one by one then."""
APART = (p.PowerCap, p.ResponseLimit, p.ResponseTime)
"""Classes that are at work together, in instances of their own, in which tasks answer requests."""
GROUPS = ("g0", "g1", "g2")
T = TypeVar("T")
Fields = dict[str, Any]
Drawer = Callable[[Random], Fields]
_drawers: dict[type[Policy], Drawer] = {}


def draws(*classes: type[Policy]) -> Callable[[Drawer], Drawer]:
    """Register how the fields of policy classes are drawn."""

    def register(drawer: Drawer) -> Drawer:
        _drawers.update(dict.fromkeys(classes, drawer))
        return drawer

    return register


def has_generator(policy_class: type[Policy]) -> bool:
    return policy_class in _drawers


# -- fields of the policies --------------------------------------------------------------------


@draws(
    p.Admitted,
    p.AssignmentCost,
    p.Cost,
    p.Energy,
    p.Gangs,
    p.Labels,
    p.MaxMin,
    p.Moves,
    p.Nodes,
    p.Power,
    p.TaskMoveCost,
)
def _plain(_rng: Random) -> Fields:
    return {}


@draws(p.Capacity, p.TransientCapacity)
def _resources(rng: Random) -> Fields:
    return {"resources": rng.choice([(), (), ("cpu",), ("cpu", "mem")])}


@draws(p.Throughput)
def _throughput(rng: Random) -> Fields:
    return {"raw": rng.random() < 0.3}


@draws(p.AntiAffinity)
def _anti_affinity(rng: Random) -> Fields:
    return {**_selection(rng), "scope": _scope(rng), "limit": rng.choice([0, 1, 1, 2])}


@draws(p.Spread)
def _spread(rng: Random) -> Fields:
    numbers = {g: rng.randint(0, 3) for g in GROUPS if rng.random() < 0.6}
    domains = rng.choice([1, 2, 2, 3, numbers])
    return {**_selection(rng), "scope": _scope(rng), "domains": domains}


@draws(p.Span)
def _span(rng: Random) -> Fields:
    return {**_selection(rng), "scope": _scope(rng), "domains": rng.choice([1, 1, 2])}


@draws(p.Portion)
def _portion(rng: Random) -> Fields:
    least, most = rng.choice([(1, 1), (1, 2), (2, None), (2, 2), (2, 3), (3, None)])
    return {**_selection(rng), "scope": _scope(rng), "least": least, "most": most}


@draws(p.Dependency)
def _dependency(rng: Random) -> Fields:
    pairs = [tuple(rng.sample(GROUPS, 2)) for _ in range(rng.choice([1, 1, 2]))]
    return {"scope": _scope(rng), "pairs": tuple(dict.fromkeys(pairs))}


@draws(p.GroupMoveCost)
def _selection(rng: Random) -> Fields:
    groups = tuple(sorted(rng.sample(GROUPS, rng.choice([1, 2])))) if rng.random() < 0.4 else ()
    return {"groups": groups, "kind": rng.choice(["", "", "service"])}


@draws(p.PairMoveCost)
def _pair_move_cost(rng: Random) -> Fields:
    by, names = rng.choice([("node", ("n0", "n1", "n2")), ("rack", RACKS), ("zone", ("z0", "z1"))])
    costs = {
        source: {target: rng.choice([0, 1, 2, 3.5]) for target in names if rng.random() < 0.8}
        for source in names
        if rng.random() < 0.8
    }
    return {"costs": costs, "by": by}


@draws(p.SafetyCapacity)
def _safety_capacity(rng: Random) -> Fields:
    return {"resource": rng.choice(["cpu", "mem"])}


@draws(p.PeakLoad)
def _peak_load(rng: Random) -> Fields:
    return {"resource": rng.choice(["cpu", "mem"])}


@draws(p.ResponseLimit)
def _response_limit(_rng: Random) -> Fields:
    return {"resource": "cpu"}


@draws(p.ResponseTime)
def _response_time(rng: Random) -> Fields:
    return {"resource": "cpu", "error": rng.choice([0.02, 0.5])}


@draws(p.PowerCap)
def _power_cap(rng: Random) -> Fields:
    watts = [rng.choice([0, 60, 120, 150.5, 200, 300]) for _ in RACKS]
    caps = dict(zip(RACKS, watts, strict=True))
    if rng.random() < 0.5:
        return {"scope": _scope(rng), "watts": watts[0]}
    return {"scope": "rack", "watts": {r: w for r, w in caps.items() if rng.random() < 0.8}}


@draws(p.UplinkLoad)
def _uplink_load(rng: Random) -> Fields:
    capacity: Fields = {"capacity": rng.choice([0, 1, 1, 2, 2.5, 3])}
    if rng.random() < 0.4:
        listed = {rack: rng.choice([0, 1, 2.25, 3]) for rack in RACKS if rng.random() < 0.8}
        capacity = {"capacity": listed}
    if rng.random() < 0.4:
        capacity["utilisation"] = rng.choice([0.5, 0.8])
    scope = "rack" if isinstance(capacity["capacity"], dict) else _scope(rng)
    return {"scope": scope, **capacity}


@draws(p.UplinkShare)
def _uplink_share(rng: Random) -> Fields:
    return {"scope": _scope(rng)}


@draws(p.Balance)
def _balance(rng: Random) -> Fields:
    resource, against = rng.sample(["cpu", "mem"], 2)
    return {"resource": resource, "against": against, "ratio": rng.choice([1, 2, 0.5, 1.5])}


def _scope(rng: Random) -> str:
    return rng.choice(["node", "rack", "rack"])


# -- nodes and tasks ---------------------------------------------------------------------------


def _nodes(rng: Random) -> tuple[Node, ...]:
    """Two or three entries (the first with every attribute), four nodes at most."""
    entries = []
    for e in range(rng.choice([2, 2, 3])):
        full = e == 0 or rng.random() < 0.6
        entries.append(
            Node(
                name=f"n{e}",
                capacity={"cpu": rng.choice([2, 3, 4, 6]), "mem": rng.choice([2, 4.5, 5, 8])},
                safety={"cpu": rng.choice([0, 1, 2, 3])} if rng.random() < 0.7 else {},
                device=rng.choice(["gpu", "tpu"]) if full else "",
                devices=rng.choice([1, 2, 3]) if full else 0,
                idle_w=rng.choice([0, 30, 100]),
                full_w=rng.choice([100, 160, 250]),
                price_h=rng.choice([0, 1, 3.6]),
                labels={"zone": rng.choice(["z0", "z1"])} if full else {},
                domains={"rack": rng.choice(RACKS)} if full or rng.random() < 0.5 else {},
                count=rng.choice([1, 1, 1, 2]),
            )
        )
    return tuple(entries)


def _quantity(rng: Random, nodes: int, most: Number = 3) -> Quantity:
    number = [0, 1, 1, 2, 2, 1.5, most]
    if rng.random() < 0.6:
        return rng.choice(number)
    if rng.random() < 0.3:
        return tuple(rng.choice(number) for _ in range(nodes))
    if rng.random() < 0.3:
        return "shared"
    by = rng.choice(["zone", "rack", "node", "device"])
    names = {"zone": ["z0", "z1"], "rack": RACKS, "node": ["n0", "n1"], "device": ["gpu", "tpu"]}
    values = {name: rng.choice(number) for name in names[by] if rng.random() < 0.7}
    return Lookup(by=by, values=values, default=rng.choice(number))


def _table(rng: Random, devices: tuple[str, ...]) -> tuple[Configuration, ...]:
    return tuple(
        Configuration(
            name=f"c{c}",
            device=rng.choice(["", "", *devices]),
            replicas=rng.choice([1, 1, 2, 3]),
            throughput=rng.choice([0, 1, 2, 2, 4, 5]),
            watts=rng.choice([0, 50, 75, 120]),
            demand=rng.choice([{}, {}, {"cpu": 2, "mem": 1}, {"mem": 2.5}]),
        )
        for c in range(rng.choice([1, 2, 2, 3]))
    )


def _task(rng: Random, t: int, nodes: tuple[Node, ...]) -> Task:
    """One entry; whatever decides how it may merge is drawn from few values."""
    devices = tuple(sorted({node.device for node in nodes} - {""}))
    table = _table(rng, devices) if rng.random() < 0.45 else ()
    count = rng.choice([1, 1, 1, 2])
    replicas = 1 if table else rng.choice([1, 1, 1, 2, 2, 3])
    sites: dict[str, dict[str, tuple[str, ...]]] = {"allow": {}, "forbid": {}}
    if rng.random() < 0.2:
        label, values = rng.choice(
            [("zone", ("z0",)), ("rack", ("r0",)), ("node", ("n0",)), ("rack", RACKS)]
        )
        sites[rng.choice(["allow", "forbid"])][label] = values
    return Task(
        name=f"t{t}",
        demand={r: _quantity(rng, len(nodes)) for r in ("cpu", "mem") if rng.random() < 0.85},
        cost=_quantity(rng, len(nodes), 5),
        replicas=replicas,
        configurations=table,
        required=rng.random() < 0.6,
        weight=rng.choice([0, 1, 1, 2, 2.5]),
        reference=rng.choice([None, None, 2]),
        work=rng.choice([None, 3600, 9000]) if table else None,
        allow=sites["allow"],
        forbid=sites["forbid"],
        current=_current(rng, nodes, count * replicas, bool(table)),
        move_cost=rng.choice([0, 1, 1, 2.5]),
        groups=tuple(g for g in GROUPS if rng.random() < 0.45)
        if rng.random() < 0.7
        else (GROUPS[t % 3],),
        count=count,
    )


def _crowded_task(rng: Random, nodes: tuple[Node, ...]) -> Task:
    """Tasks that run now and could run in several ways: more replicas meet at home than stay."""
    rows = tuple(
        Configuration(
            name=f"c{c}",
            replicas=rng.choice([1, 1, 2, 3]),
            throughput=c + 1,
            demand=rng.choice([{}, {"cpu": 1}, {"cpu": 0}]),
        )
        for c in range(2)
    )
    home = rng.choice(nodes).name
    currents: list[str | tuple[str, ...]] = [home, (home,), (home,), (home, nodes[0].name)]
    return Task(
        name="t0",
        demand={"cpu": rng.choice([0, 1, 2])},
        configurations=rows,
        required=rng.random() < 0.6,
        allow={"node": (home,)} if rng.random() < 0.4 else {},
        current=rng.choice(currents),
        move_cost=rng.choice([1, 2]),
        groups=tuple(g for g in GROUPS if rng.random() < 0.6),
        count=rng.choice([1, 2, 2]),
    )


def _current(
    rng: Random, nodes: tuple[Node, ...], replicas: int, table: bool
) -> str | tuple[str, ...] | None:
    names = [n.name if n.count == 1 else f"{n.name}/{i}" for n in nodes for i in range(n.count)]
    drawn = rng.random()
    if drawn < 0.35:
        return None
    if drawn < 0.6:
        return rng.choice(names)
    return tuple(rng.choice(names) for _ in range(rng.randint(1, 3) if table else replicas))


def _unit_nodes(rng: Random) -> tuple[Node, ...]:
    """Nodes of which several are identical."""
    base = Node(name="n0", capacity={"cpu": 2}, idle_w=rng.choice([0, 50]), full_w=150)
    entries = []
    for e in range(rng.choice([1, 2, 2])):
        rack = {"domains": {"rack": rng.choice(RACKS)}} if rng.random() < 0.4 else {}
        own: Fields = {
            "capacity": {"cpu": rng.choice([1, 2, 2, 3, 4, 5])},
            "safety": {"cpu": rng.choice([1, 2])},
            "price_h": rng.choice([1, 2]),
        }
        changed = own if rng.random() < 0.6 else {}
        entries.append(replace(base, name=f"n{e}", count=rng.choice([1, 2, 3]), **changed, **rack))
    return tuple(entries)


def _unit_task(rng: Random, t: int, nodes: tuple[Node, ...], demand: int) -> Task:
    table = tuple(
        Configuration(name=f"c{c}", replicas=c + 1, throughput=c + 1, watts=60 * c)
        for c in range(rng.choice([0, 0, 1, 2]))
    )
    allow: Fields = {"rack": ("r0",)} if rng.random() < 0.15 else {}
    costs: list[Quantity] = [0, 0, 1]
    costs.append(Lookup(by="rack", values={"r0": 2}, default=1))
    return Task(
        name=f"t{t}",
        demand={"cpu": demand},
        cost=rng.choice(costs),
        replicas=1 if table else rng.choice([1, 1, 2, 3]),
        configurations=table,
        required=rng.random() < 0.6,
        weight=rng.choice([1, 1, 2]),
        allow=allow,
        groups=tuple(g for g in GROUPS if rng.random() < 0.2),
        count=rng.choice([1, 2, 2, 3]),
    )


def _asked(rng: Random, instance: Instance) -> Instance:
    """The instance with tasks that answer requests, most of them in limited time."""

    def delay() -> Quantity:
        seconds: list[Quantity] = [0, 0, 0.1, 0.25, 1]
        listed = tuple(rng.choice([0, 0.2, 0.5]) for _ in instance.nodes)
        by_rack = Lookup(by="rack", values={"r0": rng.choice([0, 0.5])}, default=0.3)
        return rng.choice([*seconds, listed, by_rack])

    def requests(task: Task, first: bool) -> Fields:
        rate = rng.choice([0.5, 1, 1, 2, 3] if first else [0, 0.5, 1, 2, 3])
        limits = [None, 0.5, 0.5, 1, 1.5, 2, 4] if rate else [None]
        return {"requests_s": rate, "delay_s": delay(), "response_s": rng.choice(limits)}

    tasks = [replace(task, **requests(task, not t)) for t, task in enumerate(instance.tasks)]
    return _restated(instance, tasks=tuple(tasks))


def _remembering(rng: Random, instance: Instance) -> Instance:
    """The same with memory on devices, and needs of it."""
    nodes = tuple(replace(n, memory_gib=rng.choice([None, 8, 16.5])) for n in instance.nodes)
    tasks = []
    for task in instance.tasks:
        rows = tuple(
            replace(row, device_memory_gib=rng.choice([None, 0, 8, 12]))
            for row in instance.rows_of(task)
        )
        gib = rng.choice([0, 0, 8, 16.5])
        tasks.append(replace(task, device_memory_gib=gib, configurations=rows))
    return _restated(instance, nodes=nodes, tasks=tuple(tasks))


def _linked(rng: Random) -> Space:
    """Two or three gangs of few rows on two nodes or three, in whose racks several meet."""
    racks = rng.choice([("r0", "r1"), ("r0", "r1"), ("r0", ""), ("r0", "r0", "r1")])
    nodes = [
        Node(
            name=f"n{k}",
            capacity={"cpu": rng.choice([2, 3, 4, 6]), "mem": 9},
            device="gpu",
            labels={"zone": "z0"},
            domains={"rack": rack} if rack else {},
        )
        for k, rack in enumerate(racks)
    ]
    tasks = [
        Task(
            name=f"t{t}",
            demand={"cpu": 1},
            configurations=[
                Configuration(name=f"c{c}", replicas=rng.choice([2, 2, 3]), throughput=4 - c)
                for c in range(rng.choice([1, 1, 2]))
            ],
            cost=tuple(rng.choice([0, 1, 3]) for _ in nodes),
            required=rng.random() < 0.5,
            groups=(GROUPS[t],),
        )
        for t in range(len(GROUPS))
    ]
    groups = [Group(name=g, kind="service") for g in GROUPS]
    stated: Fields = {"resources": {"cpu": Resource(), "mem": Resource()}, "groups": groups}
    spaces = [space_of(Instance(**stated, nodes=nodes, tasks=tasks[:n])) for n in (1, 2, 3)]
    return max((s for s in spaces if s.size <= 2 * MOST_PLACEMENTS), key=lambda s: s.size)


def _sending(rng: Random, instance: Instance, ways: int) -> Instance:
    """The instance with gangs that send something over uplinks."""

    def sends(row: Configuration) -> Configuration:
        traffic, sharing = rng.choice([0, 1, 1, 2, 1.25]), rng.choice([0, 1, 1, 2, 2, 3])
        return replace(row, traffic=traffic, sharing=sharing)

    def sender(task: Task) -> Task:
        assert not isinstance(task.configurations, str)
        rows = task.configurations
        if not rows and task.current is None:
            # In ways that differ for the uplinks alone.
            plain = Configuration(replicas=task.replicas)
            rows = tuple(
                replace(plain, name=f"c{c}", throughput=rng.choice([1, 2, 3])) for c in range(ways)
            )
        replicas = 1 if rows else task.replicas
        return replace(task, replicas=replicas, configurations=tuple(sends(row) for row in rows))

    return _restated(instance, tasks=tuple(sender(task) for task in instance.tasks))


# -- instances ---------------------------------------------------------------------------------


def _shaped(rng: Random, task: Task) -> Task:
    """The task, mostly as a gang that stays within a domain or has a shape."""

    def shape(replicas: int) -> Fields:
        within = rng.choice(["", "rack", "rack", "node"])
        shares = [k for k in (1, 2, 3) if replicas % k == 0]
        return {"within": within, "per_node": rng.choice([0, 0, *shares])}

    if rng.random() < 0.2:
        return task
    if not task.configurations:
        replicas = rng.choice([task.replicas, 2, 3])
        if isinstance(task.current, tuple):
            replicas = task.replicas
        return replace(task, replicas=replicas, **shape(replicas))
    assert not isinstance(task.configurations, str)
    rows = tuple(
        replace(row, **shape(row.replicas)) if rng.random() < 0.7 else row
        for row in task.configurations
    )
    return replace(task, configurations=rows, within=rng.choice(["", "", "rack"]))


def _grown(
    rng: Random, unit: bool, crowded: bool, shaped: bool = False, single: bool = False
) -> Space:
    """An instance without policies whose placements are few enough to be enumerated."""
    nodes = _unit_nodes(rng) if unit else _nodes(rng)
    if crowded:
        room = {"cpu": rng.choice([4, 6]), "mem": 8}
        nodes = tuple(replace(node, count=1, capacity=room) for node in nodes[:2])
    demand = rng.choice([1, 2])
    nowhere = rng.random() < 0.04
    often = 0.05 if unit else 0.15 if crowded else 0.4
    resources = {"cpu": Resource(transient=rng.random() < often)}
    if not unit or rng.random() < 0.3:
        resources["mem"] = Resource(transient=rng.random() < often * 0.8)
        if unit:  # Nobody demands it.
            nodes = tuple(replace(n, capacity={**n.capacity, "mem": 9}) for n in nodes)
    stated: Fields = {
        "resources": resources,
        "tables": {"shared": Lookup(by="rack", values={"r0": 1}, default=2)},
        "nodes": nodes,
        "groups": tuple(Group(name=g, kind="team" if g == "g2" else "service") for g in GROUPS),
        "energy": Energy(
            horizon_s=rng.choice([3600, 7200]),
            price_kwh=rng.choice([0, 0.25]),
            pue=rng.choice([1, 1.5]),
            share=rng.choice(["", "cpu"]),
        ),
    }
    if not any("rack" in node.domains for node in nodes):
        stated["nodes"] = (replace(nodes[0], domains={"rack": "r0"}), *nodes[1:])
    if unit or rng.random() < 0.5:
        del stated["tables"]
    tasks = (_crowded_task(rng, nodes),) if crowded else ()
    grown = space_of(Instance(**stated, tasks=tasks))
    wanted, tries = rng.choice([2, 2, 3, 3, 4, 5]), 0
    while len(grown.options) < wanted and tries < 20:
        tries += 1
        t = len(grown.options)
        twin = grown.instance.tasks[-1] if t and rng.random() < 0.15 else None
        task = (
            replace(twin, name=f"t{t}")
            if twin
            else (_unit_task(rng, t, nodes, demand) if unit else _task(rng, t, nodes))
        )
        if shaped:
            task = _shaped(rng, task)
        if single:
            task = replace(task, count=1)
        if nowhere:
            task = replace(task, required=False, allow={"node": ("n0",)}, forbid={"node": ("n0",)})
        if "tables" not in stated:
            task = _without_shared(task)
        with suppress(InstanceError):  # it names a label that no node has
            more = space_of(Instance(**stated, tasks=(*grown.instance.tasks, task)))
            if 0 < more.size <= MOST_PLACEMENTS:
                grown = more
    return grown


def _without_shared(task: Task) -> Task:
    demand = {r: 1 if q == "shared" else q for r, q in task.demand.items()}
    return replace(task, demand=demand, cost=1 if task.cost == "shared" else task.cost)


def _policy(rng: Random, policy_class: type[Policy], t: int) -> Policy:
    """A policy with fields, soft or in a role that `_roles` decides."""
    fields = _drawers[policy_class](rng)
    name: Fields = {"name": f"p{t}"} if rng.random() < 0.5 else {}
    return policy_class(**fields, **name)


def fitting(policy: Policy, instance: Instance) -> Policy:
    """The policy without references to what an instance does not have."""
    known = set(instance.columns.resources)
    if isinstance(policy, p.PowerCap) and isinstance(policy.watts, dict):
        racks = {node.domains.get("rack") for node in instance.nodes}
        caps = {rack: watts for rack, watts in policy.watts.items() if rack in racks}
        return replace(policy, watts=caps)
    if isinstance(policy, p.UplinkLoad) and isinstance(policy.capacity, dict):
        racks = {node.domains.get("rack") for node in instance.nodes}
        caps = {rack: most for rack, most in policy.capacity.items() if rack in racks}
        return replace(policy, capacity=caps)
    if isinstance(policy, p.PairMoveCost):
        values = instance.columns.attribute(policy.by).values
        costs = {
            source: {target: cost for target, cost in row.items() if target in values}
            for source, row in policy.costs.items()
            if source in values
        }
        by = policy.by if values else "node"
        return replace(policy, costs=costs, by=by)
    if isinstance(policy, p.Capacity | p.TransientCapacity):
        return replace(policy, resources=tuple(r for r in policy.resources if r in known))
    return policy


def _roles(rng: Random, policy: Policy, value: int, instance: Instance, unit: bool) -> Policy:
    """Make a policy hard, soft or limited, mostly so that a placement of this value passes.

    Where nodes are to be merged, little must ask for more nodes in use than needed.
    """
    if isinstance(policy, p.Labels | p.Gangs):
        return policy
    if policy.is_rule:
        hard = rng.random() < (0.55 if value == 0 else 0.1)
        return policy if hard else replace(policy, weight=rng.choice([1, 2, 1.5, 0.25]))
    quantum = policy.quantum(instance.columns)
    fields: Fields = {}
    if rng.random() < 0.5:
        fields["weight"] = rng.choice([0, 1, 1, 2, 1.5, 3])
    slack = rng.choice([0, 0, 0, 0.3, 1, 2, -0.3, -1])
    limit = rng.random()
    if limit < 0.35:
        fields["at_most"] = float((value + rng.choice([0, 1]) * 2) * quantum) + slack
    elif limit < (0.4 if unit and policy.sense == "min" else 0.7):
        fields["at_least"] = float(value * quantum) - slack
    return replace(policy, **fields)


def _objective(rng: Random, policies: list[Policy], focus: int) -> str:
    """Some levels; a goal in focus is mostly one of them."""
    names = [policy.name or policy.type for policy in policies]
    goals = [
        name
        for name, policy in zip(names, policies, strict=True)
        if not policy.is_rule and names.count(name) == 1
    ]
    levels = ["penalty"]
    levels += [rng.choice(goals) for _ in range(rng.choice([0, 1, 1, 2])) if goals]
    if names[focus] in goals and rng.random() < 0.6:
        levels.append(names[focus])
    if rng.random() < 0.15:
        levels.append(rng.choice(["nodes", "admitted", "power", "throughput", "moves"]))
    rng.shuffle(levels)
    return " > ".join(dict.fromkeys(levels))


@cache
def instances_with(policy_class: type[Policy], seed: int) -> Instance:
    """An instance in which the class is at work: in a level, as a rule, soft or as a limit."""
    rng = Random(f"{policy_class.__name__} {seed}")
    unit = policy_class.merges_nodes and rng.random() < 0.3
    crowded = policy_class in ARRIVALS and rng.random() < 0.3
    single = policy_class in SINGLE
    shaped = policy_class is p.Gangs or (single and rng.random() < 0.3)
    few = policy_class in UPLINKS and rng.random() < 0.5
    space = _linked(rng) if few else _grown(rng, unit, crowded, shaped, single)
    if policy_class is p.Labels and rng.random() < 0.5:
        small = space_of(_remembering(rng, space.instance))
        space = small if all(small.options) else space
    if policy_class in APART:
        space = space_of(_asked(rng, space.instance))
    if policy_class in UPLINKS:
        space = space_of(
            _sending(rng, space.instance, 2 if space.size < MOST_PLACEMENTS / 4 else 1)
        )
    # Gangs have instances of their own.
    own = (policy_class, p.Gangs, *SINGLE, *APART)
    others = [c for c in policy_classes().values() if c not in own]
    if unit:
        others = [c for c in others if c.merges_nodes or rng.random() < 0.02]
    needs_mem = {p.Balance, p.PeakLoad, p.SafetyCapacity}
    if "mem" not in space.instance.resources:
        others = [c for c in others if c not in needs_mem]
    classes = [policy_class, *rng.sample(others, min(len(others), rng.choice([3, 4, 5, 6, 7])))]
    if policy_class in APART:
        classes = [policy_class, *(c for c in APART if c is not policy_class), *classes[1:4]]
    if policy_class in UPLINKS:
        classes = [policy_class, *(c for c in UPLINKS if c is not policy_class), *classes[1:5]]
    focus = _policy(rng, policy_class, 0)
    policies = [focus] + [_policy(rng, c, i) for i, c in enumerate(classes) if i]
    if rng.random() < 0.15 and policy_class not in (
        p.Capacity,
        p.Gangs,
        p.Labels,
        p.TransientCapacity,
    ):
        policies.append(replace(_policy(rng, policy_class, 9), name="again"))
    policies = [fitting(policy, space.instance) for policy in policies]
    return _stated(rng, space, policies, unit)


def _stated(rng: Random, space: Space, policies: list[Policy], unit: bool) -> Instance:
    soft = [replace(q, weight=1) if _softens(q) else q for q in policies]
    draft = _restated(space.instance, policies=tuple(soft))
    values = _attained(rng, draft)[-len(policies) :]
    order = list(range(len(policies)))
    rng.shuffle(order)
    drawn = [_roles(rng, policies[i], values[i], draft, unit) for i in order]
    drawn += _unstated(rng, drawn, unit)
    text = _objective(rng, drawn, order.index(0))
    return _restated(draft, policies=tuple(drawn), objective=text)


def _attained(rng: Random, instance: Instance) -> tuple[int, ...]:
    """Values of the policies at a placement within capacity, if there is one among a few."""
    space, objective = space_of(instance), read_objective(instance, "penalty")
    for _ in range(6):
        report = verify(instance, space.sample(rng), objective)
        if report.feasible:
            break
    return report.values


def _softens(policy: Policy) -> bool:
    return policy.is_rule and not isinstance(policy, p.Labels | p.Gangs)


def _unstated(rng: Random, policies: list[Policy], unit: bool) -> list[Policy]:
    """Mostly leave capacity to its default, sometimes make it soft."""
    stated = {type(policy) for policy in policies}
    if p.Capacity not in stated and rng.random() < (0.05 if unit else 0.25):
        return [p.Capacity(weight=rng.choice([1, 3]))]
    return []


def _restated(instance: Instance, **changes: Any) -> Instance:
    fields = {name: getattr(instance, name) for name in Instance.__struct_fields__}
    return Instance(**(fields | changes))


def shuffled(instance: Instance, rng: Random) -> Instance:
    """The same instance with nodes, tasks, groups and rows stated in another order."""
    nodes = list(range(len(instance.nodes)))
    rng.shuffle(nodes)

    def listed(quantity: Quantity) -> Quantity:
        return tuple(quantity[i] for i in nodes) if isinstance(quantity, tuple) else quantity

    tasks = [
        replace(
            task,
            demand={name: listed(quantity) for name, quantity in task.demand.items()},
            cost=listed(task.cost),
            delay_s=listed(task.delay_s),
            # The rows of a task that runs now have an order: the first says what it demands.
            configurations=task.configurations
            if task.current
            else _mixed(rng, task.configurations),
        )
        for task in instance.tasks
    ]
    return _restated(
        instance,
        nodes=tuple(instance.nodes[i] for i in nodes),
        tasks=_mixed(rng, tuple(tasks)),
        groups=_mixed(rng, instance.groups),
    )


def _mixed(rng: Random, items: tuple[T, ...] | Any) -> Any:
    return tuple(rng.sample(items, len(items))) if isinstance(items, tuple) else items
