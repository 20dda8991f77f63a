"""The laws of terms: whatever a goal could be made of is encoded exactly, used so far or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

import numpy as np
from generate import instances_with
from goal_laws import FORMS, Case, Formulated
from numpy.typing import NDArray
from solving import evaluate, minimise_fixed

from optalloc.formulation.encoding import Encoding, add_rule, encode_metric
from optalloc.formulation.evaluating import Evaluator
from optalloc.formulation.model import Form, Linear, Model, Side
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Convex, Excess, Identity, Missing, Partly, Shape, Steps
from optalloc.formulation.terms import Chosen, Family, Fold, Limit, Membership, Metric, Placed, Term
from optalloc.instance.factored import Factored
from optalloc.instance.policy import Policy

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TERMS = 3
"""Terms of one drawn metric."""
POINTS = 6
"""Decisions at which encodings are compared, feasible or not."""
FOLDS: dict[Fold, Callable[[list[int]], int]] = {"sum": sum, "max": max, "min": min}
BROKEN = 2
"""Decisions that break a rule, of which each is asked for alone."""


def drawn_metric(rng: Random, problem: Problem) -> Metric:
    """A sum of random terms with random factors over a problem's decisions."""
    terms = tuple((rng.choice([1, 2, -1, -2]), _term(rng, problem)) for _ in range(TERMS))
    return Metric(terms, rng.randint(-5, 5))


def _term(rng: Random, problem: Problem) -> Term:
    """Any shape, fold and limit; missing implications only where their one side will do."""
    counts = rng.random() < 0.6
    family = _family(rng, problem, counts)
    shape = _shape(rng, family.size, counts)
    size = family.size // shape.arity
    owners = rng.randint(1, size)
    owner = np.array([*range(owners), *(rng.randrange(owners) for _ in range(size - owners))])
    factor = np.array([rng.choice([0, 1, 1, 2, -1]) for _ in range(size)], np.int64)
    if rng.random() < 0.5:
        factor = np.abs(factor) * rng.choice([1, -1])
    folds: tuple[Fold, ...] = ("sum", "sum", "max", "min")
    reduce, outer = rng.choice(folds), rng.choice(folds)
    limit = None
    if rng.random() < 0.4:
        bound = np.array([rng.randint(-1, 4) for _ in range(owners)], np.int64)
        limit = Limit(rng.choice(["at_most", "at_least"]), bound)
    beside = _beside(rng, problem, owners, counts) if rng.random() < 0.3 else None
    owner = owner.astype(np.int64)
    return Term(family, shape, factor, owner, owners, reduce, outer, limit, beside=beside)


def _beside(rng: Random, problem: Problem, owners: int, counts: bool) -> Term:
    """Replicas of some classes on some of the nodes, under a shape: one aggregate or more a j."""
    family = _several(rng, problem, max(owners, rng.randint(1, 6)), -1 if not counts else 0)
    size = family.size
    shapes = [shape for shape in [_shape(rng, size, counts), Identity()] if shape.arity == 1]
    owner = np.array([*range(owners), *(rng.randrange(owners) for _ in range(size - owners))])
    factor = np.array([rng.choice([1, 1, 2, 0]) for _ in range(size)], np.int64)
    return Term(family, rng.choice(shapes), factor, owner.astype(np.int64), owners)


def _several(rng: Random, problem: Problem, owners: int, least: int) -> Family:
    """An aggregate for each of several."""
    every = sorted({(rng.randrange(problem.classes), j) for j in range(owners) for _ in range(2)})
    member = np.array(every, np.int64)
    base = np.array([rng.randint(least, 3) for _ in range(problem.columns.rows)], np.int64)
    domain = np.array([rng.choice([-1, 0, 0]) for _ in range(problem.nodes)], np.int64)
    membership = Membership(owners, member[:, 0].copy(), member[:, 1].copy())
    constant = np.array([rng.randint(least, 1) for _ in range(owners)], np.int64)
    return Family(constant, (Placed(Factored(base), domain, 1, membership),))


def _rule(rng: Random, encoding: Encoding, point: IntArray) -> Term:
    """A random term with limits that some decisions just keep, so that others break them."""
    term = _term(rng, encoding.problem)
    while term.limit is None or not _has_side(Metric(((1, term),)), "over"):
        term = _term(rng, encoding.problem)
    kept = np.array(_reduced(term, _all_aggregates(encoding, term, point)), np.int64)
    return replace(term, outer="sum", limit=replace(term.limit, bound=kept))


