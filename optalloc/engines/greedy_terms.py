"""Terms with the current value of their aggregates, for a placement under construction."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import Unsupported
from optalloc.formulation.encoding import whole
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Identity
from optalloc.formulation.terms import Family, Limit, Membership, Placed, Term
from optalloc.instance.quanta import exact

IntArray = NDArray[np.int64]

PROBES = (0, 1, 2**20)
"""What is added to aggregates to see whether shapes are alike."""


@dataclass
class Tracked:
    """A term with the current value of its aggregates.

    Parameters
    ----------
    term
        A term whose values are summed (or folded by outer) over j.
    y, beside
        Its aggregates now, and those of the term beside it.
    reduced
        Its j now.
    weight, levels
        Per level: what one unit adds to it (turned so that less is better); those where it is
        not 0.
    rule
        Whether its limit is hard.
    limited, factor
        Which of the hard limits on goals it adds to (-1: none), and what one unit adds.
    policy
        Index of its policy in the objective.
    shares
        Whether others add to its j as well, though not to its aggregates.
    """

    term: Term
    y: IntArray
    beside: IntArray
    reduced: IntArray
    weight: IntArray
    rule: bool
    limited: int
    factor: int
    policy: int
    shares: bool = False

    def __post_init__(self) -> None:
        self._broken: set[int] = set()
        self._fold = Fold.of(self.term, self.y) if self.term.reduce != "sum" else None
        self._identity = isinstance(self.term.shape, Identity)
        self._plain = bool(np.all(self.term.factor == 1))
        self.levels = [(k, int(self.weight[k])) for k in self.weight.nonzero()[0].tolist()]
        limit = self.term.limit
        if self.rule and limit is not None:
            at_most = limit.sense == "at_most"
            broken = self.reduced > limit.bound if at_most else self.reduced < limit.bound
            self._broken.update(np.flatnonzero(broken).tolist())

    @property
    def opposed(self) -> bool:
        """Whether what is added to the aggregates beside makes up for the others."""
        beside = self.term.beside
        return beside is not None and bool(np.any(beside.factor < 0))

    @property
    def blocks(self) -> bool:
        """Whether it is a rule that placed replicas must not break."""
        limit = self.term.limit
        return (
            self.rule
            and all(side.shape.arity == 1 and side.shape.monotone for side in self.term.sides)
            and not self.opposed
            and limit is not None
            and limit.sense == "at_most"
        )

    def change(
        self, index: IntArray, step: IntArray, beside: bool = False
    ) -> tuple[IntArray, IntArray]:
        """What adding to single aggregates, each by itself, changes, and the j of each."""
        term = self.term
        if beside and term.beside is not None:
            return _stepped(term.beside, index, self.beside[index], step)
        if self._fold is not None:
            return self._fold.change(index, self.y[index] + step), term.owner[index]
        if self._identity:
            k, change = index, step
        elif term.shape.arity == 1:
            return _stepped(term, index, self.y[index], step)
        else:
            half = self.y.size // 2
            k = index % half
            y = np.concatenate([self.y[k], self.y[k + half]])
            added = np.concatenate([step * (index < half), step * (index >= half)])
            change = term.shape.value(y + added) - term.shape.value(y)
        return change if self._plain else change * term.factor[k], term.owner[k]

    def effect(self, change: IntArray, owner: IntArray) -> IntArray:
        """What changes of j change in the term's value, or in the violation of its limit."""
        if self.term.limit is None:
            return change
        now = self.reduced[owner]
        limit = self.term.limit
        return violation(limit, now + change, owner) - violation(limit, now, owner)

    def add(self, index: IntArray, amount: IntArray, beside: bool = False) -> int:
        """Add to aggregates (an index may repeat); what that changes in the sum of all j."""
        if beside:
            return self._add_beside(index, amount)
        if index.size == 1 and self._identity and self._fold is None:
            return self._add_single(int(index[0]), int(amount[0]))
        index, amount = _once_each(index, amount)
        if self.term.shape.arity == 1:
            return self._add_one(index, amount)
        # Two places of one shape may change together: one after the other.
        first = index < self.y.size // 2
        changed = self._add_one(index[first], amount[first])
        return changed + self._add_one(index[~first], amount[~first])

    def _add_beside(self, index: IntArray, amount: IntArray) -> int:
        index, amount = _once_each(index, amount)
        change, owner = self.change(index, amount, beside=True)
        self.beside[index] += amount
        return self._change(owner, change)

    def _add_single(self, index: int, amount: int) -> int:
        """As `add` for one aggregate that is its own value: the most frequent case by far."""
        change, owner = amount * int(self.term.factor[index]), int(self.term.owner[index])
        self.y[index] += amount
        self.reduced[owner] += change
        limit = self.term.limit
        if self.rule and limit is not None:
            over = int(self.reduced[owner]) - int(limit.bound[owner])
            if (over if limit.sense == "at_most" else -over) > 0:
                self._broken.add(owner)
            else:
                self._broken.discard(owner)
        return change

    def _add_one(self, index: IntArray, amount: IntArray) -> int:
        change, owner = (
            self.change(index, amount)
            if self._fold is None
            else self._fold.go(index, self.y[index] + amount)
        )
        self.y[index] += amount
        return self._change(owner, change)

    def _change(self, owner: IntArray, change: IntArray) -> int:
        """Change j (one may repeat); what that changes in the sum of all."""
        np.add.at(self.reduced, owner, change)
        if self.rule and self.term.limit is not None:
            breaks = violation(self.term.limit, self.reduced[owner], owner) > 0
            self._broken.difference_update(owner[~breaks].tolist())
            self._broken.update(owner[breaks].tolist())
        return int(change.sum())

    def aggregates(self, owner: int) -> list[IntArray]:
        """The aggregates of one j, and those beside; where more can be less, those that count."""
        found = []
        for side, y in zip(self.term.sides, (self.y, self.beside), strict=False):
            index = np.flatnonzero(side.owner == owner)
            if not side.shape.monotone:
                index = index[side.shape.at(index).value(y[index]) != 0]
            found.append(index)
        return found

    def breaks(self, owner: int) -> bool:
        """Whether the rule of one j does not hold."""
        return owner in self._broken

    def broken(self) -> list[int]:
        """The j whose rule does not hold."""
        return sorted(self._broken)

    def restart(self, y: IntArray) -> None:
        """Go to other values of aggregates; of j to which others add as well they count already."""
        self.y[:] = y
        self._broken.clear()
        if not self.shares:
            self.reduced[:] = _reduced(self.term, y)
            self._fold = Fold.of(self.term, y) if self.term.reduce != "sum" else None

    def copied(self) -> Tracked:
        """The same, to go on apart."""
        made = copy(self)
        made.y, made.beside = self.y.copy(), self.beside.copy()
        made.reduced, made._broken = self.reduced.copy(), set(self._broken)
        made._fold = None if self._fold is None else self._fold.copied()
        return made


