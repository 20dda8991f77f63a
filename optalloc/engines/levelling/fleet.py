"""Tasks on nodes as levelling sees them: what counts in peaks, what must fit, what a move costs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import BASE, FACTOR, OWNER, SEVERAL_HOMES, Tables
from optalloc.engines.protocol import Unsupported

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LARGEST = 1
"""Fold of a term over its owners that takes the largest: see `translating.OUTER`."""


class Fleet(NamedTuple):
    """The arrays. T tasks, N nodes, B blocks, K peaks, D dimensions with a capacity.

    The level is ``constant + sum over k of weight[k] * max over n of factor[n, k] *
    (ground[n, k] + sum of need[t, k] over the tasks t on n)``.

    Parameters
    ----------
    need, ground, factor, weight : (T, K), (N, K), (N, K), (K)
        The peaks: see the formula; a factor is 0 where a peak does not look at a node.
    constant : (1)
        Of the level.
    size, cap : (node kinds, 2 * B + 1, D), (N, D)
        What tasks take of each capacity, as variants (staying, arriving), and what there is.
    node_kind, allowed : (N), (kinds, N)
        Line of `size` for a node, and where a kind of task may run.
    block, kind, home : (T)
        Block, line of `allowed` and present node of each task (negative: none).
    fee, budget : (2 * B), (1)
        What a variant takes of the budget; infinite where there is none.
    """

    need: FloatArray
    ground: FloatArray
    factor: FloatArray
    weight: FloatArray
    constant: FloatArray
    size: FloatArray
    cap: FloatArray
    node_kind: Int32
    allowed: BoolArray
    block: Int32
    kind: Int32
    home: Int32
    fee: FloatArray
    budget: FloatArray

    @property
    def levels(self) -> int:
        """There is one."""
        return 1

    def level_value_at(self, level: int, values: IntArray) -> int:
        """Value of the level for the nodes of all tasks."""
        load = self.ground.copy()
        np.add.at(load, values, self.need)
        return int(self.constant[0] + self.weight @ (self.factor * load).max(axis=0))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name."""
        return self._asdict()

    def mean(self) -> FloatArray:
        """The level of each peak if all nodes that it looks at were equally full, (K)."""
        whole = np.zeros(self.factor.shape)
        np.divide(1.0, self.factor, out=whole, where=self.factor > 0)
        counted = np.where(self.factor > 0, self.ground, 0.0)
        total = self.need.sum(axis=0) + counted.sum(axis=0)
        return np.asarray(total / np.maximum(whole.sum(axis=0), 1e-300), np.float64)

    def least(self) -> FloatArray:
        """The mean level of each peak, or more where a single task is above it anywhere, (K)."""
        lowest = np.array([self.factor[line].min(axis=0, initial=np.inf) for line in self.allowed])
        alone = self.need * np.where(np.isfinite(lowest), lowest, 0.0)[self.kind]
        return np.asarray(np.maximum(self.mean(), alone.max(axis=0)), np.float64)


def fleet_of(tables: Tables) -> Fleet:
    """Read a fleet from the tables of a problem.

    Raises
    ------
    Unsupported
        If there is more to the problem than peaks of nodes, capacities, labels and one budget that
        is linear in the moves.
    """
    _demand(tables.levels == 1, "more than one level")
    _demand(bool(np.all(tables.class_required)), "optional tasks")
    _demand(bool(np.all(np.diff(tables.class_choice) == 1)), "tasks with several rows")
    _demand(bool(np.all(tables.choice_replicas == 1)), "gangs")
    _demand(bool(np.all(tables.class_home != SEVERAL_HOMES)), "tasks that run on several nodes")
    block = tables.choice_block[tables.class_choice[tables.task_class]]
    peaks = _peaks(tables)
    fee, budget = _budget(tables)
    capped = np.flatnonzero(np.isfinite(tables.cap).any(axis=0))
    made = Fleet(
        need=np.stack([need for need, *_ in peaks], axis=1)[block],
        ground=np.stack([ground for _, ground, *_ in peaks], axis=1),
        factor=np.stack([factor for _, _, factor, _ in peaks], axis=1),
        weight=np.array([weight for *_, weight in peaks]),
        constant=np.array([tables.constant[0] + _chosen(tables, 0)]),
        size=tables.size[:, :, capped],
        cap=tables.cap[:, capped] - tables.base[:, capped],
        node_kind=tables.node_kind,
        allowed=tables.allowed,
        block=block,
        kind=tables.block_kind[block],
        home=tables.class_home[tables.task_class],
        fee=fee,
        budget=np.array([budget]),
    )
    _demand(bool(np.all(made.mean() > 0)), "peaks of nothing")
    return made._replace(**{n: np.ascontiguousarray(a) for n, a in made.arrays().items()})


