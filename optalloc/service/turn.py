"""Who decides whether a request is still wanted: its deadline, or the one that carries it out."""

from __future__ import annotations

import math
import time
from threading import Lock

from optalloc.service.errors import Refused


class Turn:
    """A request's way through the queue: waiting, then either sealed or expired, never both.

    A sealed request is carried out and answered, be it a little late. An expired one leaves
    nothing behind.

    Parameters
    ----------
    seconds
        From now to its deadline.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.deadline = time.monotonic() + seconds
        self._lock = Lock()
        self._sealed = self._expired = False

    def expire(self) -> bool:
        """Give up; whether that was still possible."""
        with self._lock:
            self._expired = not self._sealed
            return self._expired

    def check(self) -> None:
        """Go on only before the deadline.

        Raises
        ------
        Refused
            After it.
        """
        if self._expired or time.monotonic() > self.deadline:
            raise Refused(503, "the deadline has passed and nothing was decided", retry=True)

    def seal(self) -> None:
        """From here on it is carried out.

        Raises
        ------
        Refused
            After the deadline.
        """
        with self._lock:
            if not self._sealed:
                self.check()
            self._sealed = True
