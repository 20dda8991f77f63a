"""Nodes as they are now, in arrays: no loop over tasks."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from optalloc.oracle.kinds import Kind
from optalloc.oracle.refusing import Way, ways

if TYPE_CHECKING:
    from optalloc.instance.model import Task
    from optalloc.oracle.oracle import Oracle

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class OnNode(msgspec.Struct, frozen=True, kw_only=True):
    """What of a task runs on one node.

    Parameters
    ----------
    task
        Its name.
    replicas
        On the node.
    devices
        Numbers of those that they use there.
    """

    task: str
    replicas: int
    devices: tuple[int, ...]


def tasks_on(oracle: Oracle, node: int, most: int) -> list[OnNode]:
    """Say what runs on a node, of at most so many tasks, those that came first."""
    found = []
    for name in islice(oracle._on.of(node), most):
        run = oracle._live[name].run
        here = np.flatnonzero(run.node == node)
        held = (run.devices[k] for k in here.tolist() if k < len(run.devices))
        devices = tuple(chain.from_iterable(chain.from_iterable(held)))
        replicas = int(run.replicas[here].sum())
        found.append(OnNode(task=name, replicas=replicas, devices=devices))
    return found


def tasks_by_node(oracle: Oracle) -> IntArray:
    """Count the tasks with a replica on each node."""
    count = np.zeros(oracle.ground.problem.columns.nodes, np.int64)
    many = oracle._on.numbers()
    count[[*many]] = [*many.values()]
    return count


def watts_by_node(
    oracle: Oracle, free: IntArray, tasks: IntArray, total: float | None
) -> FloatArray | None:
    """Estimate the watts that each node draws; None where the instance states none.

    A node in use draws its idle watts, and of what it draws more at full load the share of a
    resource that is in use: the one that ``energy.share`` names, else devices, else the fullest.
    Where the total is known, what lies above idle is scaled so that the nodes add up to it.

    Parameters
    ----------
    free : (nodes, resources)
        As of `Ground.free`.
    tasks : (nodes,)
        As of `tasks_by_node`.
    total
        Watts of all nodes, where they are counted.
    """
    ground = oracle.ground
    columns = ground.problem.columns
    idle, dynamic = (watts[columns.node_entry] for watts in columns.stated_power[:2])
    if not idle.any() and not dynamic.any():
        return None
    share = columns.instance.energy.share
    at = columns.resource_index[share] if share else ground.device_resource
    used = (ground.capacity - free) / np.maximum(ground.capacity, 1)
    load = used.max(axis=1, initial=0) if at is None else used[:, at]
    busy = tasks > 0
    resting, running = np.where(busy, idle, 0.0), np.where(busy, dynamic * load, 0.0)
    if total is not None and running.any():
        running *= max(total - resting.sum(), 0) / running.sum()
    return np.asarray(resting + running)


def ways_of(oracle: Oracle, task: Task) -> list[Way]:
    """Find what keeps a task off the nodes as they are, for each way in which it can run."""
    return ways(Kind(oracle.ground, task))
