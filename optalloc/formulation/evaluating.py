"""The formulation's own arithmetic: the exact value of every term for given decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.encoding import Encoding, expand
from optalloc.formulation.model import Linear
from optalloc.formulation.terms import Metric, Term

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates terms at a vector of column values (of which only x and y are read)."""

    encoding: Encoding
    values: IntArray

    def expression(self, linear: Linear) -> IntArray:
        """Value of each expression."""
        total = linear.constant.copy()
        np.add.at(total, linear.row, linear.value * self.values[linear.column])
        return total

    def reduced(self, term: Term) -> IntArray:
        """Value of each j of a term, before any limit."""
        folded = self._folded(term)
        if term.beside is None:
            return folded
        return folded + self.reduced(term.beside)

    def _folded(self, term: Term) -> IntArray:
        y = self.expression(expand(self.encoding, term.family))
        shaped = term.shape.value(y) * term.factor
        if term.reduce == "sum":
            total = np.zeros(term.owners, np.int64)
            np.add.at(total, term.owner, shaped)
            return total
        fold = np.maximum if term.reduce == "max" else np.minimum
        order = np.argsort(term.owner, kind="stable")
        starts = np.searchsorted(term.owner[order], np.arange(term.owners))
        return np.asarray(fold.reduceat(shaped[order], starts), np.int64)

    def term(self, term: Term) -> int:
        """Value of a term: the total violation where it is a rule."""
        values = self.reduced(term)
        if term.limit is not None:
            over = values - term.limit.bound
            values = np.maximum(over if term.limit.sense == "at_most" else -over, 0)
        if not values.size:
            return 0
        if term.outer == "sum":
            return int(values.sum())
        return int(values.max() if term.outer == "max" else values.min())

    def metric(self, metric: Metric) -> int:
        """Value of a policy in its quanta."""
        return metric.constant + sum(factor * self.term(term) for factor, term in metric.terms)
