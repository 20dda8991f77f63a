"""Solution files: a placement in the names of the instance, and back.

A solution file is JSON (compressed where its name ends in ``.gz``): `Solution`, whose `placements`
say for each placed task the replicas by node and the configuration chosen. The tasks and nodes of
an entry with a count are called ``name/0``, ``name/1``, ...; ``result`` is for people only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from optalloc.instance import text
from optalloc.instance.checks.names import missing
from optalloc.instance.columns import Columns
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.schema_walk import Walk

IntArray = NDArray[np.int64]
VERSION = 1
"""Version of the file format."""


class Placed(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
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
    domains = [columns.scope(name)[1] for name in columns.within_scopes]
    for row in np.flatnonzero(placement.chosen):
        t = int(columns.row_task[row])
        size = int(columns.row_replicas[row])
        task = instance.tasks[t]
        at = slice(first[row], first[row + 1])
        node, scope = placement.node[at], int(columns.row_within[row])
        domain = np.zeros_like(node) if scope < 0 else domains[scope][node]
        share = int(columns.row_per_node[row])
        for nodes in _deal(size, share, domain, node, placement.replicas[at]):
            copy = int(next_copy[t])
            next_copy[t] += 1
            name = task.name if task.count == 1 else f"{task.name}/{copy}"
            told = {node_names[node]: replicas for node, replicas in nodes.items()}
            named[name] = Placed(nodes=told, configuration=columns.row_name(int(row)))
    return named


def _deal(
    size: int, share: int, domain: IntArray, node: IntArray, replicas: IntArray
) -> Iterator[dict[int, int]]:
    """Deal the replicas of a row out to its tasks of a size, domain by domain."""
    for d in np.unique(domain).tolist():
        here = np.flatnonzero(domain == d)[::-1]
        single = np.repeat(node[here], replicas[here] // max(share, 1))
        tasks = single.size * max(share, 1) // size
        # A task has one share of a node at most: neighbours go to different tasks.
        dealt = single.reshape(-1, tasks).T if share else single.reshape(tasks, -1)
        for nodes in dealt.tolist():
            found: dict[int, int] = {}
            for n in nodes:
                found[n] = found.get(n, 0) + max(share, 1)
            yield found


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
            problems.append((f"{path}.configuration", _expected(columns, tasks[name], placed)))
            continue
        chosen[row] += 1
        for node, count in placed.nodes.items():
            if node not in columns.node_index:
                problems.append((f"{path}.nodes", missing(node, "a node", columns.node_index)))
            elif count < 1:
                problems.append((f"{path}.nodes.{node}", f"expected at least 1, got {count}"))
            else:
                rows.append(row)
                nodes.append(columns.node_index[node])
                replicas.append(count)
        total, wanted = sum(placed.nodes.values()), int(columns.row_replicas[row])
        if total != wanted and columns.node_index.keys() >= placed.nodes.keys():
            problems.append((f"{path}.nodes", f"expected {wanted} replicas in all, got {total}"))
    if problems:
        raise InstanceError(problems, "the solution")
    return Placement.of(chosen, np.array(rows), np.array(nodes), np.array(replicas))


def carry_over(instance: Instance, placements: dict[str, Placed]) -> Placement:
    """Turn named placements of another instance into one of this, as far as it goes.

    Tasks are taken over where they run in a configuration and with a number of replicas that this
    instance has, on nodes that it has. What results may break rules and leave tasks out: it is a
    start.
    """
    columns, tasks = instance.columns, _task_index(instance)

    def fits(name: str, placed: Placed) -> bool:
        row = _row_of(columns, tasks[name], placed.configuration) if name in tasks else None
        known = columns.node_index.keys() >= placed.nodes.keys()
        counts = placed.nodes.values()
        whole = row is not None and sum(counts) == columns.row_replicas[row]
        return whole and known and all(count >= 1 for count in counts)

    kept = {name: placed for name, placed in placements.items() if fits(name, placed)}
    return read_placement(instance, kept)


def write_solution(
    path: str | Path,
    instance: Instance,
    placement: Placement | None,
    result: dict[str, Any] | None = None,
) -> None:
    """Write a solution file, with what is known of the result (`Result.summary`) for people."""
    placements = {} if placement is None else name_placement(instance, placement)
    solution = Solution(instance=instance.name, result=result or {}, placements=placements)
    encoded = msgspec.json.format(msgspec.json.encode(solution), indent=1)
    text.write_bytes(Path(path), encoded + b"\n")


def read_solution(path: str | Path, instance: Instance) -> Placement:
    """Read a solution file for an instance.

    Raises
    ------
    InstanceError
        If the file is no solution of this instance: lists every problem.
    """
    data = text.read_bytes(Path(path))
    try:
        return read_placement(instance, _read(data).placements)
    except InstanceError as error:
        raise InstanceError(error.problems, str(path)) from None


def read_start(path: str | Path, instance: Instance) -> Placement:
    """Read a solution file of this or a similar instance, as a start: see `carry_over`.

    Raises
    ------
    InstanceError
        If the file is no solution file, which lists every problem, or nothing of it fits.
    """
    try:
        placements = _read(text.read_bytes(Path(path))).placements
    except InstanceError as error:
        raise InstanceError(error.problems, str(path)) from None
    start = carry_over(instance, placements)
    if placements and not start.chosen.any():
        message = "expected some task as the instance has it, on nodes that it has"
        raise InstanceError([("placements", message)], str(path))
    return start


def _read(data: bytes) -> Solution:
    try:
        solution = msgspec.json.decode(data, type=Solution)
        doubtful = text.may_repeat(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults = Walk(text.parse(data), Solution).faults
        raise InstanceError(faults or [("", str(error))]) from None
    faults = Walk(text.parse(data), Solution).faults if doubtful else []
    if solution.optalloc_solution != VERSION:
        message = f"expected version {VERSION} of the format, got {solution.optalloc_solution}"
        faults.append(("optalloc_solution", message))
    if faults:
        raise InstanceError(faults)
    return solution


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


def _expected(columns: Columns, task: int, placed: Placed) -> str:
    """Say which configuration a task could have."""
    rows = range(int(columns.row_start[task]), int(columns.row_start[task + 1]))
    known = [columns.row_name(r) for r in rows]
    if known == [""]:
        return f"expected none, for the task has no table; got {placed.configuration!r}"
    return missing(placed.configuration, "a configuration", known)
