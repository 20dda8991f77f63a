"""Kinds of repair that compete for time: each takes more of it the more it gains in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from optalloc.engines.repairing import Repair

FIRST_SIZE = 250
"""Free decision columns of the first neighbourhoods."""
SMALLEST_SIZE, LARGEST_SIZE = 20, 20_000
GROW, SHRINK = 1.25, 0.75
MEMORY_SECONDS = 20.0
"""What was learnt this long ago counts a third."""
PRIOR_SECONDS = 5.0
"""Seconds in which a kind counts as gaining what all do on average, beside its own."""
GREED = 2.0
"""Time goes to kinds by this power of their pace."""


@dataclass
class Kind:
    """A kind of neighbourhood and of repair, with the size and the memory that adapt.

    Parameters
    ----------
    seconds
        Longest repair; a kind whose repairs end much earlier grows.
    size
        Free decision columns.
    gained, spent
        Relative gain, and seconds, of its repairs; what is long ago counts less.
    length
        Seconds that a repair takes, about.
    """

    name: str
    repair: Repair
    seconds: float
    size: float = FIRST_SIZE
    gained: float = 0.0
    spent: float = 0.0
    length: float = 0.1

    def grow(self) -> None:
        """The last repair was easy."""
        self.size = min(self.size * GROW, LARGEST_SIZE)

    def shrink(self) -> None:
        """The last repair was too hard."""
        self.size = max(self.size * SHRINK, SMALLEST_SIZE)


@dataclass
class Portfolio:
    """Draws kinds so that the time that each takes follows from what it gains in it."""

    kinds: Sequence[Kind]
    rng: np.random.Generator

    def draw(self) -> Kind:
        """Draw the kind of the next repair."""
        gained = np.array([kind.gained for kind in self.kinds])
        spent = np.array([kind.spent for kind in self.kinds])
        average = (gained.sum() + 1e-9) / (spent.sum() + 1.0)
        pace = (gained + average * PRIOR_SECONDS) / (spent + PRIOR_SECONDS)
        weights = (pace / pace.max()) ** GREED / [kind.length for kind in self.kinds]
        return self.kinds[int(self.rng.choice(len(self.kinds), p=weights / weights.sum()))]

    def learn(self, kind: Kind, gain: float, seconds: float) -> None:
        """Remember what a repair brought, in part of the value."""
        fade = exp(-seconds / MEMORY_SECONDS)
        for each in self.kinds:
            each.gained *= fade
            each.spent *= fade
        kind.gained += gain
        kind.spent += seconds
        kind.length = max(0.5 * (kind.length + seconds), 1e-3)
