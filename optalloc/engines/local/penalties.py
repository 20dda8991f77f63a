"""What broken rules cost: just so much that they are rare, and the rarer the colder it is.

A price that is too high closes the ways through placements that break a rule, one that is too low
leaves much to mend when it is too cold for that. What is right differs from node to node and falls
with the temperature, so each node has a price of its own: it rises while the node breaks a rule, by
``exp(step * (1 - share))``, and falls otherwise, by ``exp(-step * share)``; the node then breaks
rules for that share of the time. So does the price of the rules that are no node's, the counters'.
"""

from __future__ import annotations

import math

import numpy as np

from optalloc.engines.local import dense
from optalloc.engines.local.placed import Placed
from optalloc.engines.local.state import FEASIBLE

FIRST, CHEAPEST, DEAREST = 4.0, 0.05, 400.0
"""First price of a unit of violation, and its limits, in mean changes of a random move."""
SHARE = 0.5
"""Share of the time for which a rule may be broken at a temperature of 1; it falls with it."""
PACE, COUNTERS, MOST_STEP = 200.0, 0.3, 0.5
"""Steps of a node in a run, together; those of the counters, as a part of them; and the largest."""
HARDENED, HARDENING, HARD = 0.03, 1.5, 1e3
"""Temperature below which prices rise with a power of it, whatever is broken, and up to where: what
breaks a rule when it is colder is dear to mend."""
STRICT = 1e4
"""A price that no move outweighs."""


class Penalties:
    """Prices of broken rules during one run."""

    def __init__(self, placed: Placed) -> None:
        self.placed = placed
        self.price = np.ones(placed.state.dear.size)
        self.counters, self.done = FIRST, 0.0
        self._charge(0.0, 0.0)

    def at(self, temperature: float, done: float) -> float:
        """Adapt the prices when a part of the run is done; that of a unit of violation."""
        step = min(PACE * (done - self.done), MOST_STEP)
        share, self.done = SHARE * min(temperature, 1.0), done
        self._charge(step, share)
        state = self.placed.state
        broken = state.violation[0] - state.over_total[0] > FEASIBLE
        rise = COUNTERS * step * (float(broken) - share)
        self.counters = min(max(self.counters * math.exp(rise), CHEAPEST), DEAREST)
        hardened = max(HARDENED / temperature, 1.0) ** HARDENING
        return min(self.counters * hardened, HARD)

    def _charge(self, step: float, share: float) -> None:
        dearer, cheaper = math.exp(step * (1 - share)), math.exp(-step * share)
        dense.reprice(*self.placed.compiled[:2], self.price, dearer, cheaper)
