"""Public lists of jobs: one module each, found by looking into this package.

A module named without a leading underscore holds one ``READER``, which reads the list's files into
a `Trace` and, where they state nodes, an `Instance`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.simulation.trace import Trace


@dataclass(frozen=True)
class Reader:
    """A public list of jobs.

    Parameters
    ----------
    name
        How the command line calls it; the name of its module.
    summary
        One line for people.
    arguments
        The files it reads, in order, as (name, what it holds).
    jobs
        Makes a trace of as many paths as there are arguments.
    cluster
        Makes an instance of the same paths; None where they state no nodes.
    """

    name: str
    summary: str
    arguments: tuple[tuple[str, str], ...]
    jobs: Callable[[Sequence[Path]], Trace]
    cluster: Callable[[Sequence[Path]], Instance] | None = None

    @property
    def files(self) -> str:
        """The files it reads, for people."""
        return ", ".join(f"{name} ({meaning})" for name, meaning in self.arguments)

    def read(self, paths: Sequence[Path]) -> Trace:
        """Read the jobs.

        Raises
        ------
        InstanceError
            For a wrong number of files, and for files that are not such a list.
        """
        self._check(paths)
        return self.jobs(paths)

    def read_cluster(self, paths: Sequence[Path]) -> Instance:
        """Read the nodes.

        Raises
        ------
        InstanceError
            As `read`, and where the list states none.
        """
        self._check(paths)
        if self.cluster is None:
            what = "expected nodes, and these files state jobs alone"
            raise InstanceError([("", what)], f"the files of {self.name!r}")
        return self.cluster(paths)

    def _check(self, paths: Sequence[Path]) -> None:
        number = len(self.arguments)
        if len(paths) != number:
            plural = "s" if number != 1 else ""
            expected = f"expected {number} file{plural}, {self.files}; got {len(paths)}"
            raise InstanceError([("", expected)], f"the files of {self.name!r}")


@cache
def readers() -> dict[str, Reader]:
    """All readers by name, sorted."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    found: list[Reader] = [importlib.import_module(f"{__name__}.{name}").READER for name in names]
    return {reader.name: reader for reader in found}
