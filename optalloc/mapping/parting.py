"""What bundles of ranks are worth in parts of given sizes: the traffic that stays in the parts.

Ranks joined by the heaviest edges are cells (tensor-parallel groups), cells joined by the next
heavy ones are bundles (pipeline stages). Where the edges between two cells join each rank to one
other at most, parts that hold a and b ranks of them keep at most min(a, b) of these edges: what a
bundle keeps in parts of given sizes is then bounded by how many ranks of each cell are in which
part alone, and the best numbers are found by dynamic programming over the ranks that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.constraining import components

IntArray = NDArray[np.int64]
Sizes = tuple[int, ...]
STATES = 20_000
"""Numbers of ranks left of each cell up to which all are looked at."""
FIELD, CELLS = 6, 10
"""Bits for the ranks of a cell that a part holds, one to spare, and cells that have room so."""
NODES = 300_000
"""Nodes of the search for the best ranks of one cell."""


def nested(weight: IntArray) -> list[list[list[int]]]:
    """Components of the edges of at least each weight, heaviest first, until all is one."""
    found: list[list[list[int]]] = []
    for value in np.unique(weight[weight > 0])[::-1].tolist():
        groups = components(weight >= value)
        joined = {v for group in groups for v in group}
        groups += [[v] for v in range(len(weight)) if v not in joined]
        if not found or len(groups) < len(found[-1]):
            found.append(groups)
        if len(groups) == 1:
            break
    return found


def between(weight: IntArray, one: Sequence[int], other: Sequence[int]) -> IntArray | None:
    """Weights of edges between two groups, heaviest first; None if one end has two of them."""
    block = weight[np.ix_(one, other)]
    if block.size and max((block > 0).sum(axis=0).max(), (block > 0).sum(axis=1).max()) > 1:
        return None
    return np.sort(block[block > 0])[::-1]


def kept(weight: IntArray, cell: Sequence[int], most: int, flag: IntArray) -> IntArray | None:
    """Most weight among k ranks of a cell for k from 0 to `most`; None if that takes too long."""
    from optalloc.mapping.compiled.subsets import dearest

    inside = weight[np.ix_(cell, cell)].astype(np.float64)
    found = [0.0, 0.0]
    for size in range(2, min(len(cell), most) + 1):
        price = np.zeros(len(cell))
        worth, _, exact = dearest(inside, price, size, found[-1], NODES, flag)
        if not exact:
            return None
        found.append(worth)
    return np.array(found[: most + 1], np.int64)


def partitions(total: int, most: int, parts: int) -> Iterator[Sizes]:
    """Ways to write a number as at most so many parts of at most a size, largest first."""
    if total == 0:
        yield ()
    elif parts:
        for first in range(min(total, most), (total - 1) // parts, -1):
            for rest in partitions(total - first, first, parts - 1):
                yield (first, *rest)


def best_split(kept_by: IntArray, total: int, parts: int) -> int:
    """Most that parts keep together: ranks in at most some parts, each keeping what it may."""
    best = np.full(total + 1, -1, np.int64)
    best[0] = 0
    for _ in range(parts):
        after = best.copy()
        for size in range(1, min(total, kept_by.size - 1) + 1):
            before = best[: total + 1 - size]
            after[size:] = np.where(
                before >= 0, np.maximum(after[size:], before + kept_by[size]), after[size:]
            )
        best = after
    return int(best[total])


def worths(
    weight: IntArray, cells: Sequence[Sequence[int]], most: int, parts: int, flag: IntArray
) -> dict[Sizes, int] | None:
    """Bound what a bundle keeps in parts, from above, for all sizes that the parts may have.

    Parameters
    ----------
    weight : (n, n)
        Symmetric, whole numbers.
    cells
        The ranks of each cell of the bundle.
    most, parts
        Largest size of a part, and how many parts there are.
    flag : (1,)
        Ends a search that is under way when it is not 0.

    Returns
    -------
    dict or None
        None if there are too many cells, or edges between them are not one to one.
    """
    sizes = [len(cell) for cell in cells]
    states = np.prod([size + 1.0 for size in sizes])
    if states > STATES or len(cells) > CELLS or max(sizes) >= 2 ** (FIELD - 1):
        return None
    radix = np.cumprod([1, *(size + 1 for size in sizes)])
    codes = np.arange(radix[-1])
    digits = [codes // radix[i] % (size + 1) for i, size in enumerate(sizes)]
    worth = np.zeros(codes.size, np.int64)
    for i, cell in enumerate(cells):
        own = kept(weight, cell, most, flag)
        if own is None:
            return None
        worth += own[np.minimum(digits[i], own.size - 1)]
        for j in range(i):
            shared = between(weight, cell, cells[j])
            if shared is None:
                return None
            sums = np.concatenate([[0], np.cumsum(shared)])
            worth += sums[np.minimum(np.minimum(digits[i], digits[j]), shared.size)]
    packed = np.sum([d << FIELD * i for i, d in enumerate(digits)], axis=0)
    guard = sum(1 << FIELD * i + FIELD - 1 for i in range(len(cells)))
    total = np.sum(digits, axis=0)
    of_size = [np.flatnonzero(total == size) for size in range(sum(sizes) + 1)]
    first = np.full(codes.size, -1, np.int64)
    first[-1] = 0
    found: dict[Sizes, int] = {}
    _divide(first, (), parts, most, (of_size, packed, guard, worth), found)
    return found


def _divide(
    values: IntArray,
    taken: Sizes,
    parts: int,
    most: int,
    tables: tuple[list[IntArray], IntArray, int, IntArray],
    found: dict[Sizes, int],
) -> None:
    """Take all further parts, largest first, out of what is left."""
    from optalloc.mapping.compiled.parting import part

    of_size, packed, guard, worth = tables
    left = len(of_size) - 1 - sum(taken)
    if left == 0:
        found[taken] = int(values[0])
        return
    for size in range(min(left, most), (left - 1) // parts if parts else left, -1):
        after = part(values, of_size[left], of_size[size], packed, guard, worth)
        _divide(after, (*taken, size), parts - 1, size, tables, found)
