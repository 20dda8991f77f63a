"""From a problem to tables for the compiled search: each term in the simplest form that it fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import NO_HOME, SEVERAL_HOMES, WIDTH, Tables
from optalloc.engines.local.translating_bundles import bundle_tables
from optalloc.engines.local.translating_counters import Counters, counter_tables
from optalloc.engines.local.translating_needs import are_needs, need_tables
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.encoding import whole
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Excess, Identity, Steps
from optalloc.formulation.terms import Chosen, Family, Placed, Term
from optalloc.instance.quanta import exact

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]

MOST_SIZES = 40_000_000
"""Largest table of sizes by kind of node."""


@dataclass
class _Dimension:
    """A dense dimension: what is placed adds up to an aggregate per node."""

    placed: tuple[Placed, ...]
    base: FloatArray
    cap: FloatArray
    threshold: FloatArray
    weight: FloatArray


@dataclass
class _Builder:
    """Collects the forms of all terms of a problem."""

    problem: Problem
    weights: FloatArray
    dimensions: dict[tuple[object, ...], list[_Dimension]] = field(default_factory=dict)
    unary: list[tuple[FloatArray, Placed]] = field(default_factory=list)
    chosen: list[tuple[FloatArray, IntArray]] = field(default_factory=list)
    needs: list[Term] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        problem, quantities = self.problem, self.weights.shape[1]
        self.constant = np.zeros(quantities)
        self.step_weight = np.zeros((quantities, problem.nodes))
        self.step_block = np.zeros(problem.nodes, np.int32)
        self._forms = (
            self._as_unary,
            self._as_steps,
            self._as_dimension,
            self._as_needs,
            self._as_counters,
        )

    def add(self, term: Term, weight: FloatArray, rule: bool) -> None:
        """Give a term the simplest form that it fits."""
        if any(family.size for family in term.families) and (rule or weight.any()):
            plain = term.beside is None and (
                term.reduce == "sum" or term.owners == term.factor.size
            )
            for form in self._forms if plain else (self._as_counters,):
                if form(term, weight, rule):
                    return
            raise Unsupported("a largest or smallest of implications")

    def _as_unary(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """A weighted sum of decisions."""
        if rule or term.limit is not None or not isinstance(term.shape, Identity):
            return False
        if term.reduce != "sum" or term.outer != "sum" or np.unique(term.factor).size > 1:
            return False
        if any(np.any(placed.domain < 0) or _repeats(placed) for placed in term.family.placed):
            return False
        if any(_repeats(chosen) for chosen in term.family.chosen):
            return False
        factor = float(term.factor[0]) if term.factor.size else 0.0
        self.constant += weight * factor * float(term.family.constant.sum())
        self.unary += [(weight * factor, placed) for placed in term.family.placed]
        for chosen in term.family.chosen:
            value = chosen.coefficient[self.problem.choice_row]
            if chosen.membership is not None:
                member = np.isin(self.problem.choice_class, chosen.membership.task_class)
                value = np.where(member, value, 0)
            self.chosen.append((weight * factor, value))
        return True

    def _as_steps(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """Begun blocks of the replicas on a node."""
        at = self._nodes_of(term.family)
        if at is None or rule or term.limit is not None or not isinstance(term.shape, Steps):
            return False
        if term.reduce != "sum" or term.outer != "sum" or len(term.family.placed) != 1:
            return False
        (placed,) = term.family.placed
        counts = not placed.coefficient.parts and bool(np.all(placed.coefficient.base == 1))
        block = np.minimum(term.shape.block, np.iinfo(np.int32).max).astype(np.int32)
        known = self.step_block[at]
        if not counts or placed.scale != 1 or placed.arrivals_only or term.family.constant.any():
            return False
        if np.any((known != 0) & (known != block)):
            return False
        self.step_block[at] = block
        self.step_weight[:, at] += weight[:, None] * term.factor
        return True

    def _as_dimension(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """A cap or a threshold on an aggregate of each node."""
        at = self._nodes_of(term.family)
        if at is None or term.owners != term.factor.size or np.unique(term.factor).size > 1:
            return False
        capped = isinstance(term.shape, Identity) and term.limit is not None
        soft = isinstance(term.shape, Excess) and term.limit is None
        rewarded = np.any(term.factor < 0) or np.any(weight < 0)
        if term.outer != "sum" or not (capped or soft) or rewarded:
            return False
        factor = float(term.factor[0]) if term.factor.size else 1.0
        limits = np.full(self.problem.nodes, np.inf)
        if term.limit is not None:
            if term.limit.sense != "at_most" or factor != 1.0:
                return False
            bound = np.empty(term.owners)
            bound[term.owner] = term.limit.bound[term.owner]
            limits[at] = term.limit.bound[term.owner]
        elif isinstance(term.shape, Excess):
            limits[at] = term.shape.threshold
        base = np.zeros(self.problem.nodes)
        base[at] = term.family.constant
        if capped and rule:
            self._dimension(term.family, base, "cap").cap[:] = limits
        else:
            dimension = self._dimension(term.family, base, "threshold")
            dimension.threshold[:] = limits
            dimension.weight[:] = weight * factor
        return True

    def _dimension(self, family: Family, base: FloatArray, wanted: str) -> _Dimension:
        """One that adds up the same things and has the wanted limit free, or a new one."""
        parts = [(id(p.coefficient), p.scale, p.arrivals_only) for p in family.placed]
        like = self.dimensions.setdefault((*parts, base.tobytes()), [])
        for dimension in like:
            if np.all(np.isinf(getattr(dimension, wanted))):
                return dimension
        none = np.full(base.size, np.inf)
        weight = np.zeros(self.weights.shape[1])
        like.append(_Dimension(family.placed, base, none.copy(), none.copy(), weight))
        return like[-1]

    def _nodes_of(self, family: Family) -> IntArray | None:
        """The node of each aggregate, if every contribution has a domain for each node."""
        if family.chosen or not family.placed:
            return None
        domain = family.placed[0].domain
        inside = np.flatnonzero(domain >= 0)
        if inside.size != family.size or domain.max(initial=0) >= family.size:
            return None
        at = np.full(family.size, -1, np.int64)
        at[domain[inside]] = inside
        alike = all(
            placed.membership is None and np.array_equal(placed.domain, domain)
            for placed in family.placed
        )
        return at if alike and np.all(at >= 0) else None

    def _as_needs(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """Populations that want others where they are."""
        fits = rule and not weight.any() and are_needs(term)
        if fits:
            self.needs.append(term)
        return fits

    def _as_counters(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """Anything else."""
        return self.counters.add(term, weight, rule)


def _repeats(contribution: Placed | Chosen) -> bool:
    """Whether a class contributes to several parts."""
    membership = contribution.membership
    if membership is None:
        return False
    return bool(np.unique(membership.task_class).size < membership.task_class.size)


def build_tables(problem: Problem) -> Tables:
    """Translate a problem.

    Raises
    ------
    Unsupported
        If the search has no form for a term, or for several rows that share a home.
    """
    if problem.shaped:
        raise Unsupported("gangs that stay within a domain or have a shape")
    if problem.contested.any():
        raise Unsupported("replicas of several rows that run on the same node now")
    weights, limit = _quantities(problem)
    builder = _Builder(problem, weights)
    for i, metric in problem.metrics.items():
        rule = problem.objective.policies[i].hard
        builder.constant += weights[i] * metric.constant
        for factor, term in metric.terms:
            builder.add(term, weights[i] * factor, rule)
    bound = {**_tasks(problem), **need_tables(problem, builder.needs)}
    arrays = {
        **bound,
        **bundle_tables(bound),
        **_places(problem),
        **_dense(builder),
        "step_weight": builder.step_weight,
        "step_block": builder.step_block,
        **_unary(builder),
        **counter_tables(problem, builder.counters, weights.shape[1]),
        "constant": builder.constant,
        "limit": limit,
        "level_count": np.array([len(problem.objective.levels)], np.int64),
    }
    return Tables(**{name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _quantities(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """What each policy's value adds to each level and limit, (policies, Z), and the limits."""
    policies, levels = problem.objective.policies, problem.objective.levels
    lines = []
    for level in levels:
        line = np.zeros(len(policies))
        for factor, i in level.factors:
            line[i] += factor if level.sense == "min" else -factor
        lines.append(line)
    limit = [np.inf] * len(levels)
    for i in problem.active:
        policy = policies[i]
        quantum = policy.quantum(problem.columns)
        for bound, sign in ((policy.at_most, 1), (policy.at_least, -1)):
            if bound is not None and not policy.is_rule:
                lines.append(np.zeros(len(policies)))
                lines[-1][i] = sign
                limit.append(float(sign * whole(exact(bound) / quantum, down=sign > 0)))
    table = np.array(lines).reshape(len(lines), len(policies))
    return table.T.copy(), np.array(limit)


