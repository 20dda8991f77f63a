"""CP-SAT, fed from the sparse arrays, with its own conditional rows and maxima."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from math import gcd
from typing import Any

import numpy as np

from optalloc.engines.protocol import Bound, Emit, Form, Incumbent, IntArray, Job, LevelResult
from optalloc.formulation.model import INFINITY
from optalloc.formulation.sparse import SparseModel

FREE = 2**62
"""CP-SAT's domains stay within 2**62 in absolute value."""


class CpSat:
    """Constraint programming with OR-Tools' CP-SAT."""

    name = "cpsat"
    summary = "OR-Tools CP-SAT, constraint programming"
    form: Form = "cpsat"

    needs_start = False

    def available(self) -> bool:
        """Whether ortools is installed."""
        return importlib.util.find_spec("ortools") is not None

    def open(self, model: SparseModel, job: Job) -> CpSatSession:
        """Load a model into CP-SAT."""
        return CpSatSession(model, job)


class CpSatSession:
    """CP-SAT with a model loaded."""

    def __init__(self, model: SparseModel, job: Job) -> None:
        self.model = model
        self.job = job
        self._lines: list[str] = []
        self._proto_model = load(model)
        self._levels_held = 0
        if job.hint is not None:
            hint = self._proto_model.proto.solution_hint
            hint.vars.extend(range(job.hint.size))
            hint.values.extend(job.hint.tolist())

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Minimise a level while the earlier ones are no worse than `given`."""
        from ortools.sat.python import cp_model

        self._hold(given)
        unit, constant = self._set_objective(level)
        solver = self._solver(seconds)
        last: list[int] = []

        def report(bound: float) -> None:
            value = round(bound) * unit + constant
            if not last or value > last[-1]:
                last.append(value)
                emit(Bound(level, value, tuple(given)))

        solver.best_bound_callback = report
        status = solver.solve(self._proto_model, _listener(self.model, emit))
        if status == cp_model.MODEL_INVALID:
            raise ValueError(f"CP-SAT refuses the model: {self._proto_model.validate()}")
        if status == cp_model.INFEASIBLE:
            return LevelResult("infeasible", None)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return LevelResult("stopped", None)
        report(solver.best_objective_bound)
        values = np.array(list(solver.response_proto.solution), np.int64)
        emit(Incumbent(values[: self.model.decisions]))
        return LevelResult("optimal" if status == cp_model.OPTIMAL else "stopped", values)

    def offer(self, values: IntArray) -> None:
        """Ignored: CP-SAT takes no solutions while it runs."""

    def log(self) -> str:
        """CP-SAT's log."""
        return "\n".join(self._lines)

    def _hold(self, given: Sequence[int]) -> None:
        for held in range(self._levels_held, len(given)):
            column, value, constant = self.model.objective(held)
            linear = self._proto_model.proto.constraints.add().linear
            linear.vars.extend(column.tolist())
            linear.coeffs.extend(value.tolist())
            linear.domain.extend([-FREE, given[held] - constant])
        self._levels_held = len(given)

    def _set_objective(self, level: int) -> tuple[int, int]:
        proto = self._proto_model.proto
        proto.clear_objective()
        if not self.model.levels:
            return 1, 0
        column, value, constant = self.model.objective(level)
        unit = max(gcd(*value.tolist()), 1)
        proto.objective.vars.extend(column.tolist())
        proto.objective.coeffs.extend((value // unit).tolist())
        return unit, constant

    def _solver(self, seconds: float) -> Any:
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.random_seed = self.job.seed
        parameters.num_workers = 1 if self.job.deterministic else self.job.threads
        parameters.catch_sigint_signal = False
        if self.job.deterministic and np.isfinite(seconds):
            parameters.max_deterministic_time = seconds
        elif np.isfinite(seconds):
            parameters.max_time_in_seconds = seconds
        if self.job.log:
            parameters.log_search_progress = True
            parameters.log_to_stdout = False
            solver.log_callback = self._lines.append
        return solver


def _listener(model: SparseModel, emit: Emit) -> Any:
    """Make a callback that passes on each improving solution."""
    from ortools.sat.python import cp_model

    decisions = model.decisions

    class Listener(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            solution = list(self.response_proto.solution)
            emit(Incumbent(np.array(solution[:decisions], np.int64)))

    return Listener()


def load(model: SparseModel) -> Any:
    """Fill a `CpModel` through its proto: many times cheaper than the expression API."""
    from ortools.sat.python import cp_model

    loaded = cp_model.CpModel()
    proto = loaded.proto
    ranges = list(zip(model.lower.tolist(), model.upper.tolist(), strict=True))
    # Few ranges are different: each is made once and copied.
    variables = {bounds: _variable(*bounds) for bounds in set(ranges)}
    proto.variables.extend([variables[bounds] for bounds in ranges])
    add_constraint = proto.constraints.add
    columns, values = model.column.tolist(), model.value.tolist()
    starts = model.start.tolist()
    # CP-SAT's own literals are c and -c - 1, as here.
    for i, (low, high, literal) in enumerate(
        zip(model.low.tolist(), model.high.tolist(), model.literal.tolist(), strict=True)
    ):
        constraint = add_constraint()
        if literal != INFINITY:
            constraint.enforcement_literal.append(literal)
        linear = constraint.linear
        linear.vars.extend(columns[starts[i] : starts[i + 1]])
        linear.coeffs.extend(values[starts[i] : starts[i + 1]])
        linear.domain.extend((max(low, -FREE), min(high, FREE)))
    for i in range(model.max_target.size):
        _add_maximum(model, i, add_constraint().lin_max)
    return loaded


def _variable(lower: int, upper: int) -> Any:
    from ortools.sat.python import cp_model_helper

    variable = cp_model_helper.IntegerVariableProto()
    variable.domain.extend((lower, upper))
    return variable


def _add_maximum(model: SparseModel, index: int, proto: Any) -> None:
    proto.target.vars.append(int(model.max_target[index]))
    proto.target.coeffs.append(1)
    for e in range(int(model.max_start[index]), int(model.max_start[index + 1])):
        span = slice(int(model.max_entry_start[e]), int(model.max_entry_start[e + 1]))
        expression = proto.exprs.add()
        expression.vars.extend(model.max_column[span].tolist())
        expression.coeffs.extend(model.max_value[span].tolist())
        expression.offset = int(model.max_constant[e])


ENGINES = (CpSat(),)
