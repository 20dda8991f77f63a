"""Rebalancing: a service fleet where some nodes are far too hot, to be levelled by few moves.

Nodes of three sizes run tasks that all differ in what they demand of three resources. Each task has
come to the less loaded of two nodes that were drawn for it, but some nodes were drawn far more
often. At most a fifth of the tasks may move. The objective is the sum over the resources of the
largest relative load.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.moves import Moves
from optalloc.formulation.goals.peak import PeakLoad
from optalloc.instance.model import Instance, Node, Resource, Task

FloatArray = NDArray[np.float64]

SUMMARY = "services that all differ on nodes of which some are hot: lowest peaks, few moves"

SIZES = {"small": (32, 128, 25), "medium": (64, 256, 25), "large": (128, 512, 50)}
"""Cores, GiB and Gbit/s of the sizes of nodes."""
RESOURCES = {
    "cores": Resource(quantum=0.001),
    "memory": Resource(unit="GiB", quantum=0.001),
    "network": Resource(unit="Gbit/s", quantum=0.0001),
}
SPREAD, COMMON = 0.7, 0.6
"""Spread of the logarithms of demands, and the part of it that the resources share."""
HOT_SHARE, HOT, COLD = 0.06, 3.6, 0.8
"""Part of the nodes that are hot, and how loaded hot and other nodes are against the mean."""
FULLEST = 0.95
"""Relative load of the fullest node."""
MOVED_SHARE = 0.2


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance of the scenario."""
    names = random.choice(list(SIZES), nodes, p=[0.3, 0.5, 0.2])
    capacity = np.array([SIZES[str(name)] for name in names], np.float64)
    demand = _demand(random, tasks) * capacity.mean(axis=0) * nodes / tasks
    at = _place(random, demand, capacity)
    load = np.zeros_like(capacity)
    np.add.at(load, at, demand)
    demand *= FULLEST / (load / capacity).max()
    quanta = np.array([float(resource.quantum or 1) for resource in RESOURCES.values()])
    demand = np.maximum(np.floor(demand / quanta), 1) * quanta
    return Instance(
        name=f"rebalancing-{nodes}x{tasks}",
        description=SUMMARY,
        resources=RESOURCES,
        nodes=tuple(
            Node(name=f"node-{n}", capacity=dict(zip(RESOURCES, line, strict=True)))
            for n, line in enumerate(capacity.tolist())
        ),
        tasks=tuple(
            Task(
                name=f"service-{t}",
                demand={name: round(each, 4) for name, each in zip(RESOURCES, line, strict=True)},
                current=f"node-{at[t]}",
            )
            for t, line in enumerate(demand.tolist())
        ),
        policies=(
            *(PeakLoad(name=f"peak-{name}", resource=name, weight=1) for name in RESOURCES),
            Moves(at_most=int(MOVED_SHARE * tasks)),
        ),
    )


def _demand(random: np.random.Generator, tasks: int) -> FloatArray:
    """Demands with a mean of about 1, large in one resource where they are in others."""
    shared = random.standard_normal((tasks, 1)) * np.sqrt(COMMON)
    own = random.standard_normal((tasks, len(RESOURCES))) * np.sqrt(1 - COMMON)
    return np.asarray(np.exp(SPREAD * (shared + own) - SPREAD**2 / 2))


def _place(random: np.random.Generator, demand: FloatArray, capacity: FloatArray) -> list[int]:
    """Send each task to the less loaded of two nodes, as far as their share of the load goes."""
    nodes = len(capacity)
    share = np.where(random.random(nodes) < HOT_SHARE, HOT, COLD)
    share[0] = HOT
    chance = np.cumsum(share * capacity[:, 0])
    drawn = np.searchsorted(chance, random.random((len(demand), 2)) * chance[-1])
    scaled = (capacity * share[:, None]).tolist()
    load = [0.0] * nodes
    at: list[int] = []
    for (first, second), need in zip(drawn.tolist(), demand.tolist(), strict=True):
        node = first if load[first] <= load[second] else second
        load[node] += sum(d / c for d, c in zip(need, scaled[node], strict=True))
        at.append(node)
    return at
