"""Gangs on a fabric: leaves of 16 nodes under pods under a core, where far replicas are slow.

A share of the nodes is busy. Each gang has one of 11 sizes and one of some ratios of communication
to computation; its samples/s fall with the level at which all its nodes meet: ``size / (1 + ratio *
f)`` with f = 1 in a leaf, 2 in a pod and 4 across the core (uplinks oversubscribed 2 to 1 twice).
All gangs are optional: together they ask for a given part of the free nodes, more of them or fewer.
Where uplinks are limited, a gang sends over those that it crosses for the part of its time that it
communicates, at the rate of one node.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.throughput import Throughput
from optalloc.formulation.goals.uplinks import UplinkLoad
from optalloc.instance.model import Configuration, Instance, Node, Task

SUMMARY = "gangs on a fabric of leaves, pods and a core: most samples/s"

LEAF, POD = 16, 16
"""Nodes of a leaf, leaves of a pod."""
BUSY = 0.15
"""Share of the nodes that are busy."""
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32)
RATIOS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
"""Communication over computation, within a leaf."""
LEVELS = ("leaf", "pod", "")
"""Where all replicas meet; communication takes twice as long at each level; "" is the core."""
FREE, SHARE = (0, 1, 2, 4, 8), (0.15, 0.05, 0.1, 0.2, 0.5)
"""Free GPUs of a busy node, and how often."""
DIGITS = 5
"""Digits of samples/s after the point."""


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance whose gangs ask for all free nodes together, about."""
    return gangs(random, nodes, tasks)


def gangs(
    random: np.random.Generator,
    nodes: int,
    tasks: int,
    *,
    demand: float = 1.0,
    kinds: int | None = None,
    uplink: float | None = None,
) -> Instance:
    """Make an instance.

    Parameters
    ----------
    random
        Source of everything drawn.
    nodes, tasks
        Numbers of nodes and gangs, at least 1.
    demand
        Nodes that all gangs ask for over those that are free.
    kinds
        Number of kinds (sizes with a ratio) of the gangs; by default each draws its own.
    uplink
        What the uplink of each leaf carries, in rates of a node; by default anything.
    """
    fabric, free = _fabric(random, nodes)
    sizes = _sizes(random, tasks if kinds is None else kinds, demand * free / tasks)
    ratios = random.choice(RATIOS, sizes.size)
    copies = np.bincount(np.arange(tasks) % sizes.size, minlength=sizes.size)
    entries = [
        Task(
            name=f"gang{k}",
            configurations=_table(int(size), float(ratio)),
            required=False,
            count=int(count),
        )
        for k, (size, ratio, count) in enumerate(zip(sizes, ratios, copies, strict=True))
        if count
    ]
    return Instance(
        name=f"gangs on {nodes} nodes",
        nodes=fabric,
        tasks=entries,
        policies=[
            Throughput(raw=True),
            *([] if uplink is None else [UplinkLoad(scope="leaf", capacity=uplink)]),
        ],
        objective="throughput",
    )


def busy_cluster(random: np.random.Generator, nodes: int) -> Instance:
    """State the nodes of a cluster in use: chassis of 2 in racks of 12, pods and zones.

    Nodes have 8 GPUs, of which each has some number free by chance.
    """
    free = random.choice(FREE, nodes, p=SHARE)
    pod, zone = max(nodes // 96, 1), max(nodes // 4, 1)
    return Instance(
        name=f"{nodes} busy nodes",
        nodes=[
            Node(
                name=f"node{i}",
                device="gpu",
                devices=int(free[i]),
                domains={
                    "chassis": f"chassis{i // 2}",
                    "rack": f"rack{i // 12}",
                    "pod": f"pod{i // pod}",
                    "zone": f"zone{i // zone}",
                },
            )
            for i in range(nodes)
        ],
    )


def gang(size: int, ratio: float, levels: tuple[str, ...]) -> Task:
    """State a gang that is slower the further out its replicas meet, twice as much a level."""
    return Task(name="gang", configurations=_table(size, ratio, levels))


def _fabric(random: np.random.Generator, nodes: int) -> tuple[list[Node], int]:
    """State the free and the busy nodes of each leaf; at least one is free."""
    busy = random.random(nodes) < BUSY
    busy[0] = False
    entries = []
    for start in range(0, nodes, LEAF):
        leaf = start // LEAF
        domains = {"leaf": f"leaf{leaf}", "pod": f"pod{leaf // POD}"}
        used = int(busy[start : start + LEAF].sum())
        for name, count, devices in (
            (f"leaf{leaf}", min(LEAF, nodes - start) - used, 1),
            (f"leaf{leaf}-busy", used, 0),
        ):
            if count:
                entries.append(
                    Node(name=name, device="gpu", devices=devices, domains=domains, count=count)
                )
    return entries, int(nodes - busy.sum())


def _sizes(random: np.random.Generator, number: int, mean: float) -> NDArray[np.int64]:
    """Draw sizes whose mean is about the one asked for, large ones less often."""
    sizes = np.array(SIZES, np.float64)
    low, high = -4.0, 4.0
    for _ in range(60):
        tilt = (low + high) / 2
        weight = sizes**tilt / (sizes**tilt).sum()
        low, high = (tilt, high) if weight @ sizes < mean else (low, tilt)
    # Quantiles in random order: the mean hardly depends on chance.
    places = (np.arange(number) + random.random(number)) / number
    drawn = np.searchsorted(np.cumsum(weight), places * np.cumsum(weight)[-1])
    return random.permutation(np.array(SIZES, np.int64)[np.minimum(drawn, len(SIZES) - 1)])


def _table(size: int, ratio: float, levels: tuple[str, ...] = LEVELS) -> tuple[Configuration, ...]:
    """Say how fast a gang runs at each level; a single replica is the same everywhere."""
    slower = {within: 2**k for k, within in enumerate(levels)} if size > 1 else {"": 0}
    return tuple(
        Configuration(
            name=within or "anywhere",
            device="gpu",
            replicas=size,
            within=within,
            throughput=round(size / (1 + ratio * times), DIGITS),
            traffic=round(ratio * times / (1 + ratio * times), DIGITS),
        )
        for within, times in slower.items()
    )
