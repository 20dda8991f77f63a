"""Relax and fix: decide a few nodes at a time while all that is left may be fractional.

Where capacities bind, a solution is good if nearly every node is filled without waste. One node
after the other is filled exactly, by a small model in which only what runs on that node is whole;
what remains is priced anew by its linear relaxation, and columns that are dear at these prices
stay out. Waste is left to the last nodes only, which are decided together (relax-and-fix: Pochet
and Wolsey 2006, Production Planning by Mixed Integer Programming, section 3.6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.milp import run_highs
from optalloc.engines.protocol import Clock, IntArray
from optalloc.engines.reducing import Reduced
from optalloc.engines.repairing import Repaired, Small, by_cpsat, pass_model
from optalloc.formulation.model import INFINITY

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CHEAPEST = 4
"""Columns left to each one that the relaxation uses, on average, by reduced cost."""
STEP_COLUMNS, STEP_SECONDS = 60, 2.0
"""Whole columns of a step, about, and the time it may take."""
PACE = 1.5
"""A step may take so many times its part of the time that is left, be it optimal then or not."""
LAST_COLUMNS, LAST_PARTS, LAST_SECONDS = 200, 3, 2.0
"""What is decided together at the end: so many columns, or parts if that is more."""
QUANTUM, WASTE = 0.9, 1e-4
"""A step may miss its optimum by less than a unit, or by its share of this part of the value."""
TRIAL, LATE = 0.2, 4.0
"""Part of the time after which a dive that would need so many times its time is given up."""
USED = 1e-6


@dataclass(frozen=True)
class _Priced:
    """Optimum of a relaxation: column values, reduced costs, objective."""

    values: FloatArray
    price: FloatArray
    objective: float


def by_parts(small: Small, seconds: float, seed: int, deterministic: bool) -> Repaired | None:
    """Solve by deciding the parts of a small model in random order; never a proof.

    None if the time did not suffice or the last parts do not fit; the hint, where there is one, if
    nothing as good can be found this way.
    """
    del deterministic  # The clock decides how far a step goes.
    return _Dive(small, np.random.default_rng(seed)).run(Clock(seconds))


class _Dive:
    """One way down: `values` of the columns that are decided, which are no longer `open`."""

    def __init__(self, small: Small, rng: np.random.Generator) -> None:
        self.small, self.rng = small, rng
        self.relaxed = _Relaxed(small)
        self.unit = max(int(np.gcd.reduce(small.cost)), 1)
        self.values = np.zeros(small.lower.size, np.int64)
        self.open = np.ones(small.lower.size, bool)
        self.decision = np.arange(small.lower.size) < small.decisions
        self.parts: IntArray = rng.permutation(np.unique(small.part[small.part >= 0]))
        self.most_part = int(small.part.max(initial=0))

    def run(self, clock: Clock) -> Repaired | None:
        """Go down to the end."""
        parts = self.parts.size
        while not self._too_slow(parts - self.parts.size, parts, clock):
            priced = self.relaxed.solve(clock.left)
            if priced is None:
                return None
            if self._too_dear(priced.objective):
                return self._unchanged(clock)
            self._close()
            if self._few_left():
                return self._finish(clock)
            if not self._step(priced, clock):
                return self._unchanged(clock)
        return None

    def _too_slow(self, done: int, parts: int, clock: Clock) -> bool:
        """Whether, after a while, the pace says that the end is far beyond the time."""
        judged = clock.passed > TRIAL * clock.limit
        return clock.left <= 0 or (judged and clock.passed * parts > LATE * clock.limit * done)

    def _too_dear(self, objective: float) -> bool:
        most = self.small.most
        return most is not None and bool(objective > most + 1e-6 * max(abs(most), 1))

    def _unchanged(self, clock: Clock) -> Repaired | None:
        hint = self.small.hint
        return None if hint is None else Repaired(hint, True, clock.passed)

    def _close(self) -> None:
        """Decide columns for which what is decided leaves no room."""
        shut = self.open & (largest(self.small, self.values, self.open) <= self.small.lower)
        self._decide(shut, self.small.lower)

    def _few_left(self) -> bool:
        left = np.count_nonzero(self.open & self.decision)
        return bool(left <= LAST_COLUMNS or self.parts.size <= LAST_PARTS)

    def _step(self, priced: _Priced, clock: Clock) -> bool:
        """Decide the next parts; whether that went well."""
        kept = self._affordable(priced)
        waste = max(QUANTUM * self.unit, WASTE * abs(priced.objective) / self.parts.size)
        taken = self._next_parts(kept)
        whole = self.small.integer & np.isin(self.small.part, taken)
        base = np.where(self.open, np.rint(priced.values).astype(np.int64), self.values)
        part, index = narrowed(self.small, base, kept)
        steps = 1 + self.parts.size / max(taken.size, 1)
        seconds = min(STEP_SECONDS, PACE * max(clock.left - LAST_SECONDS, 0) / steps)
        highs = _highs(part, whole[index], seconds, waste)
        run_highs(highs)
        found = _values_of(highs)
        if found is None:
            return False
        values = base.copy()
        values[index] = np.rint(found).astype(np.int64)
        self._decide(self.open & whole, values)
        return True

    def _affordable(self, priced: _Priced) -> BoolArray:
        """Open columns without the decisions that are dear, which stay as relaxed: at a bound."""
        judged = self.open & self.decision & (self.small.part >= 0)
        used = np.abs(priced.values - self.small.lower) > USED
        price = np.where(used, -np.inf, np.abs(priced.price))[judged]
        most = min(CHEAPEST * int(np.count_nonzero(used & judged)), price.size)
        kept = self.open.copy()
        if 0 < most < price.size:
            kept[judged] = price <= np.partition(price, most - 1)[most - 1]
        return kept

    def _next_parts(self, kept: BoolArray) -> IntArray:
        """Take parts with about `STEP_COLUMNS` columns to decide, leaving some for the end."""
        part = self.small.part[kept & self.decision & (self.small.part >= 0)]
        columns = np.bincount(part, minlength=self.most_part + 1)[self.parts]
        fitting = int(np.searchsorted(np.cumsum(columns), STEP_COLUMNS, side="right"))
        count = max(min(fitting, self.parts.size - LAST_PARTS), 1)
        taken, self.parts = self.parts[:count], self.parts[count:]
        return taken

    def _decide(self, columns: BoolArray, values: IntArray) -> None:
        self.values[columns] = values[columns]
        self.open &= ~columns
        self.relaxed.fix(np.flatnonzero(columns), self.values)

    def _finish(self, clock: Clock) -> Repaired | None:
        """Decide all that is left."""
        last, index = narrowed(self.small, self.values, self.open)
        seconds = min(LAST_SECONDS, clock.left)
        values = self.values.copy()
        if index.size:
            found = by_cpsat(last, seconds, int(self.rng.integers(2**30)), False)
            if found is None:
                return self._unchanged(clock)
            values[index] = found.values
        return Repaired(values, True, clock.passed)


class _Relaxed:
    """The linear relaxation of a small model, solved from where it was when columns are fixed."""

    def __init__(self, small: Small) -> None:
        whole = np.zeros(small.lower.size, bool)
        self.highs = _highs(small, whole, 0.0)

    def fix(self, columns: IntArray, values: IntArray) -> None:
        """Fix some columns."""
        fixed = values[columns].astype(np.float64)
        self.highs.changeColsBounds(columns.size, columns.astype(np.int32), fixed, fixed)

    def solve(self, seconds: float) -> _Priced | None:
        """Find the optimum; None if there is none, or not in time."""
        self.highs.setOptionValue("time_limit", self.highs.getRunTime() + seconds)
        run_highs(self.highs)
        values = _values_of(self.highs)
        if values is None:
            return None
        price = np.array(self.highs.getSolution().col_dual)
        return _Priced(values, price, self.highs.getInfo().objective_function_value)


def narrowed(small: Small, values: IntArray, kept: BoolArray) -> tuple[Small, IntArray]:
    """Fix all columns but the kept ones; the smaller model, and where its columns were."""
    reduced, index = small.reduced, np.flatnonzero(kept)
    row = np.repeat(np.arange(reduced.low.size), np.diff(reduced.start))
    entry = kept[reduced.column]
    paid = reduced.value[~entry] * values[reduced.column[~entry]].astype(np.float64)
    fixed = np.bincount(row[~entry], paid, reduced.low.size)
    number = np.cumsum(kept) - 1
    rows, first = np.unique(row[entry], return_index=True)
    less = np.rint(fixed[rows]).astype(np.int64)
    low, high = reduced.low[rows], reduced.high[rows]
    cost = int(small.cost[~kept] @ values[~kept])
    return replace(
        small,
        reduced=Reduced(
            reduced.columns[index],
            np.append(first, np.count_nonzero(entry)),
            number[reduced.column[entry]],
            reduced.value[entry],
            np.where(low <= -INFINITY, low, low - less),
            np.where(high >= INFINITY, high, high - less),
        ),
        lower=small.lower[index],
        upper=small.upper[index],
        integer=small.integer[index],
        cost=small.cost[index],
        part=small.part[index],
        decisions=int(np.count_nonzero(index < small.decisions)),
        hint=None,
        most=None if small.most is None else small.most - cost,
    ), index  # fmt: skip


def largest(small: Small, values: IntArray, opened: BoolArray) -> IntArray:
    """Largest value of each open column that its rows leave room for, each row taken alone."""
    reduced = small.reduced
    column, value = reduced.column, reduced.value
    row = np.repeat(np.arange(reduced.low.size), np.diff(reduced.start))
    lower = np.where(opened, small.lower, values)
    upper = np.where(opened, small.upper, values)
    least = np.where(value > 0, value * lower[column], value * upper[column]).astype(np.float64)
    room = reduced.high - np.bincount(row, least, reduced.low.size)
    bounded = (value > 0) & (reduced.high[row] < INFINITY)
    most = upper.copy()
    steps = np.floor(room[row[bounded]] / value[bounded] + 1e-9).astype(np.int64)
    np.minimum.at(most, column[bounded], lower[column[bounded]] + steps)
    return most


def _highs(small: Small, whole: BoolArray, seconds: float, waste: float = 0.0) -> Any:
    """Load a model in which some columns are whole."""
    import highspy

    highs: Any = highspy.Highs()
    limit = highspy.kHighsInf if small.most is None else small.most + QUANTUM / 2
    for name, value in (
        ("objective_bound", limit if whole.any() else highspy.kHighsInf),
        ("output_flag", False),
        ("threads", 1),
        ("mip_abs_gap", waste),
        ("mip_rel_gap", 0.0),
        # What its heuristics find in the relaxed rest is not worth their time.
        ("mip_heuristic_effort", 0.0),
        ("time_limit", seconds),
    ):
        highs.setOptionValue(name, value)
    pass_model(highs, small, whole)
    return highs


def _values_of(highs: Any) -> FloatArray | None:
    """Values of the columns if they keep every row, optimal or not."""
    import highspy

    solution = highs.getSolution()
    status = int(highs.getInfo().primal_solution_status)
    if not solution.value_valid or status != int(highspy.SolutionStatus.kSolutionStatusFeasible):
        return None
    return np.array(solution.col_value)


__all__ = ["by_parts", "largest", "narrowed"]
