"""Bodies of requests and answers."""

from __future__ import annotations

from typing import Any

import msgspec

from optalloc.instance.model import Node, Task
from optalloc.oracle.answers import Decision, Mix, Refusal
from optalloc.oracle.improving import Plan
from optalloc.solution import Placed


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request states."""


class Place(Body, frozen=True):
    """Place tasks, one after the other in the order given.

    Parameters
    ----------
    tasks
        Single tasks and gangs with new names, as in instance files.
    together
        Place all or none.
    look_ahead
        Place them so that more of them, or the same ones at less cost, have a place; none is
        refused because of one behind it.
    """

    tasks: tuple[Task, ...]
    together: bool = False
    look_ahead: bool = False


class Names(Body, frozen=True):
    """Tasks that run.

    Parameters
    ----------
    tasks
        Their names.
    """

    tasks: tuple[str, ...]


class Resize(Body, frozen=True):
    """Another demand, table or number of replicas for a task that runs.

    Parameters
    ----------
    task
        The task, as it is to be from now on.
    """

    task: Task


class Move(Body, frozen=True):
    """Where a task is to run.

    Parameters
    ----------
    task
        Its name.
    nodes
        Replicas by node name.
    configuration
        Name of the row chosen, for a task with a table.
    devices
        Numbers of its devices by node name; on nodes that are not named it gets some.
    """

    task: str
    nodes: dict[str, int]
    configuration: str = ""
    devices: dict[str, tuple[int, ...]] = {}


class Moves(Body, frozen=True):
    """Moves, one after the other; all or none.

    Parameters
    ----------
    moves
        Each of another task.
    """

    moves: tuple[Move, ...]


class Nodes(Body, frozen=True):
    """Nodes of the cluster.

    Parameters
    ----------
    nodes
        Their names.
    """

    nodes: tuple[str, ...]


class NewNodes(Body, frozen=True):
    """Nodes that join the cluster.

    Parameters
    ----------
    nodes
        What they are, as in instance files, with new names.
    """

    nodes: tuple[Node, ...]


class Told(Body, frozen=True, omit_defaults=True):
    """A snapshot as it was told.

    Parameters
    ----------
    instance
        That of the cluster, as in instance files.
    objective, policy, tasks, placements, devices, closed, version, chosen, mix
        As in the snapshot.
    """

    instance: dict[str, Any]
    objective: str = ""
    policy: str = ""
    tasks: tuple[Task, ...] = ()
    placements: dict[str, Placed] = {}
    devices: dict[str, dict[str, tuple[int, ...]]] = {}
    closed: tuple[str, ...] = ()
    version: int = 0
    chosen: tuple[str, ...] = ()
    mix: Mix | None = None


class Restore(Body, frozen=True):
    """What ran before.

    Parameters
    ----------
    snapshot
        As it was told, of the same nodes, rules, objective and policy.
    """

    snapshot: Told


class OneNode(Body, frozen=True):
    """A node of the cluster.

    Parameters
    ----------
    node
        Its name.
    """

    node: str


class WhatIf(Body, frozen=True):
    """Changes that are only tried, in this order, and what would then be placed.

    Parameters
    ----------
    release
        Tasks that would be gone.
    add
        Nodes that would join the cluster.
    close, reopen
        Nodes that would be closed, or open again.
    place
        Tasks that would be placed.
    together
        Place all or none.
    """

    release: tuple[str, ...] = ()
    add: tuple[Node, ...] = ()
    close: tuple[str, ...] = ()
    reopen: tuple[str, ...] = ()
    place: tuple[Task, ...] = ()
    together: bool = False


class Improve(Body, frozen=True):
    """Look for better places of what runs.

    Parameters
    ----------
    seconds
        For the search; the answer takes longer by what it takes to read the state and to check.
    max_moves
        Most replicas that move.
    """

    seconds: float
    max_moves: int = 32


class Apply(Body, frozen=True):
    """Carry out the plan found last.

    Parameters
    ----------
    version
        The plan's version, where only this plan is meant.
    """

    version: int | None = None


class Nothing(Body, frozen=True):
    """No fields."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Where tasks run, or would run, and why others do not.

    Parameters
    ----------
    version
        Version of the state.
    decisions
        Tasks that have a place.
    refusals
        Tasks that have none, each with its reason.
    """

    version: int
    decisions: tuple[Decision, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was made.

    Parameters
    ----------
    version
        Version of the state.
    """

    version: int


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A task that runs.

    Parameters
    ----------
    version
        Version of the state.
    task
        Its name.
    nodes
        Replicas by node name.
    configuration
        Name of the row chosen, for a task with a table.
    devices
        Numbers of the devices that it uses by node name.
    """

    version: int
    task: str
    nodes: dict[str, int]
    configuration: str = ""
    devices: dict[str, tuple[int, ...]] = {}


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What the improver proposes.

    Parameters
    ----------
    version
        Version of the state now.
    plan
        The plan found last, with the version of the state for which it holds; null where there is
        none, or it was applied.
    age_s
        Seconds since it was found.
    last
        How the improver's last run ended: ``better``, ``nothing``, ``crashed``, ``timed-out`` or
        ``out-of-memory``; empty before the first.
    """

    version: int
    plan: Plan | None = None
    age_s: float | None = None
    last: str = ""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What was carried out of a plan.

    Parameters
    ----------
    version
        Version of the state.
    moved
        Where the tasks run now that moved.
    dropped
        Tasks that were to move and did not, or not all the way, each with the reason.
    """

    version: int
    moved: tuple[Decision, ...] = ()
    dropped: tuple[Refusal, ...] = ()


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a resource is in use.

    Parameters
    ----------
    capacity, used
        In the resource's unit, over all nodes.
    """

    capacity: float
    used: float


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The state in figures.

    Parameters
    ----------
    version
        Version of the state.
    tasks, nodes
        Tasks that run, and nodes.
    closed
        Names of the nodes to which nothing may come.
    resources
        What is in use, by resource.
    power_w
        Watts, where the instance's objective counts them.
    gap
        Of what runs, to the best that is known to be possible; none until that is known.
    fragmentation
        Part of the free devices that requests like the recent ones cannot use; none until known.
    """

    version: int
    tasks: int
    nodes: int
    closed: tuple[str, ...]
    resources: dict[str, Use]
    power_w: float | None = None
    gap: float | None = None
    fragmentation: float | None = None


class BrokenRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that does not hold.

    Parameters
    ----------
    rule
        Its label.
    message
        What is wrong.
    """

    rule: str
    message: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the independent checker says of all that runs.

    Parameters
    ----------
    version
        Version of the state.
    tasks
        Tasks that were checked.
    feasible
        Whether every hard rule holds.
    violations
        The rules that do not.
    """

    version: int
    tasks: int
    feasible: bool
    violations: tuple[BrokenRule, ...] = ()


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong at one place of a request.

    Parameters
    ----------
    path
        Such as ``tasks[3].demand.gpu``.
    message
        What was expected.
    """

    path: str
    message: str


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request is refused.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What is wrong.
    problems
        Each by its place, where there are several.
    """

    status: int
    message: str
    problems: tuple[Problem, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is.

    Parameters
    ----------
    status
        ``ok``, or what keeps it from answering.
    """

    status: str
