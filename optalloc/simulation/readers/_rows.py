"""Rows of text files, with errors that say where and what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.physics.measurements import texts

MOST = 20
"""So many problems of a file are listed one by one."""


class Row:
    """One row: its values by column, and the problems that are found in them.

    Parameters
    ----------
    values
        Text by column.
    line
        Its number in the file.
    problems
        Where what is wrong goes.
    """

    def __init__(
        self, values: Mapping[str, str | None], line: int, problems: list[tuple[str, str]]
    ) -> None:
        self._values, self._problems = values, problems
        self.line = line

    def text(self, column: str) -> str:
        """A value; empty where there is none."""
        return (self._values.get(column) or "").strip()

    def number(self, column: str, least: float = 0, default: float | None = None) -> float:
        """A number of at least so much; the default where the value is empty."""
        text = self.text(column)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not (isfinite(value) and value >= least):
            self.wrong(column, f"expected a number of at least {least:g}, got {text!r}")
            return least
        return value

    def whole(self, column: str, least: int = 0, default: int | None = None) -> int:
        """A whole number of at least so much."""
        value = self.number(column, least, default)
        if value != int(value):
            self.wrong(column, f"expected a whole number, got {self.text(column)!r}")
        return int(value)

    def moment(self, column: str) -> float:
        """A date and time, in seconds; only their differences mean anything."""
        try:
            then = datetime.fromisoformat(self.text(column))
        except ValueError:
            self.wrong(column, f"expected a date and time, got {self.text(column)!r}")
            return 0.0
        return (then.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001

    def wrong(self, column: str, what: str) -> None:
        """Note a problem."""
        self._problems.append((f"line {self.line}, {column}", what))


class Rows:
    """The rows of a CSV file.

    Parameters
    ----------
    path
        The file.
    columns
        Columns that it must have.

    Raises
    ------
    InstanceError
        If it cannot be read, has no rows or lacks columns.
    """

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self._path = path
        self._problems: list[tuple[str, str]] = []
        self.columns, rows = texts(path)
        missing = [column for column in columns if column not in self.columns]
        if missing or not rows:
            wanted = ", ".join(missing or columns)
            raise InstanceError([("", f"expected rows with the columns {wanted}")], str(path))
        self.rows = [Row(values, line, self._problems) for line, values in enumerate(rows, 2)]

    def finish(self) -> None:
        """Raise what was found to be wrong.

        Raises
        ------
        InstanceError
            Lists the problems.
        """
        refuse(self._problems, self._path)


def refuse(problems: list[tuple[str, str]], path: Path) -> None:
    """Raise problems, if there are any.

    Raises
    ------
    InstanceError
        Lists them.
    """
    if problems:
        more = len(problems) - MOST
        shown = problems[:MOST] + ([("", f"and {more} more problems")] if more > 0 else [])
        raise InstanceError(shown, str(path))