def _tasks(problem: Problem) -> dict[str, Any]:
    count = problem.task_classes.count
    first = np.searchsorted(problem.choice_class, np.arange(problem.classes + 1))
    most = np.zeros(problem.classes, np.int64)
    np.maximum.at(most, problem.choice_class, problem.choice_replicas)
    task_class = np.repeat(np.arange(problem.classes), count)
    slots = most[task_class]
    return {
        "task_class": task_class.astype(np.int32),
        "task_slot": np.concatenate([[0], np.cumsum(slots)]).astype(np.int32),
        "slot_task": np.repeat(np.arange(task_class.size), slots).astype(np.int32),
        "slot_class": np.repeat(task_class, slots).astype(np.int32),
        "class_required": problem.class_required,
        "class_choice": first.astype(np.int32),
        "choice_block": problem.choice_block.astype(np.int32),
        "choice_replicas": problem.choice_replicas.astype(np.int32),
    }


def _places(problem: Problem) -> dict[str, Any]:
    entries = problem.columns.node_entry[problem.node_classes.node]
    allowed = problem.allowed.mask[:, entries]
    home_class, home_node, running = problem.home
    return {
        "block_kind": problem.allowed.row_kind[problem.block_row].astype(np.int32),
        "allowed": allowed,
        "allow_start": np.cumsum(allowed.sum(axis=1)) - allowed.sum(axis=1),
        "allow_end": np.cumsum(allowed.sum(axis=1)),
        "allow_node": np.nonzero(allowed)[1].astype(np.int32),
        "home_start": np.searchsorted(home_class, np.arange(problem.classes + 1)).astype(np.int32),
        "home_node": home_node.astype(np.int32),
        "home_running": running.astype(np.int32),
        "class_home": _only_homes(problem).astype(np.int32),
    }


