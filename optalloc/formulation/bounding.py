"""Closed-form bounds of the levels: weak where rules bind, but there at once at any size.

A level is a weighted sum of terms. What is linear in the decisions is bounded by giving every task
the cheapest choice on the cheapest node that labels allow, all terms together; an excess over
thresholds by its total over all nodes (Jensen's inequality: ``sum of max(0, y_k - t_k) >=
max(0, sum of y_k - sum of t_k)``); convex lines by the flattest
stretches that hold the total; nodes in use by the cheapest that can hold everything, for
each resource by itself; any other term by what its shape can be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf, isfinite

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Convex, Excess, Identity, Steps
from optalloc.formulation.terms import Chosen, Family, Placed, Term
from optalloc.objective import Level

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

ROUNDING = 1e-12
"""Relative error of a sum of floats, many times what it can be."""
CHUNK = 4_000_000
"""Pairs of blocks and kinds of nodes that are looked at together."""


@dataclass
class _Linear:
    """A weighted sum of contributions of placed replicas and of choices."""

    placed: list[tuple[float, Placed]] = field(default_factory=list)
    chosen: list[tuple[float, Chosen]] = field(default_factory=list)

    def add(self, weight: float, family: Family) -> None:
        self.placed += [(weight, placed) for placed in family.placed]
        self.chosen += [(weight, chosen) for chosen in family.chosen]


def level_bounds(problem: Problem) -> list[int | None]:
    """Bound every level from below (turned so that less is better); None where nothing is known."""
    return [level_bound(problem, level) for level in problem.objective.levels]


def level_bound(problem: Problem, level: Level) -> int | None:
    """Bound a sum of policies that are active in a problem, as `level_bounds` does."""
    sign = 1 if level.sense == "min" else -1
    linear, total, size = _Linear(), 0.0, 0.0
    for factor, i in level.factors:
        metric = problem.metrics[i]
        total += sign * factor * metric.constant
        for weight, term in metric.terms:
            amount = float(sign * factor * weight)
            if _is_linear(term):
                part = amount * float(term.factor[0]) * float(term.family.constant.sum())
                linear.add(amount * float(term.factor[0]), term.family)
            else:
                part = term_bound(problem, term, amount)
            total, size = total + part, size + abs(part)
    part, magnitude = _least(problem, linear)
    total, size = total + part, size + magnitude + abs(total)
    return ceil(total - ROUNDING * size - 1e-6) if isfinite(total) else None


def _is_linear(term: Term) -> bool:
    plain = isinstance(term.shape, Identity) and term.limit is None and term.beside is None
    folded = term.reduce == "sum" and term.outer == "sum"
    return plain and folded and term.factor.size > 0 and np.unique(term.factor).size == 1


def term_bound(problem: Problem, term: Term, amount: float) -> float:
    """Bound ``amount * term`` from below."""
    nothing = amount == 0 or not any(family.size for family in term.families)
    if nothing or (amount > 0 and (term.limit is not None or _counts(term))):
        return amount * _peak(problem, term) if not nothing and _is_peak(term) else 0.0
    if amount < 0 or np.any(term.factor < 0) or term.beside is not None:
        return _by_range(problem, term, amount)
    if isinstance(term.shape, Identity):
        return _by_range(problem, term, amount)
    summed = term.reduce == "sum" and term.outer == "sum"
    return amount * _shaped(problem, term) if summed else 0.0


def _shaped(problem: Problem, term: Term) -> float:
    """Bound the sum of a shape from below; none is ever negative."""
    match term.shape:
        case Excess(threshold=threshold):
            return _excess(problem, term, threshold)
        case Convex():
            return _convex(problem, term, term.shape)
        case Steps(block=block):
            return _steps(problem, term, block)
    return 0.0


def _is_peak(term: Term) -> bool:
    """Whether a term is the largest of plain aggregates with positive factors."""
    plain = isinstance(term.shape, Identity) and term.limit is None and term.beside is None
    each = term.owners == term.factor.size and bool(np.all(term.factor > 0))
    return plain and each and term.outer == "max"


def _peak(problem: Problem, term: Term) -> float:
    """The mean of the aggregates, weighted by what each can hold, is no more than the largest.

    ``max of f_k y_k >= sum of y_k / sum of 1 / f_k``; and what the largest task adds by itself.
    """
    linear = _Linear()
    linear.add(1.0, term.family)
    total = _least(problem, linear)[0] + float(term.family.constant.sum())
    return max(total / float((1.0 / term.factor).sum()), _largest(problem, term))


def _largest(problem: Problem, term: Term) -> float:
    """The most that a required task adds to the aggregate where it adds the least.

    0 where that depends on the node by more than the aggregate's factor.
    """
    placed = term.family.placed[0] if len(term.family.placed) == 1 else None
    if placed is None or placed.coefficient.parts or placed.arrivals_only or placed.membership:
        return 0.0
    factor = np.where(placed.domain >= 0, term.factor[placed.domain], 0.0)
    allowed = problem.allowed.mask[:, problem.columns.node_entry[problem.node_classes.node]]
    lowest = np.array([factor[line].min(initial=np.inf) for line in allowed])
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    row = problem.block_row
    added = placed.coefficient.base[row] * placed.scale * lowest[problem.allowed.row_kind[row]]
    least = np.full(problem.classes, np.inf)
    np.minimum.at(least, problem.choice_class, problem.least(added))
    return float(least[problem.class_required].max(initial=0.0))


def _counts(term: Term) -> bool:
    """Whether all that a term folds adds up what is never negative."""
    family = term.family
    placed = all(
        part.scale >= 0
        and bool(np.all(part.coefficient.base >= 0))
        and all(bool(np.all(table.values >= 0)) for table in part.coefficient.parts)
        for part in family.placed
    )
    chosen = all(bool(np.all(part.coefficient >= 0)) for part in family.chosen)
    positive = bool(np.all(term.factor >= 0) and np.all(family.constant >= 0))
    plain = isinstance(term.shape, Identity) and term.beside is None
    return placed and chosen and positive and plain


def _by_range(problem: Problem, term: Term, amount: float) -> float:
    """Bound a fold of linear aggregates by the range of each of them."""
    one_each = term.owners == term.factor.size and term.beside is None
    if not isinstance(term.shape, Identity) or not one_each or term.limit is not None:
        return -inf
    least = np.array([_aggregate(problem, term, k, amount) for k in range(term.owners)])
    if term.outer == "sum":
        return float(least.sum())
    # Turned so that less is better, the largest becomes the smallest.
    largest = (term.outer == "max") == (amount > 0)
    return float(least.max() if largest else least.min())


def _aggregate(problem: Problem, term: Term, k: int, amount: float) -> float:
    """Bound ``amount * factor * y_k`` of choices from below."""
    if term.family.placed:
        return -inf
    weight = amount * float(term.factor[k])
    linear = _Linear()
    for chosen in term.family.chosen:
        if chosen.membership is None:
            return -inf
        inside = chosen.membership.part == k
        member = type(chosen.membership)(
            1, chosen.membership.task_class[inside], np.zeros(int(inside.sum()), np.int64)
        )
        linear.chosen.append((weight, Chosen(chosen.coefficient, member)))
    return weight * float(term.family.constant[k]) + _least(problem, linear)[0]


def _excess(problem: Problem, term: Term, threshold: IntArray) -> float:
    linear = _Linear()
    linear.add(1.0, term.family)
    total = _least(problem, linear)[0] + float(term.family.constant.sum())
    return float(term.factor.min()) * max(total - float(threshold.sum()), 0.0)


def _convex(problem: Problem, term: Term, shape: Convex) -> float:
    """The flattest stretches of all lines that together are as long as the total.

    A line that is 0 up to its first threshold and from 0 on; else nothing is said.
    """
    threshold = shape.threshold
    if threshold.size == 0 or threshold[:, 0].min() < 0 or np.any(np.diff(threshold, axis=1) < 0):
        return 0.0
    linear = _Linear()
    linear.add(1.0, term.family)
    total = _least(problem, linear)[0] + float(term.family.constant.sum())
    if not isfinite(total) or total <= 0:
        return 0.0
    start = np.concatenate([np.zeros((term.factor.size, 1), np.int64), threshold], axis=1)
    length = np.append(np.diff(start, axis=1), np.full((term.factor.size, 1), ceil(total)), axis=1)
    steep = np.concatenate(
        [np.zeros((term.factor.size, 1)), np.cumsum(shape.slope, axis=1)], axis=1
    )
    price = (term.factor[:, None] * steep * length).ravel()
    return _cover(price, length.ravel().astype(np.float64), total, np.ones(price.size))


def _steps(problem: Problem, term: Term, block: IntArray) -> float:
    """The cheapest blocks that hold all replicas; likewise for every linked capacity."""
    price = term.factor.astype(np.float64)
    sizes = [(term.family, block.astype(np.float64))]
    sizes += [(link.family, link.capacity.astype(np.float64)) for link in term.linked]
    best = 0.0
    for family, size in sizes:
        linear = _Linear()
        linear.add(1.0, family)
        needed = _least(problem, linear)[0] + float(family.constant.sum())
        best = max(best, _cover(price, size, needed, _most_blocks(problem, term)))
    return best


def _most_blocks(problem: Problem, term: Term) -> FloatArray:
    """Concrete nodes behind each aggregate."""
    (placed,) = term.family.placed
    inside = np.flatnonzero(placed.domain >= 0)
    most = np.zeros(term.family.size)
    np.add.at(most, placed.domain[inside], problem.node_classes.count[inside])
    return most


def _cover(price: FloatArray, size: FloatArray, needed: float, most: FloatArray) -> float:
    """Least price of (parts of) blocks that together have a needed size; infinite if none do."""
    useful = np.flatnonzero(size > 0)
    order = useful[np.argsort(price[useful] / size[useful], kind="stable")]
    held = np.cumsum(size[order] * most[order])
    paid = np.cumsum(price[order] * most[order])
    if needed <= 0 or not order.size:
        return 0.0
    full = int(np.searchsorted(held, needed))
    if full == order.size:
        return float(paid[-1])
    before = held[full - 1] if full else 0.0
    cost = paid[full - 1] if full else 0.0
    return float(cost + (needed - before) * price[order[full]] / size[order[full]])


# -- the least of a linear function ----------------------------------------------------------------


def _least(problem: Problem, linear: _Linear) -> tuple[float, float]:
    """Least value over all choices and allowed nodes, rules aside; and the sum of magnitudes."""
    per_block = _per_block(problem, linear.placed)
    value = problem.least(per_block) * problem.choice_replicas
    for weight, chosen in linear.chosen:
        times = _times(problem, chosen)[problem.choice_class]
        value = value + weight * times * chosen.coefficient[problem.choice_row]
    # A gang for which no domain has room by itself runs in another row.
    value = np.where(np.append(problem.spots.fits, True)[problem.spots.of_choice], value, np.inf)
    best = np.full(problem.classes, np.inf)
    np.minimum.at(best, problem.choice_class, value)
    best = np.where(problem.class_required, best, np.minimum(best, 0.0))
    total = best * problem.task_classes.count
    return float(total.sum()), float(np.abs(total[np.isfinite(total)]).sum())


def _times(problem: Problem, contribution: Placed | Chosen) -> FloatArray:
    """To how many parts each class contributes."""
    if contribution.membership is None:
        return np.ones(problem.classes)
    counted = np.bincount(contribution.membership.task_class, minlength=problem.classes)
    return counted.astype(np.float64)


def _per_block(problem: Problem, placed: list[tuple[float, Placed]]) -> FloatArray:
    """Least contribution of a replica of each block on any node that labels allow."""
    blocks = problem.blocks
    if not placed:
        return np.zeros(blocks)
    kind, like = _kinds(problem, placed)
    allowed = np.zeros((problem.allowed.mask.shape[0], like.size), bool)
    mask = problem.allowed.mask[:, problem.columns.node_entry[problem.node_classes.node]]
    for line, row in zip(allowed, mask, strict=True):
        line[kind[row]] = True
    least = np.zeros(blocks)
    step = max(CHUNK // like.size, 1)
    for first in range(0, blocks, step):
        block = np.arange(first, min(first + step, blocks))
        value = sum(_values(problem, weight, part, block, like) for weight, part in placed)
        label = problem.allowed.row_kind[problem.block_row[block]]
        least[block] = np.where(allowed[label], value, np.inf).min(axis=1)
    return least


def _values(
    problem: Problem, weight: float, placed: Placed, block: IntArray, like: IntArray
) -> FloatArray:
    """Contribution of a replica of each block on each kind of node: the least it can be."""
    rows, nodes = problem.block_row[block], problem.node_classes.node[like]
    value = placed.coefficient.at(rows[:, None], nodes[None, :]) * float(placed.scale)
    value = value * _times(problem, placed)[problem.block_class[block], None]
    value = np.where(placed.domain[like] >= 0, value, 0.0) * weight
    if placed.arrivals_only:
        stays = np.isin(problem.block_class[block], problem.home[0])
        value = np.where(stays[:, None], np.minimum(value, 0.0), value)
    return np.asarray(value, np.float64)


def _kinds(problem: Problem, placed: list[tuple[float, Placed]]) -> tuple[IntArray, IntArray]:
    """Kind of each node in what it makes replicas contribute, and a node of each kind."""
    entries = problem.columns.node_entry[problem.node_classes.node]
    lines = [problem.allowed.mask[:, entries].astype(np.int64)]
    for _, part in placed:
        lines.append((part.domain >= 0).astype(np.int64)[None, :])
        lines += [t.column[problem.node_classes.node][None, :] for t in part.coefficient.parts]
    _, like, kind = np.unique(np.concatenate(lines), axis=1, return_index=True, return_inverse=True)
    return kind.ravel(), like
