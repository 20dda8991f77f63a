"""Why a request finds no place: which rule or resource keeps it off how many nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.sites import Obstacle, Sites, listed, obstacles, room
from optalloc.explaining.words import describe
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
    fits = np.where(shut, 0, room(problem, np.array([row]), sites, np.array([wanted]))[0])
    if share and kind.ground.devices:
        fits = np.minimum(fits, kind.ground.devices.room(share, every))
    name, there = problem.columns.row_name(row), [o for o in found if o.sites.size]
    return Way(name, wanted, int(fits.sum()), there, sites)


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
