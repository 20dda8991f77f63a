"""What `solve` returns: a verified placement, what is proven about it and why the run stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Sense

Status = Literal["optimal", "feasible", "infeasible", "unknown"]
StoppedBy = Literal["proof", "time", "memory", "gap", "iterations", "interrupted"]


@dataclass(frozen=True)
class LevelResult:
    """One level of the objective.

    Parameters
    ----------
    name, sense, unit
        As in the objective.
    value
        Scored by the independent checker; None without a placement.
    bound
        Proven: no placement is better (given the values of the earlier levels); None if unknown.
    gap
        ``|value - bound| / max(one quantum, |value|)``.
    proven
        The bound equals the value in quanta.
    conditional
        The bound presumes the value of an earlier level that is not itself proven.
    """

    name: str
    sense: Sense
    unit: str
    value: float | None
    bound: float | None
    gap: float | None
    proven: bool
    conditional: bool


@dataclass(frozen=True)
class SearchEffort:
    """What local searches did in one run, all workers together.

    Parameters
    ----------
    evaluations
        Candidate moves that were priced: the complete change of all levels, and whether rules
        are kept.
    early
        Those among them that were rejected before every term was looked at.
    moves
        Moves that were made.
    seconds
        Time spent, added up over the workers.
    """

    evaluations: int
    early: int
    moves: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Evaluations per second of one worker."""
        return self.evaluations / self.seconds if self.seconds > 0 else 0.0

    def __add__(self, other: SearchEffort) -> SearchEffort:
        return SearchEffort(
            self.evaluations + other.evaluations,
            self.early + other.early,
            self.moves + other.moves,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class Reason:
    """Why a task is left out, or why an instance is infeasible, in the domain's words."""

    task: str
    message: str


@dataclass(frozen=True)
class Result:
    """The answer to one `solve`.

    Parameters
    ----------
    instance
        What was solved.
    status
        What is proven: ``optimal`` (every level), ``feasible``, ``infeasible`` or ``unknown``.
    stopped_by
        What ended the run: ``proof``, ``time``, ``memory``, ``gap``, ``iterations`` or
        ``interrupted``.
    placement
        The best verified placement; None if there is none.
    levels
        Value, bound and gap of each level.
    terms
        Value of every policy, in its unit, scored by the independent checker.
    engine
        The engine that found the placement.
    wall_s
        Seconds from call to return.
    rejected
        Answers of engines that failed the independent check and were dropped.
    reasons
        For an infeasible instance why; for a partial placement why each task is left out.
    failures
        Engines that failed although an answer was found, and how.
    log
        The engines' logs, on request.
    search
        What local searches did; None if none ran.
    """

    instance: Instance
    status: Status
    stopped_by: StoppedBy
    placement: Placement | None
    levels: tuple[LevelResult, ...]
    terms: dict[str, float]
    engine: str
    wall_s: float
    rejected: int = 0
    reasons: tuple[Reason, ...] = ()
    failures: tuple[str, ...] = ()
    log: str = field(default="", repr=False)
    search: SearchEffort | None = None

    @property
    def verified(self) -> bool:
        """Whether there is a placement; it has always passed the independent check."""
        return self.placement is not None

    @property
    def open_level(self) -> LevelResult | None:
        """The first level that is not proven, or the last one if all are."""
        return next((lv for lv in self.levels if not lv.proven), (self.levels or (None,))[-1])

    @property
    def objective(self) -> float | None:
        """Value of the open level."""
        return self.open_level.value if self.open_level else None

    @property
    def bound(self) -> float | None:
        """Bound of the open level."""
        return self.open_level.bound if self.open_level else None

    @property
    def gap(self) -> float | None:
        """Gap of the open level."""
        return self.open_level.gap if self.open_level else None

    @property
    def assignment(self) -> dict[str, dict[str, int]]:
        """Replicas of each placed task by node: ``{"job/0": {"node/3": 2}}``."""
        from optalloc.solution import name_placement

        if self.placement is None:
            return {}
        named = name_placement(self.instance, self.placement)
        return {task: dict(placed.nodes) for task, placed in named.items()}

    @property
    def metrics(self) -> dict[str, float]:
        """Samples/s, watts, samples per joule, FLOP/s per watt ...: see `optalloc.metrics`."""
        from optalloc.metrics import metrics

        return {} if self.placement is None else metrics(self.instance, self.placement)

    def summary(self) -> dict[str, Any]:
        """The result as plain values for JSON."""
        return {
            "status": self.status,
            "objective": self.objective,
            "bound": self.bound,
            "gap": self.gap,
            "wall_s": round(self.wall_s, 4),
            "engine": self.engine,
            "stopped_by": self.stopped_by,
            "verified": self.verified,
            "rejected": self.rejected,
            "levels": [
                {
                    "name": lv.name,
                    "sense": lv.sense,
                    "unit": lv.unit,
                    "value": lv.value,
                    "bound": lv.bound,
                    "gap": lv.gap,
                    "proven": lv.proven,
                    "conditional": lv.conditional,
                }
                for lv in self.levels
            ],
            "terms": self.terms,
            "metrics": self.metrics,
            "failures": list(self.failures),
            "reasons": [{"task": r.task, "message": r.message} for r in self.reasons],
            "search": None if self.search is None else asdict(self.search),
        }
