"""Free capacity while an instance is generated: what is required is known to fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from optalloc.generators.hardware import Server
from optalloc.instance.model import DEVICE

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
TRIES = 64
"""Nodes looked at before a demand is given up, so that generating stays linear."""


class Stock:
    """The generator's own placement of what must fit.

    Parameters
    ----------
    random
        Decides where the search for a node begins.
    servers
        Kind of each node, in the order of the nodes.
    share
        Part of the capacity that may be planned.
    """

    def __init__(
        self, random: np.random.Generator, servers: list[Server], share: float = 1.0
    ) -> None:
        self._random = random
        stated = {
            "cores": [s.cores for s in servers],
            "memory": [s.memory_gib for s in servers],
            DEVICE: [s.devices for s in servers],
        }
        self.free: dict[str, FloatArray] = {
            name: np.floor(share * np.array(values, np.float64)) for name, values in stated.items()
        }
        kinds: dict[str, list[int]] = {}
        for i, server in enumerate(servers):
            kinds.setdefault(server.device.name if server.device else "", []).append(i)
        self.by_device: dict[str, IntArray] = {
            device: np.array(nodes, np.int64) for device, nodes in kinds.items()
        }

    def take(
        self, among: IntArray, demand: Mapping[str, float], apart: Collection[int] = ()
    ) -> int | None:
        """Occupy a node of `among` that is not in `apart`; None if none is found."""
        if not among.size:
            return None
        start = int(self._random.integers(among.size))
        nodes = among[(start + np.arange(min(TRIES, among.size))) % among.size]
        fits = ~np.isin(nodes, list(apart))
        for name, amount in demand.items():
            fits &= self.free[name][nodes] >= amount
        found = np.flatnonzero(fits)
        if not found.size:
            return None
        node = int(nodes[found[0]])
        self._add(node, demand, -1)
        return node

    def take_all(
        self, pools: list[IntArray], demand: Mapping[str, float], apart: bool
    ) -> list[int] | None:
        """Occupy one node of each pool, all different if `apart`; all of them or none."""
        taken: list[int] = []
        for pool in pools:
            node = self.take(pool, demand, taken if apart else ())
            if node is None:
                for earlier in taken:
                    self._add(earlier, demand, 1)
                return None
            taken.append(node)
        return taken

    def _add(self, node: int, demand: Mapping[str, float], sign: int) -> None:
        for name, amount in demand.items():
            self.free[name][node] += sign * amount


def divide(total: int, shares: Mapping[Server, float]) -> list[Server]:
    """Divide a number of nodes over kinds of servers by largest remainder, kinds kept together."""
    whole = sum(shares.values())
    exact = {kind: total * share / whole for kind, share in shares.items()}
    counts = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(shares, key=lambda kind: counts[kind] - exact[kind])
    for kind in by_remainder[: total - sum(counts.values())]:
        counts[kind] += 1
    return [kind for kind in shares for _ in range(counts[kind])]
