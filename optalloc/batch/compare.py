"""Results of a batch against best-known values: the gap of every row, and of every engine."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from optalloc.batch.results import Row
from optalloc.instance.errors import InstanceError
from optalloc.instance.references import choices

TOLERANCE = 1e-9
"""Relative: published values are rounded."""


@dataclass(frozen=True)
class Best:
    """Best-known values by instance name, as a CSV file states them."""

    values: dict[str, float]

    def find(self, names: Iterable[str]) -> float | None:
        """Find the value of an instance by its name or path, with or without an extension.

        One of the two paths must be the end of the other, so ``gap1-0``, ``gap1-0.txt`` and
        ``set/gap1-0.txt`` all match ``anywhere/set/gap1-0.json``. The longest match wins; None if
        there is none, or several different ones.
        """
        found: dict[int, set[float]] = {}
        for wanted in {_parts(name) for name in names}:
            for name, value in self.values.items():
                stated = _parts(name)
                length = min(len(stated), len(wanted))
                if stated[-length:] == wanted[-length:]:
                    found.setdefault(length, set()).add(value)
        longest = found[max(found)] if found else set()
        return longest.pop() if len(longest) == 1 else None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, without the extensions of its file."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    stem = re.sub(r"(\.[A-Za-z]\w*)+$", "", parts[-1]) if parts else ""
    return (*parts[:-1], stem)


def read_best(path: Path, column: str | None = None, name_column: str | None = None) -> Best:
    """Read best-known values.

    Parameters
    ----------
    path
        A CSV file with a header; instances without a value are left out.
    column
        The column with the values; by default the first one whose name starts with ``best``.
    name_column
        The column with the names; by default the first one.

    Raises
    ------
    InstanceError
        Lists missing columns, values that are no numbers, and names that occur twice.
    """
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = list(reader.fieldnames or [])
        if not header:
            raise InstanceError([("header", "expected names of columns, got none")], str(path))
        name_column = name_column or header[0]
        column = column or next((c for c in header if c.startswith("best")), "best...")
        missing = [c for c in (name_column, column) if c not in header]
        if missing:
            known = choices(header, most=40)
            problems = [("header", f"expected a column {c!r}; there are {known}") for c in missing]
            raise InstanceError(problems, str(path))
        lines = [(line[name_column] or "", line[column] or "") for line in reader]
    except csv.Error as error:
        where = f"line {reader.line_num}"
        raise InstanceError([(where, f"expected a CSV file: {error}")], str(path)) from None
    return Best(_values(lines, path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InstanceError([("", f"expected UTF-8 text: {error}")], str(path)) from None


def _values(lines: Sequence[tuple[str, str]], path: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    problems = []
    for number, (name, text) in enumerate(lines, start=2):
        if not text.strip():
            continue
        if name in values:
            problems.append((f"line {number}", f"{name!r} occurs twice"))
        values[name] = _number(text)
        if not math.isfinite(values[name]):
            problems.append((f"line {number}", f"expected a finite number, got {text!r}"))
    if problems:
        raise InstanceError(problems, str(path))
    return values


def _number(text: str) -> float:
    """Read a number; for anything else one that is not finite."""
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Comparison:
    """A row of results against the best-known value of its instance.

    Parameters
    ----------
    name, engine, seed, status, wall_s
        As in the row.
    value
        The verified objective; None without an answer.
    best
        The best-known value; None if none is known.
    gap
        ``(value - best) / |best|``, with the sign turned where more is better: below 0 for a new
        best. None without a value or a best, and where best is 0 and the value is not.
    bound
        Proven: nothing is better.
    contradicts
        The bound excludes the best-known value: one of the two is wrong.
    """

    name: str
    engine: str
    seed: int
    status: str
    wall_s: float
    value: float | None
    best: float | None
    gap: float | None
    bound: float | None
    contradicts: bool


@dataclass(frozen=True)
class Standing:
    """All rows of an engine.

    Parameters
    ----------
    engine
        As asked for.
    rows, answered, optimal
        Solves that have a best-known value, those with an answer, and those proven optimal.
    mean_gap, max_gap
        Over the answered ones.
    """

    engine: str
    rows: int
    answered: int
    optimal: int
    mean_gap: float | None
    max_gap: float | None


def compare_rows(rows: Iterable[Row], best: Best, level: str | None = None) -> list[Comparison]:
    """Compare rows with best-known values.

    Parameters
    ----------
    rows
        Of a results file.
    best
        Best-known values.
    level
        Name of the objective level to compare; by default the first one.

    Raises
    ------
    InstanceError
        If there are no rows, if one does not say how long it took, or if none has the level.
    """
    kept = list(rows)
    problems = [] if kept else [("", "expected rows, got none")]
    for number, row in enumerate(kept, start=1):
        if not isinstance(row.get("wall_s"), int | float):
            problems.append((f"row {number}", "expected a number as 'wall_s'"))
    if problems:
        raise InstanceError(problems, "the results")
    named = dict.fromkeys(lv["name"] for row in kept for lv in row.get("levels", ()))
    if level is not None and level not in named:
        problem = f"expected a level of the results ({choices(named)}), got {level!r}"
        raise InstanceError([("level", problem)], "the results")
    return [_comparison(row, best, level) for row in kept]


def _comparison(row: Row, best: Best, name: str | None) -> Comparison:
    levels = [lv for lv in row.get("levels", ()) if name is None or lv["name"] == name]
    level: dict[str, Any] = levels[0] if levels else {}
    known = best.find([row["instance"], row["name"]])
    sign = -1 if level.get("sense") == "max" else 1
    value, bound = level.get("value"), level.get("bound")
    if level.get("conditional"):
        bound = None
    return Comparison(
        name=row["name"],
        engine=row["engine"],
        seed=row["seed"],
        status=row["status"],
        wall_s=row["wall_s"],
        value=value,
        best=known,
        gap=_gap(value, known, sign),
        bound=bound,
        contradicts=bound is not None
        and known is not None
        and sign * (bound - known) > TOLERANCE * abs(known),
    )


def _gap(value: float | None, best: float | None, sign: int) -> float | None:
    if value is None or best is None:
        return None
    if value == best:
        return 0.0
    return sign * (value - best) / abs(best) if best else None


def standings(compared: Sequence[Comparison]) -> list[Standing]:
    """Sum up the comparisons of each engine."""
    engines = dict.fromkeys(entry.engine for entry in compared)
    return [
        _standing(engine, [c for c in compared if c.engine == engine and c.best is not None])
        for engine in engines
    ]


def _standing(engine: str, known: Sequence[Comparison]) -> Standing:
    gaps = [entry.gap for entry in known if entry.gap is not None]
    return Standing(
        engine=engine,
        rows=len(known),
        answered=sum(entry.value is not None for entry in known),
        optimal=sum(entry.status == "optimal" for entry in known),
        mean_gap=sum(gaps) / len(gaps) if gaps else None,
        max_gap=max(gaps, default=None),
    )
