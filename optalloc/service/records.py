"""What the journal keeps: decisions, so that replaying them decides nothing anew."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from optalloc.instance.model import Instance, Node, Task
from optalloc.oracle.answers import Snapshot
from optalloc.oracle.growing import chosen_quanta, regrown, restated, without
from optalloc.solution import Placed


class Put(msgspec.Struct, frozen=True, tag="put", omit_defaults=True):
    """A task, new or not, runs on some nodes from now on."""

    task: Task
    nodes: dict[str, int]
    configuration: str = ""
    devices: dict[str, tuple[int, ...]] = {}


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """Tasks run no longer."""

    tasks: tuple[str, ...]


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """Nothing comes to some nodes any more."""

    nodes: tuple[str, ...]


class Reopened(msgspec.Struct, frozen=True, tag="reopened"):
    """Tasks can come to some nodes again."""

    nodes: tuple[str, ...]


class Added(msgspec.Struct, frozen=True, tag="added", omit_defaults=True):
    """Nodes join the cluster.

    Parameters
    ----------
    nodes
        What they are.
    quanta
        Of the resources whose quanta follow from what is stated, from then on.
    """

    nodes: tuple[Node, ...]
    quanta: dict[str, float] = {}


class Removed(msgspec.Struct, frozen=True, tag="removed"):
    """Nodes are no longer of the cluster."""

    nodes: tuple[str, ...]


Record = Put | Gone | Closed | Reopened | Added | Removed

NO_ANSWER = msgspec.Raw(b"")


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One transaction.

    Parameters
    ----------
    version
        Version of the state after it.
    records
        What it changed, in order.
    asked
        Digest of the request, where it had an idempotency key.
    answer
        What such a request was answered.
    """

    version: int
    records: tuple[Record, ...] = ()
    asked: str = ""
    answer: msgspec.Raw = NO_ANSWER


class State:
    """What runs where, as it follows from records.

    Attributes
    ----------
    running
        Tasks and where they run, by name.
    closed
        Names of the closed nodes.
    removed, added, quanta
        Nodes of the instance that are gone, nodes that joined, and the quanta that follow.
    version
        Of the oracle.
    """

    def __init__(self) -> None:
        self.running: dict[str, Put] = {}
        self.closed: dict[str, None] = {}
        self.removed: dict[str, None] = {}
        self.added: tuple[Node, ...] = ()
        self.quanta: dict[str, float] = {}
        self.version = 0

    def follow(self, entry: Entry) -> None:
        """Let an entry happen.

        Raises
        ------
        KeyError
            For a task that is said to be gone, and never ran.
        """
        self.version = entry.version
        for record in entry.records:
            match record:
                case Put():
                    self.running[record.task.name] = record
                case Gone():
                    for name in record.tasks:
                        del self.running[name]
                case Closed():
                    self.closed.update(dict.fromkeys(record.nodes))
                case Reopened():
                    for name in record.nodes:
                        self.closed.pop(name, None)
                case Added():
                    self.added += record.nodes
                    self.quanta = record.quanta
                case Removed():
                    self._remove(record.nodes)

    def _remove(self, nodes: tuple[str, ...]) -> None:
        self.added, others = without(self.added, nodes)
        self.removed.update(dict.fromkeys(name for name in nodes if name in others))
        for name in nodes:
            self.closed.pop(name, None)
        for name, put in [*self.running.items()]:
            if (task := restated(put.task, nodes)) is not put.task:
                self.running[name] = msgspec.structs.replace(put, task=task)

    def records(self) -> Iterable[Record]:
        """Records that lead here from nothing."""
        if self.removed:
            yield Removed(tuple(self.removed))
        if self.added or self.quanta:
            yield Added(self.added, self.quanta)
        if self.closed:
            yield Closed(tuple(self.closed))
        yield from self.running.values()

    def snapshot(self, instance: Instance, objective: str, policy: str = "") -> Snapshot:
        """The same, for an oracle of an instance to go on from."""
        chosen: tuple[str, ...] = ()
        if self.removed or self.added or self.quanta:
            chosen = chosen_quanta(instance)
            instance = regrown(instance, self.removed, self.added, self.quanta)
        puts = self.running.values()
        return Snapshot(
            instance=instance,
            objective=objective,
            policy=policy,
            chosen=chosen,
            tasks=tuple(put.task for put in puts),
            placements={
                put.task.name: Placed(nodes=put.nodes, configuration=put.configuration)
                for put in puts
            },
            devices={put.task.name: put.devices for put in puts if put.devices},
            closed=tuple(self.closed),
            version=self.version,
        )
