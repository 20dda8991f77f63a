"""Public file formats: one module each, found by looking into this package.

A module named without a leading underscore holds one ``FORMAT``, which reads the format's files
into an `Instance` and writes a placement as the format's own solution file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from optalloc.instance.errors import InstanceError

if TYPE_CHECKING:
    from optalloc.instance.model import Instance
    from optalloc.instance.placement import Placement


@dataclass(frozen=True)
class Format:
    """A public format.

    Parameters
    ----------
    name
        How the command line calls it; the name of its module.
    summary
        One line for people: what problem it states.
    arguments
        The files it reads, in order, as (name, what it holds).
    solution
        What the file that it writes holds.
    reader
        Makes an instance of as many paths as there are arguments.
    writer
        Renders a placement as the text of a solution file.
    """

    name: str
    summary: str
    arguments: tuple[tuple[str, str], ...]
    solution: str
    reader: Callable[[Sequence[Path]], Instance]
    writer: Callable[[Instance, Placement], str]

    @property
    def files(self) -> str:
        """The files it reads, for people: ``MODEL (the machines), ASSIGNMENT (the start)``."""
        return ", ".join(f"{name} ({meaning})" for name, meaning in self.arguments)

    def read(self, paths: Sequence[Path]) -> Instance:
        """Read files of this format.

        Raises
        ------
        InstanceError
            For a wrong number of files, and for files that are not of this format: names the
            file, the line and column, and what was expected there.
        """
        if len(paths) != len(self.arguments):
            number = len(self.arguments)
            plural = "s" if number != 1 else ""
            expected = f"expected {number} file{plural}, {self.files}; got {len(paths)}"
            raise InstanceError([("", expected)], f"the files of format {self.name!r}")
        return self.reader(paths)

    def write(self, instance: Instance, placement: Placement, path: Path) -> None:
        """Write a placement as a solution file of this format.

        Raises
        ------
        InstanceError
            If the format cannot say it: a task that is left out or has several replicas.
        """
        path.write_text(self.writer(instance, placement), encoding="ascii")


@cache
def format_modules() -> tuple[str, ...]:
    """Names of the modules that each hold a format."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


@cache
def formats() -> dict[str, Format]:
    """All formats by name, sorted."""
    modules = (importlib.import_module(f"{__name__}.{name}") for name in format_modules())
    found: list[Format] = [module.FORMAT for module in modules]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}
