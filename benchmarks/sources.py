"""Where the instances of benchmarks come from, said so that another process can make them too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.generated import assignment
from optalloc.formats import formats
from optalloc.generators import generate
from optalloc.instance.model import Instance


@dataclass(frozen=True)
class Source:
    """Where an instance comes from.

    Parameters
    ----------
    kind
        ``assignment``, a scenario of the generators, or a format.
    files
        What the format reads.
    nodes, tasks
        Size of what is made.
    """

    kind: str
    files: tuple[str, ...] = ()
    nodes: int = 0
    tasks: int = 0

    def instance(self) -> Instance:
        """Read or make it."""
        if self.files:
            return formats()[self.kind].read([Path(file) for file in self.files])
        if self.kind == "assignment":
            return assignment(self.tasks, self.nodes, seed=1).instance()
        return generate(self.kind, seed=1, nodes=self.nodes, tasks=self.tasks)


def reassignment(folder: Path, name: str) -> Source:
    """Name an instance of the ROADEF/EURO challenge 2012."""
    files = [str(folder / f"{kind}_{name}.txt") for kind in ("model", "assignment")]
    return Source("roadef", tuple(files))
