"""Consolidation: a large fleet of few kinds of nodes and of tasks, on as few watts as it takes.

Nodes are of 20 kinds, in racks of one kind. Tasks are of at most 500 kinds with many copies and
demand cores, memory, GPUs (or shares of them) and a part of the network. Their sizes are drawn from
distributions with the medians and spreads of two public traces: pods with whole and shared GPUs
("openb", Alibaba 2023) and halves of recommendation services on CPU and GPU nodes (Alibaba 2025).
How often each kind occurs is tilted towards small or large ones until the scarcest resource is
used to 80 %. A fifth of the kinds run at most twice on a node, a tenth must be spread over 3
racks, and some are bound to zones or models of GPUs. What the generator itself cannot place is
optional.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.spread import Spread
from optalloc.instance.model import Group, Instance, Node, Resource, Task
from optalloc.instance.policy import Policy

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SUMMARY = "many copies of few kinds of tasks on a fleet of few kinds of nodes: fewest idle watts"

RESOURCES = {
    "cores": Resource(quantum=0.1),
    "memory": Resource(unit="GiB", quantum=0.1),
    "gpu": Resource(quantum=0.01),
    "network": Resource(unit="%", quantum=1),
}
"""A node's network is 100 % for each card."""
GPU = list(RESOURCES).index("gpu")


@dataclass(frozen=True)
class Kind:
    """One kind of node.

    Parameters
    ----------
    name
        Of the entries: ``name-rack``.
    model
        Model of its GPUs; empty where it has none.
    capacity
        Cores, GiB, GPUs, per cent of a network card.
    idle_w
        Watts when idle: 60 for the host, 0.9 a core, 0.1 a GiB, and what its GPUs draw.
    share
        Part of the fleet.
    """

    name: str
    model: str
    capacity: tuple[int, int, int, int]
    idle_w: int
    share: int


FLEET = (
    Kind("g8-96", "g2", (96, 384, 8, 200), 525, 22),
    Kind("g8-128", "g3", (128, 768, 8, 200), 690, 9),
    Kind("a100-8", "a100", (128, 1024, 8, 400), 645, 8),
    Kind("a100-4", "a100", (64, 512, 4, 200), 350, 4),
    Kind("h100-8", "h100", (192, 2048, 8, 800), 1110, 5),
    Kind("h100-4", "h100", (96, 1024, 4, 400), 585, 3),
    Kind("l40s-8", "l40s", (192, 768, 8, 200), 645, 5),
    Kind("l40s-4", "l40s", (128, 512, 4, 200), 395, 4),
    Kind("a10-4", "a10", (96, 384, 4, 100), 265, 4),
    Kind("a10-1", "a10", (128, 1024, 1, 100), 305, 2),
    Kind("t4-4", "t4", (96, 384, 4, 100), 215, 4),
    Kind("t4-2", "t4", (104, 512, 2, 100), 220, 6),
    Kind("v100-8", "v100", (96, 768, 8, 100), 505, 4),
    Kind("v100-4", "v100", (48, 368, 4, 100), 280, 2),
    Kind("p100-2", "p100", (64, 256, 2, 100), 205, 2),
    Kind("c32", "", (32, 128, 0, 100), 102, 2),
    Kind("c64", "", (64, 256, 0, 100), 143, 3),
    Kind("c96", "", (96, 512, 0, 100), 198, 4),
    Kind("c192", "", (192, 768, 0, 200), 310, 4),
    Kind("m128", "", (128, 2048, 0, 200), 380, 3),
)
RACK = 40
ZONES = ("zone-a", "zone-b", "zone-c", "zone-d")
MOST_KINDS, LEAST_COPIES = 500, 20
"""Kinds of tasks, and tasks of a kind on average below which there are fewer kinds."""
USED = 0.8
"""Part of the scarcest resource that all tasks demand together."""
BOUND = 3
"""How much earlier kinds with labels or rules are placed, as a factor of their size."""
ROUNDS, WINDOW = 8, 4000
"""Tries to find numbers of copies that all have a place; nodes that are looked at together."""
APART_SHARE, APART = 0.2, 2
SPREAD_SHARE, SPREAD = 0.1, 3
ZONE_SHARE, MODEL_SHARE = 0.15, 0.2
"""Parts of the kinds of tasks that are bound to two zones, and to half of the GPU models."""


