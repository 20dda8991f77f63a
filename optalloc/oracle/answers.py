"""What the oracle answers."""

from __future__ import annotations

import msgspec

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance, Node, Task
from optalloc.solution import Placed


class Unknown(OptallocError):
    """A name that no task that runs has, or no node."""


class Taken(OptallocError):
    """The name of a task that is to be new, and is not."""


class Unverified(OptallocError):
    """A decision that does not hold in the eyes of its check: it is not made."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a task runs from now on, or is proposed to.

    Parameters
    ----------
    task
        Its name.
    nodes
        Replicas by node name.
    configuration
        Name of the row chosen, for a task with a table.
    devices
        Numbers of the devices that it uses by node name, those of one replica after the other;
        the same device twice where two of its replicas share it. Nodes count theirs from 0.
    version
        Version of the state after it; of a proposal, of the state for which it holds.
    """

    task: str
    nodes: dict[str, int]
    configuration: str = ""
    devices: dict[str, tuple[int, ...]] = {}
    version: int = 0

    @property
    def placed(self) -> Placed:
        """Where it runs, as solutions say it."""
        return Placed(nodes=self.nodes, configuration=self.configuration)


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a task runs nowhere.

    Parameters
    ----------
    task
        Its name.
    reason
        Which rule or resource keeps it off how many nodes.
    version
        Version of the state that was asked.
    """

    task: str
    reason: str
    version: int = 0


class Remedy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of the cluster, or of a task, after which a refused task has a place.

    One of the changes is stated; all that it names are needed.

    Parameters
    ----------
    words
        The change, in a line.
    reopen
        Nodes to open.
    release
        Tasks to release.
    add
        Nodes to add, as in instance files.
    task
        What to ask for instead.
    """

    words: str
    reopen: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    add: tuple[Node, ...] = ()
    task: Task | None = None


Answer = Decision | Refusal


class Mix(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests that placement policies go by.

    Parameters
    ----------
    tasks
        One for each kind of them.
    recent
        The last requests, oldest first: index of the kind of each replica.
    counts
        Pairs of a kind and how often it is expected, in the order in which they came; empty where
        there is no mix yet.
    since
        Requests since the mix was made.
    told
        Whether the mix was told, and no longer follows from requests.
    """

    tasks: tuple[Task, ...] = ()
    recent: tuple[int, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()
    since: int = 0
    told: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that an oracle knows, to go on from.

    Parameters
    ----------
    instance
        Nodes, groups, policies and quanta.
    objective
        What placements are to cost little of; empty for the instance's.
    policy
        What decides between places that cost the same.
    tasks
        What runs.
    placements
        Where, by the tasks' names.
    devices
        Numbers of the devices that they use by node name, by the tasks' names.
    closed
        Nodes to which nothing may come.
    version
        Of the state.
    chosen
        Resources whose quanta nobody stated: they may become finer when nodes are added.
    mix
        Requests that the policy goes by; without it, it goes by what runs.
    """

    instance: Instance
    objective: str = ""
    policy: str = ""
    tasks: tuple[Task, ...] = ()
    placements: dict[str, Placed] = {}
    devices: dict[str, dict[str, tuple[int, ...]]] = {}
    closed: tuple[str, ...] = ()
    version: int = 0
    chosen: tuple[str, ...] = ()
    mix: Mix | None = None
