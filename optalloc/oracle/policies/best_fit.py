"""Best fit: where least is left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import View
from optalloc.oracle.counting import Counting
from optalloc.oracle.policies.protocol import Policy, Ranking


class BestFit(Ranking):
    """Ranks by ``sum of free[n, r] / largest capacity of r`` over the resources r demanded."""

    def rank(self, state: Counting, block: int, view: View) -> NDArray[Any]:
        """What is free on each node, in parts of the largest node."""
        return left(self, state, block, view)


def left(ranking: Ranking, state: Counting, block: int, view: View) -> NDArray[np.float64]:
    """What is free of the resources that a block demands, in parts of the largest node."""
    ground, columns = ranking.ground, state.problem.columns
    row = state.problem.block_row[[block]]
    free, most = ground.free(), np.maximum(ground.capacity.max(axis=0), 1)
    total = np.zeros(view.nodes.size)
    for i, demand in enumerate(columns.demand):
        if demand.at(row, view.nodes).any():
            total += free[view.nodes, i] / most[i]
    return total


POLICY = Policy("best-fit", "the node where least is left", BestFit)