@dataclass(frozen=True)
class Source:
    """A family of tasks: medians, with the spread of their logarithms.

    Parameters
    ----------
    share
        Part of the kinds of tasks.
    cores, cores_spread
        Cores.
    memory, memory_spread
        GiB for each core.
    gpus, shared
        Whole GPUs, and the probability that one is shared.
    network
        Per cent of a card, one of these.
    """

    share: float
    cores: float
    cores_spread: float
    memory: float
    memory_spread: float
    gpus: int = 0
    shared: float = 0.0
    network: tuple[int, ...] = (1,)


SOURCES = (
    Source(0.14, 14.0, 0.5, 3.0, 0.45),
    Source(0.50, 7.5, 0.6, 3.2, 0.4, gpus=1, shared=0.45, network=(1, 1, 5)),
    Source(0.03, 15.0, 0.5, 4.5, 0.4, gpus=2, network=(10, 25)),
    Source(0.03, 32.0, 0.3, 4.2, 0.1, gpus=4, network=(25, 50)),
    Source(0.02, 80.0, 0.2, 4.0, 0.1, gpus=8, network=(50, 100)),
    Source(0.14, 62.0, 0.25, 5.0, 0.3, network=(1, 1, 1, 25, 50, 100)),
    Source(0.14, 8.5, 0.25, 5.5, 0.45, gpus=1, network=(25, 25, 25, 50)),
)
"""Five of openb (by GPUs), then CPU and GPU halves of recommendation services."""
SHARES = (0.81, 0.81, 0.47, 0.47, 0.32, 0.65, 0.23, 0.16)
"""Shares of a GPU that tasks take, the common ones more often."""


@dataclass(frozen=True)
class _Fleet:
    """The racks: kind and number of nodes of each, and the rack of each node."""

    kind: list[Kind]
    size: list[int]

    @property
    def rack(self) -> IntArray:
        """Rack of each node."""
        return np.repeat(np.arange(len(self.size), dtype=np.int64), self.size)

    @property
    def capacity(self) -> FloatArray:
        """Capacity of each rack's nodes, (racks, resources)."""
        return np.array([kind.capacity for kind in self.kind], np.float64)

    def allowed(self, models: tuple[str, ...], zones: tuple[str, ...]) -> BoolArray:
        """Racks of one of the models and one of the zones; none listed allows all."""
        return np.array(
            [
                (not models or kind.model in models) and (not zones or zone_of(r) in zones)
                for r, kind in enumerate(self.kind)
            ],
            bool,
        )


@dataclass(frozen=True)
class _Job:
    """A kind of task: what each copy demands, where it may run, and the rules it keeps."""

    demand: FloatArray
    models: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    apart: bool = False
    spread: bool = False


def zone_of(rack: int) -> str:
    """Zone of a rack."""
    return ZONES[rack % len(ZONES)]