def _implications(rng: Random, problem: Problem) -> Metric:
    """Broken implications alone: what has one side only."""
    family = _family(rng, problem, counts=True)
    size = family.size // 2
    factor = np.array([rng.choice([0, 1, 2]) for _ in range(size)], np.int64)
    owner = np.array([rng.randrange(2) for _ in range(size)], np.int64)
    return Metric(((1, Term(family, Missing(), factor, owner, 2)),))


def _family(rng: Random, problem: Problem, counts: bool) -> Family:
    """Placed replicas by part and node, or choices by part; an even number of aggregates."""
    least = 0 if counts else -2
    rows = problem.columns.rows
    parts = rng.choice([2, 4])
    pairs = sorted(
        (rng.randrange(problem.classes), part) for part in range(parts) for _ in range(2)
    )
    member = np.array(list(dict.fromkeys(pairs)), np.int64)
    membership = Membership(parts, member[:, 0].copy(), member[:, 1].copy())
    base = np.array([rng.randint(least, 3) for _ in range(rows)], np.int64)
    if rng.random() < 0.4:
        # A class speaks for one part only where choices are counted.
        first = np.unique(membership.task_class, return_index=True)[1]
        alone = Membership(parts, membership.task_class[first], membership.part[first])
        constant = np.array([rng.randint(least, 1) for _ in range(parts)], np.int64)
        return Family(constant, chosen=(Chosen(base, alone),))
    domains = 2
    domain = np.array([rng.choice([-1, 0, 1, 1]) for _ in range(problem.nodes)], np.int64)
    constant = np.array([rng.randint(least, 1) for _ in range(parts * domains)], np.int64)
    scale = 1 if counts else rng.choice([1, -1, 2])
    arrivals_only = rng.random() < 0.3
    placed = Placed(Factored(base), domain, domains, membership, scale, arrivals_only)
    return Family(constant, (placed,))


def _shape(rng: Random, size: int, counts: bool) -> Shape:
    numbers = np.array([rng.randint(1, 4) for _ in range(size)], np.int64)
    shapes: list[Shape] = [Identity(), Excess(numbers - 2), _convex(numbers)]
    if counts:
        shapes += [Steps(numbers), Steps(numbers + 30), Partly(numbers), Missing()]
    return rng.choice(shapes)


def _convex(numbers: IntArray) -> Convex:
    return Convex(np.stack([numbers - 2, numbers], axis=1), np.stack([numbers, numbers], axis=1))


def value_of(metric: Metric, y_of: dict[int, list[IntArray]]) -> int:
    """The formula of terms, in loops; `y_of` has the aggregates of each term, then those beside."""
    total = metric.constant
    for t, (weight, term) in enumerate(metric.terms):
        reduced = _reduced(term, y_of[t])
        if term.limit is not None:
            sign = 1 if term.limit.sense == "at_most" else -1
            pairs = zip(reduced, term.limit.bound.tolist(), strict=True)
            reduced = [max(0, sign * (value - bound)) for value, bound in pairs]
        total += weight * FOLDS[term.outer](reduced)
    return total


def _reduced(term: Term, aggregates: list[IntArray]) -> list[int]:
    y, *beside = aggregates
    groups: list[list[int]] = [[] for _ in range(term.owners)]
    for owner, factor, value in zip(term.owner, term.factor, term.shape.value(y), strict=True):
        groups[owner].append(int(factor * value))
    folded = [FOLDS[term.reduce](group) for group in groups]
    if term.beside is None:
        return folded
    return [a + b for a, b in zip(folded, _reduced(term.beside, beside), strict=True)]


@cache
def _formulated(policy_class: type[Policy], seed: int) -> Formulated:
    return Formulated(Case(instances_with(policy_class, seed), seed))


def check(policy_class: type[Policy], seed: int) -> int:
    """Check the encodings of random metrics over an instance; the number of values compared."""
    formulated = _formulated(policy_class, seed)
    rng = Random(seed)
    metrics = [drawn_metric(rng, formulated.problem) for _ in range(2)]
    metrics.append(_implications(rng, formulated.problem))
    points = _points(rng, formulated)
    truth = [_values(formulated, metric, points) for metric in metrics]
    rule = _rule(rng, formulated.bare["milp"], points[0])
    broken = np.array(_values(formulated, Metric(((1, rule),)), points)) > 0
    for form in FORMS:
        _decide(formulated, form, rule, points, broken)
    return sum(_compare(formulated, form, metrics, truth, points) for form in FORMS)


def _points(rng: Random, formulated: Formulated) -> IntArray:
    """Any decisions within the bounds of their columns."""
    model = formulated.bare["milp"].model
    bounds = list(zip(model.lower.tolist(), model.upper.tolist(), strict=True))
    points = [[rng.randint(low, high) for low, high in bounds] for _ in range(POINTS)]
    return np.array(points, np.int64).reshape(POINTS, len(bounds))


