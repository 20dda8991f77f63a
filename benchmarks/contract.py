"""What a benchmark is: cases that are measured into rows, and figures that follow from the rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parent.parent
DATA = "OPTALLOC_DATA"
THREADS = 2
"""Threads of every solve that is measured."""

Row = dict[str, Any]
Met = Literal["yes", "no", "part", "-"]


class NoData(Exception):
    """The public data are needed, and the environment does not say where they are."""


@dataclass(frozen=True)
class Context:
    """How to measure.

    Parameters
    ----------
    folder
        For files that are needed while it runs.
    smoke
        Tiny sizes and generated instances: does it work from end to end?
    seeds
        Seeds of the solvers; every case that solves is measured once for each.
    """

    folder: Path
    smoke: bool = False
    seeds: tuple[int, ...] = (0,)

    def data(self, name: str) -> Path:
        """Folder of a public data set.

        Raises
        ------
        NoData
            If the environment does not name a folder that has it.
        """
        stated = os.environ.get(DATA, "")
        folder = Path(stated) / name
        if not stated or not folder.is_dir():
            state = f"is {stated!r}" if stated else "is not set"
            raise NoData(
                f"{DATA} must name the folder with the public data, {name}/ among them, "
                f"and it {state}; --smoke needs no data"
            )
        return folder


@dataclass(frozen=True)
class Case:
    """One measurement.

    Parameters
    ----------
    key
        Tells it from the others of its benchmark.
    measure
        Measures and returns the row's fields.
    """

    key: str
    measure: Callable[[], Row]


@dataclass(frozen=True)
class Target:
    """What a figure should be: ``at_most`` or ``at_least`` a limit."""

    sense: Literal["at_most", "at_least"]
    limit: float

    def met(self, measured: float) -> bool:
        """Whether a measured value reaches it."""
        return measured <= self.limit if self.sense == "at_most" else measured >= self.limit


@dataclass(frozen=True)
class Figure:
    """A number that is stated in public.

    Parameters
    ----------
    name
        What is measured, in words.
    measured
        The number; None if there is none.
    unit
        ``s``, ``ms``, ``MB``, ``%``, ``x``, or empty for a count.
    target
        What it should be; None if it is only reported.
    cases
        Measurements that it rests on, and how many of them it takes.
    detail
        What else to know of it, such as the worst case.
    sound
        It counts wrong answers: whatever the sizes are, a run that misses it has failed.
    """

    name: str
    measured: float | None
    unit: str = ""
    target: Target | None = None
    cases: tuple[int, int] = (1, 1)
    detail: str = ""
    sound: bool = False

    @property
    def met(self) -> Met:
        """Whether the target is reached; ``part`` while measurements that it takes are missing."""
        if self.target is None:
            return "-"
        complete = self.cases[0] >= self.cases[1]
        if self.measured is None:
            return "no" if complete else "part"
        if not self.target.met(self.measured):
            return "no"
        return "yes" if complete else "part"


@dataclass(frozen=True)
class Benchmark:
    """Measurements that belong together; a module of `benchmarks.suites` holds one.

    Parameters
    ----------
    summary
        What it measures, in one line.
    minutes
        How long it takes in full, about.
    cases
        The measurements for a context, in order.
    figures
        The figures for rows, which may be those of a part of the cases only.
    """

    summary: str
    minutes: float
    cases: Callable[[Context], list[Case]]
    figures: Callable[[Sequence[Row]], list[Figure]]


def at_most(limit: float) -> Target:
    """Make a target from above."""
    return Target("at_most", limit)


def at_least(limit: float) -> Target:
    """Make a target from below."""
    return Target("at_least", limit)
