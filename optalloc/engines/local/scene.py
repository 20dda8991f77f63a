"""What is there of a problem, and where: enough to make a record of it, or to bring one back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.frame import Frame

Int32 = NDArray[np.int32]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """What is there, and the placement, in the numbers of a frame.

    Parameters
    ----------
    frame
        Whose tasks and nodes these are.
    there : (tasks)
        Whether each task is there.
    node : (N)
        State of each node.
    choice, place : (tasks), (slots)
        Choice of each task and node of each replica; -1 for none.
    """

    frame: Frame
    there: BoolArray
    node: Int32
    choice: Int32
    place: Int32

    @classmethod
    def empty(cls, frame: Frame, there: BoolArray, node: Int32) -> Scene:
        """Nothing is placed."""
        tables = frame.tables
        choice, place = (np.full(of.size, -1, np.int32) for of in (there, tables.slot_task))
        return cls(frame, there, node, choice, place)

    def on(self, frame: Frame) -> Scene:
        """The same in the numbers of a frame with no less tasks of each entry."""
        if frame is self.frame:
            return self
        before, after = self.frame.tables, frame.tables
        tasks = np.arange(self.there.size)
        entry = np.searchsorted(self.frame.entry_task, tasks, "right") - 1
        task = frame.entry_task[entry] + tasks - self.frame.entry_task[entry]
        there = np.zeros(after.task_class.size, bool)
        there[task] = self.there
        made = Scene.empty(frame, there, self.node)
        number = self.choice - before.class_choice[before.task_class]
        moved = after.class_choice[after.task_class[task]] + number
        made.choice[task] = np.where(self.choice < 0, -1, moved)
        offset = np.arange(self.place.size) - before.task_slot[before.slot_task]
        made.place[after.task_slot[task[before.slot_task]] + offset] = self.place
        return made
