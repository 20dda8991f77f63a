"""Bodies of answers for those who watch: the page, and whoever draws another one."""

from __future__ import annotations

import msgspec

from optalloc.instance.model import Task
from optalloc.oracle.answers import Decision, Remedy
from optalloc.oracle.looking import OnNode
from optalloc.service.asked import Body, Standing, Use


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """One level of the topology.

    Parameters
    ----------
    domains
        Their names.
    domain
        Of each node, an index into `domains`; -1 for a node in none.
    """

    domains: tuple[str, ...]
    domain: list[int]


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes as they are stated, a column each.

    Parameters
    ----------
    version
        Version of the state.
    layout
        Another number where nodes come or go.
    nodes
        Their names.
    types
        Their device types; empty for a node without.
    scopes
        Domains by scope.
    capacity
        By resource and node, in the resource's unit.
    full_w
        Watts of each node at full load; nothing where none are stated.
    """

    version: int
    layout: int
    nodes: tuple[str, ...]
    types: list[str]
    scopes: dict[str, Scope]
    capacity: dict[str, list[float]]
    full_w: list[float]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What is in use on every node, in the order of `Cluster.nodes`.

    Parameters
    ----------
    version
        Version of the state.
    layout
        As of `Cluster`.
    state
        All nodes together.
    tasks
        Tasks with a replica on each node.
    used
        By resource and node, in the resource's unit.
    watts
        Of each node, estimated from its use; nothing where no watts are stated.
    """

    version: int
    layout: int
    state: Standing
    tasks: list[int]
    used: dict[str, list[float]]
    watts: list[float]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What is free of a device.

    Parameters
    ----------
    free
        Part of it, 1 for all.
    free_gib
        GiB of its memory; 0 where none are stated.
    """

    free: float
    free_gib: float


class ShownNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node and what runs on it.

    Parameters
    ----------
    version
        Version of the state.
    node
        Its name.
    closed
        Whether nothing may come to it.
    type
        Of its devices.
    domains
        By scope.
    labels
        As stated.
    resources
        What is in use, by resource.
    devices
        Each, in the order of their numbers.
    watts
        Estimated from its use; none where no watts are stated.
    tasks
        Number of tasks on it.
    running
        The first of them.
    """

    version: int
    node: str
    closed: bool
    type: str
    domains: dict[str, str]
    labels: dict[str, str]
    resources: dict[str, Use]
    devices: tuple[Device, ...]
    watts: float | None
    tasks: int
    running: tuple[OnNode, ...]


class Question(Body, frozen=True):
    """A task about which is asked, and which is not placed.

    Parameters
    ----------
    task
        It may have the name of a task that runs.
    """

    task: Task


class InTheWay(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a task off some nodes.

    Parameters
    ----------
    reason
        The rule or resource.
    nodes
        How many.
    first
        Some of them.
    """

    reason: str
    nodes: int
    first: tuple[str, ...]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the way of a task in one of its configurations.

    Parameters
    ----------
    configuration
        Name of the row; empty for a task without a table.
    wanted, fits
        Replicas that it has, and those for which there is room one by one.
    reasons
        What keeps it off how many nodes; each node counts once.
    """

    configuration: str
    wanted: int
    fits: int
    reasons: tuple[InTheWay, ...]


class WhyNot(msgspec.Struct, frozen=True, kw_only=True):
    """Where a task would run, or why nowhere.

    Parameters
    ----------
    version
        Version of the state.
    decision
        Where it would run; none if nowhere.
    reason
        Why nowhere, in a line.
    ways
        The same, for each way in which it can run.
    remedies
        What would make it fit, each for itself; the least change first.
    """

    version: int
    decision: Decision | None = None
    reason: str = ""
    ways: tuple[Way, ...] = ()
    remedies: tuple[Remedy, ...] = ()


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over time, sampled while the service runs.

    Parameters
    ----------
    every_s
        Seconds between two samples.
    at
        When they were taken, in seconds since 1970.
    figures
        By name, a value for each sample; null where it was not known.
    """

    every_s: float
    at: list[float]
    figures: dict[str, list[float | None]]


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One decision.

    Parameters
    ----------
    at
        When, in seconds since 1970.
    request
        What was asked for: ``place`` or ``resize``.
    task
        Its name; the beginning of a long one.
    placed
        Whether it got a place.
    ms
        Milliseconds of the request that brought it.
    version
        Version of the state.
    nodes
        Number of its nodes.
    first
        Some of them.
    reason
        Why it got none.
    asked
        The refused task, to ask about it again; none where it is large.
    """

    at: float
    request: str
    task: str
    placed: bool
    ms: float
    version: int
    nodes: int = 0
    first: tuple[str, ...] = ()
    reason: str = ""
    asked: Task | None = None


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What the service does.

    Parameters
    ----------
    queue
        Requests that wait.
    decisions
        The last ones since it started, the newest first.
    """

    queue: int
    decisions: tuple[Decided, ...]