def _values(formulated: Formulated, metric: Metric, points: IntArray) -> list[int]:
    encoding = formulated.bare["milp"]
    found = []
    for point in points:
        aggregates = {
            t: _all_aggregates(encoding, term, point) for t, (_, term) in enumerate(metric.terms)
        }
        found.append(value_of(metric, aggregates))
        own = Evaluator(encoding, point).metric(metric)
        assert own == found[-1], "the formulation's own arithmetic"
    return found


def _all_aggregates(encoding: Encoding, term: Term, point: IntArray) -> list[IntArray]:
    return [_aggregates(encoding, family, point) for family in term.families]


def _aggregates(encoding: Encoding, family: Family, point: IntArray) -> IntArray:
    """The aggregates of a family, in loops over the decisions."""
    problem = encoding.problem
    pairs, y = problem.pairs, family.constant.copy()
    for placed in family.placed:
        every = zip(point, pairs.block, pairs.node, pairs.stays, strict=False)
        for x, block, n, stays in every:
            if placed.arrivals_only and stays:
                continue
            row, domain = problem.block_row[block], placed.domain[n]
            for part in _parts(placed.membership, int(problem.block_class[block])):
                if domain >= 0:
                    each = placed.coefficient.base[row] * placed.scale
                    y[part * placed.domains + domain] += x * each
    for chosen in family.chosen:
        for c, row in enumerate(problem.choice_row):
            column, k = encoding.y_of_choice[c], int(problem.choice_class[c])
            tasks = problem.task_classes.count[k] if column < 0 else point[column]
            for part in _parts(chosen.membership, k):
                y[part] += tasks * chosen.coefficient[row]
    return y


def _parts(membership: Membership | None, task_class: int) -> list[int]:
    assert membership is not None
    return [
        int(part)
        for k, part in zip(membership.task_class, membership.part, strict=True)
        if k == task_class
    ]


def _compare(
    formulated: Formulated,
    form: Form,
    metrics: list[Metric],
    truth: list[list[int]],
    points: IntArray,
) -> int:
    encoding = _decisions(formulated, form)
    encoded: list[tuple[Linear, list[int], Side]] = []
    goal = Linear.of_constants(np.zeros(1, np.int64))
    sides: tuple[tuple[Side, int], ...] = (("over", 1), ("under", -1), ("exact", 1), ("exact", -1))
    for metric, values in zip(metrics, truth, strict=True):
        for side, sign in sides:
            if not _has_side(metric, side):
                continue
            value = encode_metric(encoding, metric, side)
            assert value.size == 1, "a metric is one number"
            encoded.append((value, values, side))
            goal = goal.plus(value.scaled(sign))
    if not encoded:
        return 0
    columns = minimise_fixed(encoding, goal, points)
    assert columns is not None, "the value is attained"
    for value, values, side in encoded:
        assert evaluate(value, columns)[:, 0].tolist() == values, side
    return len(encoded) * len(points)


def _decide(
    formulated: Formulated, form: Form, rule: Term, points: IntArray, broken: BoolArray
) -> None:
    """As hard rows, a rule allows the decisions that keep it and no others."""
    encoding = _decisions(formulated, form)
    add_rule(encoding, rule)
    nothing = Linear.of_constants(np.zeros(1, np.int64))
    assert minimise_fixed(encoding, nothing, points[~broken]) is not None, "the rule is kept"
    for point in points[broken][:BROKEN]:
        assert minimise_fixed(encoding, nothing, point[None, :]) is None, "the rule is broken"


def _decisions(formulated: Formulated, form: Form) -> Encoding:
    """A new model that has the decisions' columns alone."""
    bare = formulated.bare[form]
    model = Model(form)
    model.add_columns(bare.model.lower, bare.model.upper, formulated.decided)
    return Encoding(formulated.problem, model, bare.y_of_choice, bare.w_of_spot, bare.pairs)


def _has_side(metric: Metric, side: Side) -> bool:
    """Broken implications can be minimised only: leave out where they would be pushed up."""
    return not any(isinstance(term.shape, Missing) for _, term in metric.terms) or (
        side == "over" and all(_pushed_down(weight, term) for weight, term in metric.terms)
    )


def _pushed_down(weight: int, term: Term) -> bool:
    if not isinstance(term.shape, Missing):
        return True
    up = term.limit is not None and term.limit.sense == "at_least"
    return weight > 0 and not up and bool(np.all(term.factor >= 0))
