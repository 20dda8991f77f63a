"""How much memory there is: what the machine has, what control groups and limits leave of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SHARE = 0.8
"""Part of what is available that engines may hold by default; the rest is for everything else."""


def default_limit() -> int | None:
    """Bytes that engines may hold unless a limit is stated; None where the system does not tell."""
    found = available()
    return None if found is None else int(SHARE * found)


def available(root: Path = Path("/")) -> int | None:
    """Bytes that can still be taken before the system would end processes; None if unknown.

    The least of what the machine has available without swapping, what every control group (of
    either version) around this process has left, and the process's own limits.

    Parameters
    ----------
    root
        Where the system's files are.
    """
    return min([*_of_machine(root), *_of_groups(root), *_of_process()], default=None)


def _of_machine(root: Path) -> Iterator[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        yield int(line.split()[1]) * 1024
        return
    with suppress(OSError, ValueError):
        # Half of it is as much as can be presumed to be free.
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _of_groups(root: Path) -> Iterator[int]:
    """What each control group around this process has left."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers in ("", "memory"):
            mount = root / "sys/fs/cgroup" / controllers
            inside = Path(path.lstrip("/"))
            # Within a container the path can be that of the host: its own group is the mount.
            for group in (mount / inside, *(mount / parent for parent in inside.parents)):
                yield from _of_group(group)


def _of_group(folder: Path) -> Iterator[int]:
    """What one control group has left: files in cache can be given up, so they do not count."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):
            most = int((folder / limit).read_text(encoding="ascii"))
            used = int((folder / usage).read_text(encoding="ascii"))
            counts = (folder / "memory.stat").read_text(encoding="ascii").split()
            kept = dict(zip(counts[::2], counts[1::2], strict=True)).get(cache, "0")
            yield max(most - used + int(kept), 0)


def _of_process() -> Iterator[int]:
    """What the limits of a process allow; the engines' processes inherit them."""
    if sys.platform == "win32":
        return
    import resource

    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft
