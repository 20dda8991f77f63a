"""What tasks and nodes of a live problem are called, and errors that name them."""

from __future__ import annotations

from optalloc.engines.local.frame import Frame
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.references import choices


class LiveError(OptallocError):
    """Something that cannot be done to a live problem as it is."""


class UnknownName(LiveError):
    """Nothing has the name."""


class NotSo(LiveError):
    """What is named is not as it must be for that: absent already, say, or there."""


class Inexact(LiveError):
    """A term of the problem would not be exact any more."""


class NoMore(LiveError):
    """There are no more tasks of an entry, and there cannot be."""


class Names:
    """Names of the nodes and tasks of an instance, with more tasks than it states.

    Tasks of an entry ``web`` with a count are ``web/0``, ``web/1`` and so on; the first task of an
    entry without one is ``web``, and more of them ``web/1``, ``web/2``, ...
    """

    def __init__(self, instance: Instance) -> None:
        self.nodes = instance.columns.node_index
        self.entries = {task.name: e for e, task in enumerate(instance.tasks)}
        self.stated = instance.tasks

    def node(self, name: str) -> int:
        """The node of a name."""
        if name not in self.nodes:
            raise UnknownName(f"expected a node ({choices(self.nodes)}), got {name!r}")
        return self.nodes[name]

    def entry(self, name: str) -> int:
        """The task entry of a name."""
        if name not in self.entries:
            known = choices(self.entries)
            raise UnknownName(f"expected the name of a task entry ({known}), got {name!r}")
        return self.entries[name]

    def task(self, frame: Frame, name: str) -> int:
        """The task of a name, absent or not."""
        entry, number = self.entries.get(name, -1), 0
        if entry < 0:
            head, _, last = name.rpartition("/")
            entry, number = self.entries.get(head, -1), int(last) if last.isdecimal() else 0
        if entry >= 0:
            task = int(frame.entry_task[entry]) + number
            if task < frame.entry_task[entry + 1] and self.of_task(frame, task) == name:
                return task
        some = repr(self.of_task(frame, 0)) if self.entries else "none"
        raise UnknownName(f"expected the name of a task, such as {some}, got {name!r}")

    def of_task(self, frame: Frame, task: int) -> str:
        """The name of a task."""
        entry = frame.entry_of(task)
        number, stated = task - int(frame.entry_task[entry]), self.stated[entry]
        return stated.name if number == 0 and stated.count == 1 else f"{stated.name}/{number}"
