"""HiGHS, fed from the sparse arrays."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from math import ceil, gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import (
    Bound,
    Clock,
    Emit,
    Form,
    Incumbent,
    IntArray,
    Job,
    LevelResult,
)
from optalloc.formulation.model import INFINITY
from optalloc.formulation.sparse import SparseModel

TINY = 500
"""Columns up to which a known solution makes HiGHS' first heuristic needless."""
BOUND_INTERVAL = 0.1
"""Seconds between reports of the bound."""
WHO_SHARE, WHERE_SHARE = 0.5, 0.5
"""Part of the time to decide who runs, and of what is left then to decide where."""


class Highs:
    """Mixed-integer linear programming with HiGHS."""

    name = "milp"
    summary = "HiGHS, mixed-integer linear programming"
    form: Form = "milp"

    needs_start = False

    def available(self) -> bool:
        """Whether highspy is installed."""
        return importlib.util.find_spec("highspy") is not None

    def open(self, model: SparseModel, job: Job) -> HighsSession:
        """Load a model into HiGHS."""
        return HighsSession(model, job)


class HighsSession:
    """HiGHS with a model loaded."""

    def __init__(self, model: SparseModel, job: Job) -> None:
        import highspy

        self.model = model
        self.job = job
        self._api = highspy
        self._highs: Any = highspy.Highs()
        self._log_file = Path(tempfile.mkstemp(suffix=".log")[1]) if job.log else None
        self._set_options()
        self._pass_model()
        self._levels_held = 0
        self._start = self.told = job.hint
        self._offered: IntArray | None = None

    def _set_options(self) -> None:
        options: dict[str, Any] = {
            "output_flag": self.job.log,
            "log_to_console": False,
            "threads": 1 if self.job.deterministic else self.job.threads,
            "random_seed": self.job.seed,
            "mip_rel_gap": 0.0,
            # Objectives are integers: half a quantum is a proof with room for rounding.
            "mip_abs_gap": 0.5,
        }
        if self._log_file:
            options["log_file"] = str(self._log_file)
        for name, value in options.items():
            self._highs.setOptionValue(name, value)

    def _pass_model(self) -> None:
        model, api = self.model, self._api
        kinds = model.integer.astype(np.int32)
        self._highs.passModel(
            model.columns,
            model.rows,
            model.value.size,
            int(api.MatrixFormat.kRowwise),
            int(api.ObjSense.kMinimize),
            0.0,
            np.zeros(model.columns),
            model.lower.astype(np.float64),
            model.upper.astype(np.float64),
            _limits(model.low, api.kHighsInf),
            _limits(model.high, api.kHighsInf),
            model.start[:-1].astype(np.int32),
            model.column.astype(np.int32),
            model.value.astype(np.float64),
            kinds,
        )

    @property
    def optimal(self) -> Any:
        """HiGHS' status for a proven optimum."""
        return self._api.HighsModelStatus.kOptimal

    def prepare(self, level: int, given: Sequence[int]) -> Any:
        """Hold the earlier levels and set a level's objective, divided by its unit."""
        model, api = self.model, self._api
        for held in range(self._levels_held, len(given)):
            column, value, constant = model.objective(held)
            self._highs.addRow(
                -api.kHighsInf,
                float(given[held] - constant),
                column.size,
                column.astype(np.int32),
                value.astype(np.float64),
            )
        self._levels_held = len(given)
        column, value, _ = model.objective(level)
        cost = np.zeros(model.columns)
        cost[column] = value // _unit(value)
        self._highs.changeColsCost(model.columns, np.arange(model.columns, dtype=np.int32), cost)
        return self._highs

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Minimise a level while the earlier ones are no worse than `given`."""
        clock = Clock(seconds)
        self.prepare(level, given)
        self._pass_start()
        _, value, constant = self.model.objective(level)
        run = _Run(self, level, tuple(given), _unit(value), constant, emit)
        result = self._who_then_where(run, clock) if self.model.who.any() else None
        if result is None:
            result = run.solve(clock.left)
        if result.values is not None:
            self._start = result.values
        return result

    def _who_then_where(self, run: _Run, clock: Clock) -> LevelResult | None:
        """Decide who runs as if places could be shared out at will, then where.

        There are few ways to say who runs, and many that differ in nothing but where: the first
        step proves a bound that all of them keep, and where it can be kept all is done. None where
        the whole model has to be solved.
        """
        who = np.flatnonzero(self.model.who)
        where = np.flatnonzero(~self.model.who)
        seconds = clock.left * WHO_SHARE
        self._make_integer(where, False)
        found = run.solve(seconds, incumbents=False)
        self._make_integer(where, True)
        if found.values is None:
            return found if found.ended == "infeasible" else None
        self._hold(who, found.values[who], found.values[who])
        placed = run.solve(min(clock.left * WHERE_SHARE, seconds), bounds=False)
        self._hold(who, self.model.lower[who], self.model.upper[who])
        if placed.values is None:
            return None
        self._start = placed.values
        value = self.model.level_value_at(run.level, placed.values)
        if run.last_bound is not None and run.last_bound >= value:
            return LevelResult("optimal", placed.values)
        self._pass_start()
        return None

    def _make_integer(self, columns: IntArray, integer: bool) -> None:
        kind = self._api.HighsVarType.kInteger if integer else self._api.HighsVarType.kContinuous
        chosen = columns[self.model.integer[columns]].astype(np.int32)
        self._highs.changeColsIntegrality(chosen.size, chosen, np.full(chosen.size, kind))

    def _hold(self, columns: IntArray, lower: IntArray, upper: IntArray) -> None:
        bounds = lower.astype(np.float64), upper.astype(np.float64)
        self._highs.changeColsBounds(columns.size, columns.astype(np.int32), *bounds)

    def _pass_start(self) -> None:
        """Start from the hint, later from the solution of the level before."""
        start = self._start
        # It finds a first solution, and takes longer than all else in a tiny model; in a larger one
        # what it finds helps the proof even where a solution is known.
        jump = start is None or self.model.columns > TINY
        self._highs.setOptionValue("mip_heuristic_run_feasibility_jump", jump)
        if start is not None:
            index = np.arange(start.size, dtype=np.int32)
            self._highs.setSolution(start.size, index, start.astype(np.float64))

    def offer(self, values: IntArray) -> None:
        """Hand HiGHS a better solution while it runs, where the decisions are all its columns."""
        if values.size == self.model.columns:
            self._offered = values

    def take_offer(self) -> IntArray | None:
        """Take what was offered last, once."""
        offered, self._offered = self._offered, None
        return offered

    def log(self) -> str:
        """HiGHS' log."""
        if self._log_file is None:
            return ""
        text = self._log_file.read_text(errors="replace")
        self._log_file.unlink()
        return text