def _only_homes(problem: Problem) -> IntArray:
    """The node where all replicas of a class run now, where that is so."""
    home_class, home_node, running = problem.home
    most = np.zeros(problem.classes, np.int64)
    np.maximum.at(most, problem.choice_class, problem.choice_replicas)
    homes = np.bincount(home_class, minlength=problem.classes)
    only = np.where(homes == 0, NO_HOME, SEVERAL_HOMES)
    one = (homes[home_class] == 1) & (
        running >= most[home_class] * problem.task_classes.count[home_class]
    )
    only[home_class[one]] = home_node[one]
    return only


def _dense(builder: _Builder) -> dict[str, Any]:
    """The dense dimensions, padded, with sizes by kind of node."""
    problem = builder.problem
    dimensions = [d for like in builder.dimensions.values() for d in like]
    every, nodes = np.arange(problem.blocks), problem.nodes
    width = -(-len(dimensions) // WIDTH) * WIDTH
    node_kind, like = _node_kinds(problem, dimensions)
    if like.size * problem.blocks * 2 * max(width, 1) > MOST_SIZES:
        raise Unsupported("sizes that differ from node to node, for this many tasks and nodes")
    size = np.zeros((like.size, 2 * problem.blocks + 1, width))
    cap, threshold = (np.full((nodes, width), np.inf) for _ in range(2))
    base = np.zeros((nodes, width))
    weight = np.zeros((builder.weights.shape[1], width))
    for d, dimension in enumerate(dimensions):
        base[:, d], weight[:, d] = dimension.base, dimension.weight
        cap[:, d], threshold[:, d] = dimension.cap, dimension.threshold
        for placed in dimension.placed:
            rows, at = problem.block_row[every], problem.node_classes.node[like]
            value = placed.coefficient.at(rows[None, :], at[:, None]) * placed.scale
            size[:, 1:-1:2, d] += value
            if not placed.arrivals_only:
                size[:, 0:-1:2, d] += value
    return {
        "node_kind": node_kind.astype(np.int32),
        "size": size,
        "cap": cap,
        "threshold": threshold,
        "rho": _per_unit(size),
        "block_bulk": np.abs(size[0, 1:-1:2]) @ _per_unit(size),
        "block_held": (size[0, 1:-1:2] - size[0, 0:-1:2]) @ _per_unit(size),
        "weight": weight,
        "base": base,
    }


def _node_kinds(problem: Problem, dimensions: list[_Dimension]) -> tuple[IntArray, IntArray]:
    """Kind of each node by what the same replica is on it, and a node of each kind."""
    lines = [np.zeros(problem.nodes, np.int64)]
    known = set()
    for placed in (placed for d in dimensions for placed in d.placed):
        if id(placed.coefficient) not in known:
            known.add(id(placed.coefficient))
            lines += [p.column[problem.node_classes.node] for p in placed.coefficient.parts]
    _, like, kind = np.unique(np.stack(lines), axis=1, return_index=True, return_inverse=True)
    return kind.ravel(), like


def _per_unit(size: FloatArray) -> FloatArray:
    """A power of two near one over the mean size in each dimension: exact in floats."""
    magnitude = np.abs(size)
    filled = np.maximum((magnitude > 0).sum(axis=(0, 1)), 1)
    mean = np.maximum(magnitude.sum(axis=(0, 1)) / filled, 1.0)
    return np.asarray(2.0 ** -np.round(np.log2(mean)), np.float64)


def _unary(builder: _Builder) -> dict[str, Any]:
    problem = builder.problem
    quantities = builder.weights.shape[1]
    unary = np.zeros((quantities, 2 * problem.blocks))
    parts: list[tuple[int, IntArray, IntArray, FloatArray]] = []
    for weight, placed in builder.unary:
        member = np.ones(problem.blocks, bool)
        if placed.membership is not None:
            member = np.isin(problem.block_class, placed.membership.task_class)
        spoken = np.zeros(problem.blocks, bool)
        for part in placed.coefficient.parts:
            index = np.where(member, part.index[problem.block_row], -1)
            spoken |= index >= 0
            column = part.column[problem.node_classes.node]
            lines = _by_variant(index, placed.arrivals_only, -1)
            parts += [
                (int(q), lines, column, weight[q] * placed.scale * part.values)
                for q in np.flatnonzero(weight)
            ]
        value = np.where(member & ~spoken, placed.coefficient.base[problem.block_row], 0)
        unary += np.outer(weight * placed.scale, _by_variant(value, placed.arrivals_only, 0))
    choice_cost = np.zeros((quantities, problem.choices))
    for weight, value in builder.chosen:
        choice_cost += np.outer(weight, value)
    sizes = [values.size for *_, values in parts]
    return {
        "unary": unary,
        "part_quantity": np.array([q for q, *_ in parts], np.int32),
        "part_index": _stacked([index for _, index, _, _ in parts], 2 * problem.blocks),
        "part_column": _stacked([column for _, _, column, _ in parts], problem.nodes),
        "part_start": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        "part_stride": np.array([values.shape[1] for *_, values in parts], np.int64),
        "part_value": np.concatenate([np.zeros(0), *(v.ravel() for *_, v in parts)]),
        "choice_cost": choice_cost,
    }


def _stacked(lines: list[IntArray], width: int) -> Int32:
    return np.array(lines, np.int32).reshape(len(lines), width)


def _by_variant(value: IntArray, arrivals_only: bool, staying: int) -> IntArray:
    """Spread what a block has over its two variants."""
    return np.stack([np.full_like(value, staying) if arrivals_only else value, value], 1).ravel()
