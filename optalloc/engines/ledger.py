"""What a run knows so far: the best verified placement and the proven bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optalloc.engines.protocol import Bound
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import Level, Objective
from optalloc.result import LevelResult, SearchEffort
from optalloc.verify import verify

Listener = Callable[["Progress"], None]


@dataclass(frozen=True)
class Progress:
    """A moment of a run: the open level's value, bound and gap, who found the value, the level."""

    wall_s: float
    objective: float | None
    bound: float | None
    gap: float | None
    engine: str
    level: str = ""


@dataclass(frozen=True)
class OpenLevel:
    """A level that is not proven, with its value and bound; smaller is better."""

    level: int
    value: int
    bound: int


@dataclass
class Ledger:
    """Keeps the best placement that passes the checker, and bounds by what they presume.

    Values are those of the checker, turned so that smaller is better.
    """

    instance: Instance
    objective: Objective
    on_progress: Listener | None = None
    started: float = field(default_factory=time.monotonic)
    placement: Placement | None = None
    values: tuple[int, ...] = ()
    terms: tuple[int, ...] = ()
    engine: str = ""
    rejected: int = 0
    rejections: list[str] = field(default_factory=list)
    bounds: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    efforts: dict[int, SearchEffort] = field(default_factory=dict)
    """What each local search did so far."""
    offer_seconds: float = 0.0
    """How long the latest check took."""

    def offer(self, placement: Placement, engine: str, known_good: bool = True) -> bool:
        """Check a placement and keep it if it is the best; whether it is.

        A placement that fails is dropped, and counted where the engine vouched for it.
        """
        if self.placement is not None and placement.equals(self.placement):
            return False
        began = time.monotonic()
        report = verify(self.instance, placement, self.objective)
        self.offer_seconds = time.monotonic() - began
        if not report.feasible:
            if known_good:
                self.rejected += 1
                broken = next(v for v in report.violations if v.hard)
                self.rejections.append(f"{engine}: {broken.message}")
            return False
        values = tuple(_sign(level) * level.value(report.values) for level in self.objective.levels)
        if self.placement is not None and values >= self.values:
            return False
        self.placement, self.values, self.terms = placement, values, report.values
        self.engine = engine
        self._report()
        return True

    def bound(self, message: Bound) -> bool:
        """Hear of a bound; whether it is better than what was known."""
        key = (message.level, message.given)
        if key in self.bounds and message.value <= self.bounds[key]:
            return False
        self.bounds[key] = message.value
        self._report()
        return True

    def best_bound(self, level: int) -> int | None:
        """The best bound that holds at a level given the values of the earlier ones.

        A bound found with looser earlier levels holds for tighter ones.
        """
        held = self.values[:level]
        known = [
            value
            for (at, given), value in self.bounds.items()
            if at == level
            and len(given) == len(held)
            and all(g >= v for g, v in zip(given, held, strict=True))
        ]
        return max(known, default=None)

    @property
    def proven(self) -> bool:
        """Whether every level's value is its bound."""
        return self.placement is not None and all(lv.proven for lv in self.levels())

    def first_open(self) -> OpenLevel | None:
        """Find the first level that is not proven; None if all are, or it has no bound."""
        for level, value in enumerate(self.values):
            bound = self.best_bound(level)
            if bound != value:
                return None if bound is None else OpenLevel(level, value, bound)
        return None

    def levels(self) -> tuple[LevelResult, ...]:
        """Value, bound and gap of every level."""
        results: list[LevelResult] = []
        conditional = False
        for k, level in enumerate(self.objective.levels):
            sign = _sign(level)
            value = sign * self.values[k] if self.values else None
            found = self.best_bound(k) if self.values or k == 0 else None
            bound = None if found is None else sign * found
            proven = value is not None and bound == value and not conditional
            gap = None
            if value is not None and bound is not None:
                gap = abs(value - bound) / max(1, abs(value))
            results.append(
                LevelResult(
                    level.name,
                    level.sense,
                    level.unit,
                    None if value is None else level.stated(value),
                    None if bound is None else level.stated(bound),
                    gap,
                    proven,
                    conditional and bound is not None,
                )
            )
            conditional = conditional or not proven
        return tuple(results)

    @property
    def effort(self) -> SearchEffort | None:
        """What all local searches did together; None if none ran."""
        done = list(self.efforts.values())
        return sum(done[1:], done[0]) if done else None

    def _report(self) -> None:
        if self.on_progress is None:
            return
        levels = self.levels()
        shown = next((lv for lv in levels if not lv.proven), levels[-1] if levels else None)
        if shown is not None:
            elapsed = time.monotonic() - self.started
            self.on_progress(
                Progress(elapsed, shown.value, shown.bound, shown.gap, self.engine, shown.name)
            )


def _sign(level: Level) -> int:
    return 1 if level.sense == "min" else -1
