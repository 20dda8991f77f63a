"""Random aggregates for every shape, with the shape's definition written a second time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation import shapes
from optalloc.formulation.model import Linear, Model, Side

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Encoder = Callable[[Model, Linear, Side], Linear]
Relaxation = Callable[[FloatArray, Side], FloatArray]
Folds = Callable[[Model, Linear, IntArray, int, Side], Linear]
T = TypeVar("T", np.int64, np.float64)
CASES = 10
"""Aggregates in one drawn model."""


@dataclass(frozen=True)
class Drawn:
    """Some aggregates of one shape (or fold) over free columns.

    Parameters
    ----------
    shape
        None for a fold.
    encode
        The encoding under test.
    lower, upper : (columns,)
        Bounds of the columns that the aggregates are made of.
    y : (aggregates,)
        Expressions of these columns.
    sides
        Those that can be encoded.
    reference
        Value of each result for values of the aggregates.
    relaxed
        Extreme value of each result when all integers may be fractions: what the relaxation is
        worth at least. Smallest on the side `over`, largest on `under`.
    """

    shape: shapes.Shape | None
    encode: Encoder
    lower: IntArray
    upper: IntArray
    y: Linear
    sides: tuple[Side, ...]
    reference: Callable[[IntArray], IntArray]
    relaxed: Relaxation

    @property
    def box(self) -> tuple[IntArray, IntArray]:
        """Smallest and largest value of each aggregate."""
        ends = np.stack([self.y.value * self.lower[self.y.column]] * 2)
        ends[1] = self.y.value * self.upper[self.y.column]
        low, high = self.y.constant.copy(), self.y.constant.copy()
        np.add.at(low, self.y.row, ends.min(axis=0))
        np.add.at(high, self.y.row, ends.max(axis=0))
        return low, high

    def points(self, rng: Random, number: int) -> IntArray:
        """Values of the columns, (points, columns): both corners of the box and some inside."""
        inside = [
            [rng.randint(a, b) for a, b in zip(self.lower, self.upper, strict=True)]
            for _ in range(number)
        ]
        at_low, at_high = self.lower.copy(), self.upper.copy()
        at_low[self.y.column] = np.where(self.y.value > 0, self.lower, self.upper)[self.y.column]
        at_high[self.y.column] = np.where(self.y.value > 0, self.upper, self.lower)[self.y.column]
        return np.array([at_low, at_high, *inside], np.int64)

    def at(self, point: NDArray[T]) -> NDArray[T]:
        """Values of the aggregates at values of the columns."""
        total = self.y.constant.astype(point.dtype)
        np.add.at(total, self.y.row, self.y.value * point[self.y.column])
        return total


def aggregates(
    rng: Random, size: int, least: int | None = None
) -> tuple[IntArray, IntArray, Linear]:
    """Bounds of free columns and expressions of one to three of them each, at least `least`."""
    row: list[int] = []
    value: list[int] = []
    for k in range(size):
        for _ in range(rng.choice([1, 1, 2, 3])):
            row.append(k)
            value.append(rng.choice([1, 1, 1, 2, 3, -1, -2]))
    lower = np.array([rng.choice([0, 0, 0, 1, -1]) for _ in row], np.int64)
    upper = lower + np.array([rng.choice([0, 1, 1, 2, 3, 4]) for _ in row], np.int64)
    column = np.arange(len(row), dtype=np.int64)
    constant = np.array([rng.randint(-2, 3) for _ in range(size)], np.int64)
    y = Linear(constant, np.array(row, np.int64), column, np.array(value, np.int64))
    if least is not None:
        ends = np.minimum(y.value * lower, y.value * upper)
        low = np.zeros(size, np.int64)
        np.add.at(low, y.row, ends)
        floor = np.array([least + rng.choice([0, 0, 0, 1, 2]) for _ in range(size)], np.int64)
        y = Linear(floor - low, y.row, y.column, y.value)
    return lower, upper, y


def _drawn_identity(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, CASES)
    shape = shapes.Identity()
    every: tuple[Side, ...] = ("over", "under", "exact")
    return Drawn(shape, shape.encode, lower, upper, y, every, lambda v: v, lambda v, _: v)


def _drawn_excess(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, CASES)
    threshold = np.array([rng.randint(-3, 7) for _ in range(CASES)], np.int64)
    shape = shapes.Excess(threshold)

    def reference(v: IntArray) -> IntArray:
        return np.array([max(0, a - t) for a, t in zip(v, threshold, strict=True)], np.int64)

    def relaxed(v: FloatArray, side: Side) -> FloatArray:
        if side == "over":
            return np.asarray(np.maximum(v - threshold, 0), float)
        low, high = reference(drawn.box[0]), reference(drawn.box[1])
        width = np.maximum(drawn.box[1] - drawn.box[0], 1)
        return np.asarray(low + (high - low) * (v - drawn.box[0]) / width, float)

    drawn = Drawn(
        shape, shape.encode, lower, upper, y, ("over", "under", "exact"), reference, relaxed
    )
    return drawn


def _drawn_convex(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, CASES)
    bends = rng.choice([1, 2, 3])
    threshold = np.array([[rng.randint(-3, 7) for _ in range(bends)] for _ in range(CASES)])
    slope = np.array([[rng.choice([0, 1, 1, 3]) for _ in range(bends)] for _ in range(CASES)])
    # A line that does not bend at all has columns of its own for nothing.
    slope[:, 0] = np.maximum(slope[:, 0], rng.choice([0, 1]))
    shape = shapes.Convex(threshold.astype(np.int64), slope.astype(np.int64))

    def height(v: float, k: int) -> float:
        return float(sum(s * max(0, v - t) for t, s in zip(threshold[k], slope[k], strict=True)))

    def reference(v: IntArray) -> IntArray:
        return np.array([height(a, k) for k, a in enumerate(v)], np.int64)

    def relaxed(v: FloatArray, side: Side) -> FloatArray:
        if side == "over":
            return np.array([height(a, k) for k, a in enumerate(v)])
        low, high = reference(drawn.box[0]), reference(drawn.box[1])
        width = np.maximum(drawn.box[1] - drawn.box[0], 1)
        return np.asarray(low + (high - low) * (v - drawn.box[0]) / width, float)

    drawn = Drawn(
        shape, shape.encode, lower, upper, y, ("over", "under", "exact"), reference, relaxed
    )
    return drawn


def _drawn_steps(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, CASES, least=0)
    # Blocks of all or of some aggregates are smaller than these can be: other encodings.
    sizes = rng.choice([[1, 2, 3, 5, 30], [30], [20, 30]])
    block = np.array([rng.choice(sizes) for _ in range(CASES)], np.int64)
    shape = shapes.Steps(block)

    def reference(v: IntArray) -> IntArray:
        return np.array([len(range(0, a, b)) for a, b in zip(v, block, strict=True)], np.int64)

    def relaxed(v: FloatArray, side: Side) -> FloatArray:
        low, high = drawn.box
        if side == "over":
            full = np.minimum(block, np.maximum(high, 1))
            return np.asarray(np.maximum(v / full, reference(low)), float)
        several = np.where(high > block, (v + block - 1) / block, v)
        return np.asarray(np.minimum(np.minimum(v, several), reference(high)), float)

    drawn = Drawn(
        shape, shape.encode, lower, upper, y, ("over", "under", "exact"), reference, relaxed
    )
    return drawn


def _drawn_partly(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, CASES, least=0)
    # Some aggregates can be whole, some can be more than that, and some never are.
    sizes = rng.choice([[1, 2, 3, 5, 30], [2, 3, 4], [3, 30]])
    model = Model("milp")
    model.add_columns(lower, upper, lower.size)
    most = np.maximum(model.range_of(y)[1], 1).tolist()
    whole = np.array([rng.choice([*sizes, high, high + 1]) for high in most], np.int64)
    shape = shapes.Partly(whole)

    def reference(v: IntArray) -> IntArray:
        return np.array([int(0 < a < b) for a, b in zip(v, whole, strict=True)], np.int64)

    def relaxed(v: FloatArray, side: Side) -> FloatArray:
        low, high = drawn.box
        least, possibly = shape.bounds(low, high)
        most = np.minimum(high, whole - 1)
        if side == "over":
            covered = np.where(high >= whole, np.minimum(v / whole, 1) * high, 0)
            part = np.where(most > 0, (v - covered) / np.maximum(most, 1), 0)
            return np.asarray(np.maximum(part, least), float)
        beyond = np.maximum(high - most, 0)
        room = np.where(beyond > 0, (high - v) / np.maximum(beyond, 1), 1)
        return np.asarray(np.minimum(np.minimum(v, room), possibly), float)

    drawn = Drawn(
        shape, shape.encode, lower, upper, y, ("over", "under", "exact"), reference, relaxed
    )
    return drawn


def _drawn_missing(rng: Random) -> Drawn:
    lower, upper, y = aggregates(rng, 2 * CASES, least=0)
    shape = shapes.Missing()
    # Some second places cannot vary: then a broken implication is certain, or impossible.
    still = np.arange(2 * CASES) >= CASES + rng.randint(4, CASES)
    upper = np.where(still[y.row], lower, upper)
    constant = np.zeros(2 * CASES, np.int64)
    np.add.at(constant, y.row, -y.value * np.where(y.value > 0, lower, upper))
    constant = np.where(still, constant + rng.choice([0, 0, 1]), y.constant)
    y = Linear(constant, y.row, y.column, y.value)

    def reference(v: IntArray) -> IntArray:
        return np.array(
            [int(v[k] > 0 and v[CASES + k] == 0) for k in range(CASES)],
            np.int64,
        )

    def relaxed(v: FloatArray, _side: Side) -> FloatArray:
        low, high = drawn.box
        here, there = v[:CASES], np.minimum(v[CASES:], 1)
        surely = (low[:CASES] > 0) & (high[CASES:] == 0)
        part = here / np.maximum(high[:CASES], 1) - there
        return np.asarray(np.maximum(part, surely), float)

    drawn = Drawn(shape, shape.encode, lower, upper, y, ("over",), reference, relaxed)
    return drawn


def _drawn_fold(fold: Folds, pick: Callable[[list[Any]], Any]) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        owners = CASES // 2
        lower, upper, y = aggregates(rng, 2 * CASES)
        y = y.shifted(rng.choice([0, 0, -20, 20]))
        owner = np.array([*range(owners)] + [rng.randrange(owners) for _ in range(2 * CASES)])
        owner = owner[: 2 * CASES].astype(np.int64)
        sign = 1 if pick([0, 1]) else -1

        def reference(v: IntArray) -> IntArray:
            return np.array([pick(v[owner == j].tolist()) for j in range(owners)], np.int64)

        def relaxed(v: FloatArray, side: Side) -> FloatArray:
            if side == ("over" if sign > 0 else "under"):
                return np.array([pick(v[owner == j].tolist()) for j in range(owners)])
            low = np.minimum(sign * drawn.box[0], sign * drawn.box[1])
            high = np.maximum(sign * drawn.box[0], sign * drawn.box[1])
            tops = [
                _relaxed_largest(sign * v[owner == j], low[owner == j], high[owner == j])
                for j in range(owners)
            ]
            return sign * np.array(tops)

        def encode(model: Model, expressions: Linear, side: Side) -> Linear:
            return fold(model, expressions, owner, owners, side)

        drawn = Drawn(None, encode, lower, upper, y, ("over", "under", "exact"), reference, relaxed)
        return drawn

    return draw


def _relaxed_largest(v: FloatArray, low: IntArray, high: IntArray) -> float:
    """Largest top with ``top <= v + (most - low) * (1 - c)`` for weights c that sum to 1."""
    most = high.max()
    slack = most - low
    if not slack.all():
        return float(most)

    def feasible(top: float) -> bool:
        return bool(np.minimum(1, 1 - (top - v) / slack).sum() >= 1)

    below, above = float(v.max()), float(most)
    for _ in range(60):
        middle = (below + above) / 2
        below, above = (middle, above) if feasible(middle) else (below, middle)
    return above


GENERATORS: dict[object, Callable[[Random], Drawn]] = {
    shapes.Identity: _drawn_identity,
    shapes.Excess: _drawn_excess,
    shapes.Convex: _drawn_convex,
    shapes.Steps: _drawn_steps,
    shapes.Partly: _drawn_partly,
    shapes.Missing: _drawn_missing,
    shapes.largest: _drawn_fold(shapes.largest, max),
    shapes.smallest: _drawn_fold(shapes.smallest, min),
}
"""How to draw aggregates of each shape and fold."""


def registered() -> dict[str, object]:
    """Every concrete shape of the package, and the folds, by name."""
    found: dict[str, object] = {"largest": shapes.largest, "smallest": shapes.smallest}
    waiting: list[type] = [shapes.Shape]
    while waiting:
        cls: type
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if not inspect.isabstract(cls):
                found[cls.__name__] = cls
    return dict(sorted(found.items()))
