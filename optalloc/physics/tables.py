"""From models to tables: how a data-parallel job can run, a `Configuration` for each way.

A way is a device type, a number of replicas and the level within which they meet. Its step time and
joules follow from the calibrated `StepModel` and `EnergyModel` (see `optalloc.physics.steps`), from
the job's own step on one device of the type and from the all-reduce time at the level: measured
(`Interconnect`) or by the latency-bandwidth model over a fabric's domains (`FabricLevel`). So
``throughput = replicas * batch / step``, ``watts = joules / step``, and ``traffic`` is the most
that goes over an uplink, `crossing_bytes` a step; what a step takes is never made linear, for a way
is chosen as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optalloc.instance.checks import bounds
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE, Configuration, Node
from optalloc.instance.policy import Fault
from optalloc.instance.training import Job
from optalloc.physics.collectives import Tier, all_reduce, crossing_bytes
from optalloc.physics.parameters import Parameters
from optalloc.physics.steps import Groups
from optalloc.topology.domains import Domains


class Exchange(Protocol):
    """Says how long an all-reduce takes at a level."""

    def all_reduce(self, ranks: int, size: float) -> float:
        """Seconds of an all-reduce of `size` bytes a rank."""
        ...


@dataclass(frozen=True)
class FabricLevel:
    """All-reduce times by the latency-bandwidth model: the tiers of a fabric up to a level.

    Parameters
    ----------
    capacity
        Members that each tier can join, innermost first: devices of a node, nodes of a leaf ...
    latency, bandwidth
        Seconds and bytes/s of each tier.
    """

    capacity: tuple[int, ...]
    latency: tuple[float, ...]
    bandwidth: tuple[float, ...]

    def all_reduce(self, ranks: int, size: float) -> float:
        """Seconds of the slower one of two layouts: as dense, and as far apart, as it can be.

        A level says no more than that all ranks lie within one of its domains.
        """
        return max(all_reduce(tiers, size)[0] for tiers in (self._dense(ranks), self._apart(ranks)))

    def _tiers(self, members: Sequence[int]) -> list[Tier]:
        return [Tier(*tier) for tier in zip(members, self.latency, self.bandwidth, strict=True)]

    def _dense(self, ranks: int) -> list[Tier]:
        """Each domain is full before the next one is begun."""
        members, left = [], ranks
        for most in self.capacity[:-1]:
            members.append(min(left, most))
            left = math.ceil(left / members[-1])
        return self._tiers([*members, left])

    def _apart(self, ranks: int) -> list[Tier]:
        """A rank on each node, if there are so many, that all meet at the outermost tier."""
        if len(self.capacity) == 1:
            return self._tiers([ranks])
        outer = min(ranks, math.prod(self.capacity[1:]))
        between = [1] * (len(self.capacity) - 2)
        return self._tiers([math.ceil(ranks / outer), *between, outer])


def fabric_levels(domains: Domains, devices: int, inner: Tier) -> dict[str, FabricLevel]:
    """All-reduce times at each level of a fabric, by its name.

    Parameters
    ----------
    domains
        Of the fabric.
    devices
        Devices of a node.
    inner
        Latency and bandwidth between devices of a node (its members are not used).

    Raises
    ------
    InstanceError
        For a level whose bandwidth is not known: names it.
    """
    unknown = [
        (level.name, "expected links with a bandwidth")
        for level in domains.levels[1:]
        if level.bandwidth is None
    ]
    if unknown:
        raise InstanceError(unknown, "the fabric")
    largest = [level.sizes.max() * devices for level in domains.levels[1:]]
    outer = [
        Reach(level.name, int(most), level.latency, float(level.bandwidth or 0.0))
        for level, most in zip(domains.levels[1:], largest, strict=True)
    ]
    return linked_levels([Reach(NODE, devices, inner.latency, inner.bandwidth), *outer])


@dataclass(frozen=True)
class Reach:
    """What devices of a level reach one another, and how.

    Parameters
    ----------
    name
        Of the level.
    devices
        Devices of its largest domain.
    latency, bandwidth
        Seconds and bytes/s.
    """

    name: str
    devices: int
    latency: float
    bandwidth: float


def linked_levels(reaches: Sequence[Reach]) -> dict[str, FabricLevel]:
    """All-reduce times at levels that lie in one another, innermost first, by name."""
    found: dict[str, FabricLevel] = {}
    tiers, width = FabricLevel((), (), ()), 1
    for reach in reaches:
        tiers = FabricLevel(
            (*tiers.capacity, max(reach.devices // width, 1)),
            (*tiers.latency, reach.latency),
            (*tiers.bandwidth, reach.bandwidth),
        )
        found[reach.name] = tiers
        width = max(reach.devices, 1)
    return found


def configurations(
    job: Job,
    levels: Mapping[str, Exchange],
    parameters: Parameters,
    interconnects: Mapping[str, str] | None = None,
) -> tuple[Configuration, ...]:
    """Tabulate the ways in which a job can run.

    Parameters
    ----------
    job
        What trains.
    levels
        All-reduce times by level; the level ``""`` is anywhere. A single replica runs anywhere.
    parameters
        As calibrated.
    interconnects
        Name of the calibrated interconnect whose factors hold at a level; others have the mean's.

    Returns
    -------
    tuple
        One row for each device type, size and level, in this order.

    Raises
    ------
    InstanceError
        For a job whose numbers are not above 0, no levels for several replicas, an interconnect
        that was not calibrated, or parameters without a fitted energy.
    """
    energy = parameters.energy_model
    wrong = [*_faults(job)]
    if not levels and max(job.replicas, default=1) > 1:
        wrong.append(("levels", "expected at least one for several replicas, got none"))
    if energy is None:
        wrong.append(("parameters", "expected a fit with measured energy"))
    if wrong:
        raise InstanceError(wrong, "the table")
    assert energy is not None
    ways = [
        _Way(device, replicas, level)
        for device in job.alone
        for replicas in job.replicas
        for level in (levels if replicas > 1 else ("",))
    ]
    groups = _groups(job, ways, levels, parameters, interconnects or {})
    seconds = parameters.step_model.seconds(groups)
    joules = energy.joules(groups, seconds)
    return tuple(
        way.row(job, step, used)
        for way, step, used in zip(ways, seconds.tolist(), joules.tolist(), strict=True)
    )


def _faults(job: Job) -> Iterator[Fault]:
    """List what is wrong with a job by itself."""
    yield from bounds.one("batch", job.batch, bounds.POSITIVE)
    yield from bounds.one("gradient_bytes", job.gradient_bytes, bounds.NOT_NEGATIVE)
    for device, alone in job.alone.items():
        yield from bounds.one(f"alone.{device}.step_s", alone.step_s, bounds.POSITIVE)
        yield from bounds.one(f"alone.{device}.step_j", alone.step_j, bounds.POSITIVE)
    if not job.alone:
        yield "alone", "expected at least one device type, got none"
    if not job.replicas:
        yield "replicas", "expected at least one size, got none"
    for k, size in enumerate(job.replicas):
        yield from bounds.one(f"replicas[{k}]", size, bounds.WHOLE_POSITIVE)
        if job.replicas.index(size) < k:
            yield f"replicas[{k}]", f"expected each size once, got {size} again"


@dataclass(frozen=True)
class _Way:
    device: str
    replicas: int
    level: str

    def row(self, job: Job, step_s: float, joules: float) -> Configuration:
        return Configuration(
            name=f"{self.device} x {self.replicas}" + f" in a {self.level}" * bool(self.level),
            device=self.device,
            replicas=self.replicas,
            within=self.level,
            throughput=_rounded(self.replicas * job.batch / step_s),
            traffic=_rounded(crossing_bytes(self.replicas, job.gradient_bytes) / step_s),
            watts=_rounded(joules / step_s),
            demand=job.alone[self.device].demand,
        )


def _groups(
    job: Job,
    ways: Sequence[_Way],
    levels: Mapping[str, Exchange],
    parameters: Parameters,
    interconnects: Mapping[str, str],
) -> Groups:
    known = {name: parameters.interconnect(name)[0] for name in set(interconnects.values())}

    def numbers(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array(values, np.float64)

    return Groups(
        alone_s=numbers([job.alone[way.device].step_s for way in ways]),
        alone_j=numbers([job.alone[way.device].step_j for way in ways]),
        replicas=numbers([way.replicas for way in ways]),
        gradient_bytes=numbers([job.gradient_bytes] * len(ways)),
        all_reduce_s=numbers(
            [
                levels[way.level].all_reduce(way.replicas, job.gradient_bytes)
                if way.replicas > 1
                else 0.0
                for way in ways
            ]
        ),
        interconnect=np.array(
            [known.get(interconnects.get(way.level, ""), -1) for way in ways], np.int64
        ),
    )


def _rounded(value: float) -> float:
    """Six digits: more were never measured."""
    return float(f"{value:.6g}")


def nodes(domains: Domains, device: str, devices: int, **stated: object) -> tuple[Node, ...]:
    """State the nodes of a fabric, each in its domains.

    Parameters
    ----------
    domains
        Of the fabric.
    device, devices
        Type and number of a node's devices.
    stated
        Other fields that all nodes have.
    """
    return tuple(
        Node(name=name, device=device, devices=devices, domains=domains.of(n), **stated)  # type: ignore[arg-type]
        for n, name in enumerate(domains.nodes)
    )
