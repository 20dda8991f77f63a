"""Standard output kept clean of what libraries print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send all that is written to file descriptor 1, also by compiled code, to descriptor 2."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        flush_compiled()
        os.dup2(kept, 1)
        os.close(kept)


def flush_compiled() -> None:
    """Write out what compiled code has printed but its C library still holds back."""
    import ctypes

    ctypes.CDLL(None).fflush(None)
