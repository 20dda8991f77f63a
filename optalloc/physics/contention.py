"""What groups lose to others on the links that they share: rows for `UplinkShare`, and a fit.

In the worst case, k groups that send over an uplink of B bytes/s at the same time have B/k each. An
all-reduce of S bytes a rank of n ranks then takes ``max(t, k 2 (n - 1)/n S / B)``, t its time on a
fabric of its own: `SharedLevel`, of which `shared_configurations` makes a row for each k.

Where a link was measured and its bandwidth is not known, two groups on it tell how much of it one
of them takes: if each keeps the part p of its rate, the link carries c = 2 p of them at their full
rate, and k groups keep c/k each (`fit_contention`, `SharedLink`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Configuration
from optalloc.instance.training import Job
from optalloc.physics.collectives import crossing_bytes
from optalloc.physics.measurements import Contended
from optalloc.physics.parameters import Parameters
from optalloc.physics.tables import Exchange, configurations
from optalloc.topology.domains import Domains

SHARING = (1, 2, 4, 8)
"""Numbers of groups on an uplink for which there are rows; others are rounded up to them."""
ALL_REDUCE = "allreduce"
"""Kind of the measured rows in which groups do nothing but exchange."""


@dataclass(frozen=True)
class SharedLevel:
    """An all-reduce at a level, over uplinks on which each of some groups has an even share.

    Parameters
    ----------
    level
        Its time where no other group sends.
    uplink
        Bytes/s of the thinnest uplink that is crossed.
    groups
        Groups on it.
    """

    level: Exchange
    uplink: float
    groups: int

    def all_reduce(self, ranks: int, size: float) -> float:
        """Seconds of an all-reduce of `size` bytes a rank."""
        shared = crossing_bytes(ranks, size) * self.groups / self.uplink
        return max(self.level.all_reduce(ranks, size), shared)


@dataclass(frozen=True)
class SharedLink:
    """An all-reduce over a measured link on which some groups exchange at once.

    Parameters
    ----------
    level
        Its time where no other group sends.
    carried
        Groups that the link carries at their full rate.
    groups
        Groups on it.
    """

    level: Exchange
    carried: float
    groups: int

    def all_reduce(self, ranks: int, size: float) -> float:
        """Seconds of an all-reduce of `size` bytes a rank."""
        return self.level.all_reduce(ranks, size) * max(self.groups / self.carried, 1.0)


def crossed_uplinks(domains: Domains, scopes: Sequence[str]) -> dict[str, float]:
    """The thinnest uplink, of domains of some scopes, that is crossed at each level of a fabric.

    A group that needs a level crosses the uplinks of domains of the levels within it; levels
    within which it crosses none are left out.

    Raises
    ------
    InstanceError
        For a scope that is no level, or of which some uplink has no bandwidth: names it.
    """
    found: dict[str, float] = {}
    uplinks = {scope: domains.levels[domains.level(scope)].uplink for scope in scopes}
    thinnest = {scope: float(np.min(uplink)) for scope, uplink in uplinks.items()}
    unknown = [scope for scope, uplink in thinnest.items() if np.isnan(uplink)]
    if unknown:
        message = "expected links with a bandwidth"
        raise InstanceError([(scope, message) for scope in unknown], "the fabric")
    for k, level in enumerate(domains.levels):
        inside = {lower.name for lower in domains.levels[:k]}
        crossed = [uplink for scope, uplink in thinnest.items() if scope in inside]
        if crossed:
            found[level.name] = min(crossed)
    return found


def shared_configurations(
    job: Job,
    levels: Mapping[str, Exchange],
    parameters: Parameters,
    uplinks: Mapping[str, float],
    interconnects: Mapping[str, str] | None = None,
    sharing: Sequence[int] = SHARING,
) -> tuple[Configuration, ...]:
    """Tabulate the ways in which a job can run, for each number of groups on its uplinks.

    Parameters
    ----------
    job, levels, parameters, interconnects
        As in `optalloc.physics.tables.configurations`.
    uplinks
        Bytes/s of the thinnest uplink that is crossed at a level (`crossed_uplinks`); at others
        no group is in the way.
    sharing
        Numbers of groups, see `Configuration.sharing`.

    Returns
    -------
    tuple
        A row states the largest number of groups for which its rate holds.
    """
    plain = configurations(job, levels, parameters, interconnects)
    rows = [row for row in plain if row.replicas == 1 or row.within not in uplinks]
    for name, uplink in uplinks.items():
        if name not in levels:
            continue
        best: dict[str, float] = {}
        for groups in sorted(sharing, reverse=True):
            level = {name: SharedLevel(levels[name], uplink, groups)}
            for row in configurations(job, level, parameters, interconnects):
                if row.replicas > 1 and row.throughput > best.get(row.name, 0.0):
                    best[row.name] = row.throughput
                    shared = f"{row.name}, {groups} on its uplinks"
                    rows.append(replace(row, name=shared, sharing=groups))
    return tuple(rows)


def fit_contention(rows: Sequence[Contended]) -> dict[str, float]:
    """Fit how many groups each interconnect carries at their full rate: at least 1, at most 2.

    Twice the median part of its rate that each of two exchanging groups keeps; more than two were
    not measured.
    """
    kept: dict[str, list[float]] = {}
    for row in rows:
        if row.kind == ALL_REDUCE:
            parts = kept.setdefault(row.interconnect, [])
            parts += [row.a_together_per_s / row.a_alone_per_s]
            parts += [row.b_together_per_s / row.b_alone_per_s]
    return {name: float(np.clip(2 * np.median(parts), 1.0, 2.0)) for name, parts in kept.items()}
