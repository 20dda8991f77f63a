"""Shapes: the few functions of an aggregate from which every goal is made.

A shape holds its faces side by side: the exact value, bounds, and its encodings for a MILP and
for CP-SAT. An encoding takes a vector of expressions ``y`` and returns one that is, depending on
the *side*, never below the value (``over``: for what is minimised or limited from above), never
above it (``under``), or equal to it (``exact``); on every side the value itself can be attained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.model import INFINITY, Linear, Model, Side

IntArray = NDArray[np.int64]


class UnsupportedSide(ValueError):
    """A shape has no encoding on this side, or not for these aggregates."""


class Shape(ABC):
    """A function of `arity` aggregates with its faces.

    With arity 2 the aggregates come as one vector: first all first places, then all second ones.
    """

    arity: int = 1
    monotone: bool = True
    """Whether the value only rises, or only falls, where one of the aggregates grows."""

    @abstractmethod
    def value(self, y: IntArray) -> IntArray:
        """Exact value for each (tuple of) aggregate."""

    @abstractmethod
    def at(self, index: IntArray) -> Shape:
        """Select the parameters of some aggregates."""

    @abstractmethod
    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        """Bounds of the value from bounds of the aggregates."""

    @abstractmethod
    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        """Encode with linear rows and integer columns."""

    @abstractmethod
    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        """Encode with what CP-SAT has besides: conditional rows and maxima."""

    def encode(self, model: Model, y: Linear, side: Side) -> Linear:
        """Encode in the form for which the model is built."""
        return self.milp(model, y, side) if model.form == "milp" else self.cpsat(model, y, side)


@dataclass(frozen=True)
class Identity(Shape):
    """The aggregate itself: ``y``."""

    def value(self, y: IntArray) -> IntArray:
        return y

    def at(self, index: IntArray) -> Shape:
        return self

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        return low, high

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        return y

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        return y


@dataclass(frozen=True)
class Excess(Shape):
    """What lies above a threshold: ``max(0, y - threshold)``.

    Parameters
    ----------
    threshold : (aggregates,)
        Threshold of each aggregate.
    """

    threshold: IntArray

    def value(self, y: IntArray) -> IntArray:
        return np.asarray(np.maximum(y - self.threshold, 0), np.int64)

    def at(self, index: IntArray) -> Shape:
        return Excess(self.threshold[index])

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        return self.value(low), self.value(high)

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        above = y.shifted(-self.threshold)
        low, high = model.range_of(above)
        e = model.add_columns(np.maximum(low, 0), np.maximum(high, 0), y.size, integer=False)
        excess = Linear.of_columns(e)
        over = excess.plus(above.scaled(-1))
        if side != "under":
            model.add_rows(over, low=0)
        if side != "over":
            # b = 1: e <= y - threshold; b = 0: e <= 0.
            b = Linear.of_columns(model.add_columns(0, 1, y.size))
            gap = np.maximum(-low, 0)
            model.add_rows(over.plus(b.scaled(gap)), high=gap)
            model.add_rows(excess.plus(b.scaled(-np.maximum(high, 0))), high=0)
        return excess

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        if side == "over":
            return self.milp(model, y, side)
        above = y.shifted(-self.threshold)
        low, high = model.range_of(above)
        targets = [
            model.add_maximum(_with_zero(above, k), max(int(low[k]), 0), max(int(high[k]), 0))
            for k in range(y.size)
        ]
        return Linear.of_columns(np.array(targets, np.int64))


@dataclass(frozen=True)
class Convex(Shape):
    """A convex line that bends upwards: ``sum over s of slope[s] * max(0, y - threshold[s])``.

    It is 0 up to the first threshold, and from each threshold on it grows faster by its slope. Any
    convex function of an integer that does not fall has this form, exact at as many points as one
    wants.

    Parameters
    ----------
    threshold, slope : (aggregates, bends)
        Where the line of each aggregate bends, and by how much: at least 0. A slope of 0 is no
        bend.
    """

    threshold: IntArray
    slope: IntArray

    def value(self, y: IntArray) -> IntArray:
        above = np.maximum(y[:, None] - self.threshold, 0)
        return np.asarray((self.slope * above).sum(axis=1), np.int64)

    def at(self, index: IntArray) -> Shape:
        return Convex(self.threshold[index], self.slope[index])

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        return self.value(low), self.value(high)

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        return self._summed(model, y, side)

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        return self._summed(model, y, side)

    def _summed(self, model: Model, y: Linear, side: Side) -> Linear:
        """Every bend is an excess over its threshold."""
        total = Linear.of_constants(np.zeros(y.size, np.int64))
        for s in range(self.slope.shape[1]):
            bends = np.flatnonzero(self.slope[:, s])
            excess = Excess(self.threshold[bends, s]).encode(model, y.take(bends), side)
            total = total.plus(excess.scaled(self.slope[bends, s]).summed(bends, y.size))
        return total


@dataclass(frozen=True)
class Steps(Shape):
    """How many blocks are begun: ``ceil(y / block)`` for ``y >= 0``.

    With a block no smaller than ``y`` can be it is the indicator ``[y >= 1]``; with the capacity
    of one of several identical nodes it is the number of these nodes in use.

    Parameters
    ----------
    block : (aggregates,)
        Positive size of a block.
    """

    block: IntArray

    def value(self, y: IntArray) -> IntArray:
        return -(-y // self.block)

    def at(self, index: IntArray) -> Shape:
        return Steps(self.block[index])

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        return self.value(low), self.value(high)

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        high, steps = self._columns(model, y)
        block = np.minimum(self.block, np.maximum(high, 1))
        if side != "under":
            model.add_rows(steps.scaled(block).plus(y.scaled(-1)), low=0)
        if side != "over":
            model.add_rows(steps.plus(y.scaled(-1)), high=0)
            several = np.flatnonzero(high > block)
            begun = steps.scaled(block).plus(y.scaled(-1)).take(several)
            model.add_rows(begun, high=block[several] - 1)
        return steps

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        _, high = model.range_of(y)
        if np.any(high > self.block):
            return self.milp(model, y, side)
        _, used = self._columns(model, y)
        if side != "under":
            model.add_rows(y, high=0, literal=-used.column - 1)
        if side != "over":
            model.add_rows(y, low=1, literal=used.column)
        return used

    def _columns(self, model: Model, y: Linear) -> tuple[IntArray, Linear]:
        low, high = model.range_of(y)
        if np.any(low < 0):
            raise UnsupportedSide("steps are counted from 0: the aggregate can be negative")
        columns = model.add_columns(self.value(low), self.value(high), y.size)
        return high, Linear.of_columns(columns)


@dataclass(frozen=True)
class Partly(Shape):
    """Some, but not all: ``[1 <= y < whole]`` for ``y >= 0``.

    Of the replicas of a gang in a domain it says whether the gang is partly inside.

    Parameters
    ----------
    whole : (aggregates,)
        How many are all.
    """

    whole: IntArray
    monotone = False

    def value(self, y: IntArray) -> IntArray:
        return ((y >= 1) & (y < self.whole)).astype(np.int64)

    def at(self, index: IntArray) -> Shape:
        return Partly(self.whole[index])

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        surely = (low >= 1) & (high < self.whole)
        possibly = np.maximum(low, 1) <= np.minimum(high, self.whole - 1)
        return surely.astype(np.int64), possibly.astype(np.int64)

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        high, most, partly = self._columns(model, y)
        if side != "under":
            # All are here, or none unless some are: y >= whole * b, y <= most * z + high * b.
            all_here, place = self._all_here(model, high)
            model.add_rows(y.take(place).plus(all_here.scaled(-self.whole[place])), low=0)
            room = partly.scaled(most).plus(y.scaled(-1))
            model.add_rows(room.plus(all_here.scaled(high[place]).summed(place, y.size)), low=0)
        if side != "over":
            model.add_rows(y.plus(partly.scaled(-1)), low=0)
            beyond = high - most
            model.add_rows(y.plus(partly.scaled(beyond)), high=most + beyond)
        return partly

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        high, most, partly = self._columns(model, y)
        if side != "under":
            all_here, place = self._all_here(model, high)
            model.add_rows(y.take(place), low=self.whole[place], literal=all_here.column)
            none = Linear.of_columns(model.add_columns(0, 1, y.size))
            model.add_rows(y, high=0, literal=none.column)
            model.add_rows(none.plus(partly).plus(all_here.summed(place, y.size)), low=1)
        if side != "over":
            model.add_rows(y, low=1, literal=partly.column)
            model.add_rows(y, high=most, literal=partly.column)
        return partly

    def _all_here(self, model: Model, high: IntArray) -> tuple[Linear, IntArray]:
        """A column for each aggregate that can be whole, and which these are."""
        place = np.flatnonzero(high >= self.whole)
        return Linear.of_columns(model.add_columns(0, 1, place.size)), place

    def _columns(self, model: Model, y: Linear) -> tuple[IntArray, IntArray, Linear]:
        """The most that aggregates can be, and can be without being whole, and their values."""
        low, high = model.range_of(y)
        if np.any(low < 0):
            raise UnsupportedSide("parts are counted from 0: the aggregate can be negative")
        least, possibly = self.bounds(low, high)
        partly = Linear.of_columns(model.add_columns(least, possibly, y.size))
        return high, np.minimum(high, self.whole - 1), partly


@dataclass(frozen=True)
class Missing(Shape):
    """A broken implication: 1 where ``a >= 1`` but not ``b >= 1``, for ``a, b >= 0``."""

    arity = 2

    def value(self, y: IntArray) -> IntArray:
        a, b = np.split(y, 2)
        return ((a >= 1) & (b < 1)).astype(np.int64)

    def at(self, index: IntArray) -> Shape:
        return self

    def bounds(self, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
        (a_low, b_low), (a_high, b_high) = np.split(low, 2), np.split(high, 2)
        surely = (a_low >= 1) & (b_high < 1)
        possibly = (a_high >= 1) & (b_low < 1)
        return surely.astype(np.int64), possibly.astype(np.int64)

    def milp(self, model: Model, y: Linear, side: Side) -> Linear:
        a, b, missing = self._columns(model, y, side)
        _, a_high = model.range_of(a)
        kept = Linear.of_columns(model.add_columns(0, 1, a.size))
        # a <= high * (kept + missing), kept only where b >= 1.
        model.add_rows(kept.plus(missing).scaled(a_high).plus(a.scaled(-1)), low=0)
        model.add_rows(b.plus(kept.scaled(-1)), low=0)
        return missing

    def cpsat(self, model: Model, y: Linear, side: Side) -> Linear:
        a, b, missing = self._columns(model, y, side)
        kept = Linear.of_columns(model.add_columns(0, 1, a.size))
        model.add_rows(b, low=1, literal=kept.column)
        # Neither kept nor missing: nothing of a is here.
        some = Linear.of_columns(model.add_columns(0, 1, a.size))
        model.add_rows(a, high=0, literal=-some.column - 1)
        model.add_rows(kept.plus(missing).plus(some.scaled(-1)), low=0)
        return missing

    def _columns(self, model: Model, y: Linear, side: Side) -> tuple[Linear, Linear, Linear]:
        if side != "over":
            raise UnsupportedSide("broken implications can be limited and minimised only")
        low, high = model.range_of(y)
        if np.any(low < 0):
            raise UnsupportedSide("implications are between counts: the aggregate is negative")
        half = y.size // 2
        least, most = self.bounds(low, high)
        missing = Linear.of_columns(model.add_columns(least, most, half))
        return y.take(np.arange(half)), y.take(np.arange(half, 2 * half)), missing


def largest(model: Model, y: Linear, owner: IntArray, owners: int, side: Side) -> Linear:
    """Encode the largest expression of each owner; every owner has at least one."""
    low, high = model.range_of(y)
    least = np.full(owners, -INFINITY, np.int64)
    most = np.full(owners, -INFINITY, np.int64)
    np.maximum.at(least, owner, low)
    np.maximum.at(most, owner, high)
    if model.form == "cpsat" and side != "over":
        targets = [
            model.add_maximum(y.take(np.flatnonzero(owner == j)), int(least[j]), int(most[j]))
            for j in range(owners)
        ]
        return Linear.of_columns(np.array(targets, np.int64))
    top = Linear.of_columns(model.add_columns(least, most, owners, integer=False))
    member = Linear(
        np.zeros(y.size, np.int64),
        np.arange(y.size),
        top.column[owner],
        np.ones(y.size, np.int64),
    )
    above = member.plus(y.scaled(-1))
    if side != "under":
        model.add_rows(above, low=0)
    if side != "over":
        # One member is chosen, and the largest is not above it.
        chosen = Linear.of_columns(model.add_columns(0, 1, y.size))
        slack = most[owner] - low
        model.add_rows(above.plus(chosen.scaled(slack)), high=slack)
        model.add_rows(chosen.summed(owner, owners), low=1, high=1)
    return top


def smallest(model: Model, y: Linear, owner: IntArray, owners: int, side: Side) -> Linear:
    """Encode the smallest expression of each owner."""
    flipped: dict[Side, Side] = {"over": "under", "under": "over", "exact": "exact"}
    return largest(model, y.scaled(-1), owner, owners, flipped[side]).scaled(-1)


def _with_zero(y: Linear, k: int) -> Linear:
    """The expression k and the constant 0."""
    one = y.take(np.array([k]))
    return Linear(np.append(one.constant, 0), one.row, one.column, one.value)
