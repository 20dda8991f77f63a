"""Which tasks are on each node."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class Residents:
    """Names of the tasks with a replica on each node, those that came first before others.

    Copies share the names of a node until one of them changes these.
    """

    def __init__(self) -> None:
        self._names: dict[int, dict[str, None]] = {}
        self._own: set[int] = set()

    def of(self, node: int) -> Collection[str]:
        """Names on a node."""
        return self._names.get(node, {}).keys()

    def numbers(self) -> dict[int, int]:
        """Number of tasks by node, where there are some."""
        return {node: len(names) for node, names in self._names.items() if names}

    def add(self, nodes: Iterable[int], name: str) -> None:
        """Let a task be on nodes."""
        for node in nodes:
            self._changed(node)[name] = None

    def remove(self, nodes: Iterable[int], name: str) -> None:
        """Let it be there no longer."""
        for node in nodes:
            self._changed(node).pop(name, None)

    def copied(self) -> Residents:
        """The same, to go on apart."""
        made = Residents()
        made._names = dict(self._names)
        self._own.clear()
        return made

    def _changed(self, node: int) -> dict[str, None]:
        """The names on a node, which no copy shares."""
        if node not in self._own:
            self._names[node] = dict(self._names.get(node, {}))
            self._own.add(node)
        return self._names[node]
