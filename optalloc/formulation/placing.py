"""Where a row may be placed at all: labels and devices, as masks over node entries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import device_memory
from optalloc.instance.columns import Columns
from optalloc.instance.model import DEVICE
from optalloc.instance.policy import Number

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Wanted = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class AllowedEntries:
    """Which node entries each row may use.

    Parameters
    ----------
    row_kind : (rows,)
        Line of `mask` for each row.
    mask : (kinds, entries)
        Whether rows of the kind may use the entry.
    """

    row_kind: IntArray
    mask: BoolArray


def allowed_entries(columns: Columns) -> AllowedEntries:
    """Evaluate what all rows ask of nodes: one line for each distinct combination."""
    kinds: dict[tuple[Wanted, Wanted, str, Number], int] = {}
    row_kind = np.zeros(columns.rows, np.int64)
    plain: dict[tuple[str, Number], int] = {}
    for row in range(columns.rows):
        task = columns.instance.tasks[columns.row_task[row]]
        configuration = columns.row_configuration[row]
        device = configuration.device if configuration else ""
        own = device, device_memory.stated(task, configuration)
        if not task.allow and not task.forbid and own in plain:
            row_kind[row] = plain[own]
            continue
        key = (_wanted(task.allow), _wanted(task.forbid), *own)
        row_kind[row] = kinds.setdefault(key, len(kinds))
        if not task.allow and not task.forbid:
            plain[own] = int(row_kind[row])
    lines = [_mask(columns, *key) for key in kinds]
    entries = len(columns.instance.nodes)
    return AllowedEntries(row_kind, np.array(lines, bool).reshape(len(lines), entries))


def _wanted(labels: dict[str, tuple[str, ...]]) -> Wanted:
    return tuple(sorted((label, tuple(sorted(values))) for label, values in labels.items()))


def _mask(
    columns: Columns, allow: Wanted, forbid: Wanted, device: str, memory_gib: Number
) -> BoolArray:
    mask = np.ones(len(columns.instance.nodes), bool)
    if device:
        mask &= _matches(columns, DEVICE, (device,))
    if memory_gib:
        offered = device_memory.offered(columns.instance.nodes)
        mask &= offered >= device_memory.needed(memory_gib)
    for label, values in allow:
        mask &= _matches(columns, label, values)
    for label, values in forbid:
        mask &= ~_matches(columns, label, values)
    return mask


def _matches(columns: Columns, label: str, values: tuple[str, ...]) -> BoolArray:
    attribute = columns.attribute(label)
    wanted = np.array([name in values for name in attribute.values] + [False], bool)
    return np.asarray(wanted[attribute.index], bool)
