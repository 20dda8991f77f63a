"""From a problem to the engine-neutral sparse form, for MILP or for CP-SAT."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import join, numbered
from optalloc.formulation.model import INFINITY, Form, Linear, Model, Side
from optalloc.formulation.nesting import Nesting
from optalloc.formulation.pairs import Pairs
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Excess, Shape, largest, smallest
from optalloc.formulation.terms import Chosen, Family, Limit, Metric, Placed, Term
from optalloc.instance.policy import Policy
from optalloc.instance.quanta import exact

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Encoding:
    """A model of a problem.

    Parameters
    ----------
    problem, model
        The problem and its model; ``model.levels`` are the objective's levels, minimised.
    y_of_choice : (choices,)
        Column of each choice; -1 where the class has only this one and must run.
    w_of_spot : (spots,)
        Column of each spot.
    pairs : int
        The columns x are the first ones, in the order of ``problem.pairs`` (none where replicas
        can be dealt out to sets of nodes that nest).
    shaped
        Encodings of families under shapes, by these and the side: terms can share them.
    """

    problem: Problem
    model: Model
    y_of_choice: IntArray
    w_of_spot: IntArray
    pairs: int
    shaped: dict[tuple[int, int, Side], tuple[Family, Shape, Linear]] = field(default_factory=dict)

    @property
    def decisions(self) -> int:
        """Number of columns x, y and w: they come first."""
        return self.pairs + int(np.count_nonzero(self.y_of_choice >= 0)) + self.w_of_spot.size


def encode(problem: Problem, form: Form, deadline: float = float("inf")) -> Encoding:
    """Encode decisions, rules, limits and levels.

    Raises
    ------
    OutOfTime
        When the deadline (of `time.monotonic`) passes meanwhile.
    """
    model = Model(form, deadline)
    pairs = problem.pairs
    model.add_columns(0, pairs.upper, pairs.block.size)
    y_of_choice = np.full(problem.choices, -1, np.int64)
    free = np.flatnonzero(~problem.fixed[problem.choice_class])
    count = problem.task_classes.count[problem.choice_class[free]]
    y_of_choice[free] = model.add_columns(0, count, free.size)
    w_of_spot = model.add_columns(0, problem.spot_most, problem.spot_most.size)
    encoding = Encoding(problem, model, y_of_choice, w_of_spot, pairs.block.size)
    _add_choices(encoding)
    values = _Values(encoding)
    _add_stays(encoding, values.arrival_sides)
    values.add_rules_and_limits()
    model.levels = [values.level(level.factors, level.sense) for level in problem.objective.levels]
    return encoding


def _add_choices(encoding: Encoding) -> None:
    """Replicas of each block follow its choices; choices of each class add up to its count."""
    problem, model = encoding.problem, encoding.model
    spots = problem.spots
    taken = _in_blocks(encoding, -problem.choice_replicas, -spots.size[spots.shape])
    if problem.nesting is None:
        placed = Linear.of_columns(np.arange(problem.pairs.block.size, dtype=np.int64))
        placed = placed.summed(problem.pairs.block, problem.blocks)
        model.add_rows(placed.plus(taken), low=0, high=0)
    else:
        _fit_nesting(model, taken.scaled(-1), problem.nesting)
    if spots.shapes:
        gang = spots.of_choice >= 0
        begun = choices_of(encoding, gang.astype(np.int64), spots.of_choice * gang, spots.shapes)
        somewhere = Linear.of_columns(encoding.w_of_spot).summed(spots.shape, spots.shapes)
        model.add_rows(begun.plus(somewhere.scaled(-1)), low=0, high=0)
    open_classes = np.flatnonzero(~problem.fixed)
    ones = np.ones(problem.choices, np.int64)
    chosen = choices_of(encoding, ones, problem.choice_class, problem.classes)
    count = problem.task_classes.count[open_classes]
    low = np.where(problem.class_required[open_classes], count, 0)
    model.add_rows(chosen.take(open_classes), low=low, high=count)
    _tighten_gangs(encoding)
    _shape_gangs(encoding)


def _fit_nesting(model: Model, taken: Linear, nesting: Nesting) -> None:
    """All blocks within a set of nodes have no more replicas than it has room for."""
    block, holder = nesting.holders
    total = taken.repeated(block).summed(holder, nesting.room.size)
    model.add_rows(total, high=nesting.room)


def _shape_gangs(encoding: Encoding) -> None:
    """Whole shares on each node, one for each task at most: ``x[b, n] = share * z``, ``z <= y``."""
    problem, model = encoding.problem, encoding.model
    share = problem.columns.row_per_node[problem.block_row]
    if not share.any():
        return
    pairs = problem.pairs
    shaped = np.flatnonzero(share[pairs.block] > 0)
    keys = pairs.block[shaped] * problem.nodes + pairs.node[shaped]
    places, place = np.unique(keys, return_inverse=True)
    block = places // problem.nodes
    shares = Linear.of_columns(model.add_columns(0, problem.block_tasks[block], places.size))
    ones = np.ones(shaped.size, np.int64)
    here = Linear(np.zeros(places.size, np.int64), place.ravel(), shaped, ones)
    model.add_rows(here.plus(shares.scaled(-share[block])), low=0, high=0)
    each = np.ones_like(problem.choice_replicas), np.ones_like(problem.spot_most)
    here = _in_blocks(encoding, *each).repeated(block)
    model.add_rows(shares.scaled(-1).plus(here), low=0)


def _in_blocks(encoding: Encoding, of_choice: IntArray, of_spot: IntArray) -> Linear:
    """Sum choices and spots, each times a number, by block; sorted by block."""
    problem = encoding.problem
    loose = problem.choice_block >= 0
    block = np.where(loose, problem.choice_block, 0)
    choices = choices_of(encoding, np.where(loose, of_choice, 0), block, problem.blocks)
    nothing = np.zeros(problem.blocks, np.int64)
    total = choices.plus(Linear(nothing, problem.spot_block, encoding.w_of_spot, of_spot))
    order = np.argsort(total.row, kind="stable")
    return Linear(total.constant, total.row[order], total.column[order], total.value[order])


def _tighten_gangs(encoding: Encoding) -> None:
    """Few replicas fit on a node: ``x[b, n] <= sum of min(replicas, fits) * y`` (or w)."""
    problem, model = encoding.problem, encoding.model
    pairs, spots = problem.pairs, problem.spots
    gangs = _in_blocks(encoding, problem.choice_replicas, spots.size[spots.shape])
    largest_gang = np.zeros(problem.blocks, np.int64)
    np.maximum.at(largest_gang, gangs.row, gangs.value)
    single = (problem.block_tasks == 1)[pairs.block]
    tight = np.flatnonzero(single & (pairs.upper < largest_gang[pairs.block]))
    if not tight.size:
        return
    row, gang = join(pairs.block[tight], gangs.row)
    fits = np.minimum(gangs.value[gang], pairs.upper[tight][row])
    room = Linear(np.zeros(tight.size, np.int64), row, gangs.column[gang], fits)
    model.add_rows(Linear.of_columns(tight).scaled(-1).plus(room), low=0)


def _add_stays(encoding: Encoding, arrivals: set[Side]) -> None:
    """As many replicas stay on a node as run there, however many classes and rows they are of.

    Without more ado a replica could arrive where it might have stayed. That is never better where
    arrivals only cost something, unless it makes room for another row's replica to stay; else
    whatever arrives needs the home to be filled by the rows up to its own.
    """
    if not arrivals:
        return
    problem, model = encoding.problem, encoding.model
    pairs = problem.pairs
    stays = np.flatnonzero(pairs.stays)
    task_class, node = problem.block_class[pairs.block[stays]], pairs.node[stays]
    running = problem.home[2][np.searchsorted(problem.home_key, task_class * problem.nodes + node)]
    places = np.stack([problem.pool[task_class], node])
    _, first, owner = np.unique(places, axis=1, return_index=True, return_inverse=True)
    owner = owner.ravel()
    contested = problem.contested[task_class]
    shared = np.flatnonzero(contested[first])
    total = Linear.of_columns(stays).summed(owner, first.size).take(shared)
    model.add_rows(total, high=running[first[shared]])
    filled = np.flatnonzero(contested | (arrivals != {"over"}))
    _fill_homes(encoding, filled[_comes_twice(pairs, stays[filled])], stays, owner, running)


def _comes_twice(pairs: Pairs, stays: IntArray) -> BoolArray:
    """Whether what stays has a column for what arrives at the same place: the next one."""
    same = (pairs.block[1:] == pairs.block[:-1]) & (pairs.node[1:] == pairs.node[:-1])
    return np.append(same, False)[stays]


def _fill_homes(
    encoding: Encoding, filled: IntArray, stays: IntArray, owner: IntArray, running: IntArray
) -> None:
    """Whatever arrives at home needs its own and all earlier rows to fill it with what stays.

    Parameters
    ----------
    filled
        The stays (by index into `stays`) whose arrivals are the next column.
    stays, owner, running
        Columns of replicas that stay, the home that they share, and what runs there.
    """
    problem, model = encoding.problem, encoding.model
    pairs = problem.pairs
    arriving = Linear.of_columns(stays[filled] + 1)
    full = Linear.of_columns(model.add_columns(0, 1, filled.size))
    model.add_rows(full.scaled(pairs.upper[stays[filled] + 1]).plus(arriving.scaled(-1)), low=0)
    rank = problem.block_row[pairs.block[stays]]
    row, member = np.nonzero(
        (owner[filled][:, None] == owner[None, :]) & (rank[filled][:, None] >= rank[None, :])
    )
    kept = Linear(np.zeros(filled.size, np.int64), row, stays[member], np.ones(row.size, np.int64))
    model.add_rows(kept.plus(full.scaled(-running[filled])), low=0)


def choices_of(encoding: Encoding, value: IntArray, row: IntArray, rows: int) -> Linear:
    """Expressions ``sum of value[c] * y[c]`` by row; choices that are fixed become constants."""
    problem = encoding.problem
    column = encoding.y_of_choice
    constant = np.zeros(rows, np.int64)
    fixed = np.flatnonzero(column < 0)
    count = problem.task_classes.count[problem.choice_class[fixed]]
    np.add.at(constant, row[fixed], value[fixed] * count)
    free = np.flatnonzero((column >= 0) & (value != 0))
    return Linear(constant, row[free], column[free], value[free])


def expand(encoding: Encoding, family: Family) -> Linear:
    """Write the aggregates of a family as expressions of the columns."""
    expression = Linear.of_constants(family.constant)
    for placed in family.placed:
        expression = expression.plus(_expand_placed(encoding, placed, family.size))
    for chosen in family.chosen:
        expression = expression.plus(_expand_chosen(encoding, chosen, family.size))
    several = len(family.placed) + len(family.chosen) > 1
    return expression.combined() if several else expression


def _expand_placed(encoding: Encoding, placed: Placed, size: int) -> Linear:
    problem = encoding.problem
    pairs = problem.pairs
    kept = placed.domain[pairs.node] >= 0
    if placed.arrivals_only:
        kept &= ~pairs.stays
    column = np.flatnonzero(kept)
    part = np.zeros(column.size, np.int64)
    if placed.membership is not None:
        member = placed.membership
        block_class = problem.block_class[pairs.block[column]]
        low = np.searchsorted(member.task_class, block_class, "left")
        times = np.searchsorted(member.task_class, block_class, "right") - low
        within = numbered(times)
        part = member.part[np.repeat(low, times) + within]
        column = np.repeat(column, times)
    row = problem.block_row[pairs.block[column]]
    node = problem.node_classes.node[pairs.node[column]]
    value = placed.coefficient.at(row, node) * placed.scale
    index = part * placed.domains + placed.domain[pairs.node[column]]
    used = np.flatnonzero(value)
    return Linear(np.zeros(size, np.int64), index[used], column[used], value[used])


def _expand_chosen(encoding: Encoding, chosen: Chosen, size: int) -> Linear:
    problem = encoding.problem
    value = chosen.coefficient[problem.choice_row]
    if chosen.membership is None:
        return choices_of(encoding, value, np.zeros(problem.choices, np.int64), size)
    part = np.full(problem.classes, -1, np.int64)
    part[chosen.membership.task_class] = chosen.membership.part
    row = part[problem.choice_class]
    outside = row < 0
    return choices_of(encoding, np.where(outside, 0, value), np.where(outside, 0, row), size)


class _Values:
    """Encodes each policy's value once, on the side on which it is used."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.problem = encoding.problem
        self.model = encoding.model
        self.known: dict[int, Linear] = {}
        self.sides = {i: _side(uses) for i, uses in self._uses().items()}

    @property
    def arrival_sides(self) -> set[Side]:
        """The sides on which arrivals are counted."""
        return {
            self.sides.get(i, "over")
            for i, metric in self.problem.metrics.items()
            for _, term in metric.terms
            if any(placed.arrivals_only for placed in term.family.placed)
        }

    def _uses(self) -> dict[int, set[Side]]:
        uses: dict[int, set[Side]] = {}
        for level in self.problem.objective.levels:
            for factor, i in level.factors:
                pushed_down = (factor > 0) == (level.sense == "min")
                uses.setdefault(i, set()).add("over" if pushed_down else "under")
        for i in self.problem.active:
            policy = self.problem.objective.policies[i]
            if policy.at_most is not None:
                uses.setdefault(i, set()).add("over")
            if policy.at_least is not None:
                uses.setdefault(i, set()).add("under")
        return uses

    def add_rules_and_limits(self) -> None:
        for i in self.problem.active:
            policy = self.problem.objective.policies[i]
            if policy.hard:
                for _, term in self.problem.metrics[i].terms:
                    add_rule(self.encoding, term)
            elif policy.at_most is not None or policy.at_least is not None:
                self._limit(i, policy)

    def _limit(self, index: int, policy: Policy) -> None:
        quantum = policy.quantum(self.problem.columns)
        value = self.value(index).combined()
        if policy.at_most is not None:
            self.model.add_rows(value, high=whole(exact(policy.at_most) / quantum, down=True))
        if policy.at_least is not None:
            self.model.add_rows(value, low=whole(exact(policy.at_least) / quantum, down=False))

    def value(self, index: int) -> Linear:
        if index not in self.known:
            metric = self.problem.metrics[index]
            self.known[index] = encode_metric(self.encoding, metric, self.sides[index])
        return self.known[index]

    def level(self, factors: tuple[tuple[int, int], ...], sense: str) -> Linear:
        total = Linear.of_constants(np.zeros(1, np.int64))
        for factor, i in factors:
            total = total.plus(self.value(i).scaled(factor))
        return (total if sense == "min" else total.scaled(-1)).combined()


