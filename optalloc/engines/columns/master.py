"""The linear program over contents of nodes: how often each, so that every replica has a place.

``min sum of price * l + cost * y`` with ``sum of content[b] * l >= sum of replicas * y`` for every
block b, ``sum of l <= nodes`` for every kind and ``sum of y = count`` (at most, for optional
tasks) for every class. The duals of the first rows say what a replica of each block is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.tables import MISSING, ClassTables

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

DUAL, PRIMAL, DEVEX = 1, 4, 1
"""Numbers of the dual and the primal simplex method and of devex pricing, as HiGHS has them."""


@dataclass(frozen=True)
class Solved:
    """A solution of the linear program.

    Parameters
    ----------
    value
        Of the objective.
    missing
        Replicas without a place.
    worth : (B)
        Dual of each block.
    rent : (T)
        What one more node of a kind would save.
    tasks : (C)
        Tasks in each choice.
    often : (contents)
        How often each content is taken.
    """

    value: float
    missing: float
    worth: FloatArray
    rent: FloatArray
    tasks: FloatArray
    often: FloatArray


@dataclass
class Master:
    """The program, to which contents are added."""

    tables: ClassTables
    kind: list[int] = field(default_factory=list)
    content: list[IntArray] = field(default_factory=list)
    _known: set[tuple[int, bytes]] = field(default_factory=set)

    def __post_init__(self) -> None:
        import highspy

        self._solver = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("threads", 1)
        self._solver.setOptionValue("simplex_primal_edge_weight_strategy", DEVEX)
        self._solver.passModel(self._empty())
        self._bounds: tuple[bytes, ...] | None = None

    def _empty(self) -> object:
        """The program without contents: choices, and replicas without a place."""
        import highspy

        tables, infinite = self.tables, highspy.kHighsInf
        blocks, kinds, choices = tables.blocks, tables.kinds, tables.choice_class.size
        classes = tables.class_count.size
        count = tables.class_count.astype(np.float64)
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = choices + blocks, blocks + kinds + classes
        program.col_cost_ = np.concatenate(
            [tables.choice_cost, np.full(blocks, MISSING * max(tables.dearest, 1))]
        ).astype(np.float64)
        program.col_lower_ = np.zeros(choices + blocks)
        program.col_upper_ = np.full(choices + blocks, infinite)
        least = np.where(tables.class_required, count, 0.0)
        program.row_lower_ = np.concatenate([np.zeros(blocks), np.full(kinds, -infinite), least])
        program.row_upper_ = np.concatenate([np.full(blocks, infinite), tables.kind_nodes, count])
        rows = np.stack([tables.choice_block, blocks + kinds + tables.choice_class], axis=1)
        values = np.stack([-tables.choice_replicas, np.ones(choices, np.int64)], axis=1)
        matrix = program.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kColwise
        starts = np.concatenate([2 * np.arange(choices), 2 * choices + np.arange(blocks + 1)])
        matrix.start_ = starts.astype(np.int32)
        matrix.index_ = np.concatenate([rows.ravel(), np.arange(blocks)]).astype(np.int32)
        matrix.value_ = np.concatenate([values.ravel(), np.ones(blocks)]).astype(np.float64)
        return program

    def add(self, kind: IntArray, content: IntArray) -> int:
        """Add contents that are new; how many."""
        index: list[IntArray] = []
        cost: list[float] = []
        for t, replicas in zip(kind.tolist(), content, strict=True):
            key = t, replicas.tobytes()
            if key not in self._known:
                self._known.add(key)
                self.kind.append(t)
                self.content.append(replicas.copy())
                index.append(np.flatnonzero(replicas))
                cost.append(float(self.tables.price[t] + self.tables.unary[t] @ replicas))
        if not cost:
            return 0
        added, first = len(cost), len(self.kind) - len(cost)
        sizes = [inside.size + 1 for inside in index]
        rows = [np.append(b, self.tables.blocks + t) for b, t in
                zip(index, self.kind[first:], strict=True)]  # fmt: skip
        values = [np.append(replicas[b], 1) for b, replicas in
                  zip(index, self.content[first:], strict=True)]  # fmt: skip
        infinite = np.full(added, np.inf)
        self._solver.addCols(
            added,
            np.array(cost),
            np.zeros(added),
            infinite,
            sum(sizes),
            (np.cumsum(sizes) - sizes).astype(np.int32),
            np.concatenate(rows).astype(np.int32),
            np.concatenate(values).astype(np.float64),
        )
        return added

    def keep(self, kept: BoolArray) -> None:
        """Forget contents that are not kept."""
        self._bounds = None
        first = self.tables.choice_class.size + self.tables.blocks
        gone = np.flatnonzero(~kept)
        self._solver.deleteCols(gone.size, (first + gone).astype(np.int32))
        for i in gone.tolist():
            self._known.discard((self.kind[i], self.content[i].tobytes()))
        self.kind = [self.kind[i] for i in np.flatnonzero(kept).tolist()]
        self.content = [self.content[i] for i in np.flatnonzero(kept).tolist()]

    def solve(
        self,
        seconds: float,
        reserve: IntArray | None = None,
        least: IntArray | None = None,
        banned: IntArray | None = None,
    ) -> Solved | None:
        """Solve it; None if time runs out.

        Parameters
        ----------
        seconds
            How long it may take.
        reserve : (T)
            Nodes of each kind that are held back.
        least : (contents)
            How often each content must be taken at least.
        banned
            Contents that must not be taken.
        """
        import highspy

        known = self._bounds is not None
        changed = self._set_bounds(
            self.tables.kind_nodes - (0 if reserve is None else reserve),
            np.zeros(len(self.kind)) if least is None else least.astype(np.float64),
            np.zeros(0, np.int64) if banned is None else banned,
        )
        # Other bounds leave the last solution a dual feasible one, more columns a primal one.
        self._solver.setOptionValue("simplex_strategy", DUAL if changed and known else PRIMAL)
        if np.isfinite(seconds):
            used = self._solver.getRunTime()
            self._solver.setOptionValue("time_limit", used + max(seconds, 0.0))
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self._solver.getSolution()
        x, dual = np.array(solution.col_value), np.array(solution.row_dual)
        blocks, choices = self.tables.blocks, self.tables.choice_class.size
        return Solved(
            float(self._solver.getObjectiveValue()),
            float(x[choices : choices + blocks].sum()),
            np.maximum(dual[:blocks], 0.0),
            np.maximum(-dual[blocks : blocks + self.tables.kinds], 0.0),
            x[:choices],
            x[choices + blocks :],
        )

    def _set_bounds(self, nodes: IntArray, least: FloatArray, banned: IntArray) -> bool:
        """Bound the nodes of each kind, and how often each content is taken; whether that is new.

        New contents that may be taken, and need not, are bounded so from the beginning.
        """
        taken = np.flatnonzero(least)
        bounds = tuple(a.tobytes() for a in (nodes, taken, least[taken], banned))
        if bounds == self._bounds:
            return False
        self._bounds = bounds
        kinds, contents = np.arange(nodes.size), np.arange(least.size)
        self._solver.changeRowsBounds(
            kinds.size,
            (self.tables.blocks + kinds).astype(np.int32),
            np.full(kinds.size, -np.inf),
            nodes.astype(np.float64),
        )
        if least.size:
            first = self.tables.choice_class.size + self.tables.blocks
            most = np.full(contents.size, np.inf)
            most[banned] = 0.0
            self._solver.changeColsBounds(
                contents.size, (first + contents).astype(np.int32), least, most
            )
        return True
