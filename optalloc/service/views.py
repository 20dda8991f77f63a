"""What those who watch see of the oracle.

Those of many nodes take little time of the writer: it copies arrays, and they are put into words
elsewhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import count

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from optalloc.instance.columns import Columns
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE
from optalloc.oracle.answers import Decision
from optalloc.oracle.devices import WHOLE
from optalloc.oracle.looking import tasks_by_node, tasks_on, watts_by_node, ways_of
from optalloc.oracle.oracle import Oracle
from optalloc.oracle.refusing import Way
from optalloc.oracle.suggesting import suggested
from optalloc.service import asked as a
from optalloc.service import shown as s
from optalloc.service.commands import standing

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

DIGITS = 6
"""Of amounts and watts after the point."""
PARTS, WAYS, FIRST = 100, 50, 10
"""Tasks of a node, configurations of a task, and nodes of a reason that are told."""


def cluster(oracle: Oracle) -> Callable[[], s.Cluster]:
    """The nodes as they are stated."""
    ground = oracle.ground
    return partial(_cluster, ground.problem.columns, ground.capacity, oracle.version)


def _cluster(columns: Columns, capacity: IntArray, version: int) -> s.Cluster:
    nodes, entry = columns.instance.nodes, columns.node_entry.tolist()
    scopes = dict.fromkeys(scope for node in nodes for scope in node.domains)
    full = np.array([node.full_w for node in nodes], float)[columns.node_entry]
    return s.Cluster(
        version=version,
        layout=layout(columns),
        nodes=columns.node_names,
        types=[nodes[e].device for e in entry],
        scopes={scope: _scope(columns, scope) for scope in scopes},
        capacity=_by_resource(columns, capacity),
        full_w=full.tolist() if full.any() else [],
    )


def _scope(columns: Columns, scope: str) -> s.Scope:
    domains, domain = columns.scope(scope)
    return s.Scope(domains=domains, domain=domain.tolist())


@lru_cache(maxsize=1)
def layout(columns: Columns) -> int:
    """A number that tells clusters with other nodes apart."""
    return zlib.crc32(msgspec.json.encode(columns.instance.nodes))


def overview(oracle: Oracle) -> Callable[[], s.Overview]:
    """What is in use on every node."""
    ground, free, tasks = oracle.ground, oracle.ground.free(), tasks_by_node(oracle)
    now, columns = standing(oracle), ground.problem.columns
    watts = watts_by_node(oracle, free, tasks, now.power_w)
    return partial(_overview, columns, ground.capacity - free, tasks, watts, now)


def _overview(
    columns: Columns, used: IntArray, tasks: IntArray, watts: FloatArray | None, now: a.Standing
) -> s.Overview:
    return s.Overview(
        version=now.version,
        layout=layout(columns),
        state=now,
        tasks=tasks.tolist(),
        used=_by_resource(columns, used),
        watts=[] if watts is None else watts.round(1).tolist(),
    )


def _by_resource(columns: Columns, amount: IntArray) -> dict[str, list[float]]:
    found = {}
    for i, name in enumerate(columns.resources):
        quantum = float(columns.quantum_of_resource[i])
        found[name] = (amount[:, i] * quantum).round(DIGITS).tolist()
    return found


def node(oracle: Oracle, name: str) -> s.ShownNode:
    """A node and what runs on it."""
    number, ground = len(oracle.tasks_on(name)), oracle.ground
    columns = ground.problem.columns
    n = columns.node_index[name]
    stated = columns.instance.nodes[int(columns.node_entry[n])]
    free, tasks = ground.free(), tasks_by_node(oracle)
    watts = watts_by_node(oracle, free, tasks, standing(oracle).power_w)
    resources = {}
    for i, resource in enumerate(columns.resources):
        quantum = float(columns.quantum_of_resource[i])
        capacity, left = int(ground.capacity[n, i]), int(free[n, i])
        used = round((capacity - left) * quantum, DIGITS)
        resources[resource] = a.Use(capacity=capacity * quantum, used=used)
    return s.ShownNode(
        version=oracle.version,
        node=name,
        closed=bool(ground.closed[n]),
        type=stated.device,
        domains={scope: domain for scope, domain in stated.domains.items() if scope != NODE},
        labels=dict(stated.labels),
        resources=resources,
        devices=_devices(oracle, n, stated.devices),
        watts=None if watts is None else round(float(watts[n]), 1),
        tasks=number,
        running=tuple(tasks_on(oracle, n, PARTS)),
    )


def _devices(oracle: Oracle, n: int, number: int) -> tuple[s.Device, ...]:
    devices = oracle.ground.devices
    if devices is None:
        return ()
    free, memory = devices.free[n, :number].tolist(), devices.memory[n, :number].tolist()
    return tuple(
        s.Device(free=part / WHOLE, free_gib=gib / WHOLE)
        for part, gib in zip(free, memory, strict=True)
    )


def why_not(fork: Oracle, asked: s.Question) -> s.WhyNot:
    """Say where a task would run, or why nowhere, on a copy that nobody else sees."""
    version, task = fork.version, asked.task
    if fork.runs(task.name):
        # A question is about a task like this one.
        free = next(n for k in count(1) if not fork.runs(n := f"{task.name}-{k}"))
        told = why_not(fork, replace(asked, task=replace(task, name=free)))
        return _called(told, task.name)
    try:
        fork.check(task)
    except InstanceError as error:
        said = [(path.replace("tasks[0]", "task", 1), what) for path, what in error.problems]
        raise InstanceError(said, "the request") from None
    (answer,) = fork.place(task)
    if isinstance(answer, Decision):
        return s.WhyNot(version=version, decision=answer)
    found = ways_of(fork, task)[:WAYS]
    return s.WhyNot(
        version=version,
        reason=answer.reason,
        ways=tuple(_way(fork.ground.problem.columns, way) for way in found),
        remedies=suggested(fork, task),
    )


def _called(told: s.WhyNot, name: str) -> s.WhyNot:
    """The same of a task of another name."""
    decision = told.decision and replace(told.decision, task=name)
    remedies = tuple(
        replace(one, task=replace(one.task, name=name)) if one.task else one
        for one in told.remedies
    )
    return replace(told, decision=decision, remedies=remedies)


def _way(columns: Columns, way: Way) -> s.Way:
    order = sorted(way.obstacles, key=lambda obstacle: -obstacle.sites.size)
    return s.Way(
        configuration=way.name,
        wanted=way.wanted,
        fits=way.fits,
        reasons=tuple(
            s.InTheWay(
                reason=obstacle.message,
                nodes=obstacle.sites.size,
                first=tuple(columns.node_names[n] for n in obstacle.sites[:FIRST].tolist()),
            )
            for obstacle in order
        ),
    )
