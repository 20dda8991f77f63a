"""An HPC centre: GPU generations of several years, racks, elastic training gangs, a power cap.

Nodes are DGX servers from V100 to B200, MI300X servers and CPU nodes, in racks of 4 (GPU) or 16
(CPU) and rows of 8 racks. Tasks are training gangs whose configuration tables come from
measurements (`generators.workloads`), CPU jobs for pre- and post-processing, and pairs of central
services that must not share a rack. The power cap is 70 % of the full power of all nodes, or what
the required tasks need if that is more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.draw import Power
from optalloc.formulation.goals.spread import Spread
from optalloc.generators import hardware, workloads
from optalloc.generators.hardware import Device, Server
from optalloc.generators.stock import IntArray, Stock, divide
from optalloc.instance.model import (
    Configuration,
    Energy,
    Group,
    Instance,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy

SUMMARY = "training gangs on mixed GPU generations under a power cap: throughput before energy"

FLEET = {
    hardware.DGX_H100: 0.25,
    hardware.DGX_A100: 0.20,
    hardware.R940: 0.20,
    hardware.DGX_H200: 0.12,
    hardware.DGX1: 0.10,
    hardware.DGX_B200: 0.08,
    hardware.MI300X_8: 0.05,
}
GPU_RACK, CPU_RACK, ROW = 4, 16, 8
"""Nodes in a rack, and racks in a row."""
SIZES = {"small": (1, 2, 4), "medium": (4, 8, 16), "large": (16, 32, 64)}
REPLICA = {"cores": 4, "memory": 32}
"""Host resources of each training replica: data loading on 4 cores, 32 GiB of buffers."""
PLANNED = 0.5
"""Part of the capacity that required tasks may fill."""
CAP = 0.7
"""Power cap as a part of the full power of all nodes."""


@dataclass
class _Centre:
    """An instance in the making."""

    random: np.random.Generator
    servers: list[Server]
    stock: Stock
    nodes: list[Node] = field(default_factory=list)
    rack: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    tables: dict[str, tuple[Configuration, ...]] = field(default_factory=dict)
    planned_w: float = 0.0
    stated: int = 0

    @property
    def cpu_nodes(self) -> IntArray:
        """The nodes without devices."""
        return self.stock.by_device.get("", np.zeros(0, np.int64))

    @property
    def devices(self) -> dict[str, int]:
        """Number of devices of each type."""
        counts: dict[str, int] = {}
        for server in self.servers:
            if server.device:
                counts[server.device.name] = counts.get(server.device.name, 0) + server.devices
        return counts


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance of the scenario."""
    servers = divide(nodes, FLEET)
    centre = _Centre(random, servers, Stock(random, servers, PLANNED))
    _add_nodes(centre)
    budget = {name: int(PLANNED * count) for name, count in centre.devices.items()}
    _add_services(centre, tasks)
    while centre.stated < tasks:
        if centre.cpu_nodes.size and random.random() < 0.25:
            _add_cpu_job(centre)
        else:
            _add_gang(centre, budget, tasks - centre.stated)
    return Instance(
        name=f"hpc-centre-{nodes}x{tasks}",
        description=SUMMARY,
        resources={"cores": Resource(), "memory": Resource(unit="GiB")},
        nodes=tuple(centre.nodes),
        tasks=tuple(centre.tasks),
        groups=tuple(centre.groups),
        configurations=centre.tables,
        energy=Energy(horizon_s=3600, price_kwh=0.12, pue=1.2, share="cores"),
        policies=_policies(centre),
        objective="throughput > admitted > energy",
    )


def _add_nodes(centre: _Centre) -> None:
    """State the nodes: kind by kind, rack by rack."""
    racks = 0
    for server, total in Counter(centre.servers).items():
        size = GPU_RACK if server.device else CPU_RACK
        partition = "gpu" if server.device else "cpu"
        for offset in range(0, total, size):
            count = min(size, total - offset)
            rack = f"rack-{racks}"
            domains = {"rack": rack, "row": f"row-{racks // ROW}"}
            name = f"{server.name}-{racks}"
            centre.nodes.append(server.node(name, count, domains, {"partition": partition}))
            centre.rack += [rack] * count
            racks += 1


