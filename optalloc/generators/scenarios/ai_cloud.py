"""An AI cloud: priced nodes in zones, services that run now, optional jobs of many tenants.

Nodes are cloud instance types with their hourly price, in three zones and cells of up to 16. A
quarter of the tasks are services of 2-5 replicas, on distinct nodes and in two zones; the rest are
jobs on one node, optional with a weight near what they would pay per hour. Half of the services
and a third of the jobs run already; moving them costs, and at most a tenth may move. Memory stays
occupied on the old node while a replica moves. A tenant may run a limited number of replicas.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.moves import GroupMoveCost, Moves, TaskMoveCost
from optalloc.formulation.goals.safety_capacity import SafetyCapacity
from optalloc.formulation.goals.spread import Spread
from optalloc.generators import hardware
from optalloc.generators.hardware import Device, Server
from optalloc.generators.stock import IntArray, Stock, divide
from optalloc.instance.model import (
    DEVICE,
    Configuration,
    Energy,
    Group,
    Instance,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy

SUMMARY = "tenants' services and optional jobs on priced nodes: admitted weight before cost"

FLEET = {
    hardware.M7I: 0.35,
    hardware.G4DN: 0.15,
    hardware.G6: 0.15,
    hardware.P5: 0.13,
    hardware.G6E: 0.12,
    hardware.P4DE: 0.10,
}
ZONES = ("zone-a", "zone-b", "zone-c")
CELL = 16
SAFETY = 0.8
"""Part of a node's cores above which load is penalised."""
PLANNED = 0.7
"""Part of the capacity that what is required or running may fill."""
MODEL = "language-model-8b"
WEIGHTS_BYTES = 16e9
"""Weights of a language model of 8 billion parameters in bf16."""


def _serving(device: Device, devices: int) -> Configuration:
    """A replica on some devices of one node; tokens/s at most bandwidth over bytes of weights."""
    return Configuration(
        name=f"{devices} {device.name}",
        device=device.name,
        throughput=round(devices * device.memory_bandwidth / WEIGHTS_BYTES, 1),
        demand={DEVICE: devices},
    )


SERVING = (_serving(hardware.L40S, 1), _serving(hardware.L4, 2), _serving(hardware.T4, 4))
PRICE = {"h100": 12.29, "a100": 5.12, "l40s": 3.77, "l4": 1.67, "t4": 0.98}
"""Price of a device-hour: that of the server over its devices."""


