"""The node of every task, for formats in which a task runs on exactly one node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement

_MOST = 20


def node_of_tasks(instance: Instance, placement: Placement) -> NDArray[np.int64]:
    """Node of each task, (tasks with identical ones counted), in the order of the instance.

    Raises
    ------
    InstanceError
        Names the tasks that do not run as a single replica each.
    """
    columns = instance.columns
    task = columns.row_task[placement.row]
    placed = np.bincount(task, placement.replicas, minlength=columns.tasks).astype(np.int64)
    chosen = np.bincount(columns.row_task, placement.chosen, minlength=columns.tasks)
    wrong = np.flatnonzero((placed != columns.task_count) | (chosen != columns.task_count))
    if wrong.size:
        problems = [
            (
                instance.tasks[t].name,
                f"expected {columns.task_count[t]} placed with one replica each, "
                f"got {int(chosen[t])} placed with {placed[t]} replicas in all",
            )
            for t in wrong[:_MOST].tolist()
        ]
        if wrong.size > _MOST:
            problems.append(("", f"and {wrong.size - _MOST} more tasks"))
        raise InstanceError(problems, "the placement")
    # Sorted by row, hence by task: one entry per replica is one per task.
    return np.repeat(placement.node, placement.replicas)
