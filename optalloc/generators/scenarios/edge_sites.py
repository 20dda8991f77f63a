"""Edge sites along a motorway: CPUs, small GPUs, TPUs and FPGAs serve images near the cameras.

Every site has a CPU server; accelerators (Jetson AGX Orin, T4, Edge TPU, Alveo U50, VCK5000) are
dealt out at random. An application has a database on several sites and front ends that only run
where the database is. Inference services take one of several device types (configuration table)
and cost the round-trip time between their cameras' site and the site that serves them: 1 ms plus
0.02 ms/km (light in fibre needs 0.01 ms/km both ways; routes are twice the distance). Some images
may not leave their country.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.assignment_cost import AssignmentCost
from optalloc.formulation.goals.dependency import Dependency
from optalloc.formulation.goals.spread import Spread
from optalloc.generators import hardware, workloads
from optalloc.generators.hardware import Device, Server
from optalloc.generators.stock import IntArray, Stock
from optalloc.instance.model import (
    DEVICE,
    Configuration,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy

SUMMARY = "services at sites with CPUs, small GPUs, TPUs and FPGAs: admitted, latency, energy"

ACCELERATED = {
    hardware.JETSON: 0.4,
    hardware.CORAL_BOARD: 0.2,
    hardware.T4_SERVER: 0.2,
    hardware.U50_SERVER: 0.1,
    hardware.VCK5000_SERVER: 0.1,
}
NODES_PER_SITE = 4
SITES_PER_COUNTRY = 10
NEAR = 3
"""Sites in each direction whose latency is stated one by one; all others count as far."""
MS_PER_KM = 0.02
PLANNED = 0.6
"""Part of the capacity that required tasks may fill."""


@dataclass
class _Edge:
    """An instance in the making."""

    random: np.random.Generator
    servers: list[Server]
    site: IntArray
    stock: Stock
    latency: list[dict[str, float]]
    nodes: list[Node] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    spread: dict[str, int] = field(default_factory=dict)
    tables: dict[str, Lookup] = field(default_factory=dict)

    @cached_property
    def boards(self) -> tuple[str, ...]:
        """Device types of the boards, too small for a database."""
        boards = {hardware.CORAL_BOARD, hardware.JETSON} & set(self.servers)
        return tuple(sorted(board.device.name for board in boards if board.device))

    @property
    def sites(self) -> int:
        """Number of sites."""
        return len(self.latency)

    def cost(self, home: int) -> str:
        """Name of the table of latencies to a site, in ms."""
        name = f"to-{_site(home)}"
        if name not in self.tables:
            values = self.latency[home]
            self.tables[name] = Lookup(by="site", values=values, default=2 * max(values.values()))
        return name

    def pool(self, device: str, site: int) -> IntArray:
        """Nodes of a site with a device ("" for none)."""
        first, last = np.searchsorted(self.site, [site, site + 1])
        kinds = [(s.device.name if s.device else "") for s in self.servers[first:last]]
        return np.flatnonzero(np.array(kinds) == device).astype(np.int64) + int(first)


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance of the scenario."""
    edge = _start(random, nodes)
    known = {s.device.name: s.device for s in edge.servers if s.device}
    while len(edge.tasks) < tasks:
        if not known or (random.random() < 0.35 and tasks - len(edge.tasks) >= 2):
            _add_application(edge, tasks - len(edge.tasks))
        else:
            _add_inference(edge, list(known.values()))
    return Instance(
        name=f"edge-sites-{nodes}x{tasks}",
        description=SUMMARY,
        resources={"cores": Resource(), "memory": Resource(unit="GiB")},
        nodes=tuple(edge.nodes),
        tasks=tuple(edge.tasks),
        groups=tuple(edge.groups),
        tables=edge.tables,
        energy=Energy(horizon_s=3600, price_kwh=0.25, share="cores"),
        policies=_policies(edge),
        objective="admitted > latency > energy",
    )


def _site(number: int) -> str:
    return f"site-{number}"


def _start(random: np.random.Generator, nodes: int) -> _Edge:
    """Lay out the sites and deal out the nodes."""
    sites = max(1, round(nodes / NODES_PER_SITE))
    site = np.arange(nodes) * sites // nodes
    kinds = list(ACCELERATED)
    drawn = random.choice(len(kinds), size=nodes, p=list(ACCELERATED.values()))
    opens = np.concatenate([[True], site[1:] != site[:-1]])
    servers = [hardware.R640 if opens[i] else kinds[int(drawn[i])] for i in range(nodes)]
    order = sorted(range(nodes), key=lambda i: (site[i], not opens[i], servers[i].name))
    servers = [servers[i] for i in order]
    km = np.cumsum(random.uniform(5, 40, size=sites))
    latency = [
        {
            _site(j): round(1 + MS_PER_KM * abs(float(km[j] - km[i])), 2)
            for j in range(max(0, i - NEAR), min(sites, i + NEAR + 1))
        }
        for i in range(sites)
    ]
    edge = _Edge(random, servers, site, Stock(random, servers, PLANNED), latency)
    _add_nodes(edge)
    return edge


