"""CBC as a program: started on an MPS file, watched through its log, ended with its caller."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import Clock, Ended
from optalloc.instance.errors import OptallocError

FloatArray = NDArray[np.float64]

POLL = 0.05
"""Seconds between looks at the log."""
RESERVE_PART, RESERVE_MOST = 0.5, 1.5
"""CBC is told a limit that is shorter by this part, in seconds at most the other, and ended hard at
the true one: it hands over its solution only when it stops, it looks at its clock rarely, and what
ran before it in a worker (Python itself) is not in the limit that we know."""
ABSENT = 1e40
"""CBC prints 1e+50 and the like for what it does not have."""

# CBC runs beside a reader of our pipe: when the pipe closes, because we ask or because we are
# gone, however that came, CBC is ended.
_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ read -r _ <&3; kill -9 "$program"; } >/dev/null 2>&1 &
watch=$!
wait "$program"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""

_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_TIME = r"(?P<seconds>[\d.]+) seconds"
_RELAXED = re.compile(rf"^Continuous objective value is {_NUMBER} - {_TIME}", re.M)
_POSSIBLE = re.compile(
    rf"^Cbc0010I .* {_NUMBER} best solution, best possible {_NUMBER} \({_TIME}", re.M
)
_OPTIMAL = re.compile(r"^(Result - Optimal solution found|Optimal objective )", re.M)
_INFEASIBLE = re.compile(
    r"^(Problem is infeasible|Pre-processing says infeasible|Presolve determined that the problem"
    r" was infeasible|Result - Linear relaxation infeasible|Result - Problem proven infeasible)",
    re.M,
)
_UNREADABLE = "** Current model not valid"
_FOUND = re.compile(r"^(Objective value: |Optimal objective )", re.M)


@dataclass(frozen=True)
class Ending:
    """How a run of CBC ended.

    Parameters
    ----------
    ended
        What its log claims, and only if it claims so within its time limit.
    values
        Of the file's columns, in its order; None without a solution.
    log
        All of it.
    """

    ended: Ended
    values: FloatArray | None
    log: str


@dataclass(frozen=True)
class Command:
    """A run of CBC.

    Parameters
    ----------
    program
        Path of CBC.
    model
        The MPS file; the other files are written beside it.
    threads, seed
        For CBC.
    start
        Names and values of columns of a known solution.
    """

    program: str
    model: Path
    threads: int
    seed: int
    start: Sequence[tuple[str, int]] = ()

    @property
    def solution(self) -> Path:
        """Where CBC writes the solution, in binary: its text has 8 digits."""
        return self.model.with_suffix(".solution")

    def arguments(self, seconds: float) -> list[str]:
        """The command line."""
        options = ["-ratio", "0", "-allow", "0.5", "-timeMode", "elapsed"]
        options += ["-randomSeed", str(1 + self.seed % (2**31 - 1))]
        options += ["-randomCbcSeed", str(1 + self.seed % (2**31 - 1))]
        if self.threads > 1:
            options += ["-threads", str(self.threads)]
        if np.isfinite(seconds):
            options += ["-sec", f"{seconds:.3f}"]
        if self.start:
            options += ["-mips", str(self._write_start())]
        finish = ["-solve", "-saveSolution", str(self.solution)]
        return [self.program, str(self.model), *options, *finish]

    def _write_start(self) -> Path:
        path = self.model.with_suffix(".start")
        lines = (f"{i} {name} {value} 0\n" for i, (name, value) in enumerate(self.start))
        path.write_text("Stopped on time - objective value 0\n" + "".join(lines))
        return path


def run(command: Command, seconds: float, on_bound: Callable[[float], None]) -> Ending:
    """Run CBC, passing on each bound (rounded outward) that its log states within its limit.

    Bounds and claims made after the time limit do not count: there CBC takes an unfinished linear
    relaxation for an infeasible one.
    """
    told = seconds - min(RESERVE_PART * seconds, RESERVE_MOST) if np.isfinite(seconds) else seconds
    own, allowed = Clock(told), Clock(seconds)
    log = _Log(command.model.with_suffix(".log"))
    with log.path.open("wb") as output:
        process = guarded(command.arguments(told), output.fileno())
        try:
            while process.poll() is None and allowed.left:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(POLL, max(allowed.left, 1e-3)))
                log.report(told, on_bound)
            alone = process.poll() is not None
        finally:
            end(process)
    claimed_in_time = own.left > 0
    log.report(told, on_bound)
    if alone and (process.returncode or _UNREADABLE in log.text):
        last = log.text.strip().rpartition("\n")[2]
        raise OptallocError(f"CBC failed with exit code {process.returncode}: {last}")
    found = process.returncode == 0 and _FOUND.search(log.text) is not None
    values = _read_solution(command.solution) if found else None
    return Ending(_claim(log.text) if claimed_in_time else "stopped", values, log.text)


def guarded(arguments: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    """Start a program that ends when this process does, or when `end` is called."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a guarded program if it still runs."""
    assert process.stdin is not None, "guarded programs have a pipe"
    process.stdin.close()
    process.wait()


class _Log:
    """CBC's log as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        self.seen = 0

    def report(self, seconds: float, on_bound: Callable[[float], None]) -> None:
        """Pass on the bounds in the lines that are new and complete."""
        self.text = self.path.read_text(errors="replace")
        last = self.text.rfind("\n") + 1
        for bound in stated_bounds(self.text[self.seen : last], seconds):
            on_bound(bound)
        self.seen = last


def stated_bounds(log: str, seconds: float = float("inf")) -> list[float]:
    """Bounds on the objective in a part of CBC's log, lowered by what printing may have hidden.

    The relaxation is printed with 6 significant digits, the best possible with 8. Lines from after
    so many seconds do not count.
    """
    relaxed = [(m, float(m[1]), 5e-6) for m in _RELAXED.finditer(log)]
    possible = [(m, min(float(m[1]), float(m[2])), 5e-8) for m in _POSSIBLE.finditer(log)]
    return [
        _lowered(bound, part)
        for match, bound, part in relaxed + possible
        if abs(bound) < ABSENT and float(match["seconds"]) < seconds
    ]


def _lowered(number: float, part: float) -> float:
    return number - part * abs(number) - 1e-6


def _claim(log: str) -> Ended:
    if _INFEASIBLE.search(log):
        return "infeasible"
    return "optimal" if _OPTIMAL.search(log) else "stopped"


def _read_solution(path: Path) -> FloatArray:
    """Read rows, columns, objective; activity and dual of each row; value of each column ..."""
    content = path.read_bytes()
    rows, columns = np.frombuffer(content, np.int32, 2).tolist()
    return np.frombuffer(content, np.float64, columns, offset=16 + 16 * rows)
