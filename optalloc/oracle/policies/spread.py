"""Spread, or worst fit: where most is left."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from optalloc.engines.greedy_state import View
from optalloc.oracle.counting import Counting
from optalloc.oracle.policies.best_fit import left
from optalloc.oracle.policies.protocol import Policy, Ranking


class Spread(Ranking):
    """Ranks as best fit does, the other way round; replicas go one by one."""

    one_by_one = True

    def rank(self, state: Counting, block: int, view: View) -> NDArray[Any]:
        """What is in use on each node, as it were."""
        return -left(self, state, block, view)


POLICY = Policy("spread", "the node where most is left, replica by replica", Spread)
