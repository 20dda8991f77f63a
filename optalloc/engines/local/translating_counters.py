"""From terms to counters: everything that fits no simpler form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import CONVEX, EXCESS, IDENTITY, MISSING, PARTLY, STEPS
from optalloc.engines.local.translating_rows import Bends, Rows, rows_of
from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Convex, Excess, Identity, Missing, Partly, Shape, Steps
from optalloc.formulation.terms import Chosen, Placed, Term
from optalloc.instance.factored import Part

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SHAPES: dict[type[Shape], int] = {
    Identity: IDENTITY,
    Convex: CONVEX,
    Excess: EXCESS,
    Steps: STEPS,
    Missing: MISSING,
    Partly: PARTLY,
}
FOLD = {"sum": 0, "max": 1, "min": -1}
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
    rows: list[Rows]

    @property
    def size(self) -> int:
        """Number of counters: those beside the others come last."""
        return sum(family.size for family in self.term.families)

    @property
    def sources(self) -> list[_Source]:
        """What contributes to its counters."""
        found, start = [], self.start
        for side, rows in zip(self.term.sides, self.rows, strict=True):
            family = side.family
            every: list[Placed | Chosen] = [*family.placed, *family.chosen] if family.size else []
            found += [_Source(self, side, source, start, rows) for source in every]
            start += family.size
        return found

    @property
    def owners(self) -> int:
        """Owners that are kept: plain caps need none, and share one."""
        return 1 if self.plain else self.term.owners


@dataclass(frozen=True)
class _Source:
    """A contribution to the counters of a block's term, or of that beside, from `start` on."""

    block: _Block
    term: Term
    of: Placed | Chosen
    start: int
    rows: Rows

    @property
    def shape(self) -> int:
        """What is made of its counters."""
        return SHAPES[type(self.term.shape)]

    @property
    def fold(self) -> int:
        """How its counters fold into their owners."""
        one_each = self.term.owners == self.term.factor.size
        return 0 if one_each else FOLD[self.term.reduce]

    @property
    def idle(self) -> bool:
        """Whether counters are 0, and worth nothing, where nothing is placed."""
        return self.fold == 0 and self.rows.idle

    @property
    def half(self) -> int:
        """Number of its counters, or of pairs of them."""
        return self.term.family.size // self.term.shape.arity

    @property
    def steepest(self) -> float:
        """The most that the term's value changes when a counter changes by 1."""
        term, most = self.term, 1.0
        if isinstance(term.shape, Convex):
            most = float(term.shape.slope.sum(axis=1).max(initial=0))
        return most * float(np.abs(term.factor).max(initial=0))


@dataclass
class Counters:
    """The counters of all terms that fit no simpler form."""

    blocks: list[_Block] = field(default_factory=list)
    bends: Bends = field(default_factory=Bends)
    size: int = 0
    owners: int = 0
    rows: int = 0

    def add(self, term: Term, weight: FloatArray, rule: bool) -> bool:
        """Give a term counters, if its shape is of one place where its counters are not summed."""
        if any(side.reduce != "sum" and side.shape.arity > 1 for side in term.sides):
            return False
        plain = (
            rule
            and term.beside is None
            and term.owners == term.factor.size
            and isinstance(term.shape, Identity)
            and term.limit is not None
            and term.limit.sense == "at_most"
            and bool(np.all(term.factor == 1))
        )
        rows = []
        for side in term.sides:
            rows.append(rows_of(side, plain, self.rows, self.owners, self.bends))
            self.rows += len(rows[-1].values)
        block = _Block(term, self.size, self.owners, weight, rule, plain, rows)
        self.blocks.append(block)
        self.size += block.size
        self.owners += block.owners
        return True


