"""Files of mapping problems: METIS graphs, QAPLIB's `.dat`; and assignments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]


def read_metis(path: Path) -> Traffic:
    """Read a graph in METIS' format: each edge carries its weight in both directions.

    The first line is ``vertices edges [fmt]``; fmt 1 has edge weights, 10 vertex weights (the
    sizes), 11 both. Line i lists the neighbours of vertex i, from 1. ``%`` begins a comment.

    Raises
    ------
    InstanceError
        Names the line that is no such line.
    """
    lines = [
        (number, line.split())
        for number, line in enumerate(_text(path).split("\n"), 1)
        if not line.startswith("%")
    ]
    while lines and not lines[-1][1]:
        lines.pop()
    if not lines:
        raise InstanceError([("line 1", "expected 'vertices edges [fmt]', got nothing")], str(path))
    number, head = lines[0]
    stated = [_number(word, number, path) for word in head]
    if not 2 <= len(stated) <= 4 or (len(stated) > 2 and head[2] not in KINDS):
        message = f"expected 'vertices edges [fmt]', fmt one of {', '.join(KINDS)}"
        raise InstanceError([(f"line {number}", f"{message}, got {' '.join(head)!r}")], str(path))
    vertices, edges = int(stated[0]), int(stated[1])
    sized, weighted = KINDS[head[2]] if len(stated) > 2 else (False, False)
    rows = lines[1:] + [(len(lines) + k, []) for k in range(1, vertices - len(lines) + 2)]
    if len(rows) != vertices:
        message = f"expected {vertices} lines of vertices, got {len(rows)}"
        raise InstanceError([("", message)], str(path))
    flat = [[_number(word, number, path) for word in words] for number, words in rows]
    if sized:
        for (number, _), row in zip(rows, flat, strict=True):
            if not row:
                raise InstanceError([(f"line {number}", "expected a vertex weight")], str(path))
    size = [int(row[0]) for row in flat] if sized else [1] * vertices
    flat = [row[1:] if sized else row for row in flat]
    if weighted:
        for (number, _), row in zip(rows, flat, strict=True):
            if len(row) % 2:
                message = "expected a weight after each neighbour"
                raise InstanceError([(f"line {number}", message)], str(path))
    step = 2 if weighted else 1
    owner = np.repeat(np.arange(vertices), [len(row) // step for row in flat])
    end = np.array([v for row in flat for v in row[::step]], np.int64) - 1
    weight = np.array([w for row in flat for w in row[1::2]]) if weighted else np.ones(end.size)
    if end.size != 2 * edges:
        message = f"expected {edges} edges, each listed by both ends, got {end.size} entries"
        raise InstanceError([("", message)], str(path))
    _both_ways(owner, end, vertices, path)
    return Traffic.of_pairs(vertices, owner, end, weight, size, name=str(path))


KINDS = {
    kind: (sized, weighted)
    for kind, sized, weighted in (
        ("0", False, False), ("00", False, False), ("000", False, False), ("1", False, True),
        ("01", False, True), ("001", False, True), ("10", True, False), ("010", True, False),
        ("11", True, True), ("011", True, True),
    )
}  # fmt: skip
"""Values of METIS' fmt: with sizes of vertices, with weights of edges."""


def read_qaplib(path: Path) -> tuple[Traffic, Machine]:
    """Read QAPLIB's format: n, the matrix of flows, the matrix of distances.

    The cost ``sum A[i, j] B[p(i), p(j)]`` counts the diagonals too.

    Raises
    ------
    InstanceError
        For words that are no numbers and matrices that are not complete.
    """
    words = _text(path).split()
    values = [_number(word, 0, path) for word in words]
    n = int(values[0]) if values else 0
    if n < 1 or len(values) != 1 + 2 * n * n:
        message = f"expected n and two matrices of n x n numbers, got {len(values)} numbers"
        raise InstanceError([("", message)], str(path))
    flow, far = np.array(values[1:]).reshape(2, n, n)
    return Traffic.of_matrix(flow, name=str(path)), Machine.of_matrix(far)


def write_assignment(path: Path, assignment: IntArray) -> None:
    """Write the slot of each rank, a line each, as METIS and VieM do."""
    path.write_text("".join(f"{slot}\n" for slot in assignment.tolist()), encoding="utf-8")


def read_assignment(path: Path) -> IntArray:
    """Read what `write_assignment` wrote.

    Raises
    ------
    InstanceError
        Names the line that is no number.
    """
    lines = _text(path).split("\n")
    return np.array(
        [int(_number(line, k, path)) for k, line in enumerate(lines, 1) if line.strip()], np.int64
    )


def _both_ways(owner: IntArray, end: IntArray, vertices: int, path: Path) -> None:
    there, back = owner * vertices + end, end * vertices + owner
    torn = np.setdiff1d(there, back)
    if torn.size:
        a, b = divmod(int(torn[0]), vertices)
        message = f"expected vertex {b + 1} to list {a + 1} too, as {a + 1} lists {b + 1}"
        raise InstanceError([("", message)], str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InstanceError([("", "expected text")], str(path)) from error


def _number(word: str, line: int, path: Path) -> float:
    try:
        value = float(word)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        where = f"line {line}" if line else ""
        raise InstanceError([(where, f"expected a number, got {word[:40]!r}")], str(path))
    return value
