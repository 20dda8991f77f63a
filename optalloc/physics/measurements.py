"""Measured rows in CSV files: training, all-reduce, placements, power limits, contention."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optalloc.instance.errors import InstanceError

MOST = 20
"""So many problems of a file are listed one by one."""


@dataclass(frozen=True)
class Training:
    """A row of ``training.csv``; the names of its fields are those of the columns."""

    gpu: str
    interconnect: str
    model: str
    parameters: int
    local_batch: int
    replicas: int
    step_s: float
    energy_j_per_step: float


@dataclass(frozen=True)
class AllReduce:
    """A row of ``allreduce.csv``; the names of its fields are those of the columns."""

    interconnect: str
    ranks: int
    bytes: int
    median_s: float
    concurrent: int = 0


@dataclass(frozen=True)
class Placed:
    """A row of ``placements.csv`` of `throughputs_sia`; the fields are columns.

    ``placement`` holds the number of devices on each node as digits: ``44`` is 2 nodes x 4.
    """

    app: str
    gpu: str
    placement: str
    local_bsz: int
    step_time: float
    sync_time: float

    @property
    def counts(self) -> tuple[int, ...]:
        """Devices on each node."""
        return tuple(int(digit) for digit in self.placement)


@dataclass(frozen=True)
class Limited:
    """A row of a job at a power limit (W): seconds of an epoch and the mean watts; see `parse`."""

    gpu: str
    dataset: str
    network: str
    batch_size: int
    optimizer: str
    power_limit: float
    time_per_epoch: float
    average_power: float


@dataclass(frozen=True)
class Contended:
    """A row of ``contention.csv``: two groups on one link, steps/s of each alone and together."""

    interconnect: str
    kind: str
    a_alone_per_s: float
    b_alone_per_s: float
    a_together_per_s: float
    b_together_per_s: float


Kind = type[Training] | type[AllReduce] | type[Placed] | type[Limited] | type[Contended]
_READERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def texts(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the rows of a CSV file, as text.

    Raises
    ------
    InstanceError
        If it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            return list(reader.fieldnames or ()), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InstanceError([("", str(error))], str(path)) from None


def parse(
    kind: Kind, rows: Sequence[dict[str, str]], source: str, optional: Iterable[str] = ()
) -> list[Any]:
    """Read rows of text as measured rows.

    Parameters
    ----------
    kind
        `Training`, `AllReduce`, `Placed`, `Limited` or `Contended`.
    rows
        Text by column.
    source
        The file, for errors.
    optional
        Columns that may be missing or empty: they are then 0 or empty.

    Raises
    ------
    InstanceError
        For missing columns, and for every number that is none or not above 0 (lists them).
    """
    fields = {name: str(hint) for name, hint in kind.__annotations__.items()}
    left = set(optional) | {"concurrent"}
    missing = [name for name in fields if name not in left and rows and name not in rows[0]]
    if not rows or missing:
        wanted = ", ".join(missing or fields)
        raise InstanceError([("", f"expected rows with the columns {wanted}")], source)
    problems: list[tuple[str, str]] = []
    found = []
    for number, row in enumerate(rows, 2):
        values = {}
        for name, hint in fields.items():
            text = (row.get(name) or "").strip()
            values[name] = _value(text, name, hint, name in left, f"line {number}", problems)
        if not problems:
            found.append(kind(**values))
    if problems:
        more = len(problems) - MOST
        listed = problems[:MOST] + ([("", f"and {more} more")] if more > 0 else [])
        raise InstanceError(listed, source)
    return found


def _value(
    text: str, name: str, hint: str, optional: bool, where: str, problems: list[tuple[str, str]]
) -> Any:
    if not text and optional:
        return _READERS[hint]("" if hint == "str" else "0")
    try:
        value = _READERS[hint](text)
    except ValueError:
        value = -1
    positive = hint == "str" or (math.isfinite(value) and (value > 0 or (optional and value == 0)))
    if name == "sync_time" and hint == "float" and value == 0:
        positive = True
    if not positive or (hint == "str" and not text):
        article = {"str": "text", "int": "a whole number above 0", "float": "a number above 0"}
        problems.append((f"{where}, {name}", f"expected {article[hint]}, got {text!r}"))
    elif name == "placement" and not (text.isdigit() and "0" not in text):
        problems.append((f"{where}, {name}", f"expected digits from 1 to 9, got {text!r}"))
    return value


def read(kind: Kind, path: Path, optional: Iterable[str] = ()) -> list[Any]:
    """Read a CSV file of measured rows; see `parse`."""
    return parse(kind, texts(path)[1], str(path), optional)
