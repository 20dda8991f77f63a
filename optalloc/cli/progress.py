"""One line on the terminal that says how far the work is; nothing where there is no terminal."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from optalloc.cli.words import number, percent

if TYPE_CHECKING:
    from optalloc.solving import Progress

TICK_S = 0.5
"""Time goes on, also where nothing is found."""


class StatusLine:
    """A line on standard error that is written over, and removed in the end.

    Parameters
    ----------
    wanted
        False for a line that never shows; it does not on a terminal that cannot write over it.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.shown = wanted and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

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


class SolveLine(StatusLine):
    """The status line of a solve: its time, what was found, what is proven.

    Parameters
    ----------
    name
        What is solved.
    limit
        Seconds that it may take; None for no limit, and no bar.
    wanted
        As in `StatusLine`.
    """

    def __init__(self, name: str, limit: float | None, wanted: bool = True) -> None:
        super().__init__(wanted)
        self._name, self._limit = name, limit
        self._started = time.monotonic()
        self._latest: Progress | None = None
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._ticks = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> SolveLine:
        if self.shown:
            self._ticks.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._over.set()
        if self.shown:
            self._ticks.join()
        super().__exit__(kind, error, where)

    def hear(self, now: Progress) -> None:
        """Show what is new."""
        self._latest = now
        self._draw()

    def _tick(self) -> None:
        self._draw()
        while not self._over.wait(TICK_S):
            self._draw()

    def _draw(self) -> None:
        with self._writing:
            self.show(
                describe(self._name, time.monotonic() - self._started, self._limit, self._latest)
            )


def describe(name: str, seconds: float, limit: float | None, now: Progress | None) -> str:
    """Say how far a solve is, in a line.

    Examples
    --------
    >>> describe("cluster", 15, 60, None)
    '[######..................] 15 of 60 s  solving cluster ...'
    """
    elapsed = f"{seconds:.0f} s"
    if limit is not None:
        parts = bar(int(min(seconds, limit) * 1000), int(limit * 1000))
        elapsed = f"{parts} {seconds:.0f} of {number(limit)} s"
    if now is None:
        return f"{elapsed}  solving {name} ..."
    value = f"best {number(now.objective)}, bound {number(now.bound)}, gap {percent(now.gap)}"
    return f"{elapsed}  {now.level}: {value}  {now.engine}".rstrip()