def whole(number: Fraction, down: bool) -> int:
    """Round a limit to whole quanta; one that no value can reach is none."""
    rounded = floor(number) if down else ceil(number)
    return max(-INFINITY, min(rounded, INFINITY))


def encode_metric(encoding: Encoding, metric: Metric, side: Side) -> Linear:
    """Encode the value of a policy."""
    total = Linear.of_constants(np.array([metric.constant], np.int64))
    for factor, term in metric.terms:
        total = total.plus(encode_term(encoding, term, _flipped(side, factor < 0)).scaled(factor))
    return total


def encode_term(encoding: Encoding, term: Term, side: Side) -> Linear:
    """Encode the value of a term: violations where it is a rule."""
    model = encoding.model
    if term.limit is None:
        return _fold(model, _reduced(encoding, term, side), term.outer, side)
    inner: Side = "over" if term.limit.sense == "at_most" else "under"
    beyond = _beyond(_reduced(encoding, term, inner if side == "over" else "exact"), term.limit)
    zero = Excess(np.zeros(term.owners, np.int64))
    return _fold(model, zero.encode(model, beyond, side), term.outer, side)


def add_rule(encoding: Encoding, term: Term) -> None:
    """Add a term with a limit as hard rows, leaving out those that cannot be broken."""
    assert term.limit is not None, "only a term with a limit is a rule"
    inner: Side = "over" if term.limit.sense == "at_most" else "under"
    reduced = _reduced(encoding, term, inner)
    low, high = encoding.model.range_of(reduced)
    if term.limit.sense == "at_most":
        binding = np.flatnonzero(high > term.limit.bound)
        encoding.model.add_rows(reduced.take(binding), high=term.limit.bound[binding])
    else:
        binding = np.flatnonzero(low < term.limit.bound)
        encoding.model.add_rows(reduced.take(binding), low=term.limit.bound[binding])


