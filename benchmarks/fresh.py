"""Measurements in processes of their own, in which nothing has been imported or allocated yet."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contract import ROOT, Row

COMMAND = (sys.executable, "-m", "benchmarks.fresh")
LONGEST_S = 900.0


def fresh(function: Callable[..., Row], *arguments: Any) -> Row:
    """Call a function of a module in a new process.

    Parameters
    ----------
    function
        Of a module's top level.
    arguments
        Anything that JSON can say.

    Raises
    ------
    RuntimeError
        If the process fails; says what it wrote last.
    """
    order = json.dumps([function.__module__, function.__name__, arguments])
    # Installers compile modules to byte code; a checkout keeps it too, unless it is told not to.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        COMMAND,
        input=order,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"{function.__name__} ended with exit code {done.returncode}: {last}")
    row: Row = json.loads(done.stdout)
    return row


def peak_mb() -> float:
    """Largest memory that this process has held so far, in MB (1e6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        # The usage of resources would count what the parent held before it became this process.
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
        return int(kib) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


class Stages:
    """CPU seconds of this process and of its children that ended, from stage to stage."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self._last = _cpu_s()

    def done(self, name: str) -> None:
        """End a stage."""
        now = _cpu_s()
        self.cpu_s[name] = round(now - self._last, 4)
        self._last = now


def _cpu_s() -> float:
    """User and system seconds of all threads."""
    return sum(os.times()[:4])


def main() -> None:
    """Call the function that standard input names and print its row."""
    # Solvers print on descriptor 1; the row must stand there alone.
    answer = os.dup(1)
    os.dup2(2, 1)
    module, name, arguments = json.load(sys.stdin)
    row = getattr(importlib.import_module(module), name)(*arguments)
    with os.fdopen(answer, "w") as file:
        json.dump(row, file)


if __name__ == "__main__":
    main()
