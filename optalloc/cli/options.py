"""Options that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from optalloc.arguments import LARGEST_SEED, MOST_THREADS

F = TypeVar("F", bound=Callable[..., Any])

SEED = click.IntRange(0, LARGEST_SEED)
THREADS = click.IntRange(1, MOST_THREADS)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is there."""


TARGET = click.Path(dir_okay=False, writable=True, path_type=Path)
"""A file to write; see `in_folder`."""


def positive(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Refuse numbers that are not finite and above 0."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"expected a finite number above 0, got {value:g}")
    return value


def in_folder(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a file that cannot be written: before the work, not after it."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"expected a folder at {str(value.parent)!r}")
    if value is not None and not value.exists() and not os.access(value.parent, os.W_OK):
        raise click.BadParameter(f"expected a folder to write in at {str(value.parent)!r}")
    return value


def svg(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse what is no file to write, or asks for a picture that is not SVG."""
    if value is not None and value.suffix.lower() != ".svg":
        raise click.BadParameter(f"expected a name that ends in .svg, got {value.name!r}")
    return in_folder(ctx, param, value)


def spare(output: Path | None, *inputs: Path | None) -> None:
    """Refuse to write over a file that is read.

    Raises
    ------
    click.UsageError
        If the output is one of the inputs.
    """
    for given in inputs:
        if output is not None and given is not None and output.exists() and output.samefile(given):
            raise click.UsageError(f"expected -o to name another file than {str(given)!r}")


def output(what: str, required: bool = True) -> Callable[[F], F]:
    """Add ``-o``, the file to write."""
    return click.option(
        "-o", "--output", type=TARGET, callback=in_folder, required=required, help=what
    )


def as_json(command: F) -> F:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
    )(command)


def not_blank(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Refuse blank text, as from a variable of the shell that is not set."""
    if value is not None and not value.strip():
        raise click.BadParameter("expected some text, got none")
    return value


def objective(command: F) -> F:
    """Add ``--objective``."""
    return click.option(
        "--objective",
        metavar="LEVELS",
        callback=not_blank,
        help="Levels joined by '>', such as 'throughput > energy'; else the instance's own.",
    )(command)


def engine(command: F) -> F:
    """Add ``--engine``."""
    return click.option(
        "--engine", default="auto", show_default=True, help="See 'optalloc engines'."
    )(command)


def threads(command: F) -> F:
    """Add ``--threads``."""
    return click.option("--threads", type=THREADS, metavar="N", help="By default all cores.")(
        command
    )


def seed(command: F) -> F:
    """Add ``--seed``."""
    return click.option("--seed", type=SEED, default=0, show_default=True, metavar="N")(command)


def telling(command: F) -> F:
    """Add ``--progress`` and ``--quiet``: what a command tells while and after it runs."""
    quiet = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
    shown = click.option(
        "--progress/--no-progress",
        default=True,
        help="Show on a terminal, on standard error, how far it is; shown by default.",
    )
    return shown(quiet(command))


def known_engines(names: tuple[str, ...]) -> None:
    """Refuse engines that there are not, before the work.

    Raises
    ------
    OptallocError
        Says which there are.
    """
    from optalloc import engines

    for name in names:
        if name not in (engines.AUTO, engines.GREEDY):
            engines.engine(name)
