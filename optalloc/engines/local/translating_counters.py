"""From terms to counters: everything that fits no simpler form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import EXCESS, IDENTITY, MISSING, STEPS
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Excess, Identity, Missing, Shape, Steps
from optalloc.formulation.terms import Chosen, Family, Placed, Term

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SHAPES: dict[type[Shape], int] = {
    Identity: IDENTITY,
    Excess: EXCESS,
    Steps: STEPS,
    Missing: MISSING,
}
OUTER = {"sum": 0, "max": 1, "min": -1}
SENSE = {"at_most": 1, "at_least": -1}


@dataclass
class _Block:
    """The counters of one term."""

    term: Term
    start: int
    first_owner: int
    weight: FloatArray
    rule: bool
    plain: bool

    @property
    def owners(self) -> int:
        """Owners that are kept: plain caps need none, and share one."""
        return 1 if self.plain else self.term.owners


@dataclass
class Counters:
    """The counters of all terms that fit no simpler form."""

    blocks: list[_Block] = field(default_factory=list)
    size: int = 0
    owners: int = 0

    def add(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """Give a term counters, if its coefficients do not depend on the node."""
        if any(placed.coefficient.parts for placed in term.family.placed):
            return False
        one_each = term.owners == term.factor.size
        if term.reduce != "sum" and not one_each:
            return False
        plain = (
            rule
            and one_each
            and isinstance(term.shape, Identity)
            and term.limit is not None
            and term.limit.sense == "at_most"
            and bool(np.all(term.factor == 1))
        )
        start, owner = self.size, self.owners
        block = _Block(term, start, owner, weight, rule, plain)
        self.blocks.append(block)
        self.size += term.family.size
        self.owners += block.owners
        return True


def counter_tables(problem: Problem, counters: Counters, quantities: int) -> dict[str, Any]:
    """Make the tables of all counters."""
    sources: list[tuple[_Block, Placed | Chosen]] = [
        (block, source) for block in counters.blocks for source in _sources(block.term.family)
    ]
    entries: list[list[IntArray]] = [[], [], [], [], []]
    chosen: list[list[IntArray]] = [[], [], []]
    maps: dict[bytes, int] = {}
    domain, family_domain = [np.zeros((0, problem.nodes), np.int64)], []
    largest = np.ones(len(sources))
    choice_coefficient = np.zeros((len(sources), problem.choices))
    for f, (block, source) in enumerate(sources):
        classes, part = _members(problem, source)
        if isinstance(source, Placed):
            key = source.domain.tobytes()
            if key not in maps:
                maps[key] = len(maps)
                domain.append(source.domain[None, :])
            family_domain.append(maps[key])
            value = source.coefficient.base[problem.block_row] * source.scale
            largest[f] = np.abs(value).max(initial=1)
            line, blocks = blocks_of(problem, classes)
            _append(entries, blocks, f, block.start + part[line] * source.domains)
            arriving = value[blocks]
            entries[3].append(np.zeros_like(arriving) if source.arrivals_only else arriving)
            entries[4].append(arriving)
        else:
            family_domain.append(-1)
            choice_coefficient[f] = source.coefficient[problem.choice_row]
            _append(chosen, classes, f, block.start + part)
    terms = [block.term for block in counters.blocks]
    steepest = [_steepest(block.term) for block, _ in sources]
    gain = np.zeros(quantities)
    for (block, _), steep, most in zip(sources, steepest, largest, strict=True):
        gain += 4 * np.abs(block.weight) * steep * most
    shape = [SHAPES[type(block.term.shape)] for block, _ in sources]
    half = [block.term.family.size // block.term.shape.arity for block, _ in sources]
    return {
        **_placed_entries(entries, problem.blocks),
        **_sorted_entries("chosen", chosen, problem.classes),
        "family_shape": np.array(shape, np.int32),
        "family_plain": np.array([block.plain for block, _ in sources], bool),
        "family_domain": np.array(family_domain, np.int32),
        "family_half": np.array(half, np.int64),
        "family_start": np.array([block.start for block, _ in sources], np.int64),
        "domain": np.concatenate(domain).astype(np.int32),
        "choice_coefficient": choice_coefficient,
        "counter_base": _flat([term.family.constant for term in terms], np.float64),
        "counter_parameter": _flat([_parameter(b) for b in counters.blocks], np.float64),
        "counter_factor": _flat([_twice(t, t.factor) for t in terms], np.float64),
        "counter_owner": _flat([_owners(block) for block in counters.blocks], np.int32),
        "owner_term": np.repeat(
            np.arange(len(terms)), [block.owners for block in counters.blocks]
        ).astype(np.int32),
        "owner_bound": _flat([_bounds(block) for block in counters.blocks], np.float64),
        **_obligations(problem, counters),
        "term_sense": np.array([SENSE[t.limit.sense] if t.limit else 0 for t in terms], np.int32),
        "term_rho": np.array([float(block.rule) for block in counters.blocks]),
        "term_weight": np.array([b.weight for b in counters.blocks]).reshape(
            len(terms), quantities
        ),
        "term_outer": np.array(
            [0 if block.rule else OUTER[block.term.outer] for block in counters.blocks], np.int32
        ),
        "counter_gain": gain,
        "term_start": np.array(
            [*(block.first_owner for block in counters.blocks), counters.owners], np.int64
        ),
    }


def _obligations(problem: Problem, counters: Counters) -> dict[str, Any]:
    """The limits that depend on which tasks there are, and the classes that bring them about."""
    number, whole = np.zeros(counters.owners), np.full(counters.owners, -1, np.int64)
    classes, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in counters.blocks:
        obligation = block.term.obligation
        if obligation is not None:
            mine = slice(block.first_owner, block.first_owner + block.owners)
            number[mine], whole[mine] = obligation.number, block.start + obligation.whole
            member = obligation.membership
            must = problem.class_required[member.task_class]
            classes.append(member.task_class[must])
            owners.append(block.first_owner + member.part[must])
    of_class, owner = np.concatenate(classes), np.concatenate(owners)
    order = np.argsort(of_class, kind="stable")
    start = np.searchsorted(of_class[order], np.arange(problem.classes + 1))
    return {
        "owner_number": number,
        "owner_whole": whole,
        "obliged_start": start.astype(np.int32),
        "obliged_owner": owner[order].astype(np.int32),
    }


def _owners(block: _Block) -> IntArray:
    owner = _twice(block.term, block.term.owner)
    return block.first_owner + (np.zeros_like(owner) if block.plain else owner)


def _steepest(term: Term) -> float:
    """The most that a term's value changes when an aggregate changes by 1."""
    return float(np.abs(term.factor).max(initial=0))


