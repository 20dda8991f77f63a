"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
"""A file that is there."""


TARGET = click.Path(dir_okay=False, path_type=Path)
"""A file to write; see `in_folder`."""


def positive(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Refuse numbers that are not finite and above 0."""
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"expected a finite number above 0, got {value:g}")
    return value


def in_folder(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a file to write in a folder that is not there: before the work, not after it."""
    if value is not None and not value.parent.is_dir():
        raise click.BadParameter(f"expected a folder at {str(value.parent)!r}")
    return value


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


def objective(command: F) -> F:
    """Add ``--objective``."""
    return click.option(
        "--objective",
        metavar="LEVELS",
        help="Levels joined by '>', such as 'throughput > energy'; else the instance's own.",
    )(command)


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
