"""Whole contents of nodes: how often each is taken, made to hold exactly what is needed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import ClassTables

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

WHOLE = 1e-6
"""How close below a whole number a float counts as it."""
TRIES = 10_000
"""Contents that are changed at most while replicas are settled."""


@dataclass
class Packing:
    """Contents, each with the kind of its nodes and how many of them there are."""

    tables: ClassTables
    kind: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    content: list[IntArray] = field(default_factory=list)

    def add(self, kind: int, times: int, content: IntArray) -> None:
        """Take a content so often."""
        if times > 0:
            self.kind.append(kind)
            self.times.append(times)
            self.content.append(content)

    @property
    def contents(self) -> IntArray:
        """All contents, (contents, blocks)."""
        return np.array(self.content, np.int64).reshape(-1, self.tables.blocks)

    @property
    def placed(self) -> IntArray:
        """Replicas of each block."""
        total = np.zeros(self.tables.blocks, np.int64)
        for times, content in zip(self.times, self.content, strict=True):
            total += times * content
        return total

    @property
    def nodes_left(self) -> IntArray:
        """Nodes of each kind that hold nothing."""
        used = np.zeros(self.tables.kinds, np.int64)
        np.add.at(used, self.kind, self.times)
        return self.tables.kind_nodes - used

    def change(self, index: int, times: int, block: int, replicas: int) -> None:
        """Add replicas of a block to some of the nodes with a content (all of them or fewer)."""
        changed = self.content[index].copy()
        changed[block] += replicas
        self.times[index] -= times
        if self.times[index]:
            self.add(self.kind[index], times, changed)
        else:
            self.times[index], self.content[index] = times, changed

    def trim(self, need: IntArray) -> None:
        """Take out what is more than needed."""
        for block in np.flatnonzero(self.placed > need).tolist():
            surplus = int(self.placed[block] - need[block])
            for index in range(len(self.kind)):
                each = int(self.content[index][block])
                if each and surplus >= each:
                    times = min(surplus // each, self.times[index])
                    surplus -= times * each
                    self.change(index, times, block, -each)
            for index in range(len(self.kind)):
                if 0 < surplus < self.content[index][block]:
                    self.change(index, 1, block, -surplus)
                    surplus = 0

    def settle(self, need: IntArray) -> None:
        """Put what is missing where it fits, each time on the content with the most room."""
        missing = need - self.placed
        for block in np.flatnonzero(missing > 0).tolist():
            for _ in range(TRIES):
                wanted = int(need[block] - self.placed[block])
                room = self.room(block) if wanted > 0 else np.zeros(0, np.int64)
                if not room.any():
                    break
                index = int(room.argmax())
                each = min(int(room[index]), wanted)
                self.change(index, min(self.times[index], wanted // each), block, each)

    def room(self, block: int) -> IntArray:
        """How many more replicas of a block each content has room for."""
        tables, kind, content = self.tables, np.array(self.kind, np.int64), self.contents
        size = tables.size[kind]
        free = tables.capacity[kind] - np.einsum("pb,pbd->pd", content, size)
        each = size[:, block]
        fits = np.where(each > 0, free // np.maximum(each, 1), np.iinfo(np.int64).max)
        room = np.minimum(
            fits.min(axis=1, initial=np.iinfo(np.int64).max),
            tables.dealt[kind, block] - content[:, block],
        )
        start = tables.group_start
        for g in range(tables.group_limit.size):
            inside = tables.group_block[start[g] : start[g + 1]]
            amount = tables.group_amount[start[g] : start[g + 1]]
            own = int(amount[inside == block].sum())
            if own:
                left = tables.group_limit[g] - content[:, inside] @ amount
                room = np.minimum(room, left // own)
        return np.maximum(room, 0)


def whole_tasks(tables: ClassTables, tasks: FloatArray) -> IntArray:
    """Round the tasks in each choice so that those of every class stay a whole number."""
    classes = tables.class_count.size
    floor = np.floor(tasks + WHOLE).astype(np.int64)
    total, whole = np.zeros(classes), np.zeros(classes, np.int64)
    np.add.at(total, tables.choice_class, tasks)
    np.add.at(whole, tables.choice_class, floor)
    count = tables.class_count
    wanted = np.where(tables.class_required, count, np.ceil(total - WHOLE)).astype(np.int64)
    order = np.lexsort((floor - tasks, tables.choice_class))
    of_class = tables.choice_class[order]
    rank = np.arange(order.size) - np.searchsorted(of_class, of_class)
    more = (np.minimum(wanted, count) - whole)[of_class]
    floor[order] += rank < more
    return floor


def needed(tables: ClassTables, tasks: IntArray) -> IntArray:
    """Replicas of each block for the tasks in each choice."""
    need = np.zeros(tables.blocks, np.int64)
    np.add.at(need, tables.choice_block, tables.choice_replicas * tasks)
    return need


def leave_out(tables: ClassTables, tasks: IntArray, placed: IntArray) -> IntArray:
    """Give up optional tasks whose replicas have no place."""
    tasks = tasks.copy()
    missing = needed(tables, tasks) - placed
    optional = ~tables.class_required[tables.choice_class]
    for choice in np.flatnonzero(optional & (missing[tables.choice_block] > 0)).tolist():
        block, each = tables.choice_block[choice], tables.choice_replicas[choice]
        dropped = min(int(tasks[choice]), -(-max(int(missing[block]), 0) // int(each)))
        tasks[choice] -= dropped
        missing[block] -= dropped * each
    return tasks