def _sources(family: Family) -> list[Placed | Chosen]:
    """What contributes to the counters of a family."""
    return [*family.placed, *family.chosen]


def _members(problem: Problem, source: Placed | Chosen) -> tuple[IntArray, IntArray]:
    """Classes that contribute, and the part of each."""
    if source.membership is not None:
        return source.membership.task_class, source.membership.part
    every = np.arange(problem.classes, dtype=np.int64)
    return every, np.zeros(problem.classes, np.int64)


def blocks_of(problem: Problem, classes: IntArray) -> tuple[IntArray, IntArray]:
    """All blocks of some classes, and which of the classes each is of."""
    first = np.searchsorted(problem.block_class, classes)
    count = np.searchsorted(problem.block_class, classes, "right") - first
    line = np.repeat(np.arange(classes.size), count)
    return line, np.arange(line.size) - np.repeat(np.cumsum(count) - count - first, count)


def _append(entries: list[list[IntArray]], owners: IntArray, family: int, base: IntArray) -> None:
    for column, values in zip(entries, (owners, np.full(owners.size, family), base), strict=False):
        column.append(values)


def _placed_entries(entries: list[list[IntArray]], blocks: int) -> dict[str, Any]:
    """Entries by block that change something, with what a replica adds."""
    of_block, family, base, stay, arrive = (_flat(column, np.int64) for column in entries)
    kept = np.flatnonzero((stay != 0) | (arrive != 0))
    kept = kept[np.argsort(of_block[kept], kind="stable")]
    return {
        "entry_start": np.searchsorted(of_block[kept], np.arange(blocks + 1)).astype(np.int32),
        "entry_family": family[kept].astype(np.int32),
        "entry_base": base[kept].astype(np.int64),
        "entry_stay": stay[kept].astype(np.float64),
        "entry_arrive": arrive[kept].astype(np.float64),
    }


def _sorted_entries(name: str, entries: list[list[IntArray]], classes: int) -> dict[str, Any]:
    of_class, family, base = (_flat(column, np.int64) for column in entries)
    order = np.argsort(of_class, kind="stable")
    return {
        f"{name}_start": np.searchsorted(of_class[order], np.arange(classes + 1)).astype(np.int32),
        f"{name}_family": family[order].astype(np.int32),
        f"{name}_base": base[order].astype(np.int64),
    }


def _flat(pieces: list[IntArray], kind: type[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([np.zeros(0, kind), *(piece.astype(kind) for piece in pieces)])


def _parameter(block: _Block) -> IntArray:
    term = block.term
    if block.plain and term.limit is not None:
        return term.limit.bound[term.owner]
    match term.shape:
        case Excess(threshold=threshold):
            return threshold
        case Steps(block=size):
            return size
    return np.zeros(term.family.size, np.int64)


def _twice(term: Term, values: IntArray) -> IntArray:
    """Values by k for every aggregate: both places of a two-place shape have the same."""
    return np.tile(values, term.shape.arity)


def _bounds(block: _Block) -> IntArray:
    limit = block.term.limit
    return np.zeros(block.owners, np.int64) if limit is None or block.plain else limit.bound
