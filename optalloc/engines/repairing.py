"""Two ways to solve a small model cut out of a large one: CP-SAT and HiGHS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.milp import run_highs
from optalloc.engines.protocol import IntArray
from optalloc.engines.reducing import Reduced
from optalloc.formulation.model import INFINITY

GOOD_ENOUGH = 1e-4
"""Relative gap at which HiGHS ends a repair: the next one is worth more than this proof."""


@dataclass(frozen=True)
class Small:
    """A small model to solve.

    Parameters
    ----------
    reduced
        Its rows and columns.
    lower, upper, integer, cost : (columns,)
        Bounds, integrality and objective.
    part : (columns,)
        Node of which each column speaks; -1 for none.
    decisions
        How many columns, the first ones, are decisions.
    hint : (columns,) or None
        A solution.
    most
        The objective is to be at most this; None for no limit.
    """

    reduced: Reduced
    lower: IntArray
    upper: IntArray
    integer: NDArray[np.bool_]
    cost: IntArray
    part: IntArray
    decisions: int
    hint: IntArray | None
    most: int | None


@dataclass(frozen=True)
class Repaired:
    """A solution of a small model: its column values, whether proven, and the seconds it took.

    Of a deterministic run they are the solver's measure of its work.
    """

    values: IntArray
    proven: bool
    seconds: float


Repair = Callable[[Small, float, int, bool], Repaired | None]


def by_cpsat(small: Small, seconds: float, seed: int, deterministic: bool) -> Repaired | None:
    """Solve with CP-SAT on one thread."""
    from ortools.sat.python import cp_model

    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.num_workers = 1
    parameters.catch_sigint_signal = False
    parameters.random_seed = seed
    if deterministic:
        parameters.max_deterministic_time = seconds
    else:
        parameters.max_time_in_seconds = seconds
    status = solver.solve(_cpsat_model(small))
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    values = np.array(list(solver.response_proto.solution), np.int64)
    work = solver.response_proto.deterministic_time if deterministic else solver.wall_time
    return Repaired(values, status == cp_model.OPTIMAL, work)


def _cpsat_model(small: Small) -> Any:
    from ortools.sat.python import cp_model

    loaded, reduced = cp_model.CpModel(), small.reduced
    proto = loaded.proto
    for bounds in zip(small.lower.tolist(), small.upper.tolist(), strict=True):
        proto.variables.add().domain.extend(bounds)
    columns, values = reduced.column.tolist(), reduced.value.tolist()
    starts = reduced.start.tolist()
    for i, limits in enumerate(zip(reduced.low.tolist(), reduced.high.tolist(), strict=True)):
        linear = proto.constraints.add().linear
        linear.vars.extend(columns[starts[i] : starts[i + 1]])
        linear.coeffs.extend(values[starts[i] : starts[i + 1]])
        linear.domain.extend(limits)
    used = np.flatnonzero(small.cost)
    proto.objective.vars.extend(used.tolist())
    proto.objective.coeffs.extend(small.cost[used].tolist())
    if small.hint is not None:
        proto.solution_hint.vars.extend(range(small.hint.size))
        proto.solution_hint.values.extend(small.hint.tolist())
    if small.most is not None:
        proto.objective.domain.extend((-INFINITY, small.most))
    return loaded


def by_highs(small: Small, seconds: float, seed: int, deterministic: bool) -> Repaired | None:
    """Solve with HiGHS on one thread."""
    import highspy

    started = time.monotonic()
    highs: Any = highspy.Highs()
    for name, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", seed),
        ("mip_rel_gap", GOOD_ENOUGH),
        ("time_limit", seconds),
    ):
        highs.setOptionValue(name, value)
    pass_model(highs, small, small.integer)
    if small.hint is not None:
        index = np.arange(small.hint.size, dtype=np.int32)
        highs.setSolution(small.hint.size, index, small.hint.astype(np.float64))
    run_highs(highs)
    solution = highs.getSolution()
    feasible = highs.getInfo().primal_solution_status == int(
        highspy.SolutionStatus.kSolutionStatusFeasible
    )
    if not feasible or not solution.value_valid:
        return None
    values = np.rint(np.array(solution.col_value)).astype(np.int64)
    if not kept(small, values):
        return None
    proven = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Repaired(values, proven, time.monotonic() - started)


def pass_model(highs: Any, small: Small, whole: NDArray[np.bool_]) -> None:
    """Load a small model, in which some columns are whole, into HiGHS."""
    import highspy

    infinity, reduced = highspy.kHighsInf, small.reduced
    low, high = reduced.low.astype(np.float64), reduced.high.astype(np.float64)
    highs.passModel(
        small.lower.size,
        reduced.low.size,
        reduced.value.size,
        2,  # row-wise
        1,  # minimise
        0.0,
        small.cost.astype(np.float64),
        small.lower.astype(np.float64),
        small.upper.astype(np.float64),
        np.where(reduced.low <= -INFINITY, -infinity, low),
        np.where(reduced.high >= INFINITY, infinity, high),
        reduced.start[:-1].astype(np.int32),
        reduced.column.astype(np.int32),
        reduced.value.astype(np.float64),
        whole.astype(np.int32),
    )


def kept(small: Small, values: IntArray) -> bool:
    """Whether rounded values keep every row and bound."""
    if np.any(values < small.lower) or np.any(values > small.upper):
        return False
    reduced = small.reduced
    if not reduced.low.size:
        return True
    total = np.add.reduceat(reduced.value * values[reduced.column], reduced.start[:-1])
    return bool(np.all(total >= reduced.low) and np.all(total <= reduced.high))
