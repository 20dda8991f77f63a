"""Many tasks put where they run, all of a kind at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import OptallocError
from optalloc.oracle.devices import WHOLE
from optalloc.oracle.kinds import Kind, Run
from optalloc.solution import Placed

IntArray = NDArray[np.int64]
Held = Mapping[str, tuple[int, ...]]
"""Numbers of devices by node name, as in `Decision`; some on nodes that are not named."""


Done = Callable[[Kind, list[Run]], None]
"""What is called with where tasks of a kind run, in their order, when they have all they need."""


class Bulk:
    """Puts tasks where a snapshot says that they run, whatever rules say.

    Devices that are named are used first, those of all kinds; then others are chosen for tasks
    that name none.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Kind, list[Run], list[int], Done]] = []

    def put(
        self, kind: Kind, placed: Sequence[Placed], devices: Sequence[Held], done: Done
    ) -> None:
        """Put tasks of a kind; where some lack devices, `finish` goes on with them.

        Where counters serve a single task of the kind alone, one after the other; else what all
        of them use is summed first, so that each counter changes once.

        Raises
        ------
        OptallocError
            For a place at which a task of the kind cannot be, and devices that are not free.
        """
        many = Many.read(kind, placed, devices)
        runs, lacking = many.runs(), many.lacking()
        if kind.apart:
            for k in sorted({*range(len(runs))}.difference(lacking)):
                runs[k] = kind.put_surely(runs[k])
        else:
            many.count()
            many.use()
        if lacking:
            self._waiting.append((kind, runs, lacking, done))
        else:
            done(kind, runs)

    def finish(self) -> None:
        """Choose devices for tasks that lack some.

        Raises
        ------
        OptallocError
            Where none are free.
        """
        for kind, runs, lacking, done in self._waiting:
            for k in lacking:
                runs[k] = kind.put_surely(runs[k]) if kind.apart else kind.deal(runs[k])
            done(kind, runs)
        self._waiting.clear()


