"""What holds for every test: no process left behind, hypothesis without chance, public data."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "optalloc",
    deadline=None,
    derandomize=True,
    print_blob=True,
    # It measures wall-clock time, which differs from run to run.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("optalloc")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

GRACE_S = 5.0
"""How long a child may take to end after its test."""
KEPT_BY_PYTHON = "multiprocessing.resource_tracker"
"""Python starts this helper with the first shared memory and ends it when it exits itself."""


def running_children() -> dict[int, str]:
    """Command line of every running child of this process by its id; none where /proc is not."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue  # It has ended since.
        if int(parent) == os.getpid() and state != "Z" and KEPT_BY_PYTHON not in command:
            found[int(stat.parent.name)] = command
    return found


@pytest.fixture(autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail a test after which a child process that it started still runs."""
    before = running_children().keys()
    yield
    limit = time.monotonic() + GRACE_S
    while left := {pid: c for pid, c in running_children().items() if pid not in before}:
        if time.monotonic() > limit:
            pytest.fail(f"processes left behind: {left}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the public data sets; skips where OPTALLOC_DATA names none."""
    folder = os.environ.get("OPTALLOC_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("OPTALLOC_DATA does not name a folder with the public data")
    return Path(folder)
