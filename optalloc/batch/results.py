"""The file of results: a JSON row a line, safe against a crash at any moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance.errors import InstanceError

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a results file; a last line that was torn off is ignored.

    Raises
    ------
    InstanceError
        Lists every line that is no JSON object.
    """
    return _parse(path.read_bytes(), path)[0]


def _parse(text: bytes, path: Path) -> tuple[list[Row], int]:
    """The rows, and how many bytes hold them."""
    whole = text.rfind(b"\n") + 1
    rows, problems = [], []
    for number, line in enumerate(text[:whole].splitlines(), start=1):
        try:
            rows.append(msgspec.json.decode(line, type=Row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append((f"line {number}", f"expected a JSON object: {error}"))
    if problems:
        raise InstanceError(problems, str(path))
    return rows, whole


class ResultsFile:
    """A results file that rows are appended to.

    Parameters
    ----------
    path
        The file.
    resume
        Go on with a file that has rows already; a torn last line is removed.
    begin
        How every row begins: what does not is no torn row, and left alone.

    Raises
    ------
    InstanceError
        If the file has rows and `resume` is not set, or if what it holds are no rows.
    """

    def __init__(self, path: Path, resume: bool = False, begin: bytes = b"{") -> None:
        self.rows: list[Row] = []
        text = path.read_bytes() if path.exists() else b""
        if text and not resume:
            message = "holds results already: --resume goes on with them, or name another file"
            raise InstanceError([("", message)], str(path))
        self.rows, whole = _parse(text, path)
        if not begin.startswith(text[whole:][: len(begin)]):
            number = text.count(b"\n") + 1
            raise InstanceError([(f"line {number}", "expected a row of results")], str(path))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(self._file, whole)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; when this returns, it is on the disk."""
        line = msgspec.json.encode(row) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the disk is full: the last row of results is torn")
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