def _add_services(centre: _Centre, tasks: int) -> None:
    """Add pairs of central services (schedulers, licence and metadata servers) in two racks."""
    among = centre.cpu_nodes
    racks = {centre.rack[int(node)] for node in among}
    if len(racks) < 2:
        return
    for i in range(min(len(racks) // 2, max(tasks // 20, 1), 50)):
        name = f"service-{i}"
        demand = {"cores": 8.0, "memory": 64.0}
        first = centre.stock.take(among, demand)
        if first is None or tasks - centre.stated < 1:
            return
        elsewhere = [n for n in among if centre.rack[int(n)] != centre.rack[first]]
        if centre.stock.take(np.array(elsewhere, np.int64), demand) is None:
            return
        centre.groups.append(Group(name=name, kind="service"))
        centre.tasks.append(
            Task(
                name=name,
                demand={"cores": 8, "memory": 64},
                replicas=2,
                allow={"partition": ("cpu",)},
                groups=(name,),
            )
        )
        centre.planned_w += 16 * _watts_per_core()
        centre.stated += 1


def _watts_per_core() -> float:
    """Active watts of a core of a CPU node."""
    server = hardware.R940
    return (server.full_w - server.idle_w) / server.cores


def _add_cpu_job(centre: _Centre) -> None:
    """Add a CPU job; required where it fits the plan, else optional."""
    cores = int(centre.random.choice([4, 8, 16, 32]))
    memory = cores * int(centre.random.choice([2, 4, 6]))
    required = centre.stock.take(centre.cpu_nodes, {"cores": cores, "memory": memory}) is not None
    if required:
        centre.planned_w += cores * _watts_per_core()
    centre.tasks.append(
        Task(
            name=f"cpu-{centre.stated}",
            demand={"cores": cores, "memory": memory},
            required=required,
            allow={"partition": ("cpu",)},
        )
    )
    centre.stated += 1


def _add_gang(centre: _Centre, budget: dict[str, int], most: int) -> None:
    """Add a training gang, or a sweep of up to 8 identical ones."""
    random = centre.random
    job = workloads.TRAINING[str(random.choice(list(workloads.TRAINING)))]
    size = str(random.choice(list(SIZES), p=[0.6, 0.3, 0.1]))
    table = _table(centre, job, size)
    count = min(int(random.integers(2, 9)) if random.random() < 0.2 else 1, most)
    row = table[int(random.integers(len(table)))]
    wanted = count * row.replicas
    required = bool(random.random() < 0.3) and budget[row.device] >= wanted
    if required:
        budget[row.device] -= wanted
        centre.planned_w += count * float(row.watts)
    centre.tasks.append(
        Task(
            name=f"{job.name}-{centre.stated}",
            demand=dict(REPLICA),
            configurations=f"{job.name}-{size}",
            required=required,
            weight=int(random.choice([1, 2, 5], p=[0.6, 0.3, 0.1])),
            count=count,
        )
    )
    centre.stated += count


def _table(centre: _Centre, job: workloads.Training, size: str) -> tuple[Configuration, ...]:
    """The shared table of a model and size class, with the rows that the centre's devices allow."""
    name = f"{job.name}-{size}"
    if name not in centre.tables:
        present = centre.devices
        known: dict[str, Device] = {s.device.name: s.device for s in centre.servers if s.device}
        rows = workloads.training_table(job, known.values(), SIZES[size])
        fitting = tuple(row for row in rows if row.replicas <= present[row.device])
        if not fitting:
            rows = workloads.training_table(job, known.values(), SIZES["small"])
            fitting = tuple(row for row in rows if row.replicas <= present[row.device])
        centre.tables[name] = fitting
    return centre.tables[name]


def _policies(centre: _Centre) -> tuple[Policy, ...]:
    full = sum(server.full_w for server in centre.servers)
    idle = sum(server.idle_w for server in centre.servers)
    cap = ceil(max(CAP * full, 1.01 * (idle + centre.planned_w)))
    policies: list[Policy] = [Power(name="power-cap", at_most=cap)]
    if centre.groups:
        policies.append(AntiAffinity(kind="service", scope="rack", limit=1))
        policies.append(Spread(kind="service", scope="rack", domains=2))
    return tuple(policies)