@dataclass
class Counters:
    """The terms of a problem, and what is spent of each hard limit on goals."""

    tracked: list[Tracked]
    spent: IntArray

    def copied(self) -> Counters:
        """The same, to go on apart."""
        return Counters([tracked.copied() for tracked in self.tracked], self.spent.copy())

    def joined(self, own: Counters) -> Counters:
        """These, where another problem's terms have aggregates of the same shape; else its own.

        Of a term whose aggregates are each task's own the j are shared where they are not.

        Raises
        ------
        Unsupported
            Where what single tasks add to shared j cannot be told apart: those that are no sums.
        """
        if len(self.tracked) != len(own.tracked):
            raise Unsupported("rules that only some tasks bring about")
        pairs = zip(self.tracked, own.tracked, strict=True)
        return Counters([_joined(*pair) for pair in pairs], self.spent)


def _joined(shared: Tracked, own: Tracked) -> Tracked:
    if _counts_alike(shared.term, own.term):
        return shared
    if shared.reduced.size == own.reduced.size:
        if own.term.reduce != "sum":
            raise Unsupported("a largest or smallest over what single tasks add")
        own.reduced, own.shares = shared.reduced, True
    return own


def _counts_alike(a: Term, b: Term) -> bool:
    """Whether two terms make the same of the same aggregates."""
    if a.family.size != b.family.size or type(a.shape) is not type(b.shape):
        return False
    pairs = [(f.constant, g.constant) for f, g in zip(a.families, b.families, strict=True)]
    pairs += [(a.factor, b.factor), (a.owner, b.owner)]
    if a.limit is not None and b.limit is not None:
        pairs.append((a.limit.bound, b.limit.bound))
    pairs += [(a.shape.value(y), b.shape.value(y)) for y in (a.family.constant + k for k in PROBES)]
    return all(np.array_equal(*pair) for pair in pairs)


def _stepped(term: Term, index: IntArray, y: IntArray, step: IntArray) -> tuple[IntArray, IntArray]:
    """What steps of single aggregates, which are y now, change in a sum; and the j of each."""
    shape = term.shape.at(index)
    return (shape.value(y + step) - shape.value(y)) * term.factor[index], term.owner[index]


def _once_each(index: IntArray, amount: IntArray) -> tuple[IntArray, IntArray]:
    """Add up what goes to the same aggregates."""
    if index.size <= 1:
        return index, amount
    index, inverse = np.unique(index, return_inverse=True)
    total = np.zeros(index.size, np.int64)
    np.add.at(total, inverse.ravel(), amount)
    return index, total


