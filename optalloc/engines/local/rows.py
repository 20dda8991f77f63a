"""Whole rows of candidates, transposed: what scans look at for several of them at a time.

Limits of nodes lie here by dimension, so that those of `LANES` nodes can be compared with the size
of a replica at once; and so do those of the node of each replica, as they are when it has left, and
its sizes. A row is brought up to date when it is looked at and its node has changed since.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import held, unary_cost, variant
from optalloc.engines.local.state import CAP, THRESHOLD, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import LANES
from optalloc.engines.local.walk import Walk

Int32 = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MOST_NUMBERS = 1 << 23
"""Numbers of a row of all replicas, or of all nodes, beyond which there is none."""
FOUND = 64
"""Most candidates that are kept of a scan."""
NO_ROOM = -1e200
"""Room on what is no candidate."""


class Rows(NamedTuple):
    """Rows of candidates; D dense dimensions.

    Parameters
    ----------
    node_line : (N / LANES, 2 * D + 3, LANES)
        Room below the caps and thresholds of each node, what it costs and breaks now, and how dear
        violations are on it.
    node_seen : (N)
        Stamp of each node when that was written.
    slot_line : (slots / LANES, 3 * D + 5, LANES)
        The same of the node of each replica if it left; its sizes where it arrives; what its node
        costs and breaks now; the least change of unary costs by its move, and of room held twice;
        how dear violations are on its node.
    slot_seen : (slots)
        Stamp of its node when that was written.
    slot_home : (slots)
        Node where all replicas of its class run now; negative if there is no such node.
    size, unary : (B, D), (B)
        Least sizes and unary cost of a replica that arrives, over all nodes.
    room : (2 * D)
        Room on the node that a replica leaves.
    found, most : (FOUND), (FOUND)
        What a scan found, and what each may cost.
    sums : (4 * LANES)
        Room for sums.
    """

    node_line: FloatArray
    node_seen: IntArray
    slot_line: FloatArray
    slot_seen: IntArray
    slot_home: Int32
    size: FloatArray
    unary: FloatArray
    room: FloatArray
    found: Int32
    most: FloatArray
    sums: FloatArray


def new_rows(t: Tables) -> Rows:
    """Make rows that have not been looked at."""
    nodes, width = t.cap.shape
    slots = t.slot_task.size
    return Rows(
        _lines(nodes, 2 * width + 3, width),
        np.full(nodes, -1, np.int64),
        _lines(slots, 3 * width + 5, width),
        np.full(slots, -1, np.int64),
        np.ascontiguousarray(t.class_home[t.slot_class]),
        np.ascontiguousarray(t.size[:, 1:-1:2].min(axis=0)),
        least_unary(t, np.arange(t.block_kind.size)),
        np.zeros(2 * width),
        np.zeros(FOUND, np.int32),
        np.zeros(FOUND),
        np.zeros(4 * LANES),
    )


def _lines(count: int, lines: int, width: int) -> FloatArray:
    blocks = -(-count // LANES)
    if blocks * lines * LANES > MOST_NUMBERS:
        blocks = 0
    made = np.zeros((blocks, lines, LANES))
    made[:, :width] = NO_ROOM
    return made


def least_unary(t: Tables, blocks: IntArray) -> FloatArray:
    """Least unary cost of a replica of some blocks that arrives, over all nodes."""
    arriving = 2 * blocks + 1
    least = t.unary[0, arriving].copy()
    for p in np.flatnonzero(t.part_quantity == 0):
        lines, stride, start = t.part_index[p].max() + 1, t.part_stride[p], t.part_start[p]
        values = t.part_value[start : start + lines * stride].reshape(lines, stride)
        # The last one is for blocks of which the part does not speak: index -1.
        lowest = np.append(values[:, t.part_column[p]].min(axis=1), 0.0)
        least += lowest[t.part_index[p, arriving]]
    return np.asarray(least, np.float64)


@compiled
def see_nodes(s: State, r: Rows, b: int) -> None:
    """Bring the nodes of a block up to date."""
    width = s.room.shape[2]
    for n in range(b * LANES, min((b + 1) * LANES, s.replicas.size)):
        if r.node_seen[n] != s.stamp[n]:
            r.node_seen[n] = s.stamp[n]
            j = n - b * LANES
            for d in range(width):
                r.node_line[b, d, j] = s.room[n, CAP, d]
                r.node_line[b, width + d, j] = s.room[n, THRESHOLD, d]
            r.node_line[b, 2 * width, j] = s.cost[n, 0]
            r.node_line[b, 2 * width + 1, j] = s.over[n]
            r.node_line[b, 2 * width + 2, j] = s.dear[n]


@compiled
def see_slots(t: Tables, s: State, w: Walk, r: Rows, b: int) -> None:
    """Bring the replicas of a block up to date."""
    for q in range(b * LANES, min((b + 1) * LANES, s.node.size)):
        n = s.node[q]
        stamp = s.stamp[n] if n >= 0 else 0
        if r.slot_seen[q] != stamp:
            r.slot_seen[q] = stamp
            _see_slot(t, s, w, r, q, n)


@compiled
def _see_slot(t: Tables, s: State, w: Walk, r: Rows, q: int, n: int) -> None:
    width, line, j = t.rho.size, r.slot_line[q // LANES], q % LANES
    if n < 0:
        line[:width, j] = NO_ROOM
        return
    kind, block = t.node_kind[n], s.block[q]
    v = variant(t, s, t.slot_class[q], block, n, 0)
    for d in range(width):
        line[d, j] = s.room[n, CAP, d] + t.size[kind, v, d]
        line[width + d, j] = s.room[n, THRESHOLD, d] + t.size[kind, v, d]
        line[2 * width + d, j] = r.size[block, d]
    w.delta[:] = 0.0
    unary_cost(t, v, n, -1.0, w.delta)
    line[3 * width, j], line[3 * width + 1, j] = s.cost[n, 0], s.over[n]
    line[3 * width + 2, j] = r.unary[block] + w.delta[0]
    line[3 * width + 3, j] = t.block_held[block] - held(t, v)
    line[3 * width + 4, j] = s.dear[n]
