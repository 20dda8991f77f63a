"""PuLP: the door to CBC and to every other solver that it finds, and to LP and MPS files.

PuLP says "Optimal" for a run that was stopped at its limit, and some of its adapters say so for any
solution, or "Infeasible" for any failure. So nothing that it claims is taken as it stands: a claim
counts only from an adapter that tells the truth about it, only within the time limit, and an
optimum only if the rounded solution keeps every row in integers and has the claimed value. CBC is
run by itself on the file that PuLP writes, because its proofs and bounds are in its log alone.
"""

from __future__ import annotations

import importlib.util
import inspect
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optalloc.engines import _cbc
from optalloc.engines._pulp_model import PulpModel, scaled_objective
from optalloc.engines.protocol import (
    Bound,
    Clock,
    Emit,
    Ended,
    Engine,
    Form,
    Incumbent,
    IntArray,
    Job,
    LevelResult,
)
from optalloc.formulation.encoding import encode
from optalloc.formulation.naming import column_names
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import SparseModel, finish
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.objective import read_objective

FloatArray = NDArray[np.float64]

BUNDLED = "PULP_CBC_CMD"
"""PuLP's name of the CBC that comes with it."""
PREFIX = "pulp:"
CBC_SOLVERS = frozenset({BUNDLED, "COIN_CMD"})
_OPTIMUM = frozenset[Ended]({"optimal"})
_BOTH = frozenset[Ended]({"optimal", "infeasible"})
TRUTHFUL: dict[str, frozenset[Ended]] = {
    "COPT": _BOTH,
    "CPLEX_CMD": _OPTIMUM,
    "CPLEX_PY": _OPTIMUM,
    "GUROBI": _BOTH,
    "HiGHS": _BOTH,
    "HiGHS_CMD": _BOTH,
    "SCIP_CMD": _BOTH,
    "SCIP_PY": _BOTH,
    "XPRESS": _BOTH,
    "XPRESS_PY": _BOTH,
}
"""Which claims of PuLP's adapters are what the solver said, read from their source (PuLP 3.3), of
those that can be told to close the gap; every other adapter's answers count as unproven."""
SEED_OPTION = {"GUROBI": "Seed", "HiGHS": "random_seed"}
"""How the adapters that pass on any option call the seed."""


@dataclass
class PulpSolver:
    """A solver behind PuLP.

    Parameters
    ----------
    name
        Of the engine.
    solver
        PuLP's name of the solver.
    summary
        For people.
    """

    name: str
    solver: str
    summary: str
    form: Form = "milp"
    needs_start: bool = False

    def available(self) -> bool:
        """Whether PuLP and the solver are installed."""
        if importlib.util.find_spec("pulp") is None:
            return False
        if self.solver in CBC_SOLVERS:
            return _cbc_program(self.solver) is not None
        return bool(_adapter(self.solver, {"msg": False}).available())

    def open(self, model: SparseModel, job: Job) -> PulpSession:
        """Load a model into PuLP.

        Raises
        ------
        OptallocError
            When the solver is not installed.
        ModelTooLarge
            When a number of the model has more digits than PuLP writes.
        """
        if not self.available():
            raise OptallocError(f"{self.name} is not installed: {_how_to_install(self.solver)}")
        return PulpSession(self.solver, model, job)


ENGINES: tuple[Engine, ...] = (
    PulpSolver("cbc", BUNDLED, "CBC through PuLP, mixed-integer linear programming"),
)
"""The engines known without asking PuLP; `by_name` finds the others."""


def installed() -> list[str]:
    """Names of the engines whose solvers PuLP finds: ``cbc``, ``pulp:GUROBI_CMD``, ..."""
    if importlib.util.find_spec("pulp") is None:
        return []
    import pulp

    return [_engine_name(solver) for solver in pulp.listSolvers(onlyAvailable=True)]


def by_name(name: str) -> Engine | None:
    """Find an engine, installed or not: ``cbc``, or ``pulp:`` and PuLP's name of any solver."""
    for engine in ENGINES:
        if engine.name == name:
            return engine
    if not name.startswith(PREFIX) or importlib.util.find_spec("pulp") is None:
        return None
    import pulp

    solver = name.removeprefix(PREFIX)
    if solver not in pulp.listSolvers():
        return None
    return PulpSolver(name, solver, f"{solver} through PuLP, mixed-integer linear programming")


def _engine_name(solver: str) -> str:
    return "cbc" if solver == BUNDLED else PREFIX + solver


def _cbc_program(solver: str) -> str | None:
    """Where CBC is: PuLP's own (or any, on platforms for which PuLP brings none), or the user's."""
    import pulp

    bundled = shutil.which(pulp.PULP_CBC_CMD.pulp_cbc_path) if solver == BUNDLED else None
    return bundled or shutil.which("cbc")


