"""Small whole numbers in place of weights, in the same order whichever edges are added up.

Solvers of whole-number problems lose their way among coefficients of 10^10 that differ by little.
A graph of a few different weights has few different sums of edges, which can all be listed: small
weights that put them in the same order have the same best answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
MOST_SUMS = 1e7
"""Differences of sums up to which all are listed."""
BITS = 30
"""Of the largest small weight."""


@dataclass(frozen=True, eq=False)
class Order:
    """Weights and what stands for them.

    Parameters
    ----------
    weights : (kinds,)
        Different weights, whole numbers.
    counts : (kinds,)
        Edges of each.
    small : (kinds,)
        What stands for each: ``sum weights * k > 0`` implies ``sum small * k > 0`` for all whole
        numbers k between -counts and counts.
    """

    weights: IntArray
    counts: IntArray
    small: IntArray

    @classmethod
    def of(cls, weight: FloatArray) -> Order | None:
        """Find the smallest weights that keep the order; None if there are too many sums.

        Parameters
        ----------
        weight : (n, n)
            Symmetric, whole numbers.
        """
        values, counts = np.unique(weight[np.triu(weight) > 0], return_counts=True)
        if not values.size or np.prod(2.0 * counts + 1) > MOST_SUMS:
            return None
        weights = values.astype(np.int64)
        # A difference and its negative are one case: the first count may be taken as positive.
        ranges = [np.arange(-int(k) if i else 0, int(k) + 1) for i, k in enumerate(counts)]
        exact = _sums(weights, ranges)
        above, below = exact > 0, exact < 0
        for size in 2.0 ** np.arange(1, BITS, 0.5):
            small = np.rint(values / values.max() * size).astype(np.int64)
            if small.min() < 1:
                continue
            sums = _sums(small, ranges)
            if np.all(sums[above] > 0) and np.all(sums[below] < 0):
                return cls(weights, counts.astype(np.int64), small)
        return None

    def replace(self, weight: FloatArray) -> IntArray:
        """Write the small weights in place of the others; 0 stays."""
        found = np.zeros(weight.shape, np.int64)
        for value, small in zip(self.weights.tolist(), self.small.tolist(), strict=True):
            found[weight == value] = small
        return found

    @cached_property
    def _all(self) -> tuple[IntArray, IntArray]:
        ranges = [np.arange(int(k) + 1) for k in self.counts]
        return _sums(self.small, ranges).ravel(), _sums(self.weights, ranges).ravel()

    @property
    def total(self) -> int:
        """All weights together."""
        return int(self.weights @ self.counts)

    def largest(self, most: float) -> int:
        """The largest sum of weights whose small weights add up to at most a number."""
        small, exact = self._all
        return int(exact[small <= most].max(initial=0))

    def replaced(self, most: float) -> int:
        """The largest sum of small weights whose weights add up to at most a number."""
        small, exact = self._all
        return int(small[exact <= most].max(initial=0))


def _sums(weights: IntArray, ranges: list[IntArray]) -> IntArray:
    total = np.zeros((1,) * len(ranges), np.int64)
    for weight, count in zip(weights.tolist(), np.ix_(*ranges), strict=True):
        total = total + weight * count
    return np.asarray(total)