def _beyond(reduced: Linear, limit: Limit) -> Linear:
    """By how much each j is over (or short of) its limit."""
    if limit.sense == "at_most":
        return reduced.shifted(-limit.bound)
    return reduced.scaled(-1).shifted(limit.bound)


def _reduced(encoding: Encoding, term: Term, side: Side) -> Linear:
    """``reduce over k in j of factor * shape(y_k)`` for every j."""
    model = encoding.model
    mixed = bool(np.any(term.factor < 0) and np.any(term.factor > 0))
    inner: Side = "exact" if mixed else _flipped(side, bool(np.any(term.factor < 0)))
    shaped, term = _shaped(encoding, term, inner)
    for link in term.linked:
        room = shaped.scaled(-link.capacity)
        model.add_rows(expand(encoding, link.family).plus(room), high=0)
    values = shaped.scaled(term.factor)
    if term.reduce == "sum":
        total = values.summed(term.owner, term.owners)
        total = total.combined() if np.unique(term.owner).size < values.size else total
    else:
        fold = largest if term.reduce == "max" else smallest
        total = fold(model, values, term.owner, term.owners, side)
    if term.beside is not None:
        total = total.plus(_reduced(encoding, term.beside, side)).combined()
    return total


def _shaped(encoding: Encoding, term: Term, side: Side) -> tuple[Linear, Term]:
    """Encode a term's shapes, once for all terms that share them; and the term that is left."""
    # The family and the shape are kept, so that no others get their numbers.
    key = id(term.family), id(term.shape), side
    if key in encoding.shaped:
        return encoding.shaped[key][2], term
    y, shape, counted = _counted(expand(encoding, term.family), term)
    shaped = shape.encode(encoding.model, y, side)
    if counted is term:
        encoding.shaped[key] = term.family, term.shape, shaped
    return shaped, counted


def _counted(y: Linear, term: Term) -> tuple[Linear, Shape, Term]:
    """Leave out aggregates of a sum that count for nothing."""
    counted = np.flatnonzero(term.factor)
    if counted.size == term.factor.size or term.reduce != "sum" or term.linked:
        return y, term.shape, term
    places = term.factor.size * np.arange(term.shape.arity)
    index = (places[:, None] + counted[None, :]).ravel()
    smaller = replace(term, factor=term.factor[counted], owner=term.owner[counted])
    return y.take(index), term.shape.at(counted), smaller


def _fold(model: Model, values: Linear, outer: str, side: Side) -> Linear:
    owner = np.zeros(values.size, np.int64)
    if outer == "sum":
        return values.summed(owner, 1)
    return (largest if outer == "max" else smallest)(model, values, owner, 1, side)


def _side(uses: set[Side]) -> Side:
    return uses.pop() if len(uses) == 1 else "exact"


def _flipped(side: Side, flip: bool) -> Side:
    flipped: dict[Side, Side] = {"over": "under", "under": "over", "exact": "exact"}
    return flipped[side] if flip else side
