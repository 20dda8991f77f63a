"""Whole rows of candidates side by side: one replica against all nodes, or against all others.

Most candidates are rejected by the dense dimensions alone. Here those are looked at for `LANES` of
them at a time, which takes a tenth of the time of one after the other. What is found may still be
too dear, but nothing that is left out would have been accepted: an exact price has the last word.
The limits lie transposed, and are brought up to date when they are looked at after their node has
changed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.changing import held, step_change, unary_cost, variant
from optalloc.engines.local.dense import above, charged
from optalloc.engines.local.pricing import hope
from optalloc.engines.local.state import CAP, THRESHOLD, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import LANES, lane_changes, lane_rooms
from optalloc.engines.local.walk import (
    CHAIN,
    HELD,
    LOGS,
    SHIFT,
    SWAP,
    TEMPERATURE,
    VIOLATION,
    Walk,
    below,
)

Int32 = NDArray[np.int32]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MOST_NUMBERS = 1 << 23
"""Numbers of a row of all replicas, or of all nodes, beyond which there is none."""
FOUND = 64
"""Most candidates that are kept of a scan."""
MOST_THIRDS = 128
"""Nodes that are looked at for who makes room."""
NO_ROOM = -1e200
"""Room on what is no candidate."""


class Lanes(NamedTuple):
    """Rows of candidates; D dense dimensions.

    Parameters
    ----------
    node_line : (N / LANES, 2 * D + 2, LANES)
        Room below the caps and thresholds of each node, and what it costs and breaks now.
    node_seen : (N)
        Stamp of each node when that was written.
    slot_line : (slots / LANES, 3 * D + 4, LANES)
        The same of the node of each replica if it left; its sizes where it arrives; what its node
        costs and breaks now; the least change of unary costs by its move, and of room held twice.
    slot_seen : (slots)
        Stamp of its node when that was written.
    slot_home : (slots)
        Node where all replicas of its class run now; negative if there is no such node.
    size, unary : (B, D), (B)
        Least sizes and unary cost of a replica that arrives, over all nodes.
    room : (2 * D)
        Room on the node that a replica leaves.
    found, third, most : (FOUND), (FOUND), (FOUND)
        What a scan found, where who makes room goes, and what each move may cost.
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
    third: Int32
    most: FloatArray
    sums: FloatArray