@dataclass
class _Cloud:
    """An instance in the making."""

    random: np.random.Generator
    servers: list[Server]
    stock: Stock
    nodes: list[Node] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    zone: list[int] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    services: list[Group] = field(default_factory=list)
    spread: dict[str, int] = field(default_factory=dict)
    required: Counter[str] = field(default_factory=Counter)
    running: int = 0
    pools: dict[tuple[str, int | None], IntArray] = field(default_factory=dict)

    @cached_property
    def serving(self) -> tuple[Configuration, ...]:
        """Ways to serve the language model on the nodes that there are."""
        return tuple(row for row in SERVING if self.pool(row.device).size)

    def pool(self, device: str, zone: int | None = None) -> IntArray:
        """The nodes with a device ("" for none), in one zone or all."""
        if (device, zone) not in self.pools:
            nodes = self.stock.by_device.get(device, np.zeros(0, np.int64))
            inside = np.array(self.zone)[nodes] == zone
            self.pools[device, zone] = nodes if zone is None else nodes[inside]
        return self.pools[device, zone]


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance of the scenario."""
    servers = divide(nodes, FLEET)
    cloud = _Cloud(random, servers, Stock(random, servers, PLANNED))
    _add_nodes(cloud)
    tenants = [f"tenant-{i}" for i in range(max(1, min(50, tasks // 8)))]
    for i in range(tasks):
        tenant = str(random.choice(tenants))
        if random.random() < 0.25:
            _add_service(cloud, i, tenant)
        else:
            _add_job(cloud, i, tenant)
    tenant_groups = tuple(Group(name=tenant, kind="tenant") for tenant in tenants)
    return Instance(
        name=f"ai-cloud-{nodes}x{tasks}",
        description=SUMMARY,
        resources={
            "cores": Resource(unit="vCPU"),
            "memory": Resource(unit="GiB", transient=True),
        },
        nodes=tuple(cloud.nodes),
        tasks=tuple(cloud.tasks),
        groups=tenant_groups + tuple(cloud.services),
        configurations={MODEL: cloud.serving} if cloud.serving else {},
        energy=Energy(horizon_s=3600),
        policies=_policies(cloud, tasks, len(tenants)),
        objective="admitted > cost > penalty",
    )


def _add_nodes(cloud: _Cloud) -> None:
    """State the nodes: kind by kind, in cells that take turns over the zones."""
    first, cells = 0, 0
    for server, total in Counter(cloud.servers).items():
        for offset in range(0, total, CELL):
            # Small fleets are split over the zones too, so that services can spread.
            left = min(CELL, total - offset)
            sizes = [left] if total > CELL else _thirds(left)
            for size in sizes:
                zone = cells % len(ZONES)
                name = f"{server.name}-{cells}"
                domains = {"region": "region", "zone": ZONES[zone], "cell": f"cell-{cells}"}
                kind = {"family": server.name.split(".")[0]}
                safety = {"cores": SAFETY * server.cores}
                cloud.nodes.append(server.node(name, size, domains, kind, safety))
                cloud.names += [name] if size == 1 else [f"{name}/{k}" for k in range(size)]
                cloud.zone += [zone] * size
                first, cells = first + size, cells + 1


def _thirds(total: int) -> list[int]:
    parts = [len(range(i, total, len(ZONES))) for i in range(len(ZONES))]
    return [part for part in parts if part]


def _add_service(cloud: _Cloud, number: int, tenant: str) -> None:
    """Add a service of some replicas on distinct nodes; required where it fits the plan."""
    random = cloud.random
    name = f"service-{number}"
    replicas = int(random.integers(2, 6))
    device = str(random.choice(["", "l4", "t4"], p=[0.6, 0.2, 0.2]))
    cores = int(random.choice([2, 4, 8, 16]))
    demand = {"cores": cores, "memory": 4 * cores} | ({DEVICE: 1} if device else {})
    zones = [int(z) for z in random.permutation(len(ZONES))]
    present = [z for z in zones if cloud.pool(device, z).size]
    turns = [present[k % len(present)] for k in range(replicas)] if present else []
    pools = [cloud.pool(device, zone) for zone in turns]
    taken = cloud.stock.take_all(pools, demand, apart=True) if pools else None
    runs = taken is not None and bool(random.random() < 0.5)
    if taken is not None:
        cloud.required[tenant] += replicas
        cloud.running += replicas if runs else 0
    cloud.services.append(Group(name=name, kind="service"))
    cloud.spread[name] = min(2, len(present)) if taken is not None else 2
    cloud.tasks.append(
        Task(
            name=name,
            demand=dict(demand),
            replicas=replicas,
            required=taken is not None,
            weight=round(replicas * (0.05 * cores + PRICE.get(device, 0)), 2),
            allow={"device": (device,)} if device else {},
            current=tuple(cloud.names[n] for n in taken) if taken and runs else None,
            move_cost=int(random.choice([1, 2, 5])),
            groups=(tenant, name),
        )
    )


def _add_job(cloud: _Cloud, number: int, tenant: str) -> None:
    """Add an optional job of one node: training, language-model serving or CPU work."""
    random = cloud.random
    kind = str(random.choice(["training", "serving", "cpu"], p=[0.4, 0.2, 0.4]))
    if kind == "serving" and cloud.serving:
        premium = round(PRICE["l40s"] * float(random.uniform(0.8, 2.0)), 2)
        cloud.tasks.append(
            Task(
                name=f"serving-{number}",
                demand={"cores": 4, "memory": 16},
                configurations=MODEL,
                required=False,
                weight=premium,
                groups=(tenant,),
            )
        )
        return
    if kind != "cpu":
        device = str(random.choice(["h100", "a100", "l40s"]))
        devices = int(random.choice([1, 2, 4, 8], p=[0.4, 0.2, 0.2, 0.2]))
        demand = {"cores": 8 * devices, "memory": 96 * devices, DEVICE: devices}
        price = devices * PRICE[device]
    else:
        device, cores = "", int(random.choice([2, 4, 8, 16, 32]))
        demand = {"cores": cores, "memory": int(cores * random.choice([2, 4]))}
        price = 0.05 * cores
    at = cloud.stock.take(cloud.pool(device), demand) if random.random() < 0.33 else None
    cloud.running += at is not None
    cloud.tasks.append(
        Task(
            name=f"{'job' if kind == 'cpu' else 'training'}-{number}",
            demand=dict(demand),
            required=False,
            weight=round(price * float(random.uniform(0.6, 2.0)), 2),
            allow={"device": (device,)} if device else {},
            current=None if at is None else cloud.names[at],
            move_cost=1,
            groups=(tenant,),
        )
    )


def _policies(cloud: _Cloud, tasks: int, tenants: int) -> tuple[Policy, ...]:
    quota = max(2 * tasks // tenants, max(cloud.required.values(), default=0), 4)
    policies: list[Policy] = [
        AntiAffinity(name="tenant-quota", kind="tenant", scope="region", limit=quota),
        Moves(name="move-budget", at_most=max(1, cloud.running // 10)),
        TaskMoveCost(weight=1),
        SafetyCapacity(resource="cores", weight=0.1),
    ]
    if cloud.services:
        policies.append(AntiAffinity(kind="service", scope="node", limit=1))
        policies.append(Spread(kind="service", scope="zone", domains=cloud.spread))
        policies.append(GroupMoveCost(kind="service", weight=5))
    return tuple(policies)
