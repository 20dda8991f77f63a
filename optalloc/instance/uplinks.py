"""What rows state of uplinks, and which can cross those of domains: be partly inside one."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import quanta
from optalloc.instance.policy import once

if TYPE_CHECKING:
    from optalloc.instance.columns import Columns

IntArray = NDArray[np.int64]


def traffic_of(columns: Columns) -> tuple[IntArray, Fraction]:
    """What each row sends over uplinks, in quanta (rounded up), and the quantum in bytes/s."""
    return once(columns, "traffic", lambda: _traffic_of(columns))


def _traffic_of(columns: Columns) -> tuple[IntArray, Fraction]:
    stated = [row.traffic if row else 0 for row in columns.row_configuration]
    quantum = columns.scale.quantum("traffic", lambda: quanta.choose(stated))
    return quanta.upward(stated, quantum), quantum


def sharing_of(columns: Columns) -> IntArray:
    """Most gangs on the uplinks of each row; 0 for any number."""
    return np.array([row.sharing if row else 0 for row in columns.row_configuration], np.int64)


def crossing_kinds(columns: Columns, scope: str, seen: IntArray) -> IntArray:
    """Number the rows whose replicas can be partly inside a domain of a scope, -1 for others.

    Parameters
    ----------
    columns, scope
        The instance and the scope of the domains.
    seen : (rows,)
        What the uplinks see of a row; rows of equal numbers have as many replicas, too.

    Returns
    -------
    (rows,)
        Equal numbers for rows of one kind.
    """
    apart = (columns.row_replicas > 1) & ~stays_inside(columns, scope)[columns.row_within]
    lines = np.stack([columns.row_replicas[apart], seen[apart]])
    kind = np.full(columns.rows, -1, np.int64)
    kind[apart] = np.unique(lines, axis=1, return_inverse=True)[1].ravel()
    return kind


def stays_inside(columns: Columns, scope: str) -> NDArray[np.bool_]:
    """Whether what stays within a domain of each of `within_scopes` crosses nothing; last: any."""
    _, outer = columns.scope(scope)
    inside = np.zeros(len(columns.within_scopes) + 1, bool)
    for k, name in enumerate(columns.within_scopes):
        names, inner = columns.scope(name)
        pairs = np.unique(np.stack([inner, outer])[:, inner >= 0], axis=1)
        inside[k] = pairs.shape[1] == len(names)
    return inside