@dataclass
class Fold:
    """The largest (or smallest) values of each j of a term, kept while they change.

    Parameters
    ----------
    term
        A term that does not sum; its shape is of one place.
    sign
        1 where it takes the largest, -1 where the smallest.
    value
        ``sign * factor * shape`` of each aggregate.
    top
        The largest of them for each j.
    by_owner, start
        Aggregates in the order of their j, and the first of each j.
    """

    term: Term
    sign: int
    value: IntArray
    top: IntArray
    by_owner: IntArray
    start: IntArray

    @classmethod
    def of(cls, term: Term, y: IntArray) -> Fold:
        """Fold aggregates."""
        sign = 1 if term.reduce == "max" else -1
        value = sign * term.shape.value(y) * term.factor
        by_owner = np.argsort(term.owner, kind="stable")
        start = np.searchsorted(term.owner[by_owner], np.arange(term.owners + 1))
        top = np.maximum.reduceat(value[by_owner], start[:-1])
        return cls(term, sign, value, top, by_owner, start)

    def copied(self) -> Fold:
        """The same, to go on apart."""
        return replace(self, value=self.value.copy(), top=self.top.copy())

    def change(self, index: IntArray, y: IntArray) -> IntArray:
        """What changes in the j if single aggregates, each by itself, had other values."""
        value, top = self._shaped(index, y), self.top[self.term.owner[index]]
        folded = np.maximum(value, top)
        for i in np.flatnonzero((self.value[index] == top) & (value < top)).tolist():
            members = self._members(int(self.term.owner[index[i]]))
            others = self.value[members[members != index[i]]]
            folded[i] = others.max(initial=value[i])
        return np.asarray(self.sign * (folded - top), np.int64)

    def go(self, index: IntArray, y: IntArray) -> tuple[IntArray, IntArray]:
        """Give aggregates other values: what changes in their j, each once."""
        self.value[index] = self._shaped(index, y)
        owner = np.unique(self.term.owner[index])
        tops = [self.value[self._members(j)].max() for j in owner.tolist()]
        change = self.sign * (np.array(tops, np.int64) - self.top[owner])
        self.top[owner] = tops
        return change, owner

    def _shaped(self, index: IntArray, y: IntArray) -> IntArray:
        return self.sign * self.term.shape.at(index).value(y) * self.term.factor[index]

    def _members(self, owner: int) -> IntArray:
        return self.by_owner[self.start[owner] : self.start[owner + 1]]


@dataclass(frozen=True)
class Link:
    """A contribution of placed replicas to a term.

    Parameters
    ----------
    tracked, placed
        The term and the contribution.
    parts
        First of the parts of each class in the membership; empty without one.
    apart, everywhere
        Whether no two nodes share a domain; whether all nodes have one.
    base : (rows,)
        What a replica adds on every node; None where that depends on the node.
    beside
        Whether it adds to the aggregates beside.
    """

    tracked: Tracked
    placed: Placed
    parts: IntArray
    apart: bool
    everywhere: bool
    base: IntArray | None
    beside: bool = False

    def change(self, index: IntArray, step: IntArray) -> tuple[IntArray, IntArray]:
        """As `Tracked.change`, of the aggregates that it adds to."""
        return self.tracked.change(index, step, self.beside)

    def add(self, index: IntArray, amount: IntArray) -> int:
        """As `Tracked.add`, of the aggregates that it adds to."""
        return self.tracked.add(index, amount, self.beside)

    def parts_of(self, task_class: int) -> list[int]:
        """Parts of a class."""
        member = self.placed.membership
        if member is None:
            return [0]
        return [int(p) for p in member.part[self.parts[task_class] : self.parts[task_class + 1]]]

    @property
    def monotone(self) -> bool:
        """Whether more replicas change a term in the same direction as one does."""
        return self.tracked.term.sides[self.beside].shape.monotone and not self.tracked.opposed

    @property
    def separable(self) -> bool:
        """Whether what is placed on one node changes nothing for the others."""
        constant = isinstance(self.tracked.term.shape, Identity) and not self.tracked.rule
        return self.tracked.limited < 0 and (self.apart or constant)


@dataclass(frozen=True)
class Changes:
    """What one more replica changes in some j of a term.

    Parameters
    ----------
    tracked
        The term.
    at
        Which of some nodes it would be on, each once at most.
    change, owner
        What it changes there (one number for all, or one each), and in which j.
    """

    tracked: Tracked
    at: IntArray | slice
    change: IntArray
    owner: IntArray

    @property
    def bound(self) -> IntArray:
        """The limits of the j."""
        assert self.tracked.term.limit is not None
        return self.tracked.term.limit.bound[self.owner]

    @property
    def left(self) -> IntArray:
        """How far the j are below their limits."""
        return self.bound - self.tracked.reduced[self.owner]


