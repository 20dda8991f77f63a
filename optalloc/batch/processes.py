"""The processes that a solve started: found, measured and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Process:
    """A running process.

    Parameters
    ----------
    parent, group
        Numbers of its parent and of its process group.
    started
        When it started, in any unit: tells it from a later process of the same number.
    """

    parent: int
    group: int
    started: str


Running = dict[int, Process]
"""Processes by number."""


def running() -> Running:
    """List all processes of this machine."""
    return _from_proc() if sys.platform == "linux" else _from_ps()


def _from_proc() -> Running:
    found: Running = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  (thousands of entries, several times a second)
        if not entry.isdigit():
            continue
        with suppress(OSError):
            if (process := _stated(int(entry))) is not None:
                found[int(entry)] = process
    return found


def descendants(root: int) -> Running:
    """Find a process and all that come from it, without a look at any other where that goes."""
    if not Path(f"/proc/{root}/task/{root}/children").exists():
        return tree(root, {}, running())
    found: Running = {}
    open_pids = [root]
    while open_pids:
        pid = open_pids.pop()
        with suppress(OSError):
            if (process := _stated(pid)) is not None:
                found[pid] = process
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  (several times a second)
                text = Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii")
                open_pids += map(int, text.split())
    return found


def _stated(pid: int) -> Process | None:
    """Read what Linux says of a process; None for one that has ended and was not waited for."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The name, in parentheses, may hold anything; the fields follow its end.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Process(int(fields[1]), int(fields[2]), fields[19])


def _from_ps() -> Running:
    found: Running = {}
    for line in _ps("pid=,ppid=,pgid=,stat=,lstart="):
        pid, parent, group, state, started = line.split(None, 4)
        if not state.startswith("Z"):
            found[int(pid)] = Process(int(parent), int(group), started)
    return found


def _ps(columns: str) -> list[str]:
    command = ["ps", "-A", "-o", columns]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def tree(root: int, known: Running, table: Running) -> Running:
    """Find what a process started and still runs.

    Parameters
    ----------
    root
        Number of a process that leads its process group.
    known
        What was found before: still counted when its parent has ended.
    table
        All processes.
    """
    found = {
        pid: process
        for pid, process in table.items()
        if root in (pid, process.group) or (pid in known and known[pid].started == process.started)
    }
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    open_pids = list(found)
    while open_pids:
        for child in children.get(open_pids.pop(), ()):
            if child not in found:
                found[child] = table[child]
                open_pids.append(child)
    return found


def memory_mib(pids: Iterable[int]) -> float:
    """Memory that processes hold together, in MiB, with what they share counted once."""
    if sys.platform != "linux":
        resident = {}
        for line in _ps("pid=,rss="):
            pid, kib = line.split()
            resident[int(pid)] = int(kib)
        return sum(resident.get(pid, 0) for pid in pids) / 1024
    private, shared = 0, 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
            private += int(fields[1]) - int(fields[2])
            shared = max(shared, int(fields[2]))
    return (private + shared) * os.sysconf("SC_PAGE_SIZE") / MIB


def own_peak_mib() -> float:
    """The most memory that this process has held at any time, in MiB."""
    if sys.platform != "linux":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    # What `getrusage` says includes the parent's memory before the program was started.
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def end(root: int, known: Running) -> None:
    """End a process group and everything known to come from it, at once."""
    while left := tree(root, known, running()):
        known = {**known, **left}
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