class _Run:
    """One call of the solver, with its callbacks."""

    def __init__(
        self,
        session: HighsSession,
        level: int,
        given: tuple[int, ...],
        unit: int,
        constant: int,
        emit: Emit,
    ) -> None:
        self.session = session
        self.level, self.given = level, given
        self.unit, self.constant = unit, constant
        self.emit = emit
        self.last_bound: int | None = None
        self.last_values: IntArray | None = None
        self.next_report = 0.0
        self.incumbents = self.bounds = True

    def solve(self, seconds: float, incumbents: bool = True, bounds: bool = True) -> LevelResult:
        """Solve the model as it is now; tell what of it holds for the whole one."""
        highs, api = self.session._highs, self.session._api
        self.incumbents, self.bounds = incumbents, bounds
        highs.setOptionValue("time_limit", _seconds(seconds))
        highs.cbMipImprovingSolution.subscribe(self._improved)
        highs.cbMipInterrupt.subscribe(self._progressed)
        highs.cbMipUserSolution.subscribe(self._asked)
        run_highs(highs)
        highs.cbMipImprovingSolution.unsubscribe(self._improved)
        highs.cbMipInterrupt.unsubscribe(self._progressed)
        highs.cbMipUserSolution.unsubscribe(self._asked)
        status = highs.getModelStatus()
        if status in (
            api.HighsModelStatus.kInfeasible,
            api.HighsModelStatus.kUnboundedOrInfeasible,
        ):
            return LevelResult("infeasible", None)
        values = self._solution()
        self._report(highs.getInfo().mip_dual_bound, final=True)
        optimal = status in (api.HighsModelStatus.kOptimal, api.HighsModelStatus.kModelEmpty)
        if optimal and not self.session.model.integer.any():
            self._report(highs.getInfo().objective_function_value, final=True)
        return LevelResult("optimal" if optimal else "stopped", values)

    def _solution(self) -> IntArray | None:
        highs, api = self.session._highs, self.session._api
        solution = highs.getSolution()
        feasible = int(highs.getInfo().primal_solution_status) == int(
            api.SolutionStatus.kSolutionStatusFeasible
        )
        if not feasible or not solution.value_valid:
            return None
        values = _whole(np.array(solution.col_value))
        self._emit(values)
        return values

    def _improved(self, event: Any) -> None:
        self._emit(_whole(np.array(event.data_out.mip_solution)))

    def _asked(self, event: Any) -> None:
        """HiGHS asks for a solution; it checks what it is given."""
        offered = self.session.take_offer() if self.incumbents and self.bounds else None
        if offered is not None:
            event.data_in.setSolution(offered.astype(np.float64))

    def _emit(self, values: IntArray) -> None:
        if not self.incumbents:
            return
        self.last_values = values
        decided, told = values[: self.session.model.decisions], self.session.told
        if told is None or not np.array_equal(decided, told):
            # Rounding can break a row: such an answer is left to the checker and counted there.
            self.session.told = decided
            self.emit(Incumbent(decided))

    def _progressed(self, event: Any) -> None:
        if time.monotonic() >= self.next_report:
            self.next_report = time.monotonic() + BOUND_INTERVAL
            self._report(event.data_out.mip_dual_bound)

    def _report(self, dual: float, final: bool = False) -> None:
        if not self.bounds or not np.isfinite(dual) or abs(dual) > INFINITY:
            return
        # Rounded outward by more than the tolerances of the solver can hide.
        slack = min(1e-6 + 1e-9 * abs(dual), 0.45)
        bound = ceil(dual - slack) * self.unit + self.constant
        if self.last_values is not None:
            # Floats hide whole units of large values: a solution's own value is exact.
            bound = min(bound, self.session.model.level_value_at(self.level, self.last_values))
        if self.last_bound is None or bound > self.last_bound:
            self.last_bound = bound
            self.emit(Bound(self.level, bound, self.given))


def run_highs(highs: Any) -> None:
    """Run HiGHS; its threads are the process's, so a run with another number starts them anew.

    Raises
    ------
    RuntimeError
        If HiGHS refuses all the same.
    """
    import highspy

    if highs.run() == highspy.HighsStatus.kError:
        highspy.Highs.resetGlobalScheduler(True)
        if highs.run() == highspy.HighsStatus.kError:
            raise RuntimeError(f"HiGHS failed: {highs.getModelStatus()}")


def _unit(value: IntArray) -> int:
    """Greatest common divisor of an objective's coefficients."""
    return max(gcd(*value.tolist()), 1)


def _whole(values: NDArray[np.float64]) -> IntArray:
    return np.rint(values).astype(np.int64)


def _limits(limits: IntArray, infinity: float) -> NDArray[np.float64]:
    floats = limits.astype(np.float64)
    floats[limits >= INFINITY] = infinity
    floats[limits <= -INFINITY] = -infinity
    return floats


def _seconds(seconds: float) -> float:
    return min(seconds, 1e9)


ENGINES = (Highs(),)