def _adapter(solver: str, options: dict[str, Any]) -> Any:
    """Make PuLP's adapter with those of some options that it takes."""
    import pulp

    cls = type(pulp.getSolver(solver, msg=False))
    taken = {*inspect.signature(cls.__init__).parameters, SEED_OPTION.get(solver)}
    return cls(**{key: value for key, value in options.items() if key in taken})


def _how_to_install(solver: str) -> str:
    found = ", ".join(installed()) or "none"
    if solver in CBC_SOLVERS:
        how = "CBC comes with PuLP ('pip install \"pulp>=3.3,<4\"'); else put 'cbc' on the PATH"
    elif solver.endswith("_CMD"):
        how = f"put its command {str(_adapter(solver, {'msg': False}).path)!r} on the PATH"
    else:
        how = "install its Python package (and its licence) into this environment"
    return f"{how}; PuLP finds here: {found}"


@dataclass(frozen=True)
class _Answer:
    """What a solver says: a claim, values of the columns if it has any, its log."""

    claim: Ended
    values: FloatArray | None
    log: str = ""


class PulpSession:
    """A solver behind PuLP with a model loaded."""

    def __init__(self, solver: str, model: SparseModel, job: Job) -> None:
        self.solver = solver
        self.model = model
        self.job = job
        self._clock = Clock(job.time_limit)
        self._loaded = PulpModel(model)
        self._levels_held = 0
        self._logs: list[str] = []
        self._start = job.hint
        self._threads = 1 if job.deterministic else job.threads

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Minimise a level while the earlier ones are no worse than `given`."""
        # PuLP takes long to load a model, and that is part of the job's time.
        clock = Clock(min(seconds, self._clock.left))
        for held in range(self._levels_held, len(given)):
            self._loaded.hold(held, given[held])
        self._levels_held = len(given)
        self._loaded.minimise(level)
        report = _Reporter(self.model, level, tuple(given), emit)
        with tempfile.TemporaryDirectory(prefix="optalloc-") as folder:
            if self.solver in CBC_SOLVERS:
                answer = self._run_cbc(Path(folder), clock, report)
            else:
                answer = self._run_adapter(Path(folder), clock)
        if self.job.log:
            self._logs.append(answer.log)
        return self._judge(level, answer, report)

    def offer(self, values: IntArray) -> None:
        """Ignored: no solver takes solutions through PuLP while it runs."""

    def log(self) -> str:
        """The logs of the solver's runs, one a level."""
        return "\n".join(self._logs)

    def _judge(self, level: int, answer: _Answer, report: _Reporter) -> LevelResult:
        if answer.values is None:
            return LevelResult("infeasible" if answer.claim == "infeasible" else "stopped", None)
        values = np.rint(answer.values).astype(np.int64)
        report.solution(values)
        self._start = values
        exact = self.model.satisfied(values) and report.agree(answer.values, values)
        if answer.claim != "optimal" or not exact:
            return LevelResult("stopped", values)
        report.optimum(values)
        return LevelResult("optimal", values)

    def _run_cbc(self, folder: Path, clock: Clock, report: _Reporter) -> _Answer:
        program = _cbc_program(self.solver)
        assert program is not None, "checked when the session was opened"
        path = folder / "model.mps"
        column = self._loaded.write_mps(path)
        if not clock.left:
            return _Answer("stopped", None)
        start = [] if self._start is None else self._start.tolist()
        command = _cbc.Command(
            program,
            path,
            self._threads,
            self.job.seed,
            [
                (self._loaded.variables[c].name, start[c])
                for c in column.tolist()
                if 0 <= c < len(start)
            ],
        )
        ending = _cbc.run(command, clock.left, report.bound)
        if ending.values is None:
            return _Answer(ending.ended, None, ending.log)
        values = self.model.lower.astype(np.float64)
        values[column[column >= 0]] = ending.values[column >= 0]
        return _Answer(ending.ended, values, ending.log)

    def _run_adapter(self, folder: Path, clock: Clock) -> _Answer:
        import pulp

        self._set_start()
        seconds = clock.left
        log = folder / "log"
        solver = _adapter(self.solver, self._options(seconds, log))
        solver.tmpDir = str(folder)
        own = Clock(seconds)
        if self.solver == "HiGHS":
            # It runs in this process, whose threads another run may have set to another number.
            import highspy

            highspy.Highs.resetGlobalScheduler(True)
        try:
            self._loaded.problem.solve(solver)
        except pulp.PulpError as error:
            raise OptallocError(f"{self.solver} failed: {error}") from error
        problem = self._loaded.problem
        values = self._values(problem.sol_status)
        claim = _claim(self.solver, problem, values) if own.left else "stopped"
        return _Answer(claim, values, log.read_text(errors="replace") if log.exists() else "")

    def _options(self, seconds: float, log: Path) -> dict[str, Any]:
        options: dict[str, Any] = {
            "msg": False,
            "keepFiles": False,
            "gapRel": 0.0,
            # Objectives are integers: half a unit is a proof with room for rounding.
            "gapAbs": 0.5,
            "threads": self._threads,
            "warmStart": self._start is not None,
            SEED_OPTION.get(self.solver, "seed"): self.job.seed,
        }
        if np.isfinite(seconds):
            options["timeLimit"] = seconds
        if self.job.log:
            options["logPath"] = str(log)
        return options

    def _set_start(self) -> None:
        known = [] if self._start is None else self._start.tolist()
        padded = known + [None] * (self.model.columns - len(known))
        for variable, value in zip(self._loaded.variables, padded, strict=True):
            variable.varValue = value

    def _values(self, sol_status: int) -> FloatArray | None:
        """Values that the adapter left: a solution if it says so, or if they keep every row."""
        import pulp

        lower = self.model.lower.tolist()
        values = np.array(
            [
                low if variable.varValue is None else variable.varValue
                for variable, low in zip(self._loaded.variables, lower, strict=True)
            ],
            np.float64,
        )
        if not np.all(np.isfinite(values)):
            return None
        said = sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
        return values if said or self.model.satisfied(np.rint(values).astype(np.int64)) else None


