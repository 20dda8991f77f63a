"""What must hold of a placement whatever the policies: it is well formed and complete."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.columns import Columns
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.verify.facts import sums
from optalloc.verify.finding import Breach
from optalloc.verify.words import counted


def unsound(instance: Instance, placement: Placement) -> Iterator[Breach]:
    """Everything about a placement that no policy could allow.

    Arrays that do not fit together; rows, nodes and counts out of range; required tasks not
    placed (amount: how many); more tasks placed than stated; rows whose replicas are not
    ``row_replicas * chosen`` (amount: the difference).
    """
    yield from malformed(instance, placement)
    sound = scorable(instance, placement)
    yield from _numbers_of_tasks(instance, sound)
    yield from _numbers_of_replicas(instance, sound)


def malformed(instance: Instance, placement: Placement) -> Iterator[Breach]:
    """Why something cannot be a placement of an instance at all.

    Arrays that do not fit together or not the instance; rows, nodes and counts out of range.
    """
    misfits = list(_misfits(instance.columns, placement))
    yield from misfits
    if not misfits:
        yield from _out_of_range(instance.columns, placement)


def scorable(instance: Instance, placement: Placement) -> Placement:
    """The part of a placement that is well formed: the placement itself if all of it is."""
    columns = instance.columns
    if any(True for _ in _misfits(columns, placement)):
        empty = np.zeros(0, np.int64)
        return Placement(np.zeros(columns.rows, np.int64), empty, empty, empty)
    good = _in_range(columns, placement)
    if good.all() and (placement.chosen >= 0).all() and _is_sorted(columns, placement):
        return placement
    return Placement.of(
        np.maximum(placement.chosen, 0),
        placement.row[good],
        placement.node[good],
        placement.replicas[good],
    )


def _misfits(columns: Columns, placement: Placement) -> Iterator[Breach]:
    """Arrays of the wrong kind or length."""
    for field in fields(placement):
        stated = getattr(placement, field.name)
        if not isinstance(stated, np.ndarray):
            message = f"array {field.name}: expected an array, got {type(stated).__name__}"
            yield Breach(None, None, 1.0, message)
            return
    pairs = placement.row.shape
    for name, expected in (
        ("chosen", (columns.rows,)),
        ("row", (placement.row.size,)),
        ("node", pairs),
        ("replicas", pairs),
    ):
        array: NDArray[np.int64] = getattr(placement, name)
        if array.shape != expected:
            message = f"array {name}: shape {array.shape}, expected {expected}"
            yield Breach(None, None, 1.0, message)
        if array.dtype != np.int64:
            message = f"array {name}: numbers of type {array.dtype}, expected int64"
            yield Breach(None, None, 1.0, message)


def _in_range(columns: Columns, placement: Placement) -> NDArray[np.bool_]:
    """Which placed pairs name a row and a node that exist, with a positive count."""
    row, node = placement.row, placement.node
    known = (row >= 0) & (row < columns.rows) & (node >= 0) & (node < columns.nodes)
    return np.asarray(known & (placement.replicas > 0), bool)


def _is_sorted(columns: Columns, placement: Placement) -> bool:
    """Whether the pairs are sorted by row, then node, each once."""
    return bool((np.diff(placement.row * columns.nodes + placement.node) > 0).all())


def _out_of_range(columns: Columns, placement: Placement) -> Iterator[Breach]:
    good = _in_range(columns, placement)
    for k in np.flatnonzero(~good):
        message = (
            f"placed pair {k}: {placement.replicas[k]} replicas of row {placement.row[k]} on node "
            f"{placement.node[k]}, expected at least 1 of a row below {columns.rows} on a node "
            f"below {columns.nodes}"
        )
        yield Breach(None, None, 1.0, message)
    for row in np.flatnonzero(placement.chosen < 0):
        chosen = int(placement.chosen[row])
        message = f"row {row}: chosen {chosen} times, expected at least 0"
        yield Breach(_task_name(columns, int(row)), None, float(-chosen), message)
    if good.all() and not _is_sorted(columns, placement):
        message = "placed pairs: expected each (row, node) once, sorted by row, then node"
        yield Breach(None, None, 1.0, message)


def _numbers_of_tasks(instance: Instance, placement: Placement) -> Iterator[Breach]:
    columns = instance.columns
    placed = sums(columns.tasks, columns.row_task, placement.chosen)
    missing = np.where(columns.required, columns.task_count - placed, 0)
    for t in np.flatnonzero(missing > 0):
        name, count, short = instance.tasks[t].name, int(columns.task_count[t]), int(missing[t])
        amount = "" if count == 1 else f" ({short} of {count} missing)"
        message = f"task {name}: required but not placed{amount}"
        yield Breach(name, None, float(short), message)
    for t in np.flatnonzero(placed > columns.task_count):
        name, over = instance.tasks[t].name, int(placed[t] - columns.task_count[t])
        message = f"task {name}: placed {placed[t]} times, at most {columns.task_count[t]}"
        yield Breach(name, None, float(over), message)


def _numbers_of_replicas(instance: Instance, placement: Placement) -> Iterator[Breach]:
    columns = instance.columns
    placed = sums(columns.rows, placement.row, placement.replicas)
    expected = columns.row_replicas * placement.chosen
    for row in np.flatnonzero(placed != expected):
        task, configuration = _task_name(columns, int(row)), columns.row_name(int(row))
        which = f" in configuration {configuration}" if configuration else ""
        found = counted(int(placed[row]), "replica")
        message = f"task {task}: {found} placed{which}, expected {expected[row]}"
        yield Breach(task, None, float(abs(placed[row] - expected[row])), message)


def _task_name(columns: Columns, row: int) -> str:
    return columns.instance.tasks[int(columns.row_task[row])].name
