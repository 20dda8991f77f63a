"""From terms to the rows of counters: what is known of a counter besides what it counts.

Where a group has a counter on each node there are millions of them, and all of a group are alike:
they share a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import BASE, OWNER
from optalloc.formulation.shapes import Convex, Excess, Partly, Steps
from optalloc.formulation.terms import Family, Placed, Term

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass
class Bends:
    """The bends of all convex shapes, each line of them once for a shape."""

    loads: list[FloatArray] = field(default_factory=list)
    slopes: list[FloatArray] = field(default_factory=list)
    size: int = 0

    def first_of(self, shape: Convex) -> IntArray:
        """Take the bends of a shape; return the first one of each aggregate."""
        pairs = np.stack([shape.threshold, shape.slope], axis=2)
        kinds, kind = np.unique(pairs, axis=0, return_inverse=True)
        end = np.array([[[np.inf, 0.0]]])
        lines = np.concatenate([kinds, np.broadcast_to(end, (len(kinds), 1, 2))], axis=1)
        first = self.size + kind.ravel() * lines.shape[1]
        self.loads.append(lines[:, :, 0].ravel())
        self.slopes.append(lines[:, :, 1].ravel())
        self.size += self.loads[-1].size
        return np.asarray(first, np.int64)

    def tables(self) -> dict[str, Any]:
        """The arrays of all bends."""
        return {
            "bend_load": np.concatenate([np.zeros(0), *self.loads]),
            "bend_slope": np.concatenate([np.zeros(0), *self.slopes]),
        }


@dataclass(frozen=True)
class Rows:
    """The rows of the counters of a family, the first of which is `first`.

    Parameters
    ----------
    first
        Place of the first row among those of all families.
    values : (rows, 4)
        Columns BASE to OWNER.
    width
        Counters that share a row: all domains of a part, or 1.
    idle
        Whether counters are 0, and their shapes too, where nothing is placed.
    """

    first: int
    values: FloatArray
    width: int
    idle: bool


def rows_of(term: Term, plain: bool, first: int, first_owner: int, bends: Bends) -> Rows:
    """The rows of the counters of a term's family."""
    family = term.family
    columns = [family.constant, *_columns(term, plain, bends)]
    width = _domains(family)
    by_part = [np.broadcast_to(column, family.size).reshape(-1, width) for column in columns]
    if all(np.array_equal(column[:, 1:], column[:, :-1]) for column in by_part):
        by_part = [column[:, :1] for column in by_part]
    else:
        width = 1
    values = np.stack([column.ravel() for column in by_part], axis=1).astype(np.float64)
    values[:, OWNER] += first_owner
    idle = not values[:, BASE].any() and _idle(term, plain)
    return Rows(first, values, width, idle)


def _columns(term: Term, plain: bool, bends: Bends) -> list[IntArray]:
    """Parameter, factor and owner of each counter; one for all where they are the same."""
    # Both places of a two-place shape have the same factor and owner.
    twice = term.shape.arity
    owner = np.zeros(1, np.int64) if plain else np.tile(term.owner, twice)
    return [_parameter(term, plain, bends), np.tile(term.factor, twice), owner]


def _parameter(term: Term, plain: bool, bends: Bends) -> IntArray:
    if plain and term.limit is not None:
        return term.limit.bound[term.owner]
    match term.shape:
        case Excess(threshold=threshold):
            return threshold
        case Steps(block=size) | Partly(whole=size):
            return size
        case Convex() as shape:
            return bends.first_of(shape)
    return np.zeros(1, np.int64)


def _idle(term: Term, plain: bool) -> bool:
    """Whether counters of 0 are worth nothing."""
    if plain and term.limit is not None:
        return not (term.limit.bound < 0).any()
    match term.shape:
        case Excess(threshold=threshold) | Convex(threshold=threshold):
            return not (threshold < 0).any()
    return True


def _domains(family: Family) -> int:
    """How many domains each part has; 1 where contributions differ."""
    every = [*family.placed, *family.chosen]
    domains = {source.domains if isinstance(source, Placed) else 1 for source in every}
    return max(domains.pop(), 1) if len(domains) == 1 else 1
