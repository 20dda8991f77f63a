"""Every placement of a tiny instance, enumerated from what it states alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from math import prod
from random import Random

import numpy as np

from optalloc.instance.model import Configuration, Instance, Node, Task
from optalloc.instance.placement import Placement

Run = tuple[tuple[int, int], tuple[tuple[int, int], ...]]
"""One row of an entry: (row, tasks that run in it), and a (row, node) for each replica."""
Option = tuple[Run, ...]
"""What an entry does: the runs of its rows."""


@dataclass(frozen=True)
class Space:
    """All ways of placing the entries of an instance on nodes that their labels permit."""

    instance: Instance
    options: tuple[tuple[Option, ...], ...]

    @property
    def size(self) -> int:
        return prod(len(options) for options in self.options)

    def __iter__(self) -> Iterator[Placement]:
        return (self._placement(chosen) for chosen in product(*self.options))

    def sample(self, rng: Random) -> Placement:
        return self._placement(tuple(rng.choice(options) for options in self.options))

    def _placement(self, options: tuple[Option, ...]) -> Placement:
        chosen = np.zeros(self.instance.columns.rows, np.int64)
        pairs: list[tuple[int, int]] = []
        for option in options:
            for (row, tasks), placed in option:
                chosen[row] = tasks
                pairs += placed
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return Placement.of(chosen, table[:, 0], table[:, 1], np.ones(len(pairs), np.int64))


def space_of(instance: Instance, permitted: bool = True) -> Space:
    """All placements; with `permitted` false also those on nodes that labels rule out."""
    entries = range(len(instance.tasks))
    return Space(instance, tuple(tuple(_options(instance, t, permitted)) for t in entries))


def _options(instance: Instance, t: int, permitted: bool) -> Iterator[Option]:
    columns, task = instance.columns, instance.tasks[t]
    rows = range(int(columns.row_start[t]), int(columns.row_start[t + 1]))
    least = task.count if task.required else 0
    for numbers in product(range(task.count + 1), repeat=len(rows)):
        if least <= sum(numbers) <= task.count:
            runs = [
                [((row, k), placed) for placed in _spots(instance, task, row, k, permitted)]
                for row, k in zip(rows, numbers, strict=True)
                if k
            ]
            yield from product(*runs)


def _spots(
    instance: Instance, task: Task, row: int, tasks: int, permitted: bool
) -> Iterator[tuple[tuple[int, int], ...]]:
    columns = instance.columns
    configuration = columns.row_configuration[row]
    nodes = [
        n
        for n, entry in enumerate(columns.node_entry.tolist())
        if not permitted or _may_run(instance.nodes[entry], task, configuration)
    ]
    for placed in combinations_with_replacement(nodes, int(columns.row_replicas[row]) * tasks):
        yield tuple((row, n) for n in placed)


def _may_run(node: Node, task: Task, row: Configuration | None) -> bool:
    device, memory = (row.device, row.device_memory_gib) if row else ("", None)
    if (task.device_memory_gib if memory is None else memory) > (node.memory_gib or 0):
        return False
    own = node.domains | node.labels | {"node": node.name}
    if node.device:
        own["device"] = node.device
    return (
        all(own.get(label) in values for label, values in task.allow.items())
        and not any(own.get(label) in values for label, values in task.forbid.items())
        and device in ("", node.device)
    )
