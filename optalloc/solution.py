"""Solution files: a placement in the names of the instance, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optalloc.instance.columns import Columns
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement


class Placed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one task runs.

    Parameters
    ----------
    nodes
        Replicas by node name.
    configuration
        Name of the row chosen, for a task with a table.
    """

    nodes: dict[str, int]
    configuration: str = ""


class Solution(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A solution file: tasks that are not named are left out."""

    optalloc_solution: int = 1
    instance: str = ""
    result: dict[str, Any] = {}
    placements: dict[str, Placed] = {}


def name_placement(instance: Instance, placement: Placement) -> dict[str, Placed]:
    """Expand a placement to single tasks: replicas of identical tasks are dealt out in order."""
    columns = instance.columns
    node_names = columns.node_names
    named: dict[str, Placed] = {}
    next_copy = np.zeros(columns.tasks, np.int64)
    first = np.searchsorted(placement.row, np.arange(columns.rows + 1))
    for row in np.flatnonzero(placement.chosen):
        t = int(columns.row_task[row])
        size = int(columns.row_replicas[row])
        task = instance.tasks[t]
        deal = [
            (int(placement.node[k]), int(placement.replicas[k]))
            for k in range(first[row], first[row + 1])
        ]
        for _ in range(int(placement.chosen[row])):
            copy = int(next_copy[t])
            next_copy[t] += 1
            nodes: dict[str, int] = {}
            open_replicas = size
            while open_replicas:
                node, available = deal.pop()
                used = min(available, open_replicas)
                nodes[node_names[node]] = used
                open_replicas -= used
                if used < available:
                    deal.append((node, available - used))
            name = task.name if task.count == 1 else f"{task.name}/{copy}"
            named[name] = Placed(nodes=nodes, configuration=columns.row_name(int(row)))
    return named


def read_placement(instance: Instance, placements: dict[str, Placed]) -> Placement:
    """Turn named placements into a `Placement`.

    Raises
    ------
    InstanceError
        Lists every unknown task, node and configuration, and wrong numbers of replicas.
    """
    columns = instance.columns
    tasks = _task_index(instance)
    problems: list[tuple[str, str]] = []
    chosen = np.zeros(columns.rows, np.int64)
    rows: list[int] = []
    nodes: list[int] = []
    replicas: list[int] = []
    for name, placed in placements.items():
        path = f"placements.{name}"
        if name not in tasks:
            problems.append((path, "expected the name of a task of the instance"))
            continue
        row = _row_of(columns, tasks[name], placed.configuration)
        if row is None:
            known = ", ".join(
                repr(columns.row_name(r))
                for r in range(columns.row_start[tasks[name]], columns.row_start[tasks[name] + 1])
            )
            problems.append((f"{path}.configuration", f"expected one of {known}"))
            continue
        chosen[row] += 1
        for node, count in placed.nodes.items():
            if node not in columns.node_index:
                problems.append((f"{path}.nodes", f"expected node names, got {node!r}"))
            elif count < 1:
                problems.append((f"{path}.nodes.{node}", f"expected at least 1, got {count}"))
            else:
                rows.append(row)
                nodes.append(columns.node_index[node])
                replicas.append(count)
        total, wanted = sum(placed.nodes.values()), int(columns.row_replicas[row])
        if total != wanted:
            problems.append((f"{path}.nodes", f"expected {wanted} replicas in all, got {total}"))
    if problems:
        raise InstanceError(problems, "the solution")
    return Placement.of(chosen, np.array(rows), np.array(nodes), np.array(replicas))


def write_solution(
    path: Path, instance: Instance, placement: Placement | None, result: dict[str, Any]
) -> None:
    """Write a solution file."""
    placements = {} if placement is None else name_placement(instance, placement)
    solution = Solution(instance=instance.name, result=result, placements=placements)
    encoded = msgspec.json.format(msgspec.json.encode(solution), indent=1)
    path.write_bytes(encoded + b"\n")


def read_solution(path: Path, instance: Instance) -> Placement:
    """Read a solution file for an instance.

    Raises
    ------
    InstanceError
        If the file is no solution of this instance.
    """
    try:
        solution = msgspec.json.decode(path.read_bytes(), type=Solution)
    except OSError as error:
        raise InstanceError([("", error.strerror or str(error))], str(path)) from None
    except msgspec.DecodeError as error:
        raise InstanceError([("", str(error))], str(path)) from None
    if solution.optalloc_solution != 1:
        raise InstanceError([("optalloc_solution", "expected version 1")], str(path))
    try:
        return read_placement(instance, solution.placements)
    except InstanceError as error:
        raise InstanceError(error.problems, str(path)) from None


def _task_index(instance: Instance) -> dict[str, int]:
    index: dict[str, int] = {}
    for t, task in enumerate(instance.tasks):
        if task.count == 1:
            index[task.name] = t
        else:
            index.update((f"{task.name}/{i}", t) for i in range(task.count))
    return index


def _row_of(columns: Columns, task: int, configuration: str) -> int | None:
    """Row of a task by the name of its configuration."""
    rows = range(int(columns.row_start[task]), int(columns.row_start[task + 1]))
    return next((r for r in rows if columns.row_name(r) == configuration), None)