def _claim(solver: str, problem: Any, values: FloatArray | None) -> Ended:
    """What an adapter claims, if that is one of the claims that can be believed."""
    import pulp

    claim: Ended = "stopped"
    if problem.status == pulp.LpStatusInfeasible and values is None:
        claim = "infeasible"
    elif problem.status == pulp.LpStatusOptimal and problem.sol_status == pulp.LpSolutionOptimal:
        claim = "optimal"
    return claim if claim in TRUTHFUL.get(solver, frozenset()) else "stopped"


class _Reporter:
    """Passes on what a run finds, in the quanta of the level."""

    def __init__(self, model: SparseModel, level: int, given: tuple[int, ...], emit: Emit) -> None:
        self.model, self.level, self.given, self.emit = model, level, given, emit
        self.column, self.value, self.constant, self.unit = scaled_objective(model, level)
        self.last: int | None = None

    def bound(self, stated: float) -> None:
        """Pass on a bound on the scaled objective, already rounded outward."""
        self._bound(int(np.ceil(stated)) * self.unit + self.constant)

    def optimum(self, values: IntArray) -> None:
        """Pass on that a solution is optimal."""
        self._bound(int(self.value @ values[self.column]) + self.constant)

    def solution(self, values: IntArray) -> None:
        """Pass on a solution."""
        self.emit(Incumbent(values[: self.model.decisions]))

    def agree(self, stated: FloatArray, values: IntArray) -> bool:
        """Whether rounding left the scaled objective as it was stated."""
        change = (self.value // self.unit) @ (stated - values)[self.column]
        return bool(abs(change) < 0.5)

    def _bound(self, bound: int) -> None:
        if self.last is None or bound > self.last:
            self.last = bound
            self.emit(Bound(self.level, bound, self.given))


def export(
    instance: Instance,
    path: Path,
    objective: str | None = None,
    level: int = 0,
    format: Literal["lp", "mps"] | None = None,
) -> None:
    """Write the mixed-integer linear program of an instance as an LP or MPS file.

    One level of the objective is written, the first one by default, and nothing that holds the
    others. The file's objective is minimised: it is the level in its quanta, with its constant (as
    the cost of the column ``one``, which is always 1), negated where the level is maximised.

    Columns are named ``x(task,node)``, ``x(task,configuration,node)`` where the configurations of
    a task differ in where they fit, and ``y(task,configuration)``; ``stay`` tells replicas that
    stay on their node from those that arrive; identical tasks, merged into one column, appear
    under the name of the first of them.

    Parameters
    ----------
    instance
        What to state.
    path
        The file to write.
    objective
        As for `optalloc.solve`; by default the instance's own.
    level
        Which of the objective's levels, from 0.
    format
        ``lp`` or ``mps``; by default the ending of the path.

    Raises
    ------
    OptallocError
        For a level that the objective does not have, or a format that is neither.
    ModelTooLarge
        When a number has more digits than the file states.
    """
    kind = format or path.suffix.lstrip(".").lower()
    if kind not in ("lp", "mps"):
        raise OptallocError(f"expected a file that ends in .lp or .mps, or a format; got {path}")
    stated = read_objective(instance, objective)
    if not 0 <= level < len(stated.levels):
        raise OptallocError(
            f"expected a level from 0 to {len(stated.levels) - 1} ({stated.text}); got {level}"
        )
    encoding = encode(Problem(instance, stated), "milp")
    model = PulpModel(finish(encoding), column_names(encoding))
    model.state(level)
    if kind == "lp":
        model.problem.writeLP(str(path))
    else:
        model.problem.writeMPS(str(path))
