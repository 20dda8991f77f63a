"""What `pareto` returns: placements that trade one goal for another, and what is proven of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance import text
from optalloc.instance.model import Instance
from optalloc.instance.policy import Sense
from optalloc.result import Reason, Result, Status, StoppedBy

VERSION = 1
"""Version of the file format."""


@dataclass(frozen=True)
class Axis:
    """One of the two goals: its name, its better direction and its unit."""

    name: str
    sense: Sense
    unit: str


@dataclass(frozen=True)
class FrontPoint:
    """A placement than which no other one that is known is better in both goals.

    Parameters
    ----------
    values
        Value of each goal, scored by the independent checker.
    limit
        The second goal had to be no worse than this; None for the end with the best first goal.
    bound
        Proven: no placement within the limit has a better first goal; None if unknown.
    gap
        ``|value - bound| / max(one quantum, |value|)`` of the first goal.
    proven
        No placement is better in one goal and no worse in the other.
    result
        The placement, as of a `solve` of both goals in order of importance.
    """

    values: tuple[float, float]
    limit: float | None
    bound: float | None
    gap: float | None
    proven: bool
    result: Result


@dataclass(frozen=True)
class Empty:
    """A region that is proven empty.

    No placement has a first goal better than `first` and a second one of `second` or better.

    Parameters
    ----------
    first, second
        Values of the goals; None where the other one alone excludes them.
    """

    first: float | None
    second: float | None


@dataclass(frozen=True)
class Front:
    """The Pareto front between two goals, as far as it is known.

    Parameters
    ----------
    instance
        What was solved.
    axes
        The two goals.
    points
        From the best first goal to the best second one; neither goal of any is improved by another
        without loss in the other.
    empty
        What is proven empty; together with the points it says where others may still be.
    open
        Part of the rectangle between the end points in which it is not known whether there is a
        placement: 0 if the front is complete, None with less than two points, unless one is proven
        to be all.
    complete
        Every pair of values that no placement improves on is proven to be that of a point.
    status
        ``optimal`` if complete, ``feasible`` with any point, ``infeasible`` or ``unknown``.
    stopped_by
        What ended the run; ``iterations`` where there were as many points as asked for.
    wall_s
        Seconds from call to return.
    solves
        Problems that were solved.
    reasons
        For an infeasible instance why.
    """

    instance: Instance
    axes: tuple[Axis, Axis]
    points: tuple[FrontPoint, ...]
    empty: tuple[Empty, ...]
    open: float | None
    complete: bool
    status: Status
    stopped_by: StoppedBy
    wall_s: float
    solves: int
    reasons: tuple[Reason, ...] = ()

    def summary(self, placements: bool = False) -> dict[str, Any]:
        """The front as plain values for JSON, with the placements on request."""
        first, second = self.axes
        return {
            "optalloc_front": VERSION,
            "instance": self.instance.name,
            "status": self.status,
            "stopped_by": self.stopped_by,
            "complete": self.complete,
            "open": self.open,
            "wall_s": round(self.wall_s, 4),
            "solves": self.solves,
            "objectives": [msgspec.to_builtins(axis) for axis in self.axes],
            "points": [self._plain(point, placements) for point in self.points],
            "empty": [
                {f"{first.name} better than": area.first, f"{second.name} at best": area.second}
                for area in self.empty
            ],
            "reasons": [{"task": r.task, "message": r.message} for r in self.reasons],
        }

    def _plain(self, point: FrontPoint, placements: bool) -> dict[str, Any]:
        plain = {
            "values": {a.name: v for a, v in zip(self.axes, point.values, strict=True)},
            "limit": point.limit,
            "bound": point.bound,
            "gap": point.gap,
            "proven": point.proven,
            "verified": point.result.verified,
            "engine": point.result.engine,
            "terms": point.result.terms,
            "metrics": point.result.metrics,
        }
        if placements and point.result.placement is not None:
            from optalloc.solution import name_placement

            named = name_placement(self.instance, point.result.placement)
            plain["placements"] = msgspec.to_builtins(named)
        return plain


def write_front(path: str | Path, front: Front) -> None:
    """Write a front as JSON, each point with its placements as in a solution file."""
    encoded = msgspec.json.format(msgspec.json.encode(front.summary(placements=True)), indent=1)
    text.write_bytes(Path(path), encoded + b"\n")


@dataclass(frozen=True)
class Cut:
    """No placement with a second value up to `second` has a first value below `first`.

    Values are in quanta and turned so that less is better; None is no limit.
    """

    first: int
    second: int | None


Pair = tuple[int, int]


def steps(points: Sequence[Pair], cuts: Sequence[Cut]) -> Iterator[tuple[int, int, int, int]]:
    """Where placements may still be, between the end points, by intervals of the second value.

    Parameters
    ----------
    points
        Values of those that are known, by rising first value; none is dominated.
    cuts
        What is proven.

    Yields
    ------
    tuple
        Second values from (inclusive) and to (exclusive), first values from and to (exclusive): a
        placement there would be neither excluded by a cut nor dominated by a point.
    """
    breaks = {second for _, second in points}
    low, high = min(breaks), max(breaks)
    breaks |= {c.second + 1 for c in cuts if c.second is not None and low <= c.second < high}
    ordered = sorted(breaks)
    for start, end in pairwise(ordered):
        known = min(first for first, second in points if second <= start)
        proven = proven_first(cuts, start)
        least = points[0][0] if proven is None else max(proven, points[0][0])
        if least < known:
            yield start, end, least, known


def proven_first(cuts: Sequence[Cut], second: int | None) -> int | None:
    """The best first value that is not excluded up to a second value (None: up to any)."""
    known = [
        cut.first
        for cut in cuts
        if cut.second is None or (second is not None and cut.second >= second)
    ]
    return max(known, default=None)


def open_share(points: Sequence[Pair], cuts: Sequence[Cut]) -> float | None:
    """Part of the rectangle between the end points that `steps` leaves open."""
    if not points:
        return None
    width, height = points[-1][0] - points[0][0], points[0][1] - points[-1][1]
    if not width or not height:
        return 0.0
    area = sum((end - start) * (known - least) for start, end, least, known in steps(points, cuts))
    return area / (width * height)
