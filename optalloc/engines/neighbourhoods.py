"""Which decision columns the large-neighbourhood search frees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.portfolio import Kind
from optalloc.engines.protocol import IntArray
from optalloc.engines.relaxing import Relaxation, waste
from optalloc.formulation.sparse import SparseModel

FloatArray = NDArray[np.float64]

KINDS = ("nodes", "tasks", "mixed", "moved")
CHEAPEST = (3, 5, 8, 16)
"""How many columns of a class are free, on average, where a relaxation prices them."""


class Neighbourhoods:
    """Chooses free columns of one model.

    Parameters
    ----------
    model
        The model.
    rng
        Source of choices.
    start
        Decision columns of the first known solution: where tasks began is always open to them.
    """

    def __init__(
        self, model: SparseModel, rng: np.random.Generator, start: IntArray | None
    ) -> None:
        self.model, self.rng = model, rng
        self.start = np.zeros(model.decisions, np.int64) if start is None else start
        self.classes = int(model.decision_class.max(initial=-1)) + 1
        self.by_class = np.argsort(model.decision_class, kind="stable")
        self.class_start = np.searchsorted(
            model.decision_class[self.by_class], np.arange(self.classes + 1)
        )
        self.shared = bool(np.any(model.decision_class < 0))
        self.node_of_column, self.node_of_row = _nodes(model)
        self.relaxation: Relaxation | None = None

    def choose(self, kind: Kind, values: IntArray, cost: IntArray) -> IntArray:
        """Choose about ``kind.size`` free decision columns around a solution."""
        size = int(kind.size)
        if self.shared:
            return self._by_shared_nodes(size, values, cost)
        if kind.name == "nodes":
            return self._by_nodes(size, values, cost)
        if kind.name == "mixed":
            return self._mixed(size, values)
        if kind.name == "moved" and self.relaxation is not None:
            return self._moved(size, values, self.relaxation)
        return self._by_tasks(size, values)

    def kernel(self) -> IntArray:
        """All columns that the relaxation uses or finds cheap, and those of the start."""
        if self.shared:
            return np.arange(self.model.decisions)
        classes = np.arange(self.classes)
        return self._cheap(self._columns_of(classes, None, None), None, CHEAPEST[0])

    def _by_nodes(self, size: int, values: IntArray, cost: IntArray) -> IntArray:
        """All that runs on a few nodes may be dealt anew among them (or go back home)."""
        node = self.model.decision_node
        placed = self._placed(values)
        nodes = np.unique(node[placed])
        if not nodes.size:
            return self._by_tasks(size, values)
        per_node = max(placed.size / nodes.size, 1.0)
        count = int(np.clip(round((size / per_node) ** 0.5), 2, nodes.size))
        chosen = self._half_costly(nodes, count, values, cost)
        classes = np.unique(self.model.decision_class[placed[np.isin(node[placed], chosen)]])
        return self._columns_of(self._with_left_out(classes, values), chosen, values)

    def _by_shared_nodes(self, size: int, values: IntArray, cost: IntArray) -> IntArray:
        """Where classes share columns: who runs is open, and all columns of some nodes."""
        node = self.model.decision_node
        nodes = np.unique(node[node >= 0])
        columns = int(np.count_nonzero(node >= 0))
        count = int(np.clip(size * nodes.size // max(columns, 1), min(2, nodes.size), nodes.size))
        chosen = self._half_costly(nodes, count, values, cost)
        return np.flatnonzero((node < 0) | np.isin(node, chosen))

    def _by_tasks(self, size: int, values: IntArray) -> IntArray:
        """Some tasks may go anywhere, or where the relaxation finds it cheap."""
        per_class = max(self.model.decisions / max(self.classes, 1), 1.0)
        cheapest = int(self.rng.choice(CHEAPEST))
        if self.relaxation is not None:
            per_class = min(per_class, cheapest)
        count = int(np.clip(round(size / per_class), min(2, self.classes), self.classes))
        classes = self.rng.choice(self.classes, count, replace=False)
        columns = self._columns_of(classes, None, values)
        return self._cheap(columns, values, cheapest)

    def _mixed(self, size: int, values: IntArray) -> IntArray:
        """Many tasks may go to any of several nodes."""
        node = self.model.decision_node
        nodes = np.unique(node[node >= 0])
        some = min(max(nodes.size // 3, 2), nodes.size)
        chosen = self.rng.choice(nodes, some, replace=False)
        placed = self._placed(values)
        classes = np.unique(self.model.decision_class[placed[np.isin(node[placed], chosen)]])
        cheapest = int(self.rng.choice(CHEAPEST))
        per_class = chosen.size if self.relaxation is None else min(chosen.size, cheapest)
        count = max(size // max(per_class, 1), 2)
        classes = self._with_left_out(self.rng.permutation(classes)[:count], values)
        return self._cheap(self._columns_of(classes, chosen, values), values, cheapest)

    def _moved(self, size: int, values: IntArray, relaxation: Relaxation) -> IntArray:
        """Tasks that are not where the relaxation has them, and some others (Danna et al. 2005)."""
        model = self.model
        apart = np.abs(relaxation.values[: model.decisions] - values[: model.decisions])
        moved = np.unique(model.decision_class[apart > 1e-6])
        others = np.setdiff1d(np.arange(self.classes), moved)
        cheapest = int(self.rng.choice(CHEAPEST))
        count = max(size // cheapest, 2)
        some = self.rng.permutation(moved)[:count]
        rest = self.rng.permutation(others)[: max(count - some.size, 0)]
        classes = np.concatenate([some, rest])
        return self._cheap(self._columns_of(classes, None, values), values, cheapest)

    def _half_costly(
        self, nodes: IntArray, count: int, values: IntArray, cost: IntArray
    ) -> IntArray:
        """Some nodes: half of them by what they cost or waste, half at random."""
        total = self._spent(values, cost)
        drawn = -np.maximum(total[nodes], 0.0) * self.rng.random(nodes.size) ** 2
        hot = nodes[np.argsort(drawn)][: count // 2]
        rest = self.rng.permutation(np.setdiff1d(nodes, hot))
        return np.concatenate([hot, rest])[:count]

    def _spent(self, values: IntArray, cost: IntArray) -> FloatArray:
        """What each node costs; where there is a relaxation, what it costs more than there."""
        nodes = int(self.model.decision_node.max(initial=0)) + 1
        if self.relaxation is None:
            return _by_node(self.node_of_column, cost * values, nodes)
        columns, rows = waste(self.model, self.relaxation, values)
        of_columns = _by_node(self.node_of_column, columns, nodes)
        return of_columns + _by_node(self.node_of_row, rows, nodes)

    def _placed(self, values: IntArray) -> IntArray:
        """Columns that place something."""
        decisions = values[: self.model.decisions]
        return np.flatnonzero((decisions > 0) & (self.model.decision_node >= 0))

    def _with_left_out(self, classes: IntArray, values: IntArray) -> IntArray:
        """Add some tasks that are not placed."""
        placed = np.zeros(self.classes, bool)
        placed[self.model.decision_class[self._placed(values)]] = True
        out = np.flatnonzero(~placed)
        some = self.rng.permutation(out)[: max(classes.size // 2, 3)]
        return np.union1d(classes, some)

    def _columns_of(
        self, classes: IntArray, nodes: IntArray | None, values: IntArray | None
    ) -> IntArray:
        """Columns of some classes on some nodes, where they run and began, and their choices."""
        spans = [self.by_class[self.class_start[c] : self.class_start[c + 1]] for c in classes]
        columns = np.concatenate([np.zeros(0, np.int64), *spans])
        if nodes is None:
            return columns
        node = self.model.decision_node[columns]
        kept = (node < 0) | np.isin(node, nodes) | self._always(columns, values)
        return np.asarray(columns[kept], np.int64)

    def _always(self, columns: IntArray, values: IntArray | None) -> NDArray[np.bool_]:
        """Columns that stay open: in use now or at the start."""
        used = self.start[columns] > 0
        return used if values is None else used | (values[columns] > 0)

    def _cheap(self, columns: IntArray, values: IntArray | None, cheapest: int) -> IntArray:
        """Keep the cheapest columns by the relaxation's prices, so many a class on average."""
        if self.relaxation is None or not columns.size:
            return columns
        price = self.relaxation.price[columns]
        price = np.where(self.relaxation.values[columns] > 1e-6, -np.inf, price)
        price = np.where(self.model.decision_node[columns] < 0, -np.inf, price)
        classes = np.unique(self.model.decision_class[columns]).size
        most = min(classes * cheapest, columns.size)
        limit = np.partition(price, most - 1)[most - 1]
        kept = (price <= limit) | self._always(columns, values)
        return np.asarray(columns[kept], np.int64)


def _by_node(node: IntArray, amount: NDArray[np.generic], nodes: int) -> FloatArray:
    """Add up amounts by node, leaving out those of none."""
    total = np.bincount(node + 1, amount, nodes + 1)
    return np.asarray(total[1:], np.float64)


def _nodes(model: SparseModel) -> tuple[IntArray, IntArray]:
    """Node of which each column, and each row, speaks: its own, or that of all x in it; else -1."""
    node = np.full(model.columns, -1, np.int64)
    node[: model.decisions] = model.decision_node
    row = np.repeat(np.arange(model.rows, dtype=np.int64), np.diff(model.start))
    at = node[model.column]
    lowest = np.full(model.rows, np.iinfo(np.int64).max, np.int64)
    highest = np.full(model.rows, -1, np.int64)
    np.minimum.at(lowest, row[at >= 0], at[at >= 0])
    np.maximum.at(highest, row[at >= 0], at[at >= 0])
    of_row = np.where(lowest == highest, lowest, -1)
    auxiliary = model.column >= model.decisions
    node[model.column[auxiliary]] = of_row[row[auxiliary]]
    return node, of_row
