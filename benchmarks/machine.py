"""The machine that measures."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from benchmarks.contract import Row
from optalloc.batch.runner import usable_cpus


def machine() -> Row:
    """Describe this machine: processor, cores that may be used, memory, system, Python."""
    return {
        "cpu": _cpu(),
        "cores": usable_cpus(),
        "memory_gb": round(_memory() / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def in_words(stated: Row) -> str:
    """A machine in one line."""
    return (
        f"{stated['cpu']}, {stated['cores']} cores, {stated['memory_gb']:g} GB memory, "
        f"{stated['system']}, Python {stated['python']}"
    )


def busy() -> float:
    """How many processes have wanted to run in the last minute; 0 where it is not known."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _memory() -> int:
    """Bytes of memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
