"""One replica against all nodes, or against all other replicas, several of them at a time.

Most candidates are rejected by the dense dimensions alone, which are looked at for `LANES` of them
in about the time of one. What a scan finds may still be too dear: an exact price has the last word.
What it leaves out is too dear for sure, except beyond `FOUND` candidates; where the replicas of a
class run on several nodes now, to which other moves return them; and, while counters break rules,
what might mend one (see `MENDING`).
"""

from __future__ import annotations

import numpy as np

from optalloc.engines.local.changing import held, step_change, unary_cost, variant
from optalloc.engines.local.dense import charged
from optalloc.engines.local.pricing import hope
from optalloc.engines.local.rows import FOUND, Rows, see_nodes, see_slots
from optalloc.engines.local.state import CAP, THRESHOLD, State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.vectors import LANES, lane_changes, lane_rooms
from optalloc.engines.local.walk import HELD, LOGS, SHIFT, SWAP, TEMPERATURE, VIOLATION, Walk, below

MENDING = np.uint64(63)
"""One scan in so many and one finds all candidates while counters break rules, which any may mend.
"""


@compiled
def scan_nodes(t: Tables, s: State, w: Walk, r: Rows, p: int, left: float, tries: int) -> int:
    """Find nodes, among so many, to which a replica that leaves `left` behind may move."""
    block, n1, width = s.block[p], s.node[p], t.rho.size
    penalty, allowed = w.setting[VIOLATION], t.block_kind[block]
    base = _base(t, s, w, r, p) + w.leaving[0] + penalty * left
    base += t.step_weight[0, n1] * step_change(t, s, n1, -1)
    blocks, count = r.node_line.shape[0], 0
    b = below(w.random, blocks)
    for _ in range(min((tries + LANES - 1) // LANES, blocks)):
        see_nodes(s, r, b)
        line = r.node_line[b]
        at = b * line.size
        lane_rooms(r.size, block * width, r.node_line, at, t.rho, t.weight, width, r.sums)
        luck = below(w.random, LOGS)
        for j in range(LANES):
            price = base + r.sums[LANES + j] - line[2 * width, j]
            price += penalty * (
                line[2 * width + 2, j] * charged(r.sums[j]) - line[2 * width + 1, j]
            )
            most, n = w.setting[TEMPERATURE] * w.logs[luck + j], b * LANES + j
            cheap = (price <= most or n == r.slot_home[p]) and n != n1 and n < s.replicas.size
            if cheap and count < FOUND and t.allowed[allowed, n]:
                r.found[count], r.most[count] = n, most
                count += 1
        b = b + 1 if b + 1 < blocks else 0
        w.tried[SHIFT] += LANES
        w.early[SHIFT] += LANES
    w.early[SHIFT] -= count
    return count


@compiled
def scan_slots(t: Tables, s: State, w: Walk, r: Rows, p: int, tries: int) -> int:
    """Find replicas, among so many, with which one may change places."""
    block, n1, width = s.block[p], s.node[p], t.rho.size
    v1 = variant(t, s, t.slot_class[p], block, n1, 0)
    penalty, holding, home = w.setting[VIOLATION], w.setting[HELD], r.slot_home[p]
    dear = s.dear[n1]
    _leave_room(t, s, r, v1, n1)
    w.delta[:] = 0.0
    unary_cost(t, v1, n1, -1.0, w.delta)
    base = _base(t, s, w, r, p) + w.delta[0] - s.cost[n1, 0] - penalty * s.over[n1]
    blocks, count = r.slot_line.shape[0], 0
    b = below(w.random, blocks)
    for _ in range(min((tries + LANES - 1) // LANES, blocks)):
        see_slots(t, s, w, r, b)
        line = r.slot_line[b]
        at = b * line.size
        lane_rooms(r.size, block * width, r.slot_line, at, t.rho, t.weight, width, r.sums)
        at += 2 * width * LANES
        lane_changes(r.slot_line, at, r.room, 0, t.rho, t.weight, width, r.sums[2 * LANES :])
        luck = below(w.random, LOGS)
        for j in range(min(LANES, s.node.size - b * LANES)):
            price = base + r.sums[LANES + j] + r.sums[3 * LANES + j]
            over = line[3 * width + 4, j] * charged(r.sums[j])
            price += penalty * (over + dear * charged(r.sums[2 * LANES + j]))
            price += line[3 * width + 2, j] + holding * line[3 * width + 3, j]
            price -= line[3 * width, j] + penalty * line[3 * width + 1, j]
            most, q = w.setting[TEMPERATURE] * w.logs[luck + j], b * LANES + j
            returns = n1 == r.slot_home[q] or (home >= 0 and s.node[q] == home)
            other = s.node[q] != n1 and s.node[q] >= 0
            if (price <= most or returns) and other and count < FOUND:
                r.found[count], r.most[count] = q, most
                count += 1
        b = b + 1 if b + 1 < blocks else 0
        w.tried[SWAP] += LANES
        w.early[SWAP] += LANES
    w.early[SWAP] -= count
    return count


@compiled
def _base(t: Tables, s: State, w: Walk, r: Rows, p: int) -> float:
    """What a replica's arrival costs at least, whatever it finds there."""
    block = s.block[p]
    v = variant(t, s, t.slot_class[p], block, s.node[p], 0)
    holds = w.setting[HELD] * (t.block_held[block] - held(t, v))
    return r.unary[block] + holds - hope(t, s, w, MENDING)


@compiled
def _leave_room(t: Tables, s: State, r: Rows, v: int, n: int) -> None:
    """Write down the room on a node when a variant has left it."""
    kind, width = t.node_kind[n], t.rho.size
    for d in range(width):
        r.room[d] = s.room[n, CAP, d] + t.size[kind, v, d]
        r.room[width + d] = s.room[n, THRESHOLD, d] + t.size[kind, v, d]
