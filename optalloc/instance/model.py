"""What the user states: nodes, tasks, groups, energy data, policies and the objective.

The classes are frozen `msgspec` structs; the instance file is their JSON, so the file format and
its JSON Schema follow from this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from optalloc.instance.field import Field, Named, Several, Stated, kept
from optalloc.instance.policy import Number, Policy
from optalloc.instance.training import Training
from optalloc.physics.parameters import Parameters

if TYPE_CHECKING:
    from optalloc.instance.columns import Columns

DEVICE = "device"
"""The built-in resource counted by ``Node.devices`` (and the label that holds the device type)."""
NODE = "node"
"""The built-in scope and label in which every node is its own domain."""


class Resource(Stated, frozen=True):
    """A resource: nodes have capacities of it and tasks demand it.

    Parameters
    ----------
    unit
        Unit in which the numbers are stated (``"GiB"``); for people only.
    quantum
        Granularity: demands are rounded up and capacities down to multiples of it. By default the
        coarsest power of ten that states every number exactly.
    transient
        A moving task still occupies its old node while it moves.
    """

    unit: str = ""
    quantum: Number | None = None
    transient: bool = False


class Lookup(Stated, frozen=True):
    """A number that depends on the node through one of the node's attributes.

    Parameters
    ----------
    by
        ``"node"`` (the node entry's name), ``"device"`` (its device type), a label or a domain
        scope.
    values
        The number for each value of that attribute.
    default
        The number for every other value; without it a missing value is an error.
    """

    by: str
    values: dict[str, Number]
    default: Number | None = None


Quantity = Number | str | tuple[Number, ...] | Lookup
"""A number; the name of a shared table; one number per node entry; or an inline table."""
Stateable = Number | str | Sequence[Number] | Lookup
"""A `Quantity` as it may be stated."""


class Node(Stated, frozen=True):
    """A node, or ``count`` identical nodes.

    Parameters
    ----------
    name
        Unique. The nodes of an entry with ``count`` > 1 are called ``name/0``, ``name/1``, ...
    capacity
        Per resource; a resource not named has capacity 0.
    safety
        Soft thresholds per resource for the ``safety-capacity`` policy; by default the capacity.
    device, devices
        Type and number of devices; the number is the capacity of the resource ``device``.
    flops, memory_gib, memory_bandwidth
        Per device: peak FLOP/s, GiB of memory and bytes/s of memory bandwidth.
    idle_w, full_w
        Watts drawn by the whole node when it is on and idle, and at full load.
    price_h
        Price of the node for an hour in use.
    labels
        Free attributes, matched by the tasks' ``allow`` and ``forbid``.
    domains
        The domain at each scope of the topology, for example ``{"rack": "r7"}``.
    count
        Number of identical nodes.
    """

    name: str
    capacity: Named[Number] = kept({})
    safety: Named[Number] = kept({})
    device: str = ""
    devices: int = 0
    flops: Number | None = None
    memory_gib: Number | None = None
    memory_bandwidth: Number | None = None
    idle_w: Number = 0
    full_w: Number = 0
    price_h: Number = 0
    labels: Named[str] = kept({})
    domains: Named[str] = kept({})
    count: int = 1


class Configuration(Stated, frozen=True):
    """A way in which a task can run: a row of its configuration table.

    Parameters
    ----------
    name
        How solutions name the row; by default ``device x replicas``, or its number.
    device
        Device type of the nodes it runs on; empty for any.
    replicas
        Number of identical replicas that run together.
    throughput
        Samples/s of the whole configuration.
    watts
        Watts that the whole configuration draws on top of its nodes' idle power.
    demand
        Demand of each replica; overrides the task's. A row that names a device type demands one
        device a replica unless the row or the task says otherwise.
    device_memory_gib
        GiB on each device that a replica uses; by default the task's.
    within
        Scope (such as ``rack``; ``node``) in one domain of which all replicas run; by default
        the task's, which is anywhere.
    per_node
        Replicas on each node that it uses: so many and no others. 0 (the task's) is any number.
    traffic
        Bytes/s that the whole configuration sends over each uplink that it crosses, at its
        throughput: for the ``uplink-load`` policy.
    sharing
        Most configurations that cross any uplink that it crosses, itself among them, for which its
        figures hold: for the ``uplink-share`` policy. 0 is any number.
    """

    name: str = ""
    device: str = ""
    replicas: int = 1
    throughput: Number = 0
    watts: Number = 0
    demand: Named[Number] = kept({})
    device_memory_gib: Number | None = None
    within: str = ""
    per_node: int = 0
    traffic: Number = 0
    sharing: int = 0


class Task(Stated, frozen=True):
    """A task (or ``count`` identical ones) that runs on one node, or a gang of replicas.

    Parameters
    ----------
    name
        Unique. The tasks of an entry with ``count`` > 1 are called ``name/0``, ``name/1``, ...
    demand
        Per resource, for each replica. A part of a ``device`` (0.25) is a share of one device:
        the oracle shares devices out, `solve` gives the replica a whole one (unless a quantum
        of the resource ``device`` is stated: then it counts sums, whatever device by device).
    device_memory_gib
        GiB on each device that a replica uses, of the nodes' ``memory_gib``: it runs on nodes that
        state as much. Where tasks share a device, the oracle shares its memory out as well.
    cost
        Cost of placing one replica, for the ``assignment-cost`` policy.
    replicas
        Number of replicas of a task without configurations.
    within, per_node
        As in `Configuration`, for all its rows that state none.
    configurations
        The ways in which it can run, or the name of a shared table of them.
    required
        Whether it must be placed.
    weight
        Weight of an admitted task and of its throughput.
    reference
        Throughput in samples/s that counts as 1; by default that of its best configuration.
    work
        Samples to process, for the ``energy`` and ``cost`` goals; without it the task runs for
        the whole horizon.
    allow, forbid
        Per label: the values a node must have, and those it must not. ``node``, ``device`` and
        the domain scopes are labels too.
    current
        Node(s) on which it runs now, one per replica (one name where all are on the same node).
    move_cost
        Cost of moving one replica, for the ``task-move-cost`` policy.
    requests_s
        Requests/s that the task answers, all its replicas the same share, for the
        ``response-time`` and ``response-limit`` policies.
    delay_s
        Seconds that a request and its answer are under way between where they come from and the
        node: the round trip and the transfer of their bytes.
    response_s
        Largest mean response time of its requests, for the ``response-limit`` policy.
    groups
        Names of the groups it belongs to.
    count
        Number of identical tasks.
    """

    name: str
    demand: Field[Mapping[str, Stateable], dict[str, Quantity]] = kept({})
    device_memory_gib: Number = 0
    cost: Field[Stateable, Quantity] = kept(0)
    replicas: int = 1
    within: str = ""
    per_node: int = 0
    configurations: Field[Sequence[Configuration] | str, tuple[Configuration, ...] | str] = kept(())
    required: bool = True
    weight: Number = 1
    reference: Number | None = None
    work: Number | None = None
    allow: Field[Mapping[str, Sequence[str]], dict[str, tuple[str, ...]]] = kept({})
    forbid: Field[Mapping[str, Sequence[str]], dict[str, tuple[str, ...]]] = kept({})
    current: Field[str | Sequence[str] | None, str | tuple[str, ...] | None] = kept(None)
    move_cost: Number = 1
    requests_s: Number = 0
    delay_s: Field[Stateable, Quantity] = kept(0)
    response_s: Number | None = None
    groups: Several[str] = kept(())
    count: int = 1


class Group(Stated, frozen=True):
    """A set of tasks that share rules: a service, a tenant, the stages of a job.

    Parameters
    ----------
    name
        Unique; tasks name their groups.
    kind
        What sort of group it is, so that a policy can speak of all groups of a kind.
    """

    name: str
    kind: str = "group"


class Energy(Stated, frozen=True):
    """Data for the energy and cost goals.

    Parameters
    ----------
    horizon_s
        Seconds for which the placement runs.
    price_kwh
        Price of a kilowatt-hour.
    pue
        Power usage effectiveness: facility energy over IT energy; multiplies the energy price.
    share
        Resource whose share of the node's capacity decides what part of (full - idle) watts a
        replica of a task without configurations draws; without it such a task draws none.
    """

    horizon_s: Number = 3600
    price_kwh: Number = 0
    pue: Number = 1
    share: str = ""


class Document(Stated, frozen=True):
    """The fields of an instance, as a file states them.

    Parameters
    ----------
    optalloc
        Version of the format: 1.
    name, description
        What it is called and what it is about; for people only.
    resources
        The resources; where empty, every resource that a node has.
    nodes
        At least one.
    tasks
        What is to be placed.
    groups
        The sets of tasks that rules speak of; tasks name theirs.
    tables
        Shared tables that the quantities of tasks can name.
    configurations
        Shared configuration tables that tasks can name.
    training
        Jobs that train, whose configuration tables follow from calibrated parameters; tasks name
        them as they name shared tables.
    parameters
        Calibrated parameters that such jobs can name, as ``optalloc calibrate`` writes them.
    energy
        Horizon and prices for the energy and cost goals.
    policies
        Goals and rules. Capacity, transient capacity and label rules hold without being stated.
    objective
        Levels in order of importance, joined by ``>``; each is ``penalty`` (the weighted sum of
        the policies with a weight), a policy's name, a goal's type or (one of them) a ratio:
        ``samples-per-joule``, or two goals as in ``throughput / power``. By default
        ``admitted > penalty`` where some task is optional, else ``penalty``.
    """

    optalloc: int = 1
    name: str = ""
    description: str = ""
    resources: Named[Resource] = kept({})
    nodes: Several[Node] = kept(())
    tasks: Several[Task] = kept(())
    groups: Several[Group] = kept(())
    tables: Named[Lookup] = kept({})
    configurations: Field[
        Mapping[str, Sequence[Configuration]], dict[str, tuple[Configuration, ...]]
    ] = kept({})
    training: Named[Training] = kept({})
    parameters: Named[Parameters] = kept({})
    energy: Energy = Energy()
    policies: Several[Policy] = kept(())
    objective: str = ""


# It is as frozen as `Document`, but to say so again makes mypy forget the types that are kept.
class Instance(Document, dict=True):  # type: ignore[misc]
    """A complete, validated statement of what may run where and what is wanted.

    Raises
    ------
    InstanceError
        From the constructor: lists every problem with its path and what was expected.

    Examples
    --------
    >>> from optalloc import Instance, Node, Task, solve
    >>> instance = Instance(
    ...     nodes=[Node(name="a", capacity={"cpu": 8}), Node(name="b", capacity={"cpu": 4})],
    ...     tasks=[Task(name="web", demand={"cpu": 3}, count=3)],
    ...     objective="nodes",
    ... )
    >>> solve(instance).objective
    2.0
    """

    def __post_init__(self) -> None:
        from optalloc.instance import validation

        validation.complete(self)

    @cached_property
    def shared_rows(self) -> dict[str, tuple[Configuration, ...]]:
        """Shared configuration tables by name: those stated, and those of jobs that train."""
        if not self.training:
            return self.configurations
        from optalloc.physics.training import tabulate

        return {**self.configurations, **tabulate(self)}

    def rows_of(self, task: Task) -> tuple[Configuration, ...]:
        """The configuration table of a task; empty if it has none."""
        stated = task.configurations
        return self.shared_rows.get(stated, ()) if isinstance(stated, str) else stated

    @cached_property
    def columns(self) -> Columns:
        """The instance as integer arrays, made once and shared by everyone who computes."""
        from optalloc.instance.columns import Columns

        return Columns.of(self)
