"""Why a request finds no place: which rule or resource keeps it off how many nodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.sites import Obstacle, Sites, listed, obstacles, room
from optalloc.explaining.words import describe
from optalloc.oracle.devices import Share
from optalloc.oracle.kinds import Kind

IntArray = NDArray[np.int64]


def why_not(kind: Kind) -> str:
    """Say what keeps a request off the nodes as they are, for each way in which it can run."""
    columns = kind.problem.columns
    rows = range(int(columns.row_start[-2]), int(columns.row_start[-1]))
    said = [(columns.row_name(row), _row(kind, row)) for row in rows]
    return " | ".join(f"{name}: {why}" if len(rows) > 1 else why for name, why in said)


def _row(kind: Kind, row: int) -> str:
    problem = kind.problem
    every = np.arange(problem.nodes, dtype=np.int64)
    sites = Sites(every, np.ones_like(every), kind.ground.free(), "free")
    found = [Obstacle(np.flatnonzero(kind.ground.closed), "closed")]
    shut = kind.ground.closed.copy()
    share = kind.ground.devices and kind.state.shares[row]
    for obstacle in [
        *obstacles(problem, row, sites),
        *(_devices(kind, share) if share else ()),
        *_rules(kind, row),
    ]:
        here = obstacle.sites[~shut[obstacle.sites]]
        shut[here] = True
        found.append(Obstacle(here, obstacle.message))
    wanted = int(problem.columns.row_replicas[row])
    fits = np.where(shut, 0, room(problem, np.array([row]), sites, np.array([wanted]))[0])
    if share and kind.ground.devices:
        fits = np.minimum(fits, kind.ground.devices.room(share, every))
    told = listed([o for o in found if o.sites.size], sites)
    if wanted == 1:
        return told
    total = f"room for {int(fits.sum()):,} of {wanted:,} replicas one by one"
    return f"{total}: {told}" if told else total


def _devices(kind: Kind, share: Share) -> list[Obstacle]:
    """The nodes that have capacity, but not on devices as it is needed."""
    devices, every = kind.ground.devices, np.arange(kind.problem.nodes, dtype=np.int64)
    if devices is None:
        return []
    lacking = np.flatnonzero(devices.room(share, every) < 1)
    kinds, first, kind_of = np.unique(share.parts[lacking], return_index=True, return_inverse=True)
    said = [share.lacking(int(lacking[k])) for k in first]
    return [Obstacle(lacking[kind_of == k], said[k]) for k in range(kinds.size)]


def _rules(kind: Kind, row: int) -> list[Obstacle]:
    """The nodes that a rule or a limit keeps a replica off, beside capacities."""
    problem, state = kind.problem, kind.state
    blocks = np.flatnonzero(problem.block_row == row)
    found = []
    objective = problem.objective
    for i, nodes in state.blocked(int(blocks[0])) if blocks.size else ():
        said = describe(problem.columns, objective.policies[i], objective.labels[i])
        found.append(Obstacle(nodes, said))
    return found
