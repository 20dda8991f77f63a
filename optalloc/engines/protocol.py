"""What an engine is: something that minimises one level of a finished model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.sparse import SparseModel
from optalloc.result import SearchEffort

IntArray = NDArray[np.int64]
Form = Literal["milp", "cpsat", "tables", "classes", "peaks"]
"""What an engine reads: a sparse model in one of two forms, tables of the compiled search, kinds of
nodes against classes of tasks, or tasks on nodes under peaks."""
Ended = Literal["optimal", "infeasible", "stopped"]


class Unsupported(Exception):
    """A form of engine has no words for something in the problem."""


class Subject(Protocol):
    """What an engine works on: arrays that another process can load."""

    @property
    def levels(self) -> int:
        """Number of levels; all are minimised."""
        ...

    def level_value_at(self, level: int, values: IntArray) -> int:
        """Value of a level for the values of an `Incumbent`."""
        ...

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name, from which the class can be made again."""
        ...


@dataclass(frozen=True)
class Job:
    """How to run.

    Parameters
    ----------
    time_limit
        Seconds for all levels together, from `started`; infinite for none.
    margin
        Seconds before the end by which the last word must be said.
    started
        Time (`time.monotonic`, the same in every process) when the job was given.
    threads, seed
        For the solver.
    deterministic
        Only limits that do not depend on the clock; one thread.
    log
        Keep the solver's log.
    hint
        Values of a known solution, as in `Incumbent`.
    """

    time_limit: float = float("inf")
    margin: float = 0.0
    threads: int = 1
    seed: int = 0
    deterministic: bool = False
    log: bool = False
    hint: IntArray | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Incumbent:
    """A better solution: values of the decision columns, or choices and nodes (tables)."""

    values: IntArray


@dataclass(frozen=True)
class Bound:
    """Nothing below `value` exists at a level while the earlier levels keep the `given` values."""

    level: int
    value: int
    given: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The end of a run."""

    ended: Ended
    log: str = ""


Message = Incumbent | Bound | SearchEffort | Finished
Emit = Callable[[Message], None]


@dataclass
class LevelResult:
    """What is known of one level when its run ends."""

    ended: Ended
    values: IntArray | None


class Session(Protocol):
    """A solver with a model loaded."""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Minimise a level while the earlier ones are no worse than `given`."""
        ...

    def offer(self, values: IntArray) -> None:
        """Hear of a better solution found elsewhere, from another thread."""
        ...

    def log(self) -> str:
        """The solver's log so far."""
        ...


class Engine(Protocol):
    """A kind of solver."""

    name: str
    summary: str

    @property
    def form(self) -> Form:
        """What it reads."""
        ...

    needs_start: bool
    """Whether it only improves a solution that is given."""

    def available(self) -> bool:
        """Whether its libraries are installed."""
        ...

    def open(self, model: Any, job: Job) -> Session:
        """Load a `Subject` of the engine's form."""
        ...


LEVEL_SHARE = 0.6
"""Part of the remaining time that an unproven level may take while others wait."""


@dataclass
class Clock:
    """Seconds left of a run."""

    limit: float
    started: float = field(default_factory=time.monotonic)

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds left; never negative."""
        return max(self.limit - self.passed, 0.0)


def run(session: Session, model: Subject, job: Job, emit: Emit) -> Finished:
    """Minimise the levels in order, each held at its best value for the later ones."""
    clock = Clock(job.time_limit - job.margin, job.started)
    if isinstance(model, SparseModel) and not model.columns:
        return _run_empty(model, emit)
    given: list[int] = []
    ended: Ended = "optimal"
    for level in range(max(model.levels, 1)):
        last = level >= model.levels - 1
        seconds = clock.left if last else clock.left * LEVEL_SHARE
        result = session.minimise(level, given, seconds, emit)
        if result.ended == "infeasible" and level == 0:
            return Finished("infeasible", session.log())
        if result.ended != "optimal":
            ended = "stopped"
        if result.values is None or last:
            break
        given.append(model.level_value_at(level, result.values))
    return Finished(ended, session.log())


def _run_empty(model: SparseModel, emit: Emit) -> Finished:
    """Nothing to decide: the constants are the answer, if they keep the rules."""
    nothing = np.zeros(0, np.int64)
    if not model.satisfied(nothing):
        return Finished("infeasible")
    emit(Incumbent(nothing))
    constants = tuple(model.level_constant.tolist())
    for level, value in enumerate(constants):
        emit(Bound(level, value, constants[:level]))
    return Finished("optimal")
