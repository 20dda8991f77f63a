"""One line on the terminal that says how far the work is; nothing where there is no terminal."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType


class StatusLine:
    """A line on standard error that is written over, and removed in the end.

    Parameters
    ----------
    wanted
        False for a line that never shows.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.shown = wanted and sys.stderr.isatty()

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.show("")

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()


def bar(done: int, total: int, width: int = 24) -> str:
    """Draw how much of a total is done."""
    filled = width * done // total if total else width
    return "[" + "#" * filled + "." * (width - filled) + "]"