def together(changes: list[Changes], nodes: int) -> Changes:
    """Add up what a replica changes in the one j of a term that it reaches from each node."""
    change, owner = np.zeros(nodes, np.int64), np.full(nodes, -1, np.int64)
    for part in changes:
        change[part.at] += part.change
        owner[part.at] = part.owner
    at = np.flatnonzero(owner >= 0)
    return Changes(changes[0].tracked, at, change[at], owner[at])


def bundled(links: list[Link]) -> list[list[Link]]:
    """Bundle the links whose changes in one j must be seen together: those of terms with both."""
    bundles: list[list[Link]] = []
    for link in links:
        last = bundles[-1][-1] if bundles else None
        if last is not None and last.tracked is link.tracked and link.tracked.term.beside:
            bundles[-1].append(link)
        else:
            bundles.append([link])
    return bundles


def violation(limit: Limit, reduced: IntArray, owner: IntArray) -> IntArray:
    """By how much values of some j break a limit."""
    over = reduced - limit.bound[owner]
    return np.asarray(np.maximum(over if limit.sense == "at_most" else -over, 0), np.int64)


def links_of(tracked: list[Tracked], terms: list[Term], classes: int) -> list[Link]:
    """List the contributions of a problem's placed replicas to its terms."""
    starts: dict[int, IntArray] = {}
    return [
        _link(t, placed, _starts(placed.membership, classes, starts), beside > 0)
        for t, term in zip(tracked, terms, strict=True)
        for beside, family in enumerate(term.families)
        for placed in family.placed
    ]


def _link(tracked: Tracked, placed: Placed, parts: IntArray, beside: bool) -> Link:
    inside = placed.domain[placed.domain >= 0]
    apart = bool(np.bincount(inside, minlength=1).max() <= 1)
    base = None if placed.coefficient.parts else placed.coefficient.base * placed.scale
    everywhere = inside.size == placed.domain.size
    return Link(tracked, placed, parts, apart, everywhere, base, beside)


def _starts(member: Membership | None, classes: int, known: dict[int, IntArray]) -> IntArray:
    if member is None:
        return np.zeros(0, np.int64)
    if id(member) not in known:
        known[id(member)] = np.searchsorted(member.task_class, np.arange(classes + 1))
    return known[id(member)]


def limits(problem: Problem) -> tuple[list[int], IntArray]:
    """The hard upper limits on goals: their policies, and how much in quanta."""
    policies = problem.objective.policies
    limited = [i for i in problem.metrics if policies[i].at_most is not None]
    most = [
        whole(exact(policies[i].at_most or 0) / policies[i].quantum(problem.columns), down=True)
        for i in limited
    ]
    return limited, np.array(most, np.int64)


def track(problem: Problem, limited: list[int]) -> list[Tracked]:
    """Every term of a rule, level or limit with its start values."""
    levels = problem.objective.levels
    weights: dict[int, IntArray] = {}
    for k, level in enumerate(levels):
        for factor, i in level.factors:
            line = weights.setdefault(i, np.zeros(len(levels), np.int64))
            line[k] += factor if level.sense == "min" else -factor
    tracked = []
    for i, metric in problem.metrics.items():
        rule = problem.objective.policies[i].hard
        weight = weights.get(i, np.zeros(len(levels), np.int64))
        for factor, term in metric.terms:
            if not rule and not weight.any() and i not in limited:
                continue
            y, *others = (_start(family) for family in term.families)
            beside = others[0] if others else np.zeros(0, np.int64)
            reduced = _reduced(term, y)
            if term.beside is not None:
                reduced += _reduced(term.beside, beside)
            limit = limited.index(i) if i in limited else -1
            of_levels = weight * factor
            tracked.append(Tracked(term, y, beside, reduced, of_levels, rule, limit, factor, i))
    return tracked


def _start(family: Family) -> IntArray:
    """The constants of a family.

    Zeros that are never looked at cost no memory, and there can be millions of them.
    """
    constant = family.constant
    return constant.copy() if constant.any() else np.zeros(constant.size, np.int64)


def _reduced(term: Term, y: IntArray) -> IntArray:
    """The j of a term, but for what lies beside."""
    reduced = np.zeros(term.owners, np.int64)
    if term.reduce != "sum":
        fold = Fold.of(term, y)
        reduced += fold.sign * fold.top
    elif (values := term.shape.value(y)).any():
        np.add.at(reduced, term.owner, values * term.factor)
    return reduced
