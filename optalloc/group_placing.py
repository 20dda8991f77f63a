"""`place_group`: where does one group go in a cluster as it is now."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from optalloc import arguments
from optalloc.engines.auto import current_placement
from optalloc.explaining.relaxing import replaced
from optalloc.instance.model import DEVICE, Instance, Node, Resource, Task
from optalloc.instance.placement import Placement
from optalloc.policies import Throughput
from optalloc.result import Result
from optalloc.solving import solve
from optalloc.verify.facts import Facts

__all__ = ["place_group"]

IntArray = NDArray[np.int64]


def place_group(
    cluster: Instance | Result,
    group: Task,
    *,
    objective: str | None = None,
    time_limit: float | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> Result:
    """Place one group on what a cluster has free; what runs there stays where it is.

    Parameters
    ----------
    cluster
        Its nodes are what there is; its tasks that run now (``current``) take what they demand.
        Of a result, all that is placed does.
    group
        What to place: its rows say how fast it is ``within`` which domains. It may have the name of
        a task that runs, as another one of its kind.
    objective
        By default most samples/s, or any place for a group that states none. Others as in `solve`;
        of the cluster's policies those that are named here are known.
    time_limit, threads, seed
        As for `solve`.

    Returns
    -------
    Result
        Of an instance with the free part of the cluster and the group alone; where it does not fit
        its status is ``infeasible`` and `Result.reasons` says why.

    Raises
    ------
    InstanceError
        For a group that does not go with the cluster: an unknown resource, domain or device.
    OptallocError
        For arguments of another type, and as for `solve`.
    """
    arguments.check(locals())
    instance = cluster.instance if isinstance(cluster, Result) else cluster
    running = cluster.placement if isinstance(cluster, Result) else current_placement(cluster)
    nodes = instance.nodes if running is None else tuple(_free(instance, running))
    fast = any(row.throughput for row in instance.rows_of(group))
    known = {r: instance.resources.get(r, Resource()) for r in instance.columns.resources}
    question = replaced(
        instance,
        name=f"{group.name} on {instance.name}" if instance.name else group.name,
        # What is used up everywhere is a resource still.
        resources=known,
        nodes=nodes,
        tasks=(replace(group, required=True, count=1, current=None, groups=()),),
        groups=(),
        policies=(Throughput(raw=True),) if fast else (),
        objective="throughput" if fast else "",
    )
    return solve(question, objective, time_limit=time_limit, threads=threads, seed=seed)


def _free(instance: Instance, running: Placement) -> Iterator[Node]:
    """State the nodes with what is left of them; entries that are in use node by node."""
    columns = instance.columns
    load = Facts(instance, running).load
    used = np.asarray(load.any(axis=1), bool)
    for entry, node in enumerate(instance.nodes):
        places = range(int(columns.node_start[entry]), int(columns.node_start[entry + 1]))
        if not used[places.start : places.stop].any():
            yield node
            continue
        for place in places:
            yield _rest(instance, node, columns.node_names[place], load[place])


def _rest(instance: Instance, node: Node, name: str, load: IntArray) -> Node:
    columns = instance.columns
    taken = {
        resource: float(int(amount) * columns.quantum_of_resource[i])
        for i, (resource, amount) in enumerate(zip(columns.resources, load, strict=True))
    }
    left = {r: max(amount - taken.get(r, 0.0), 0) for r, amount in node.capacity.items()}
    devices = max(node.devices - round(taken.get(DEVICE, 0.0)), 0)
    return replace(node, name=name, count=1, capacity=left, devices=devices)