def counter_tables(problem: Problem, counters: Counters, quantities: int) -> dict[str, Any]:
    """Make the tables of all counters."""
    sources = [source for block in counters.blocks for source in block.sources]
    entries, tables = _Entries(problem), _NodeTables(problem)
    chosen: list[list[IntArray]] = [[], [], []]
    maps: dict[bytes, int] = {}
    domain, family_domain = [np.zeros((0, problem.nodes), np.int64)], []
    gain = np.zeros(quantities)
    choice_coefficient = np.zeros((len(sources), problem.choices))
    for f, source in enumerate(sources):
        of = source.of
        classes, part = _members(problem, of)
        most = 1.0
        if isinstance(of, Placed):
            key = of.domain.tobytes()
            if key not in maps:
                maps[key] = len(maps)
                domain.append(of.domain[None, :])
            family_domain.append(maps[key])
            line, blocks = blocks_of(problem, classes)
            entries.add(f, blocks, source.start + part[line] * of.domains, of, tables)
            most = tables.largest(of)
        else:
            family_domain.append(-1)
            choice_coefficient[f] = of.coefficient[problem.choice_row]
            _append(chosen, classes, f, source.start + part)
        gain += 4 * np.abs(source.block.weight) * source.steepest * most
    terms = [block.term for block in counters.blocks]
    every_row = [rows.values for block in counters.blocks for rows in block.rows]
    return {
        **_with_rows("entry", sources, entries.tables()),
        **tables.tables(),
        **counters.bends.tables(),
        **_folds(counters),
        **_with_rows("chosen", sources, _sorted_entries("chosen", chosen, problem.classes)),
        "family_shape": np.array([source.shape for source in sources], np.int32),
        "family_fold": np.array([source.fold for source in sources], np.int32),
        "family_plain": np.array([source.block.plain for source in sources], bool),
        "family_domain": np.array(family_domain, np.int32),
        "family_half": np.array([source.half for source in sources], np.int64),
        "family_start": np.array([source.start for source in sources], np.int64),
        "family_row": np.array([source.rows.first for source in sources], np.int64),
        "family_width": np.array([source.rows.width for source in sources], np.int64),
        "family_idle": np.array([source.idle for source in sources], bool),
        "domain": np.concatenate(domain).astype(np.int32),
        "choice_coefficient": choice_coefficient,
        "counter_total": np.array([counters.size], np.int64),
        "counter_row": np.concatenate([np.zeros((0, 4)), *every_row]),
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
            [0 if block.rule else FOLD[block.term.outer] for block in counters.blocks], np.int32
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


def _with_rows(name: str, sources: list[_Source], entries: dict[str, Any]) -> dict[str, Any]:
    """Entries with the rows of the counters that they reach first."""
    lines = [(source.rows.first, source.start, source.rows.width) for source in sources]
    of_family = np.array(lines, np.int64).reshape(-1, 3)
    row, start, width = of_family[entries[f"{name}_family"]].T
    return {**entries, f"{name}_row": row + (entries[f"{name}_base"] - start) // width}


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
    return line, numbered(count) + first[line]


def _append(entries: list[list[IntArray]], owners: IntArray, family: int, *more: IntArray) -> None:
    for column, values in zip(entries, (owners, np.full(owners.size, family), *more), strict=True):
        column.append(values)


@dataclass
class _NodeTables:
    """Tables by node of what replicas add, each once."""

    problem: Problem
    start: dict[int, int] = field(default_factory=dict)
    line: dict[bytes, int] = field(default_factory=dict)
    values: list[IntArray] = field(default_factory=list)
    columns: list[IntArray] = field(default_factory=list)
    size: int = 0

    def of(self, part: Part) -> tuple[int, int]:
        """Where the values of a table start, and the line of its columns."""
        if id(part) not in self.start:
            self.start[id(part)] = self.size
            self.values.append(part.values.ravel())
            self.size += part.values.size
        column = part.column[self.problem.node_classes.node]
        if column.tobytes() not in self.line:
            self.line[column.tobytes()] = len(self.line)
            self.columns.append(column)
        return self.start[id(part)], self.line[column.tobytes()]

    def largest(self, placed: Placed) -> float:
        """The most that a replica adds in absolute value, at least 1."""
        own = placed.coefficient.base[self.problem.block_row]
        every = [own, *(part.values.ravel() for part in placed.coefficient.parts)]
        return max(float(np.abs(values * placed.scale).max(initial=1)) for values in every)

    def tables(self) -> dict[str, Any]:
        """The arrays of all tables."""
        nodes = self.problem.nodes
        return {
            "node_value": _flat(self.values, np.float64),
            "node_column": np.array(self.columns, np.int32).reshape(len(self.columns), nodes),
        }


class _Entries:
    """What a replica of each block adds to counters, and to which."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.columns: list[list[IntArray]] = [[] for _ in range(7)]

    def add(
        self, family: int, blocks: IntArray, base: IntArray, placed: Placed, tables: _NodeTables
    ) -> None:
        """Add the contribution of some blocks, of which each has a first counter."""
        row = self.problem.block_row[blocks]
        amount = placed.coefficient.base[row] * placed.scale
        table, line = np.full(blocks.size, -1, np.int64), np.zeros(blocks.size, np.int64)
        for part in placed.coefficient.parts:
            spoken = np.flatnonzero(part.index[row] >= 0)
            start, line[spoken] = tables.of(part)
            table[spoken] = start + part.index[row[spoken]] * part.values.shape[1]
            amount[spoken] = placed.scale
        staying = np.zeros_like(amount) if placed.arrivals_only else amount
        _append(self.columns, blocks, family, base, staying, amount, table, line)

    def tables(self) -> dict[str, Any]:
        """Entries by block that change something."""
        of_block, family, base, stay, arrive, table, line = (
            _flat(column, np.int64) for column in self.columns
        )
        kept = np.flatnonzero((stay != 0) | (arrive != 0))
        kept = kept[np.argsort(of_block[kept], kind="stable")]
        start = np.searchsorted(of_block[kept], np.arange(self.problem.blocks + 1))
        return {
            "entry_start": start.astype(np.int32),
            "entry_family": family[kept].astype(np.int32),
            "entry_base": base[kept].astype(np.int64),
            "entry_stay": stay[kept].astype(np.float64),
            "entry_arrive": arrive[kept].astype(np.float64),
            "entry_table": table[kept].astype(np.int64),
            "entry_map": line[kept].astype(np.int32),
        }


def _folds(counters: Counters) -> dict[str, Any]:
    """The counters of each owner of which the largest or smallest counts."""
    owner, counter = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in counters.blocks:
        term = block.term
        if term.reduce != "sum" and term.owners < term.factor.size:
            owner.append(block.first_owner + term.owner)
            counter.append(block.start + np.arange(term.factor.size))
    of_owner, of_counter = np.concatenate(owner), np.concatenate(counter)
    order = np.argsort(of_owner, kind="stable")
    start = np.searchsorted(of_owner[order], np.arange(counters.owners + 1))
    return {
        "fold_start": start.astype(np.int64),
        "fold_counter": of_counter[order].astype(np.int32),
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


def _bounds(block: _Block) -> IntArray:
    limit = block.term.limit
    return np.zeros(block.owners, np.int64) if limit is None or block.plain else limit.bound
