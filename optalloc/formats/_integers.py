"""Files of whitespace-separated integers: fast to read, and exact about what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError

IntArray = NDArray[np.int64]

LARGEST = 2**53
"""Larger integers are refused: a float64 does not hold them all."""
_LEGAL = b"0123456789 \t\r\n\f\v"
_TOKEN = re.compile(rb"\S+")
_MOST = 20
"""So many wrong numbers are listed one by one."""


def _numbers(count: int) -> str:
    return f"{count} number{'' if count == 1 else 's'}"


class IntegerFile:
    """A cursor over the non-negative integers of a file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InstanceError
        If the file cannot be read, or holds anything but non-negative integers up to `LARGEST`:
        lists the wrong ones with line and column.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_bytes()
        except OSError as error:
            raise InstanceError([("", error.strerror or str(error))], str(path)) from None
        self._numbers = self._parse()
        self._next = self._block = 0

    def _parse(self) -> IntArray:
        expected = f"expected an integer from 0 to {LARGEST}"
        if self._text.translate(None, _LEGAL):
            tokens = enumerate(_TOKEN.findall(self._text))
            self._refuse([k for k, token in tokens if token.translate(None, _LEGAL)], expected)
        if not self._text.strip():
            return np.zeros(0, np.int64)
        numbers: IntArray = np.fromstring(self._text, dtype=np.int64, sep=" ")
        # A number too long for 64 bits reads as the largest one.
        self._refuse(np.flatnonzero(numbers > LARGEST).tolist(), expected)
        return numbers

    def take(self, count: int, what: str, below: int | None = None) -> IntArray:
        """Read the next `count` numbers, if given all of them indices below `below`."""
        self._block, stop = self._next, self._next + count
        if stop > self._numbers.size:
            left = self._numbers.size - self._next
            message = f"expected {_numbers(count)} ({what}), but the file ends after {left}"
            raise InstanceError([("end of file", message)], str(self._path))
        values = self._numbers[self._next : stop]
        self._next = stop
        if below is not None:
            wrong = np.flatnonzero(values >= below)
            self.refuse(wrong, f"expected an index below {below} ({what})")
        return values

    def one(self, what: str, least: int = 0) -> int:
        """Read the next number, which must be at least `least`."""
        number = self.take(1, what)
        self.refuse(np.flatnonzero(number < least), f"expected at least {least} ({what})")
        return int(number[0])

    def table(
        self, rows: int, columns: int, what: str, below: Mapping[int, int] | None = None
    ) -> IntArray:
        """Read the next rows * columns numbers as a table, (rows, columns).

        Parameters
        ----------
        what
            What a row is, for people.
        below
            For columns that hold indices: the number that they must stay below.
        """
        table = self.take(rows * columns, f"{rows} x {columns}: {what}").reshape(rows, columns)
        for column, limit in (below or {}).items():
            wrong = np.flatnonzero(table[:, column] >= limit) * columns + column
            self.refuse(wrong, f"expected at most {limit - 1} as number {column + 1} of {what}")
        return table

    def finish(self) -> None:
        """Make sure that nothing is left."""
        extra = self._numbers.size - self._next
        if extra:
            self._refuse([self._next], f"expected the end of the file ({_numbers(extra)} too many)")

    def refuse(self, wrong: IntArray, message: str) -> None:
        """Raise for numbers of the last block read, given by their offsets, if there are any."""
        self._refuse((self._block + wrong).tolist(), message)

    def _refuse(self, wrong: Sequence[int], message: str) -> None:
        """Raise for the numbers at these positions, if there are any."""
        if not wrong:
            return
        problems = [
            (f"line {line}, column {column}", f"{message}; got {token!r}")
            for line, column, token in self._locate(wrong[:_MOST])
        ]
        if len(wrong) > _MOST:
            problems.append(("", f"and {len(wrong) - _MOST} more"))
        raise InstanceError(problems, str(self._path))

    def _locate(self, positions: Sequence[int]) -> list[tuple[int, int, str]]:
        """Line, column and text of the numbers at ascending positions."""
        found = []
        tokens = _TOKEN.finditer(self._text)
        passed = 0
        for position in positions:
            match = next(islice(tokens, position - passed, None))
            passed = position + 1
            start = match.start()
            line = self._text.count(b"\n", 0, start) + 1
            column = start - self._text.rfind(b"\n", 0, start)
            found.append((line, column, match.group()[:40].decode("utf-8", "replace")))
        return found
