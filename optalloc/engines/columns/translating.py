"""From a problem to classes: each term in the form that it fits, or `Unsupported`."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import LARGEST_SUM, ClassTables
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.bounding import term_bound
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Identity, Steps
from optalloc.formulation.terms import Chosen, Placed, Term

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ROUNDING = 1e-6
MOST_SIZES = 20_000_000
"""Largest table of sizes by kind of node."""


@dataclass
class _Spread:
    """A rule that wants a group in several domains."""

    domain: IntArray
    block: IntArray
    wanted: int


@dataclass
class _Builder:
    """Collects the forms of all terms."""

    problem: Problem
    dense: list[tuple[Placed, IntArray]] = field(default_factory=list)
    groups: list[tuple[IntArray, IntArray, int]] = field(default_factory=list)
    spreads: list[_Spread] = field(default_factory=list)
    unary: list[tuple[int, Placed]] = field(default_factory=list)
    constant: float = 0.0

    def __post_init__(self) -> None:
        self.price = np.zeros(self.problem.nodes, np.int64)
        self.choice_cost = np.zeros(self.problem.choices, np.int64)

    def add_rule(self, term: Term) -> None:
        """Keep a hard rule."""
        if not term.owners:
            return
        forms = (self._as_dimension, self._as_groups, self._as_spread)
        if term.beside is not None or not any(form(term) for form in forms):
            raise Unsupported("a rule that nodes of a kind do not keep each by itself")

    def add_cost(self, term: Term, amount: int) -> None:
        """Add ``amount * term`` to what is minimised."""
        if not amount or not term.family.size:
            return
        if self._as_price(term, amount) or self._as_linear(term, amount):
            return
        least = term_bound(self.problem, term, float(amount))
        if not isfinite(least):
            raise Unsupported("a goal that classes do not tell, and without a bound")
        self.constant += least

    # -- rules ---------------------------------------------------------------------------------

    def _as_dimension(self, term: Term) -> bool:
        """A cap on what everything adds up to on each node."""
        caps = self._caps(term)
        if caps is None or term.family.placed[0].membership is not None:
            return False
        self.dense.append((term.family.placed[0], caps[0]))
        return True

    def _as_groups(self, term: Term) -> bool:
        """The same cap on what a set of blocks adds up to on every node."""
        caps = self._caps(term)
        (placed,) = term.family.placed if caps is not None else (None,)
        if caps is None or placed is None or placed.membership is None or placed.coefficient.parts:
            return False
        if np.any(caps != caps[:, :1]):
            return False
        member = placed.membership
        for part, limit in enumerate(caps[:, 0].tolist()):
            block = self._blocks(member.task_class[member.part == part])
            amount = placed.coefficient.base[self.problem.block_row[block]] * placed.scale
            self.groups.append((block, amount, limit))
        return True

    def _caps(self, term: Term) -> IntArray | None:
        """Caps by part and node, where a term is that: each node by itself, nothing negative."""
        family, limit = term.family, term.limit
        if limit is None or limit.sense != "at_most" or len(family.placed) != 1 or family.chosen:
            return None
        placed = family.placed[0]
        every = np.arange(self.problem.nodes)
        by_node = placed.domains == every.size and np.array_equal(placed.domain, every)
        one_each = term.owners == term.factor.size and bool(np.all(term.factor == 1))
        if not isinstance(term.shape, Identity) or not by_node or not one_each:
            return None
        # Nothing runs yet: whether only arrivals count makes no difference.
        if placed.scale < 0 or _least(placed) < 0:
            return None
        bound = np.empty(term.owners, np.int64)
        bound[:] = limit.bound[term.owner] - family.constant
        return bound.reshape(-1, every.size)

    def _as_spread(self, term: Term) -> bool:
        """At least so many domains with a replica of a group."""
        limit, family = term.limit, term.family
        inside = family.placed[0] if family.placed else None
        if limit is None or limit.sense != "at_least" or inside is None or family.chosen:
            return False
        if not isinstance(term.shape, Steps) or term.reduce != "sum" or inside.membership is None:
            return False
        if np.any(term.factor < 0) or _least(inside) < 1 or inside.scale != 1:
            return False
        member = inside.membership
        for part, wanted in enumerate(limit.bound.tolist()):
            block = self._blocks(member.task_class[member.part == part])
            if wanted > 0:
                self.spreads.append(_Spread(inside.domain, block, wanted))
        return True

    def _blocks(self, classes: IntArray) -> IntArray:
        return np.flatnonzero(np.isin(self.problem.block_class, classes)).astype(np.int64)

    # -- costs ---------------------------------------------------------------------------------

    def _as_price(self, term: Term, amount: int) -> bool:
        """A price of every node in use."""
        family = term.family
        if not isinstance(term.shape, Steps) or term.limit is not None or len(family.placed) != 1:
            return False
        placed = family.placed[0]
        counts = not placed.coefficient.parts and bool(np.all(placed.coefficient.base == 1))
        whole = bool(np.all(term.shape.block >= self.problem.most_replicas.sum()))
        plain = placed.scale == 1 and placed.membership is None and not placed.arrivals_only
        summed = term.reduce == "sum" and term.outer == "sum"
        if family.constant.any() or not (counts and whole and plain and summed):
            return False
        at = np.flatnonzero(placed.domain >= 0)
        each = np.unique(placed.domain[at]).size == at.size == family.size
        if not each or np.any(term.factor * amount < 0):
            return False
        self.price[at] += amount * term.factor[placed.domain[at]]
        return True

    def _as_linear(self, term: Term, amount: int) -> bool:
        """A weighted sum of replicas and choices."""
        plain = isinstance(term.shape, Identity) and term.limit is None
        summed = term.reduce == "sum" and term.outer == "sum"
        sources: list[Placed | Chosen] = [*term.family.placed, *term.family.chosen]
        if not plain or not summed or np.unique(term.factor).size != 1:
            return False
        if any(_repeats(source) for source in sources):
            return False
        if any(np.any(placed.domain < 0) for placed in term.family.placed):
            return False
        weight = amount * int(term.factor[0])
        self.constant += float(weight * int(term.family.constant.sum()))
        self.unary += [(weight, placed) for placed in term.family.placed]
        for chosen in term.family.chosen:
            value = chosen.coefficient[self.problem.choice_row]
            if chosen.membership is not None:
                member = np.isin(self.problem.choice_class, chosen.membership.task_class)
                value = np.where(member, value, 0)
            self.choice_cost += weight * value
        return True


def _least(placed: Placed) -> int:
    """Smallest coefficient."""
    parts = [int(part.values.min(initial=0)) for part in placed.coefficient.parts]
    return min([int(placed.coefficient.base.min(initial=1)), *parts])


def _repeats(source: Placed | Chosen) -> bool:
    """Whether a class contributes to several parts."""
    member = source.membership
    return member is not None and np.unique(member.task_class).size < member.task_class.size


def build_tables(problem: Problem) -> ClassTables:
    """Translate a problem of one level.

    Raises
    ------
    Unsupported
        If something runs already, nodes are merged, there are several levels, or a rule or goal
        has no form here.
    """
    if not problem.blocks:
        raise Unsupported("nothing to place")
    if problem.shaped:
        raise Unsupported("gangs that stay within a domain or have a shape")
    if problem.home_key.size or np.any(problem.node_classes.count > 1):
        raise Unsupported("tasks that run already, and nodes that are one already")
    if len(problem.objective.levels) != 1:
        raise Unsupported("several levels")
    builder = _collect(problem)
    kind, like = _node_kinds(builder)
    if like.size * problem.blocks * max(len(builder.dense), 1) > MOST_SIZES:
        raise Unsupported("nodes of this many kinds")
    classes = problem.task_classes
    arrays: dict[str, Any] = {
        "node_kind": kind,
        "class_count": classes.count,
        "class_required": problem.class_required,
        "choice_class": problem.choice_class,
        "choice_block": problem.choice_block,
        "choice_replicas": problem.choice_replicas,
        "choice_cost": builder.choice_cost,
        "price": builder.price[like],
        **_by_kind(builder, like),
        **_groups(builder),
        **_spreads(builder),
        "constant": np.array([ceil(builder.constant - ROUNDING)], np.int64),
    }
    arrays["most"] = _most(problem, arrays)
    arrays["dealt"] = _dealt(builder, arrays["most"])
    tables = ClassTables(**{name: np.ascontiguousarray(a) for name, a in arrays.items()})
    if tables.largest_worth > LARGEST_SUM:
        raise Unsupported("contents of nodes that are worth too much to be counted")
    return tables


def _collect(problem: Problem) -> _Builder:
    """Give every term its form."""
    (level,) = problem.objective.levels
    sign = 1 if level.sense == "min" else -1
    builder = _Builder(problem)
    for i, metric in problem.metrics.items():
        policy = problem.objective.policies[i]
        if policy.at_most is not None or policy.at_least is not None:
            raise Unsupported("limits on a goal")
        amount = sign * sum(factor for factor, index in level.factors if index == i)
        builder.constant += float(amount * metric.constant)
        for factor, term in metric.terms:
            if policy.hard:
                builder.add_rule(term)
            builder.add_cost(term, amount * factor)
    return builder


def _node_kinds(builder: _Builder) -> tuple[IntArray, IntArray]:
    """Kind of each node in all that is known of it, and a node of each kind."""
    problem = builder.problem
    _, label = np.unique(problem.allowed.mask, axis=1, return_inverse=True)
    lines = [label.ravel()[problem.columns.node_entry[problem.node_classes.node]], builder.price]
    lines += [cap for _, cap in builder.dense]
    sources = [placed for placed, _ in builder.dense] + [placed for _, placed in builder.unary]
    tables = {id(part): part for source in sources for part in source.coefficient.parts}
    lines += [part.column[problem.node_classes.node] for part in tables.values()]
    kind = np.zeros(problem.nodes, np.int64)
    for line in lines:
        values, index = np.unique(line, return_inverse=True)
        _, kind = np.unique(kind * values.size + index.ravel(), return_inverse=True)
        kind = kind.ravel().astype(np.int64)
    _, like = np.unique(kind, return_index=True)
    return kind, like.astype(np.int64)


def _by_kind(builder: _Builder, like: IntArray) -> dict[str, NDArray[np.generic]]:
    """Sizes, capacities and costs of replicas, by kind of node."""
    problem = builder.problem
    row, at = problem.block_row[None, :], problem.node_classes.node[like][:, None]
    size = np.zeros((like.size, problem.blocks, len(builder.dense)), np.int64)
    capacity = np.zeros((like.size, len(builder.dense)), np.int64)
    for d, (placed, cap) in enumerate(builder.dense):
        size[:, :, d] = placed.coefficient.at(row, at) * placed.scale
        capacity[:, d] = cap[like]
    unary = np.zeros((like.size, problem.blocks), np.int64)
    for weight, placed in builder.unary:
        member = np.ones(problem.blocks, bool)
        if placed.membership is not None:
            member = np.isin(problem.block_class, placed.membership.task_class)
        # Nothing runs yet: every replica arrives.
        unary += weight * placed.scale * np.where(member, placed.coefficient.at(row, at), 0)
    entries = problem.columns.node_entry[problem.node_classes.node[like]]
    allowed = problem.allowed.mask[problem.allowed.row_kind[problem.block_row]][:, entries]
    return {"size": size, "capacity": capacity, "unary": unary, "most": allowed.T}


def _groups(builder: _Builder) -> dict[str, NDArray[np.generic]]:
    sizes = [block.size for block, _, _ in builder.groups]
    return {
        "group_start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "group_block": _joined([block for block, _, _ in builder.groups]),
        "group_amount": _joined([amount for _, amount, _ in builder.groups]),
        "group_limit": np.array([limit for _, _, limit in builder.groups], np.int64),
    }


def _spreads(builder: _Builder) -> dict[str, NDArray[np.generic]]:
    scopes = {spread.domain.tobytes(): spread.domain for spread in builder.spreads}
    place = {key: i for i, key in enumerate(scopes)}
    sizes = [spread.block.size for spread in builder.spreads]
    domain = np.array(list(scopes.values()), np.int64).reshape(-1, builder.problem.nodes)
    return {
        "domain": domain,
        "spread_scope": np.array([place[s.domain.tobytes()] for s in builder.spreads], np.int64),
        "spread_wanted": np.array([s.wanted for s in builder.spreads], np.int64),
        "spread_start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "spread_block": _joined([spread.block for spread in builder.spreads]),
    }


def _joined(pieces: list[IntArray]) -> IntArray:
    return np.concatenate([np.zeros(0, np.int64), *pieces])


def _most(problem: Problem, arrays: dict[str, Any]) -> IntArray:
    """Most replicas of each block on a node of each kind, by all that a node has by itself."""
    allowed, size, capacity = arrays["most"], arrays["size"], arrays["capacity"]
    most = np.where(allowed, problem.most_replicas[problem.block_class][None, :], 0)
    for d in range(size.shape[2]):
        each = size[:, :, d]
        fits = np.maximum(capacity[:, d, None], 0) // np.maximum(each, 1)
        most = np.where(each > 0, np.minimum(most, fits), most)
    start, block, amount = (arrays[f"group_{name}"] for name in ("start", "block", "amount"))
    for g, limit in enumerate(arrays["group_limit"]):
        inside = slice(int(start[g]), int(start[g + 1]))
        for b, each in zip(block[inside], amount[inside], strict=True):
            if each > 0:
                most[:, b] = np.minimum(most[:, b], max(limit // each, 0))
    return np.asarray(most, np.int64)


def _dealt(builder: _Builder, most: IntArray) -> IntArray:
    """Limits that bring every class of a rule of spread to as many nodes as domains are wanted."""
    dealt, problem = most.copy(), builder.problem
    for spread in builder.spreads:
        total = problem.most_replicas[problem.block_class[spread.block]]
        share = np.maximum(total // spread.wanted, 1)
        dealt[:, spread.block] = np.minimum(dealt[:, spread.block], share[None, :])
    return dealt
