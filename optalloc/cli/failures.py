"""What goes wrong becomes an exit code and a message or one JSON object, never a bare traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from optalloc.instance.errors import EngineFailure, InstanceError, OptallocError

ANSWER = 0
INFEASIBLE = 1
BAD_INPUT = 2
NOTHING_FOUND = 3
INTERNAL = 4
INTERRUPTED = 130
PIPE_CLOSED = 141
"""As the shell reports a program that SIGPIPE ended."""

NO_RESULT: dict[str, Any] = {
    "objective": None,
    "bound": None,
    "gap": None,
    "wall_s": None,
    "engine": None,
    "stopped_by": None,
    "verified": False,
}
"""What a reader of JSON finds instead of a result."""

TRACEBACK = "OPTALLOC_TRACEBACK"
"""Environment variable that asks for the traceback of an internal error."""


def guarded(run: Callable[[], Any], as_json: bool) -> int:
    """Run a command and return its exit code, with every failure reported.

    Parameters
    ----------
    run
        Returns the exit code; anything but an integer counts as 0.
    as_json
        Report a failure as one JSON object on standard output, else in words on standard error.
    """
    try:
        code = run()
    except (click.Abort, KeyboardInterrupt):
        return _report(INTERRUPTED, "interrupted", "interrupted", as_json)
    except click.ClickException as error:
        if as_json:
            return _report(BAD_INPUT, "usage", error.format_message(), as_json)
        error.show()
        return BAD_INPUT
    except Exception as error:  # noqa: BLE001  (the border to the user: nothing passes it)
        return _failed(error, as_json)
    return code if isinstance(code, int) else ANSWER


def _failed(error: Exception, as_json: bool) -> int:
    """Report what the user can mend as bad input, everything else as an internal error."""
    if isinstance(error, EngineFailure):
        return _report(INTERNAL, "internal", f"internal error: {error}", as_json)
    if isinstance(error, OptallocError):
        problems = error.problems if isinstance(error, InstanceError) else ()
        return _report(BAD_INPUT, "input", str(error), as_json, problems)
    if isinstance(error, OSError) and error.filename is not None:
        return _report(BAD_INPUT, "input", said_of_file(error), as_json)
    return _internal(error, as_json)


def said_of_file(error: OSError) -> str:
    """Say what is wrong with a file that cannot be read or written."""
    name = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    return name + (error.strerror or str(error))


def _internal(error: Exception, as_json: bool) -> int:
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    said = "out of memory" if isinstance(error, MemoryError) else str(error)
    message = f"internal error: {type(error).__name__}: {said}"
    return _report(INTERNAL, "internal", message, as_json, hint=f"{TRACEBACK}=1 shows where")


def _report(
    code: int,
    kind: str,
    message: str,
    as_json: bool,
    problems: Sequence[tuple[str, str]] = (),
    hint: str = "",
) -> int:
    if as_json:
        error: dict[str, Any] = {"kind": kind, "message": message}
        if problems:
            error["problems"] = [{"path": path, "message": text} for path, text in problems]
        stopped_by = "interrupted" if code == INTERRUPTED else None
        print_json({"status": "error", **NO_RESULT, "stopped_by": stopped_by, "error": error})
    else:
        click.echo(f"optalloc: {message}" + (f" ({hint})" if hint else ""), err=True)
    return code


def print_json(value: Any) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    import msgspec

    click.echo(msgspec.json.encode(value, enc_hook=_plain).decode())


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into a plain number."""
    if hasattr(value, "item"):
        return value.item()
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


def pipe_closed() -> NoReturn:
    """Leave quietly when the reader of standard output (``| head``) has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # The interpreter flushes standard output once more on its way out.
    os.dup2(nowhere, sys.stdout.fileno())
    sys.exit(PIPE_CLOSED)


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that an answer that is there is still returned."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