def build(random: np.random.Generator, nodes: int, tasks: int) -> Instance:
    """Make an instance of the scenario."""
    fleet = _racks(nodes)
    number = min(MOST_KINDS, max(tasks // LEAST_COPIES, 1))
    jobs = [_job(random, fleet, number, k) for k in range(number)]
    copies, placed, racks = _planned_copies(random, fleet, jobs, tasks)
    spread = [k for k, job in enumerate(jobs) if job.spread and racks[k] >= SPREAD]
    stated = list(_tasks(jobs, copies, placed, spread))
    optional = any(not task.required for task in stated)
    used = {name for task in stated for name in task.groups}
    apart = [Group(name=f"apart-{k}", kind="apart") for k, job in enumerate(jobs) if job.apart]
    groups = [g for g in apart if g.name in used]
    groups += [Group(name=f"spread-{k}", kind="spread") for k in spread]
    return Instance(
        name=f"consolidation-{nodes}x{tasks}",
        description=SUMMARY,
        resources=RESOURCES,
        nodes=tuple(_nodes(fleet)),
        tasks=tuple(stated),
        groups=tuple(groups),
        policies=tuple(_policies({group.kind for group in groups})),
        objective="admitted > power" if optional else "power",
    )


def _racks(nodes: int) -> _Fleet:
    """Divide the nodes over kinds by their shares, and each kind over racks."""
    shares = np.array([kind.share for kind in FLEET])
    counts = np.diff(np.rint(np.cumsum(shares) / shares.sum() * nodes), prepend=0).astype(int)
    racks = [
        (kind, min(RACK, int(count) - offset))
        for kind, count in zip(FLEET, counts, strict=True)
        for offset in range(0, int(count), RACK)
    ]
    return _Fleet([kind for kind, _ in racks], [size for _, size in racks])


def _nodes(fleet: _Fleet) -> Iterator[Node]:
    for r, (kind, size) in enumerate(zip(fleet.kind, fleet.size, strict=True)):
        labels = {"zone": zone_of(r)} | ({"gpu-model": kind.model} if kind.model else {})
        yield Node(
            name=f"{kind.name}-{r}",
            capacity=dict(zip(RESOURCES, kind.capacity, strict=True)),
            idle_w=kind.idle_w,
            full_w=4 * kind.idle_w,
            labels=labels,
            domains={"rack": f"rack-{r}"},
            count=size,
        )


def _job(random: np.random.Generator, fleet: _Fleet, number: int, k: int) -> _Job:
    """Draw a kind of task that fits on some node at least."""
    shares = np.cumsum([source.share for source in SOURCES])
    most = fleet.capacity
    while True:
        source = SOURCES[int(np.searchsorted(shares, random.random() * shares[-1]))]
        demand = _demand(random, source)
        models, zones = _labels(random, source)
        # The first kinds are apart and spread, so that a share of them is exact.
        job = _Job(
            demand, models, zones, k < APART_SHARE * number, k >= (1 - SPREAD_SHARE) * number
        )
        if np.any((most >= demand).all(axis=1) & fleet.allowed(models, zones)):
            return job
        if not np.any((most >= SMALLEST).all(axis=1) & fleet.allowed((), ())):
            return job


SMALLEST = np.array([1.0, 2.0, 0.0, 1.0])


def _demand(random: np.random.Generator, source: Source) -> FloatArray:
    cores = source.cores * np.exp(source.cores_spread * random.standard_normal())
    cores = max(round(2 * cores) / 2, 0.5)
    memory = cores * source.memory * np.exp(source.memory_spread * random.standard_normal())
    gpus: float = source.gpus
    if random.random() < source.shared:
        gpus = float(random.choice(SHARES))
    return np.array([cores, max(round(memory), 1), gpus, random.choice(source.network)])


def _labels(random: np.random.Generator, source: Source) -> tuple[tuple[str, ...], tuple[str, ...]]:
    models = sorted({kind.model for kind in FLEET if kind.model})
    chosen: tuple[str, ...] = ()
    if source.gpus and random.random() < MODEL_SHARE:
        picked = random.choice(models, len(models) // 2, replace=False)
        chosen = tuple(sorted(str(model) for model in picked))
    zones: tuple[str, ...] = ()
    if random.random() < ZONE_SHARE:
        zones = tuple(sorted(str(zone) for zone in random.choice(ZONES, 2, replace=False)))
    return chosen, zones


def _planned_copies(
    random: np.random.Generator, fleet: _Fleet, jobs: list[_Job], tasks: int
) -> tuple[IntArray, IntArray, IntArray]:
    """How many tasks of each kind there are, how many have a place, and in how many racks.

    Kinds of which not all find a place are drawn less often.
    """
    demand = np.array([job.demand for job in jobs])
    capacity = np.maximum(fleet.capacity[fleet.rack].sum(axis=0), 1e-9)
    drawn = np.exp(random.standard_normal(len(jobs)))
    for _ in range(ROUNDS):
        copies = _copies(drawn, demand, capacity, tasks)
        placed, racks = _plan(random, fleet, jobs, copies)
        if np.array_equal(placed, copies):
            break
        drawn *= np.where(placed < copies, 0.8 * placed / copies, 1.0)
    return copies, placed, racks


def _copies(drawn: FloatArray, demand: FloatArray, capacity: FloatArray, tasks: int) -> IntArray:
    """Tilt what was drawn until the scarcest resource is used so far.

    ``copies ~ drawn * exp(-tilt * size)``: what is used falls as the tilt grows.
    """
    size = (demand / capacity).max(axis=1)
    size = size / size.mean()
    least = min(SPREAD, max(tasks // (3 * len(drawn)), 1))
    more = tasks - least * len(drawn)
    low, high = -30.0, 30.0
    for _ in range(60):
        tilt = (low + high) / 2
        part = drawn * np.exp(-tilt * (size - size.mean()))
        part = part / part.sum()
        used = (least + more * part) @ demand / capacity
        low, high = (tilt, high) if used.max() > USED else (low, tilt)
    upto = np.floor(np.cumsum(part) * more + 0.5).astype(np.int64)
    upto[-1] = more
    return np.diff(upto, prepend=0) + least


def _plan(
    random: np.random.Generator, fleet: _Fleet, jobs: list[_Job], copies: IntArray
) -> tuple[IntArray, IntArray]:
    """Place kind by kind; how many find a place, and in how many racks.

    Those for GPUs come first, and among them bound and large ones.
    """
    rack = fleet.rack
    free = fleet.capacity[rack]
    scale = np.maximum(free.sum(axis=0), 1e-9)
    size = np.array([(job.demand / scale).max() for job in jobs])
    bound = np.array([bool(job.models or job.zones or job.apart) for job in jobs])
    placed, racks = np.zeros(len(jobs), np.int64), np.zeros(len(jobs), np.int64)
    without = np.array([not job.demand[GPU] for job in jobs])
    for k in np.lexsort((-size * np.where(bound, BOUND, 1), without)).tolist():
        job = jobs[k]
        allowed = np.flatnonzero(fleet.allowed(job.models, job.zones)[rack])
        # A window of consecutive nodes lies in few racks.
        allowed = (
            random.permutation(allowed)
            if job.spread
            else np.roll(allowed, -int(random.integers(max(allowed.size, 1))))
        )
        if without[k]:
            allowed = allowed[np.argsort(fleet.capacity[rack[allowed], GPU] > 0, kind="stable")]
        most = APART if job.apart else int(copies[k])
        most = min(most, -(-int(copies[k]) // SPREAD)) if job.spread else most
        touched: list[IntArray] = []
        for first in range(0, allowed.size, WINDOW):
            at = allowed[first : first + WINDOW]
            left = int(copies[k] - placed[k])
            taken = _take(free, at, job.demand, most, left)
            placed[k] += int(taken.sum())
            touched.append(at[taken > 0])
            if placed[k] == copies[k]:
                break
        racks[k] = np.unique(rack[np.concatenate(touched)]).size if touched else 0
    return placed, racks


def _take(free: FloatArray, at: IntArray, demand: FloatArray, most: int, wanted: int) -> IntArray:
    """Occupy nodes in order, each as far as it goes; how many copies each takes."""
    needed = np.flatnonzero(demand > 0)
    fits = ((free[at][:, needed] + 1e-6) // demand[needed]).min(axis=1)
    upto = np.minimum(np.cumsum(np.minimum(fits, most)), wanted).astype(np.int64)
    taken: IntArray = np.diff(upto, prepend=0)
    free[at] -= taken[:, None] * demand
    return taken


def _tasks(
    jobs: list[_Job], copies: IntArray, placed: IntArray, spread: list[int]
) -> Iterator[Task]:
    """State each kind: what was placed is required, the rest optional."""
    for k, job in enumerate(jobs):
        groups = [f"apart-{k}"] if job.apart else []
        groups += [f"spread-{k}"] if k in spread else []
        allow = {"gpu-model": job.models} if job.models else {}
        allow |= {"zone": job.zones} if job.zones else {}
        demand = dict(zip(RESOURCES, job.demand.tolist(), strict=True))
        for i, (first, last) in enumerate(pairwise((0, int(placed[k]), int(copies[k])))):
            if last > first:
                yield Task(
                    name=f"kind-{k}" + ("-more" if i else ""),
                    demand={name: amount for name, amount in demand.items() if amount},
                    allow=allow,
                    groups=tuple(groups),
                    required=not i,
                    count=last - first,
                )


def _policies(kinds: set[str]) -> Iterator[Policy]:
    if "apart" in kinds:
        yield AntiAffinity(kind="apart", scope="node", limit=APART)
    if "spread" in kinds:
        yield Spread(kind="spread", scope="rack", domains=SPREAD)
