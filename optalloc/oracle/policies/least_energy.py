"""Least energy: where a replica adds fewest watts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import View
from optalloc.oracle.counting import Counting
from optalloc.oracle.policies.protocol import Policy, Ranking


class LeastEnergy(Ranking):
    """Ranks by the watts that one more replica adds: its share, and idle ones of an empty node."""

    def rank(self, state: Counting, block: int, view: View) -> NDArray[Any]:
        """Watts that a replica adds on each node, in quanta."""
        draw = state.problem.columns.power
        row = state.problem.block_row[[block]]
        free, full = self.ground.free(), self.ground.capacity
        empty = np.all(free[view.nodes] == full[view.nodes], axis=1)
        added = draw.share.at(row, view.nodes) + np.where(empty, draw.on[view.nodes], 0)
        return np.asarray(added)


POLICY = Policy("least-energy", "the node where a replica adds fewest watts", LeastEnergy)