def new_lanes(t: Tables) -> Lanes:
    """Make rows that have not been looked at."""
    nodes, width = t.cap.shape
    slots = t.slot_task.size
    return Lanes(
        _lines(nodes, 2 * width + 2, width),
        np.full(nodes, -1, np.int64),
        _lines(slots, 3 * width + 4, width),
        np.full(slots, -1, np.int64),
        np.ascontiguousarray(t.class_home[t.slot_class]),
        np.ascontiguousarray(t.size[:, 1:-1:2].min(axis=0)),
        _least_unary(t),
        np.zeros(2 * width),
        np.zeros(FOUND, np.int32),
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


def _least_unary(t: Tables) -> FloatArray:
    least = t.unary[0, 1::2].copy()
    for p in np.flatnonzero(t.part_quantity == 0):
        index = t.part_index[p, 1::2]
        values = t.part_value[t.part_start[p] : t.part_start[p + 1]]
        lowest = values.reshape(-1, t.part_stride[p])[:, t.part_column[p]].min(axis=1)
        least += np.where(index >= 0, lowest[index], 0.0)
    return least


@compiled
def scan_nodes(t: Tables, s: State, w: Walk, l: Lanes, p: int, left: float, lanes: int) -> int:
    """Find nodes, among so many, to which a replica that leaves `left` behind may move."""
    block, n1, width = s.block[p], s.node[p], t.rho.size
    v1 = variant(t, s, t.slot_class[p], block, n1, 0)
    penalty, allowed = w.setting[VIOLATION], t.block_kind[block]
    base = w.leaving[0] + penalty * left + l.unary[block] - hope(t, s, w)
    base += t.step_weight[0, n1] * step_change(t, s, n1, -1)
    base += w.setting[HELD] * (t.block_held[block] - held(t, v1))
    blocks, count = l.node_line.shape[0], 0
    b = below(w.random, blocks)
    for _ in range(min((lanes + LANES - 1) // LANES, blocks)):
        _see_nodes(s, l, b)
        line = l.node_line[b]
        lane_rooms(
            l.size, block * width, l.node_line, b * line.size, t.rho, t.weight, width, l.sums
        )
        luck = below(w.random, LOGS)
        for j in range(LANES):
            price = base + l.sums[LANES + j] - line[2 * width, j]
            price += penalty * (charged(l.sums[j]) - line[2 * width + 1, j])
            most = w.setting[TEMPERATURE] * w.logs[luck + j]
            n = b * LANES + j
            if (price <= most or n == l.slot_home[p]) and n != n1 and n < s.replicas.size:
                if count < FOUND and t.allowed[allowed, n]:
                    l.found[count], l.most[count] = n, most
                    count += 1
        b = b + 1 if b + 1 < blocks else 0
        w.tried[SHIFT] += LANES
        w.early[SHIFT] += LANES
    w.early[SHIFT] -= count
    return count


@compiled
def scan_slots(
    t: Tables, s: State, w: Walk, l: Lanes, p: int, left: float, lanes: int, kind: int
) -> int:
    """Find replicas, among so many, whose place one may take that leaves `left` behind.

    They go to its node (a swap), or to any other that is then found for them (a chain).
    """
    block, n1, width = s.block[p], s.node[p], t.rho.size
    v1 = variant(t, s, t.slot_class[p], block, n1, 0)
    penalty, holding, home = w.setting[VIOLATION], w.setting[HELD], l.slot_home[p]
    base = w.leaving[0] + penalty * left + l.unary[block] - hope(t, s, w)
    base += holding * (t.block_held[block] - held(t, v1))
    if kind == SWAP:
        base += _leave_room(t, s, w, l, v1, n1)
    blocks, count = l.slot_line.shape[0], 0
    b = below(w.random, blocks)
    for _ in range(min((lanes + LANES - 1) // LANES, blocks)):
        _see_slots(t, s, w, l, b)
        line = l.slot_line[b]
        at = b * line.size
        lane_rooms(l.size, block * width, l.slot_line, at, t.rho, t.weight, width, l.sums)
        if kind == SWAP:
            at += 2 * width * LANES
            lane_changes(l.slot_line, at, l.room, 0, t.rho, t.weight, width, l.sums[2 * LANES :])
        luck = below(w.random, LOGS)
        for j in range(LANES):
            price = base + l.sums[LANES + j] + line[3 * width + 2, j]
            price += penalty * charged(l.sums[j]) + holding * line[3 * width + 3, j]
            price -= line[3 * width, j] + penalty * line[3 * width + 1, j]
            if kind == SWAP:
                price += l.sums[3 * LANES + j] + penalty * charged(l.sums[2 * LANES + j])
            most = w.setting[TEMPERATURE] * w.logs[luck + j]
            q = b * LANES + j
            if q >= s.node.size:
                break
            returns = kind == SWAP and n1 == l.slot_home[q]
            if price <= most or returns or (s.node[q] == home and home >= 0):
                if count < FOUND and s.node[q] != n1 and s.node[q] >= 0:
                    if kind == SWAP:
                        l.found[count], l.most[count] = q, most
                        count += 1
                    else:
                        count = _scan_third(t, s, w, l, q, n1, price, most, count)
        b = b + 1 if b + 1 < blocks else 0
        w.tried[kind] += LANES
        w.early[kind] += LANES
    w.early[kind] -= count
    return count


@compiled
def _scan_third(
    t: Tables, s: State, w: Walk, l: Lanes, q: int, n1: int, price: float, most: float, count: int
) -> int:
    """Find nodes to which a replica may go that makes room; so many have been found before."""
    block, width, penalty = s.block[q], t.rho.size, w.setting[VIOLATION]
    allowed, blocks = t.block_kind[block], l.node_line.shape[0]
    b = below(w.random, blocks)
    for _ in range(min(MOST_THIRDS // LANES, blocks)):
        _see_nodes(s, l, b)
        line = l.node_line[b]
        at, found = b * line.size, l.sums[2 * LANES :]
        lane_rooms(l.size, block * width, l.node_line, at, t.rho, t.weight, width, found)
        for j in range(LANES):
            n3, total = b * LANES + j, price + found[LANES + j] - line[2 * width, j]
            total += penalty * (charged(found[j]) - line[2 * width + 1, j])
            if (total <= most or n3 == l.slot_home[q]) and n3 < s.replicas.size:
                other = n3 not in (n1, s.node[q])
                if other and count < FOUND and t.allowed[allowed, n3]:
                    l.found[count], l.third[count], l.most[count] = q, n3, most
                    count += 1
        b = b + 1 if b + 1 < blocks else 0
    w.tried[CHAIN] += LANES
    w.early[CHAIN] += LANES
    return count


@compiled
def _leave_room(t: Tables, s: State, w: Walk, l: Lanes, v: int, n: int) -> float:
    """Write down the room on a node when a variant has left it.

    What the dense dimensions cost there is returned so that it counts with what comes, not with
    what leaves.
    """
    kind, width = t.node_kind[n], t.rho.size
    over, cost = 0.0, 0.0
    for d in range(width):
        l.room[d] = s.room[n, CAP, d] + t.size[kind, v, d]
        l.room[width + d] = s.room[n, THRESHOLD, d] + t.size[kind, v, d]
        over += t.rho[d] * above(-l.room[d])
        cost += t.weight[0, d] * above(-l.room[width + d])
    return -cost - w.setting[VIOLATION] * charged(over)


@compiled
def _see_nodes(s: State, l: Lanes, b: int) -> None:
    """Bring the nodes of a block up to date."""
    width = s.room.shape[2]
    for n in range(b * LANES, min((b + 1) * LANES, s.replicas.size)):
        if l.node_seen[n] != s.stamp[n]:
            l.node_seen[n] = s.stamp[n]
            j = n - b * LANES
            for d in range(width):
                l.node_line[b, d, j] = s.room[n, CAP, d]
                l.node_line[b, width + d, j] = s.room[n, THRESHOLD, d]
            l.node_line[b, 2 * width, j] = s.cost[n, 0]
            l.node_line[b, 2 * width + 1, j] = s.over[n]


@compiled
def _see_slots(t: Tables, s: State, w: Walk, l: Lanes, b: int) -> None:
    """Bring the replicas of a block up to date."""
    for q in range(b * LANES, min((b + 1) * LANES, s.node.size)):
        n = s.node[q]
        stamp = s.stamp[n] if n >= 0 else 0
        if l.slot_seen[q] != stamp:
            l.slot_seen[q] = stamp
            _see_slot(t, s, w, l, q, n)


@compiled
def _see_slot(t: Tables, s: State, w: Walk, l: Lanes, q: int, n: int) -> None:
    width, line, j = t.rho.size, l.slot_line[q // LANES], q % LANES
    if n < 0:
        line[:width, j] = NO_ROOM
        return
    kind, block = t.node_kind[n], s.block[q]
    v = variant(t, s, t.slot_class[q], block, n, 0)
    for d in range(width):
        line[d, j] = s.room[n, CAP, d] + t.size[kind, v, d]
        line[width + d, j] = s.room[n, THRESHOLD, d] + t.size[kind, v, d]
        line[2 * width + d, j] = l.size[block, d]
    w.delta[:] = 0.0
    unary_cost(t, v, n, -1.0, w.delta)
    line[3 * width, j], line[3 * width + 1, j] = s.cost[n, 0], s.over[n]
    line[3 * width + 2, j] = min(l.unary[block], t.unary[0, 2 * block]) + w.delta[0]
    line[3 * width + 3, j] = -held(t, v) if v & 1 else t.block_held[block]
