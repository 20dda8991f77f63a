"""Why a request finds no place: which rule or resource keeps it off how many nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.sites import Obstacle, Sites, listed, obstacles, room
from optalloc.explaining.words import describe
from optalloc.formulation.goals.capacity import Capacity
from optalloc.oracle.devices import Share
from optalloc.oracle.kinds import Kind

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """What keeps a request off the nodes, where it runs in one of its rows.

    Parameters
    ----------
    name
        Of the row; empty for a task without a table.
    wanted, fits
        Replicas that it has, and those for which there is room one by one.
    obstacles
        What is in the way, each node once.
    sites
        The nodes.
    """

    name: str
    wanted: int
    fits: int
    obstacles: list[Obstacle]
    sites: Sites

    @property
    def words(self) -> str:
        """The same, in a line."""
        told = listed(self.obstacles, self.sites)
        if self.wanted == 1:
            return told
        total = f"room for {self.fits:,} of {self.wanted:,} replicas one by one"
        return f"{total}: {told}" if told else total


def why_not(kind: Kind) -> str:
    """Say what keeps a request off the nodes as they are, for each way in which it can run."""
    found = ways(kind)
    return " | ".join(f"{w.name}: {w.words}" if len(found) > 1 else w.words for w in found)


def ways(kind: Kind) -> list[Way]:
    """Find what keeps a request off the nodes as they are, for each way in which it can run."""
    columns = kind.problem.columns
    return [_way(kind, row) for row in range(*columns.row_start[-2:].tolist())]


def _way(kind: Kind, row: int) -> Way:
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
    fits = np.where(shut, 0, room_now(kind, row, sites.free))
    name, there = problem.columns.row_name(row), [o for o in found if o.sites.size]
    return Way(name, wanted, int(fits.sum()), there, sites)


def room_now(kind: Kind, row: int, free: IntArray | None = None, devices: bool = True) -> IntArray:
    """Replicas of a row for which there is room on each node, up to all of a task, open or not.

    Parameters
    ----------
    kind, row
        The request, and a row of its problem.
    free : (nodes, resources)
        Capacity that counts as free; by default what is.
    devices
        Whether the devices count.
    """
    every = np.arange(kind.problem.nodes, dtype=np.int64)
    free = kind.ground.free() if free is None else free
    wanted = kind.problem.columns.row_replicas[[row]]
    fits = room(kind.problem, np.array([row]), Sites(every, np.ones_like(every), free), wanted)[0]
    share = kind.state.shares[row] if kind.state.shares else None
    if devices and share and kind.ground.devices:
        fits = np.minimum(fits, kind.ground.devices.room(share, every))
    return np.asarray(fits, np.int64)


def ruled_out(kind: Kind, row: int) -> NDArray[np.bool_]:
    """The nodes that a rule keeps a replica off, beside capacities: (nodes,)."""
    out = np.zeros(kind.problem.nodes, bool)
    for i, nodes in _blocked(kind, row):
        out[nodes] |= not isinstance(kind.problem.objective.policies[i], Capacity)
    return out


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
    columns, objective = kind.problem.columns, kind.problem.objective
    return [
        Obstacle(nodes, describe(columns, objective.policies[i], objective.labels[i]))
        for i, nodes in _blocked(kind, row)
    ]


def _blocked(kind: Kind, row: int) -> Iterable[tuple[int, IntArray]]:
    """The nodes that each policy keeps a replica off, by its index in the objective."""
    blocks = np.flatnonzero(kind.problem.block_row == row)
    return kind.state.blocked(int(blocks[0])) if blocks.size else ()
