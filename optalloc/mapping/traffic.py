"""Who sends how much to whom: a directed, weighted graph over ranks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optalloc.instance.errors import InstanceError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Traffic:
    """Volumes between ranks, each ordered pair once.

    Make one with `of_pairs` or `of_matrix`, which check and sort.

    Parameters
    ----------
    ranks
        Number of ranks n.
    source, target : (pairs,)
        Who sends and who receives, sorted by source, then target.
    volume : (pairs,)
        What is sent, in any unit (bytes a step); at least 0.
    size : (ranks,)
        Units of a slot's capacity that each rank takes.
    """

    ranks: int
    source: IntArray
    target: IntArray
    volume: FloatArray
    size: IntArray

    @classmethod
    def of_pairs(
        cls,
        ranks: int,
        source: ArrayLike,
        target: ArrayLike,
        volume: ArrayLike,
        size: ArrayLike | None = None,
        *,
        both_ways: bool = False,
        name: str = "the traffic",
    ) -> Traffic:
        """Make traffic from pairs in any order; those that repeat are added up.

        Parameters
        ----------
        ranks
            Number of ranks.
        source, target, volume : (pairs,)
            The pairs.
        size : (ranks,)
            Units that each rank takes; 1 by default.
        both_ways
            Every pair also sends its volume back, as the edges of an undirected graph do.
        name
            Where it comes from, for errors.

        Raises
        ------
        InstanceError
            For ranks that there are not, and for volumes and sizes out of range.
        """
        a, b = _whole(source), _whole(target)
        flow = np.asarray(volume, np.float64).ravel()
        taken = np.ones(max(ranks, 0), np.int64) if size is None else _whole(size)
        problems = _problems(ranks, a, b, flow, taken)
        if problems:
            raise InstanceError(problems, name)
        if both_ways:
            a, b, flow = np.concatenate([a, b]), np.concatenate([b, a]), np.tile(flow, 2)
        key, place = np.unique(a * ranks + b, return_inverse=True)
        total = np.bincount(place, flow, key.size).astype(np.float64)
        kept = total > 0
        key, total = key[kept], total[kept]
        return cls(ranks, key // ranks, key % ranks, total, taken)

    @classmethod
    def of_matrix(cls, volume: ArrayLike, *, name: str = "the traffic") -> Traffic:
        """Make traffic from a matrix, (ranks, ranks): row sends to column.

        Raises
        ------
        InstanceError
            For a matrix that is not square, and for volumes out of range.
        """
        matrix = square(volume, name)
        source, target = np.nonzero(matrix)
        return cls.of_pairs(len(matrix), source, target, matrix[source, target], name=name)

    @cached_property
    def matrix(self) -> FloatArray:
        """The volumes as a matrix, (ranks, ranks)."""
        made = np.zeros((self.ranks, self.ranks))
        made[self.source, self.target] = self.volume
        return made

    @cached_property
    def total(self) -> float:
        """All volumes together."""
        return float(self.volume.sum())


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph in rows, as compiled functions read it.

    Parameters
    ----------
    start : (vertices + 1,)
        Where the row of each vertex begins.
    end : (entries,)
        The neighbours; each edge is in the rows of both its ends, loops are left out.
    weight : (entries,)
        Volume of the edge, both directions together.
    size : (vertices,)
        Size of each vertex.
    """

    start: IntArray
    end: IntArray
    weight: FloatArray
    size: IntArray

    @property
    def vertices(self) -> int:
        """Number of vertices."""
        return self.size.size

    @classmethod
    def of(cls, source: IntArray, target: IntArray, weight: FloatArray, size: IntArray) -> Graph:
        """Make one from directed pairs; both directions of a pair are added up."""
        n = size.size
        kept = source != target
        a, b = source[kept], target[kept]
        key, place = np.unique(np.concatenate([a * n + b, b * n + a]), return_inverse=True)
        total = np.bincount(place, np.tile(weight[kept], 2), key.size).astype(np.float64)
        start = np.searchsorted(key // max(n, 1), np.arange(n + 1))
        return cls(start.astype(np.int64), key % max(n, 1), total, size)

    @classmethod
    def of_traffic(cls, traffic: Traffic) -> Graph:
        """Add up both directions of every pair."""
        return cls.of(traffic.source, traffic.target, traffic.volume, traffic.size)


def square(values: ArrayLike, name: str) -> FloatArray:
    """Read a square matrix of numbers.

    Raises
    ------
    InstanceError
        If it is none.
    """
    matrix = np.asarray(values, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        shape = " x ".join(map(str, matrix.shape))
        raise InstanceError([("", f"expected a square matrix, got {shape}")], name)
    return np.ascontiguousarray(matrix)


def _whole(values: ArrayLike) -> IntArray:
    return np.asarray(values, np.int64).ravel()


def _problems(
    ranks: int, source: IntArray, target: IntArray, volume: FloatArray, size: IntArray
) -> list[tuple[str, str]]:
    if ranks < 1:
        return [("ranks", f"expected at least 1, got {ranks}")]
    if not source.size == target.size == volume.size:
        lengths = f"{source.size}, {target.size} and {volume.size}"
        return [("pairs", f"expected as many sources, targets and volumes, got {lengths}")]
    problems = [*_outside("source", source, ranks), *_outside("target", target, ranks)]
    wrong = np.flatnonzero(~(np.isfinite(volume) & (volume >= 0)))
    problems += [
        (f"volume[{k}]", f"expected a finite number of at least 0, got {volume[k]:g}")
        for k in wrong[:10].tolist()
    ]
    if size.size != ranks:
        problems.append(("size", f"expected {ranks}, one a rank, got {size.size}"))
    wrong = np.flatnonzero(size < 0)
    problems += [(f"size[{k}]", f"expected at least 0, got {size[k]}") for k in wrong[:10].tolist()]
    return problems


def _outside(name: str, ranks: IntArray, many: int) -> Iterable[tuple[str, str]]:
    for k in np.flatnonzero((ranks < 0) | (ranks >= many))[:10].tolist():
        yield f"{name}[{k}]", f"expected a rank from 0 to {many - 1}, got {ranks[k]}"
