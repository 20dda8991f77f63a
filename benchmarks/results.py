"""Rows of results: one file a benchmark, a JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from benchmarks.contract import Row
from optalloc.batch.results import read_rows


def path_of(folder: Path, name: str) -> Path:
    """The file of a benchmark."""
    return folder / f"{name}.jsonl"


def rows_of(folder: Path, name: str) -> list[Row]:
    """Rows measured so far; none if there is no file."""
    path = path_of(folder, name)
    return read_rows(path) if path.exists() else []


def forget(folder: Path, name: str, cases: Collection[str]) -> None:
    """Drop the rows of some cases, which are to be measured anew."""
    rows = rows_of(folder, name)
    kept = [row for row in rows if row["case"] not in cases]
    if len(kept) == len(rows):
        return
    path = path_of(folder, name)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in kept))
    os.replace(fresh, path)  # noqa: PTH105  (a file that is always whole)