@dataclass(frozen=True)
class Many:
    """Where tasks of a kind run, in arrays.

    Parameters
    ----------
    kind
        Of all of them.
    choice, spot, start, size : (tasks,)
        Of each task; its first pair of block and node, and how many it has.
    block, node, replicas : (pairs,)
        Its replicas.
    parts, memory : (pairs,)
        What each replica needs of devices, as in `Share`.
    held
        Devices that are named, by pair; None where none are.
    """

    kind: Kind
    choice: IntArray
    spot: IntArray
    start: IntArray
    size: IntArray
    block: IntArray
    node: IntArray
    replicas: IntArray
    parts: IntArray
    memory: IntArray
    held: list[tuple[int, ...] | None]

    @classmethod
    def read(cls, kind: Kind, placed: Sequence[Placed], devices: Sequence[Held]) -> Many:
        """Find where tasks of a kind run, as `Kind.read` does for each.

        Raises
        ------
        OptallocError
            As `Kind.read`, for the first place at which a task of the kind cannot be.
        """
        problem, index = kind.problem, kind.problem.columns.node_index
        choice = np.array([kind.choices.get(one.configuration, -1) for one in placed], np.int64)
        size = np.array([len(one.nodes) for one in placed], np.int64)
        node = np.array([index.get(name, -1) for one in placed for name in one.nodes], np.int64)
        replicas = np.array([k for one in placed for k in one.nodes.values()], np.int64)
        start = np.cumsum(size) - size
        if choice.min() < 0 or node.min(initial=0) < 0 or size.min() < 1:
            raise _wrong(kind, placed, devices)
        if not _fits(kind, choice, node, replicas, start, size):
            raise _wrong(kind, placed, devices)
        spot = problem.spot_of(choice, node[start])
        block = np.repeat(problem.block_of(choice, spot), size)
        pairs = zip(placed, devices, strict=True)
        held = [named.get(name) for one, named in pairs for name in one.nodes]
        parts, memory = _needs(kind, block, node)
        many = cls(kind, choice, spot, start, size, block, node, replicas, parts, memory, held)
        if not many._names_right_numbers(sum(map(len, devices))):
            raise _wrong(kind, placed, devices)
        return many

    def runs(self) -> list[Run]:
        """Each task by itself, with the devices that are named."""
        block, node, replicas = self.block, self.node, self.replicas
        held = [_dealt(*pair) for pair in zip(self.held, self._each.tolist(), strict=True)]
        starts, stops = self.start.tolist(), (self.start + self.size).tolist()
        tasks = zip(self.choice.tolist(), self.spot.tolist(), starts, stops, strict=True)
        return [
            Run(choice, spot, block[a:b], node[a:b], replicas[a:b], tuple(held[a:b]))
            for choice, spot, a, b in tasks
        ]

    def lacking(self) -> list[int]:
        """Tasks with a replica that needs devices, and names none."""
        unnamed = np.array([held is None for held in self.held]) & (self.parts > 0)
        tasks: list[int] = np.unique(np.arange(self.size.size).repeat(self.size)[unnamed]).tolist()
        return tasks

    def count(self) -> None:
        """Add all that tasks use to the counters."""
        problem = self.kind.problem
        pair, inverse = np.unique(self.block * problem.nodes + self.node, return_inverse=True)
        total = np.zeros(pair.size, np.int64)
        np.add.at(total, inverse.ravel(), self.replicas)
        spots = problem.spot_block.size + 1
        row, number = np.unique(self.choice * spots + self.spot + 1, return_counts=True)
        choice, spot = np.divmod(row, spots)
        rows = np.stack([choice, spot - 1], axis=1)
        self.kind.count(*np.divmod(pair, problem.nodes), total, rows, number)

    def use(self) -> None:
        """Use the devices that are named.

        Raises
        ------
        OptallocError
            Where they are not free.
        """
        devices = self.kind.ground.devices
        if devices is None:
            return
        number = [len(held or ()) for held in self.held]
        at = np.repeat(np.arange(len(number)), number)
        device = np.fromiter(chain.from_iterable(held or () for held in self.held), np.int64)
        node = devices.use_many(self.node[at], device, self.parts[at], self.memory[at])
        if node >= 0:
            name = self.kind.problem.columns.node_names[node]
            raise OptallocError(f"expected devices of node {name!r} that have enough free")

    @property
    def _each(self) -> IntArray:
        """Devices of a replica, by pair."""
        return -(-self.parts // WHOLE)

    def _names_right_numbers(self, named: int) -> bool:
        """Whether devices are named for so many pairs, and for each as many as it needs."""
        stated = np.array([-1 if held is None else len(held) for held in self.held], np.int64)
        right = (stated < 0) | (stated == self._each * self.replicas)
        return named == np.count_nonzero(stated >= 0) and bool(right.all())


def _dealt(held: tuple[int, ...] | None, each: int) -> tuple[tuple[int, ...], ...]:
    """Deal the devices of a pair out to its replicas."""
    if not held:
        return ()
    if len(held) == each:
        return (held,)
    return tuple(held[k : k + each] for k in range(0, len(held), each))


def _needs(kind: Kind, block: IntArray, node: IntArray) -> tuple[IntArray, IntArray]:
    """Parts of devices and memory on each that replicas of blocks need on nodes."""
    parts, memory = np.zeros_like(node), np.zeros_like(node)
    for b in np.unique(block).tolist():
        if share := kind.state.share_of(b):
            here = block == b
            parts[here], memory[here] = share.parts[node[here]], share.memory
    return parts, memory


def _wrong(kind: Kind, placed: Sequence[Placed], devices: Sequence[Held]) -> OptallocError:
    """What is wrong with the first place at which a task of the kind cannot be."""
    for one, named in zip(placed, devices, strict=True):
        try:
            kind.read(one, named)
        except OptallocError as error:
            return error
    return OptallocError("expected nodes on which a task can run")


def _fits(
    kind: Kind,
    choice: IntArray,
    node: IntArray,
    replicas: IntArray,
    start: IntArray,
    size: IntArray,
) -> bool:
    """Whether each task is where one of the kind can be."""
    problem, columns = kind.problem, kind.problem.columns
    row = problem.choice_row[choice]
    share = np.repeat(columns.row_per_node[row], size)
    right = replicas.min() >= 1 and not np.any((share > 0) & (replicas != share))
    right &= np.array_equal(np.add.reduceat(replicas, start), problem.choice_replicas[choice])
    each = np.repeat(row, size)
    right &= bool(problem.node_mask[problem.allowed.row_kind[each], node].all())
    for within in np.unique(columns.row_within[row]).tolist():
        if within >= 0:
            domain = problem.anchors(within).domain[node]
            first, last = np.minimum.reduceat(domain, start), np.maximum.reduceat(domain, start)
            mine = columns.row_within[row] == within
            right &= bool(np.all((first == last) & (first >= 0) | ~mine))
    return bool(right)
