"""A placement under search: the records of one problem, seen from Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local import changing, walk, whole
from optalloc.engines.local.rows import Rows, new_rows
from optalloc.engines.local.state import State, new_state
from optalloc.engines.local.structs import by_reference
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import Walk, new_walk

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

HISTORY = ("away", "away_at", "first", "later", "sooner", "stamp", "ticks")
"""Parts of a record that depend on how it came about: the order of its lists, and times."""


def focus(tables: Tables, level: int, given: Sequence[int]) -> Tables:
    """Make a level the first quantity, and the earlier ones and the limits those that follow."""
    levels = tables.levels
    kept = [level, *range(len(given)), *range(levels, tables.constant.size)]
    limit = np.concatenate([[np.inf], given, tables.limit[levels:]])
    place = {q: i for i, q in enumerate(kept)}
    parts = [p for p, q in enumerate(tables.part_quantity.tolist()) if q in place]
    return tables._replace(
        weight=tables.weight[kept],
        step_weight=tables.step_weight[kept],
        unary=tables.unary[kept],
        part_quantity=np.array([place[tables.part_quantity[p]] for p in parts], np.int32),
        part_index=tables.part_index[parts],
        part_column=tables.part_column[parts],
        part_start=tables.part_start[[*parts, -1]] if parts else np.zeros(1, np.int64),
        part_stride=tables.part_stride[parts],
        choice_cost=tables.choice_cost[kept],
        term_weight=np.ascontiguousarray(tables.term_weight[:, kept]),
        counter_gain=tables.counter_gain[kept[:1]],
        constant=tables.constant[kept],
        limit=limit.astype(np.float64),
    )


def totals(tables: Tables, values: IntArray) -> FloatArray:
    """Evaluate all quantities afresh, for choices followed by nodes."""
    return Placed(tables, 0, values).state.total.copy()


class Placed:
    """A placement under evaluation: the records, and how compiled functions take them."""

    def __init__(self, tables: Tables, seed: int, values: IntArray | None) -> None:
        self._take(tables, new_state(tables), new_walk(tables, seed))
        self.go(values)

    @classmethod
    def of(cls, tables: Tables, state: State, walk: Walk) -> Placed:
        """Take over records as they are."""
        made = cls.__new__(cls)
        made._take(tables, state, walk)
        return made

    def _take(self, tables: Tables, state: State, walk: Walk) -> None:
        self.tables, self.state, self.walk = tables, state, walk
        self.compiled = by_reference(tables), by_reference(state), by_reference(walk)

    @cached_property
    def rows(self) -> Rows:
        """Rows of candidates, made when they are asked for."""
        return new_rows(self.tables)

    @cached_property
    def walking(self) -> tuple[Tables, State, Walk, Rows]:
        """All records as compiled functions take them."""
        return (*self.compiled, by_reference(self.rows))

    def go(self, values: IntArray | None) -> None:
        """Leave everything out but what is placed by some values."""
        changing.clear(*self.compiled[:2])
        if values is not None:
            tasks = self.tables.task_class.size
            choice, node = values[:tasks].astype(np.int32), values[tasks:].astype(np.int32)
            whole.load(*self.compiled, choice, node)

    def values(self) -> IntArray:
        """The placement as values: the tasks' choices, then the slots' nodes."""
        return np.concatenate([self.state.choice, self.state.node]).astype(np.int64)

    def complete(self) -> None:
        """Place what must run and does not."""
        whole.complete(*self.compiled)

    def recheck(self) -> None:
        """Make the record afresh and compare.

        Raises
        ------
        AssertionError
            When a part of the record is not what the placement says; the message names it.
        """
        afresh = Placed(self.tables, 0, None)
        afresh.state.dear[:] = self.state.dear
        afresh.go(self.values())
        for name in self.state._fields:
            mine, new = getattr(self.state, name), getattr(afresh.state, name)
            if name not in HISTORY:
                assert np.array_equal(mine, new), f"{name} is not what the placement says"

    def best(self) -> IntArray:
        """The best placement so far, as values."""
        choice, node = np.empty_like(self.state.choice), np.empty_like(self.state.node)
        walk.recall(*self.compiled[1:], choice, node)
        return np.concatenate([choice, node]).astype(np.int64)
