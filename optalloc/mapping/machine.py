"""Where ranks can go: slots with capacities, and how far they are from one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optalloc.instance.errors import InstanceError
from optalloc.mapping.traffic import square

if TYPE_CHECKING:
    from optalloc.topology.domains import Domains

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
MOST_SLOTS = 8192
"""The distances of more slots are not held as a matrix."""


@dataclass(frozen=True, eq=False)
class Machine:
    """Slots and their distances.

    Make one with `hierarchy`, `of_domains`, `torus` or `of_matrix`, which check.

    Parameters
    ----------
    distance : (slots, slots)
        Cost of a unit of traffic from a slot to another; in any unit, at least 0.
    capacity : (slots,)
        Units of ranks that each slot takes.
    levels
        For trees, innermost first: the domain of each slot at each level, (slots,); slots of one
        domain whose innermost common level is this one are all equally far apart. Else empty.
    """

    distance: FloatArray
    capacity: IntArray
    levels: tuple[IntArray, ...] = ()

    @property
    def slots(self) -> int:
        """Number of slots."""
        return self.capacity.size

    @cached_property
    def symmetric(self) -> bool:
        """Whether every way back is as far."""
        return bool(np.array_equal(self.distance, self.distance.T))

    @cached_property
    def single(self) -> bool:
        """Whether every slot takes one unit."""
        return bool(np.all(self.capacity == 1))

    @classmethod
    def hierarchy(
        cls, sizes: Sequence[int], distances: Sequence[float], capacity: int = 1
    ) -> Machine:
        """Make a uniform tree: ``sizes[0]`` slots a group, ``sizes[1]`` groups above, and so on.

        Slot s lies in group ``s // sizes[0]`` and so on; two slots are ``distances[l]`` apart, l
        the lowest level that they share, and 0 from themselves.

        Parameters
        ----------
        sizes, distances
            Innermost first.
        capacity
            Units that each slot takes.

        Raises
        ------
        InstanceError
            For lengths that differ and numbers out of range.
        """
        problems = [
            (f"hierarchy[{k}]", f"expected at least 1, got {s}")
            for k, s in enumerate(sizes)
            if s < 1
        ]
        problems += _falling(distances)
        if len(sizes) != len(distances) or not sizes:
            message = f"expected one for each level, got {len(sizes)} sizes and {len(distances)}"
            problems.append(("distances", message))
        if not problems and np.prod([float(s) for s in sizes]) > MOST_SLOTS:
            problems.append(("hierarchy", f"expected at most {MOST_SLOTS} slots"))
        if problems:
            raise InstanceError(problems, "the machine")
        slots = np.arange(int(np.prod(sizes)))
        below = np.cumprod(sizes)
        return cls._tree(tuple(slots // int(b) for b in below), distances, 0.0, capacity)

    @classmethod
    def of_domains(
        cls,
        domains: Domains,
        nodes: Sequence[int] | None = None,
        *,
        capacity: int | Sequence[int] = 1,
        distances: Sequence[float] | None = None,
    ) -> Machine:
        """Make the tree over some nodes of a cluster: a slot is a node with its devices.

        Parameters
        ----------
        domains
            From `optalloc.topology`; the domains must be joined at the last level.
        nodes
            Which nodes are the slots, by index; all of them by default.
        capacity
            Devices of each node that may be used.
        distances
            Of nodes that meet at each level of the domains but the first, after the distance
            within a node; by default ``0, 2, 4, ...``, the links on the way.

        Raises
        ------
        InstanceError
            For nodes that nothing joins and distances that do not fit the levels.
        """
        wanted = list(range(len(domains.nodes)) if nodes is None else nodes)
        domains.span(wanted)
        apart = [2.0 * k for k in range(len(domains.levels))] if distances is None else distances
        problems = _falling(apart)
        if len(apart) != len(domains.levels):
            names = ", ".join(level.name for level in domains.levels)
            message = f"expected one for each level ({names}), got {len(apart)}"
            problems.append(("distances", message))
        if problems:
            raise InstanceError(problems, "the machine")
        levels = tuple(level.of_node[wanted] for level in domains.levels[1:])
        return cls._tree(levels, apart[1:], apart[0], capacity)

    @classmethod
    def torus(cls, sizes: Sequence[int], capacity: int = 1) -> Machine:
        """Make a torus: the distance is the number of hops; the first coordinate moves fastest.

        Raises
        ------
        InstanceError
            For sizes below 1.
        """
        problems = [
            (f"torus[{k}]", f"expected at least 1, got {s}") for k, s in enumerate(sizes) if s < 1
        ]
        if problems or not sizes:
            raise InstanceError(problems or [("torus", "expected a size")], "the machine")
        slots, hops = np.arange(int(np.prod(sizes))), 0
        for size in sizes:
            apart = np.abs(np.subtract.outer(slots % size, slots % size))
            hops = hops + np.minimum(apart, size - apart)
            slots = slots // size
        return cls.of_matrix(hops, capacity)

    @classmethod
    def of_matrix(cls, distance: ArrayLike, capacity: int | Sequence[int] = 1) -> Machine:
        """Make one from any distances, (slots, slots), from row to column.

        Raises
        ------
        InstanceError
            For a matrix that is not square, and for numbers out of range.
        """
        matrix = square(distance, "the machine")
        if not np.all(np.isfinite(matrix) & (matrix >= 0)):
            k, j = np.argwhere(~(np.isfinite(matrix) & (matrix >= 0)))[0].tolist()
            message = f"expected a finite number of at least 0, got {matrix[k, j]:g}"
            raise InstanceError([(f"distance[{k}][{j}]", message)], "the machine")
        return cls(matrix, _capacities(capacity, len(matrix)))

    @classmethod
    def _tree(
        cls,
        levels: tuple[IntArray, ...],
        distances: Sequence[float],
        within: float,
        capacity: int | Sequence[int],
    ) -> Machine:
        slots = levels[0].size
        distance = np.full((slots, slots), float(distances[-1]))
        for level, apart in list(zip(levels, distances, strict=True))[-2::-1]:
            distance[np.equal.outer(level, level)] = apart
        np.fill_diagonal(distance, within)
        return cls(distance, _capacities(capacity, slots), levels)


def _falling(distances: Sequence[float]) -> list[tuple[str, str]]:
    """What is wrong with the distances of levels."""
    problems = [
        (f"distances[{k}]", f"expected a finite number of at least 0, got {d:g}")
        for k, d in enumerate(distances)
        if not 0 <= d < np.inf
    ]
    if not problems and any(a > b for a, b in pairwise(distances)):
        stated = ":".join(f"{d:g}" for d in distances)
        problems.append(("distances", f"expected none below an inner one, got {stated}"))
    return problems


def _capacities(stated: int | Sequence[int], slots: int) -> IntArray:
    capacity = (
        np.broadcast_to(np.asarray(stated, np.int64), (slots,))
        if np.ndim(stated) == 0
        else np.asarray(stated, np.int64)
    )
    if capacity.shape != (slots,):
        message = f"expected {slots}, one a slot, got {capacity.size}"
        raise InstanceError([("capacity", message)], "the machine")
    wrong = np.flatnonzero(capacity < 0)[:10].tolist()
    if wrong:
        raise InstanceError(
            [(f"capacity[{k}]", f"expected at least 0, got {capacity[k]}") for k in wrong],
            "the machine",
        )
    return np.ascontiguousarray(capacity)
