"""The laws of shapes: exact value, bounds and encodings of the same function agree."""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random

import numpy as np
from numpy.typing import NDArray
from shape_cases import GENERATORS, Drawn, registered
from solving import evaluate, minimise_fixed, minimise_relaxed

from optalloc.formulation.encoding import Encoding
from optalloc.formulation.model import Form, Linear, Model, Side
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import UnsupportedSide
from optalloc.instance.model import Instance, Node, Task
from optalloc.objective import read_objective

IntArray = NDArray[np.int64]
FORMS: tuple[Form, ...] = ("milp", "cpsat")
SIDES: tuple[Side, ...] = ("over", "under", "exact")
POINTS = 3


@cache
def drawn(name: str, seed: int) -> Drawn:
    """Aggregates of a shape; the same for every call."""
    return GENERATORS[registered()[name]](Random(f"{name} {seed}"))


@cache
def _nothing_to_decide() -> Problem:
    instance = Instance(nodes=(Node(name="n", capacity={"cpu": 1}),), tasks=(Task(name="t"),))
    return Problem(instance, read_objective(instance))


def _encoding(model: Model) -> Encoding:
    return Encoding(_nothing_to_decide(), model, np.full(1, -1, np.int64), np.zeros(0, np.int64), 0)


def value_is_the_definition(case: Drawn, seed: int) -> None:
    """The value is what the shape's formula says; selecting aggregates selects their values."""
    if case.shape is None:
        return
    for point in case.points(Random(seed), POINTS):
        y = case.at(point)
        truth = case.reference(y)
        assert case.shape.value(y).tolist() == truth.tolist()
        chosen = np.flatnonzero(np.arange(truth.size) % 3 != seed % 3)
        both = np.concatenate([chosen + truth.size * k for k in range(case.shape.arity)])
        assert case.shape.at(chosen).value(y[both]).tolist() == truth[chosen].tolist()


def bounds_are_tight(case: Drawn, _seed: int) -> None:
    """The bounds are the smallest and largest value over the whole box of the aggregates."""
    shape = case.shape
    if shape is None:
        return
    low, high = case.box
    least, most = shape.bounds(low, high)
    size = low.size // shape.arity
    for k in range(size):
        places = range(k, low.size, size)
        box = product(*[range(low[i], high[i] + 1) for i in places])
        values = []
        for point in box:
            y = low.copy()
            y[list(places)] = point
            values.append(int(case.reference(y)[k]))
        assert (least[k], most[k]) == (min(values), max(values))


def encodings_are_exact(case: Drawn, seed: int, form: Form) -> None:
    """With the aggregates fixed, each side attains the value and cannot pass it."""
    points = case.points(Random(seed), POINTS)
    truth = np.array([case.reference(case.at(point)) for point in points])
    model = _free(case, form)
    encoded: list[tuple[Side, Linear]] = []
    for side, sign in (("over", 1), ("under", -1), ("exact", 1), ("exact", -1)):
        if side in case.sides:
            encoded.append((side, case.encode(model, case.y, side).scaled(sign)))
    columns = minimise_fixed(_encoding(model), _total([e for _, e in encoded]), points)
    assert columns is not None, "the value is attained"
    for (side, expression), sign in zip(encoded, _signs(case), strict=True):
        assert (sign * evaluate(expression, columns)).tolist() == truth.tolist(), side


def encoded_ranges_are_bounds(case: Drawn, _seed: int, form: Form) -> None:
    """An encoding's columns allow no more than the bounds of the value; the others are 0 or 1."""
    shape = case.shape
    for side in case.sides:
        model = _free(case, form)
        expression = case.encode(model, case.y, side)
        low, high = model.range_of(expression)
        others = np.setdiff1d(np.arange(case.lower.size, model.columns), expression.column)
        assert not model.lower[others].any(), side
        assert (model.upper[others] == 1).all(), side
        if shape is None:
            assert (low >= case.reference(case.box[0])).all(), side
            assert (high <= case.reference(case.box[1])).all(), side
        else:
            least, most = shape.bounds(*case.box)
            assert low.tolist() == least.tolist(), side
            assert high.tolist() == most.tolist(), side


def relaxations_are_strong(case: Drawn, seed: int) -> None:
    """With the aggregates fixed, the MILP's relaxation is worth at least what is promised.

    Also where they are fractions.
    """
    points = case.points(Random(seed), POINTS).astype(float)
    points = np.concatenate([points, (points[1:] + points[:-1]) / 2])
    for side, sign in (("over", 1), ("under", -1), ("exact", 1), ("exact", -1)):
        if side not in case.sides:
            continue
        model = _free(case, "milp")
        expression = case.encode(model, case.y, side)
        goal = _total([expression.scaled(sign)])
        for point in points:
            columns = minimise_relaxed(_encoding(model), goal, point)
            found = expression.constant.astype(float)
            np.add.at(found, expression.row, expression.value * columns[expression.column])
            wanted = case.relaxed(case.at(point), "over" if sign > 0 else "under")
            assert (sign * (found - wanted)).min() > -1e-5, side


def unsupported_sides_are_refused(case: Drawn, _seed: int, form: Form) -> None:
    """A side without an exact encoding raises, and so do aggregates that a shape is not for."""
    for side in SIDES:
        if side not in case.sides:
            with_error(case, form, side)
    if case.shape is not None and type(case.shape).__name__ in COUNTING:
        for k in (0, case.y.size - 1):
            shift = np.zeros(case.y.size, np.int64)
            shift[k] = -case.box[0][k] - 1
            with_error(case, form, "over", case.y.shifted(shift))


COUNTING = ("Steps", "Partly", "Missing")
"""Shapes of counts: of aggregates that are not negative."""


def with_error(case: Drawn, form: Form, side: Side, y: Linear | None = None) -> None:
    try:
        case.encode(_free(case, form), case.y if y is None else y, side)
    except UnsupportedSide:
        return
    raise AssertionError(f"{side} is not refused")


def _free(case: Drawn, form: Form) -> Model:
    model = Model(form)
    model.add_columns(case.lower, case.upper, case.lower.size)
    return model


def _signs(case: Drawn) -> list[int]:
    return [1] if case.sides == ("over",) else [1, -1, 1, -1]


def _total(expressions: list[Linear]) -> Linear:
    total = Linear.of_constants(np.zeros(1, np.int64))
    for expression in expressions:
        total = total.plus(expression.summed(np.zeros(expression.size, np.int64), 1))
    return total


def check(name: str, seed: int) -> None:
    """Check every law of shapes on one drawn model."""
    case = drawn(name, seed)
    value_is_the_definition(case, seed)
    bounds_are_tight(case, seed)
    for form in FORMS:
        unsupported_sides_are_refused(case, seed, form)
        encoded_ranges_are_bounds(case, seed, form)
        encodings_are_exact(case, seed, form)
    relaxations_are_strong(case, seed)