def _add_nodes(edge: _Edge) -> None:
    """State the nodes: equal ones of a site together."""
    first = 0
    while first < len(edge.servers):
        last = first
        key = (edge.servers[first].name, edge.site[first])
        while last < len(edge.servers) and (edge.servers[last].name, edge.site[last]) == key:
            last += 1
        number = int(edge.site[first])
        domains = {"site": _site(number), "country": _country(number)}
        name = f"{edge.servers[first].name}-{number}"
        edge.nodes.append(edge.servers[first].node(name, last - first, domains, {}))
        first = last


def _country(site: int) -> str:
    return f"country-{site // SITES_PER_COUNTRY}"


def _add_application(edge: _Edge, most: int) -> None:
    """Add a database on up to 3 sites, and 1-3 front ends that need it on their site."""
    random = edge.random
    home = int(random.integers(edge.sites))
    number = len(edge.tasks)
    last = min(edge.sites, home + NEAR)
    near = [int(s) for s in random.permutation(np.arange(max(0, home - NEAR), last))]
    hosts = near[: min(int(random.integers(1, 4)), len(near))]
    database = f"database-{number}"
    demand = {"cores": 4, "memory": 16}
    placed = edge.stock.take_all([edge.pool("", s) for s in hosts], demand, apart=True)
    edge.groups.append(Group(name=database, kind="database"))
    edge.spread[database] = len(hosts)
    edge.tasks.append(
        Task(
            name=database,
            demand=dict(demand),
            replicas=len(hosts),
            required=placed is not None,
            weight=10,
            cost=edge.cost(home),
            forbid={"device": edge.boards},
            groups=(database,),
        )
    )
    for k in range(min(int(random.integers(1, 4)), most - 1)):
        front = f"front-{number}-{k}"
        need = {"cores": int(random.choice([2, 4, 8])), "memory": int(random.choice([4, 8]))}
        replicas = int(random.integers(1, len(hosts) + 1))
        pools = [edge.pool("", s) for s in hosts[:replicas]]
        fits = placed is not None and edge.stock.take_all(pools, need, apart=True) is not None
        edge.groups.append(Group(name=front, kind="front"))
        edge.pairs.append((front, database))
        edge.tasks.append(
            Task(
                name=front,
                demand=dict(need),
                replicas=replicas,
                required=fits,
                weight=3,
                cost=edge.cost(home),
                groups=(front,),
            )
        )


def _add_inference(edge: _Edge, devices: list[Device]) -> None:
    """Add a service that classifies a stream of images from the cameras of one site."""
    random = edge.random
    home = int(random.integers(edge.sites))
    table: tuple[Configuration, ...] = ()
    while not table:
        model = workloads.INFERENCE[str(random.choice(list(workloads.INFERENCE)))]
        rate = workloads.rounded(float(random.uniform(25, 800)), 3)
        table = workloads.inference_table(model, devices, rate)
    demand: dict[str, float] = {"cores": 1, "memory": 1}
    required = bool(random.random() < 0.4) and _plan_inference(edge, table, demand, home)
    edge.tasks.append(
        Task(
            name=f"{model.name}-{len(edge.tasks)}",
            demand=dict(demand),
            configurations=table,
            required=required,
            weight=int(random.choice([1, 2, 5], p=[0.5, 0.3, 0.2])),
            cost=edge.cost(home),
            allow={"country": (_country(home),)} if random.random() < 0.5 else {},
        )
    )


def _plan_inference(
    edge: _Edge, table: tuple[Configuration, ...], demand: dict[str, float], home: int
) -> bool:
    """Whether some row of the table fits the plan at its own site."""
    for row in table:
        pools = [edge.pool(row.device, home)] * row.replicas
        if edge.stock.take_all(pools, {**demand, DEVICE: 1}, apart=False) is not None:
            return True
    return False


def _policies(edge: _Edge) -> tuple[Policy, ...]:
    policies: list[Policy] = [AssignmentCost(name="latency")]
    if edge.spread:
        policies.append(AntiAffinity(kind="database", scope="site", limit=1))
        policies.append(Spread(kind="database", scope="site", domains=edge.spread))
    if edge.pairs:
        policies.append(Dependency(scope="site", pairs=tuple(edge.pairs)))
    return tuple(policies)