def _demand(kept: bool, otherwise: str) -> None:
    if not kept:
        raise Unsupported(otherwise)


def _chosen(tables: Tables, quantity: int) -> float:
    """What the choices add to a quantity: there is one for each task."""
    return float(tables.choice_cost[quantity][tables.class_choice[tables.task_class]].sum())


def _budget(tables: Tables) -> tuple[FloatArray, float]:
    """What each variant takes of the only limited quantity, and how much of it there is."""
    _demand(not tables.part_quantity.size, "costs by node")
    _demand(not tables.step_weight.any(), "nodes in use")
    soft = tables.weight[:, np.isfinite(tables.threshold).any(axis=0)]
    _demand(not soft.any(), "loads above thresholds")
    _demand(not tables.unary[0].any(), "costs of tasks")
    _demand(tables.constant.size <= 2, "several limits")
    if tables.constant.size < 2:
        return np.zeros(tables.unary.shape[1]), np.inf
    spent = tables.constant[1] + _chosen(tables, 1)
    return tables.unary[1], float(tables.limit[1] - spent)


def _peaks(tables: Tables) -> list[tuple[FloatArray, FloatArray, FloatArray, float]]:
    """Need of each block, ground and factor of each node, and weight of all peaks that count."""
    _demand(not tables.chosen_family.size, "goals on choices")
    found = []
    for term in range(tables.term_sense.size):
        weight = tables.term_weight[term]
        if tables.term_rho[term] or weight.any():
            alone = not (tables.term_rho[term] or tables.term_sense[term] or weight[1:].any())
            plain = alone and tables.term_outer[term] == LARGEST and weight[0] > 0
            _demand(plain, "goals other than peaks")
            found.append((*_peak(tables, term), float(weight[0])))
    _demand(bool(found), "a level without peaks")
    return found


def _peak(tables: Tables, term: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Need, ground and factor of a peak."""
    of_family = tables.owner_term[tables.counter_row[tables.family_row, OWNER].astype(np.int64)]
    families = np.flatnonzero(of_family == term)
    _demand(families.size == 1, "peaks of sums")
    f = int(families[0])
    start, domain = tables.family_start[f], tables.domain[tables.family_domain[f]]
    mine = tables.entry_family == f
    same = np.array_equal(tables.entry_stay[mine], tables.entry_arrive[mine])
    same &= bool(np.all(tables.entry_table[mine] < 0))
    whole = bool(np.all(tables.entry_base[mine] == start))
    inside = domain >= 0
    rows = tables.rows_of(f)[domain[inside] // tables.family_width[f]]
    single = np.unique(domain[inside]).size == np.count_nonzero(inside)
    plain = tables.family_shape[f] == 0 and bool(np.all(rows[:, FACTOR] >= 0))
    _demand(same and whole and single and plain, "peaks other than loads of nodes")
    need, (ground, factor) = np.zeros(tables.block_kind.size), np.zeros((2, domain.size))
    of_block = np.repeat(np.arange(need.size), np.diff(tables.entry_start))
    np.add.at(need, of_block[mine], tables.entry_arrive[mine])
    _demand(bool(np.all(need >= 0)), "negative loads")
    ground[inside], factor[inside] = rows[:, BASE], rows[:, FACTOR]
    return need, ground, factor
