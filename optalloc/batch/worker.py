"""One solve of a batch: a job as a JSON line on standard input, its outcome as JSON on output.

When standard input is closed it ends, with the process group that it leads: no solve outlives its
batch.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optalloc.batch.processes import MIB, own_peak_mib
from optalloc.instance.errors import EngineFailure, OptallocError

if TYPE_CHECKING:
    from optalloc.result import Result

ENGINES_SHARE = 0.8
"""Part of the memory limit at which engines stop by themselves, so that their answer is kept; the
rest is for the instance and its checker."""
MOST_REASONS = 20
"""Reasons kept in a row."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker is asked.

    Parameters
    ----------
    instance
        Path of the instance file.
    engine, seed, objective, time_limit, threads
        As for `optalloc.solve`.
    memory_limit_mib
        Of all processes of the solve together; None for none.
    solution
        Where to write the solution file; None for nowhere.
    """

    instance: str
    engine: str
    seed: int
    threads: int
    objective: str | None = None
    time_limit: float | None = None
    memory_limit_mib: float | None = None
    solution: str | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is no result.

    Parameters
    ----------
    kind
        ``input``, ``exception``, ``signal`` or ``limit``.
    """

    kind: str
    message: str
    detail: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker answers: `Result.summary()`, or why there is none; the memory it held."""

    result: dict[str, Any] | None = None
    error: Failure | None = None
    peak_mib: float = 0.0


def main() -> None:
    """Read a job, solve it and write what came of it."""
    # Solvers print on descriptor 1; the outcome must stand there alone.
    answer = os.dup(1)
    os.dup2(2, 1)
    order = msgspec.json.decode(_line(), type=Order)
    threading.Thread(target=end_with_parent, daemon=True).start()
    outcome = run(order)
    with os.fdopen(answer, "wb") as file:
        file.write(msgspec.json.encode(outcome, enc_hook=lambda value: value.item()))


def _line() -> bytes:
    """Read a line from the descriptor itself: a buffer would be locked by the waiting thread."""
    text = b""
    while not text.endswith(b"\n"):
        more = os.read(0, 1 << 16)
        if not more:
            break
        text += more
    return text


def end_with_parent() -> None:
    """Wait until standard input is closed, then end with the process group that this one leads."""
    while os.read(0, 1 << 10):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def run(order: Order) -> Outcome:
    """Solve a job; an exception becomes part of the outcome."""
    try:
        return Outcome(result=_solve(order), peak_mib=own_peak_mib())
    except EngineFailure as error:
        return Outcome(error=Failure(kind="exception", message=str(error)))
    except OptallocError as error:
        return Outcome(error=Failure(kind="input", message=str(error)))
    except Exception as error:  # noqa: BLE001  (it costs its own row, not the batch)
        message = f"{type(error).__name__}: {error}"
        detail = traceback.format_exc()
        return Outcome(error=Failure(kind="exception", message=message, detail=detail))


def _solve(order: Order) -> dict[str, Any]:
    from optalloc import solving
    from optalloc.instance.files import load_instance

    instance = load_instance(Path(order.instance))
    memory = order.memory_limit_mib
    result = solving.solve(
        instance,
        order.objective,
        engine=order.engine,
        time_limit=order.time_limit,
        threads=order.threads,
        seed=order.seed,
        memory_limit=None if memory is None else int(memory * MIB * ENGINES_SHARE),
    )
    summary = result.summary()
    if order.solution is not None and result.placement is not None:
        summary["failures"] += _write(Path(order.solution), result)
    return {**summary, "reasons": summary["reasons"][:MOST_REASONS]}


def _write(path: Path, result: Result) -> list[str]:
    """Write the solution file; what went wrong, which must not cost the row its answer."""
    from optalloc.solution import write_solution

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_solution(path, result.instance, result.placement, result.summary())
    except OSError as error:
        return [f"no solution file: {error}"]
    return []


if __name__ == "__main__":
    main()
