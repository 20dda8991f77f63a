"""What a batch is to solve: instance files x engines x seeds."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optalloc.instance.errors import InstanceError

SUFFIXES = (".json", ".json.gz")
SOLUTION = ".solution.json"
"""Files so called are answers, not instances."""

ROW_BEGIN = b'{"instance":'
"""Every row of a batch begins so."""
KINDS: dict[str, type | tuple[type, ...]] = {
    "instance": str,
    "name": str,
    "sha256": str,
    "engine": str,
    "seed": int,
    "asked_objective": (str, type(None)),
    "time_limit": (int, float, type(None)),
    "status": str,
}
"""What every row of a batch states at least, and of which type."""

Key = tuple[str, str, str, int, str | None, float | None]


@dataclass(frozen=True)
class Job:
    """One solve.

    Parameters
    ----------
    instance
        The file, as stated.
    name
        Path below the folder that was stated, or the file's name, without its extension.
    sha256
        Of the file's bytes: a changed file is solved again.
    engine, seed, objective, time_limit
        As for `optalloc.solve`.
    """

    instance: str
    name: str
    sha256: str
    engine: str = "auto"
    seed: int = 0
    objective: str | None = None
    time_limit: float | None = None

    @property
    def key(self) -> Key:
        """What makes it the same solve when a batch is resumed."""
        return (
            self.instance,
            self.sha256,
            self.engine,
            self.seed,
            self.objective,
            self.time_limit,
        )

    def row(self) -> dict[str, Any]:
        """The fields of its row that say what was asked."""
        return {
            "instance": self.instance,
            "name": self.name,
            "sha256": self.sha256,
            "engine": self.engine,
            "seed": self.seed,
            "asked_objective": self.objective,
            "time_limit": self.time_limit,
        }


def key_of(row: Mapping[str, Any]) -> Key:
    """The key of the job that a row answers."""
    return (
        row["instance"],
        row["sha256"],
        row["engine"],
        row["seed"],
        row["asked_objective"],
        row["time_limit"],
    )


def check_rows(rows: Iterable[Mapping[str, Any]], source: str) -> None:
    """Make sure that these are rows of a batch.

    Raises
    ------
    InstanceError
        Lists the rows that are not.
    """
    problems = [
        (f"row {number}.{field}", "expected a row of a batch: it is missing or of another type")
        for number, row in enumerate(rows, start=1)
        for field, kind in KINDS.items()
        if not isinstance(row.get(field, ...), kind)
    ]
    if problems:
        raise InstanceError(problems, source)


def make_jobs(
    paths: Sequence[str],
    engines: Sequence[str] = ("auto",),
    seeds: Sequence[int] = (0,),
    objective: str | None = None,
    time_limit: float | None = None,
) -> list[Job]:
    """List the solves of a batch, an instance after the other.

    Parameters
    ----------
    paths
        Files, folders (searched for ``*.json`` and ``*.json.gz``) and patterns (``a/**/*.json``).

    Raises
    ------
    InstanceError
        Lists every path at which there is nothing.
    """
    found = find_instances(paths)
    hashes = {path: _sha256(path) for path, _ in found}
    return [
        Job(path, name, hashes[path], engine, seed, objective, time_limit)
        for path, name in found
        for engine in dict.fromkeys(engines)
        for seed in dict.fromkeys(seeds)
    ]


def find_instances(paths: Sequence[str]) -> list[tuple[str, str]]:
    """Find instance files: their paths and their names, each file once."""
    found: dict[str, str] = {}
    problems = []
    for stated in paths:
        matches = list(_matches(stated))
        if not matches:
            problems.append((stated, "expected a file, a folder with instances or a pattern"))
        for path, name in matches:
            found.setdefault(str(path), name)
    if problems:
        raise InstanceError(problems, "the paths")
    return list(found.items())


def _matches(stated: str) -> Iterator[tuple[Path, str]]:
    path = Path(stated)
    if path.is_file():
        yield path, without_suffix(path.name)
    elif path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        for file in sorted(_instances(files)):
            yield file, without_suffix(file.relative_to(path).as_posix())
    elif glob.has_magic(stated):
        # The name starts where the pattern does: what stands before it is the same for all.
        base = Path(*path.parts[: _fixed(path.parts)])
        matches = (Path(match) for match in glob.glob(stated, recursive=True))  # noqa: PTH207
        for file in sorted(_instances(match for match in matches if match.is_file())):
            yield file, without_suffix(file.relative_to(base).as_posix())


def _fixed(parts: Sequence[str]) -> int:
    """How many leading parts of a pattern are plain."""
    return next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))


def _instances(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if file.name.endswith(SUFFIXES) and not file.name.endswith(SOLUTION):
            yield file


def without_suffix(name: str) -> str:
    """Drop ``.json`` or ``.json.gz``."""
    for suffix in reversed(SUFFIXES):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
