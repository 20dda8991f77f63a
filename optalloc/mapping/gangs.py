"""Ranks of a gang that has been placed: which of its nodes each rank should run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optalloc.instance.errors import InstanceError
from optalloc.mapping.machine import Machine
from optalloc.mapping.mapping import Mapping, map_ranks
from optalloc.mapping.traffic import Traffic
from optalloc.result import Result
from optalloc.topology.domains import Domains


@dataclass(frozen=True)
class GangMapping:
    """Where the ranks of a gang run.

    Parameters
    ----------
    nodes
        Node of each rank.
    mapping
        The same as slots, with cost and bound.
    """

    nodes: tuple[str, ...]
    mapping: Mapping


def map_gang(
    result: Result,
    task: str,
    traffic: Traffic,
    domains: Domains,
    *,
    distances: Sequence[float] | None = None,
    **options: Any,
) -> GangMapping:
    """Map the ranks of a placed gang to the nodes that a solution gives it.

    Parameters
    ----------
    result
        Of `optalloc.solve`.
    task
        Name of the gang, as in ``result.assignment``.
    traffic
        Of its ranks, as many as its replicas.
    domains
        The tree of the cluster, whose nodes have the instance's names.
    distances
        See `Machine.of_domains`.
    options
        See `map_ranks`.

    Raises
    ------
    InstanceError
        If the gang is not placed, has another number of replicas, or runs on unknown nodes.
    """
    placed = result.assignment.get(task)
    if placed is None:
        raise InstanceError([(task, "expected a task that is placed")], "the result")
    replicas = sum(placed.values())
    if replicas != traffic.ranks:
        message = f"expected traffic of {replicas} ranks, one a replica, got {traffic.ranks}"
        raise InstanceError([(task, message)], "the traffic")
    at = {name: k for k, name in enumerate(domains.nodes)}
    unknown = [name for name in placed if name not in at]
    if unknown:
        problems = [(name, "expected a node of the domains") for name in unknown]
        raise InstanceError(problems, "the domains")
    names = sorted(placed, key=at.__getitem__)
    machine = Machine.of_domains(
        domains,
        [at[name] for name in names],
        capacity=[placed[name] for name in names],
        distances=distances,
    )
    found = map_ranks(traffic, machine, **options)
    return GangMapping(tuple(names[s] for s in np.asarray(found.assignment).tolist()), found)
