"""Many tasks of one kind put where they run, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from optalloc.oracle.kinds import Kind, Run
from optalloc.solution import Placed

IntArray = NDArray[np.int64]


def put_all(
    kind: Kind, placed: Sequence[Placed], devices: Sequence[Mapping[str, tuple[int, ...]]]
) -> list[Run]:
    """Put tasks of a kind where a snapshot says that they run, whatever rules say.

    Where counters serve a single task of the kind alone, one after the other; else what all of
    them use is summed first, so that each counter changes once.

    Raises
    ------
    OptallocError
        For a place at which a task of the kind cannot be, and devices that are not free.
    """
    if kind.apart:
        pairs = zip(placed, devices, strict=True)
        return [kind.put(kind.read(one, held)) for one, held in pairs]
    runs = read_all(kind, placed)
    _count(kind, runs)
    if not kind.shares:
        return runs
    dealt = []
    for run, one, held in zip(runs, placed, devices, strict=True):
        named = kind.dealt(int(run.block[0]), one, held)
        whole = Run(run.choice, run.spot, run.block, run.node, run.replicas, named)
        dealt.append(kind.deal(whole))
    return dealt


def read_all(kind: Kind, placed: Sequence[Placed]) -> list[Run]:
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
    if choice.min() < 0 or node.min(initial=0) < 0 or size.min() < 1:
        return [kind.read(one) for one in placed]
    start = np.cumsum(size) - size
    if not _fits(kind, choice, node, replicas, start, size):
        return [kind.read(one) for one in placed]
    spot = problem.spot_of(choice, node[start])
    block = np.repeat(problem.block_of(choice, spot), size)
    ends = zip(choice.tolist(), spot.tolist(), start.tolist(), (start + size).tolist(), strict=True)
    return [Run(c, s, block[a:b], node[a:b], replicas[a:b]) for c, s, a, b in ends]


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


def _count(kind: Kind, runs: Sequence[Run]) -> None:
    """Add all that tasks use to the counters."""
    block = np.concatenate([run.block for run in runs])
    node = np.concatenate([run.node for run in runs])
    replicas = np.concatenate([run.replicas for run in runs])
    pair, inverse = np.unique(block * kind.problem.nodes + node, return_inverse=True)
    total = np.zeros(pair.size, np.int64)
    np.add.at(total, inverse.ravel(), replicas)
    rows = np.array([(run.choice, run.spot) for run in runs], np.int64)
    row, number = np.unique(rows, axis=0, return_counts=True)
    kind.count(*np.divmod(pair, kind.problem.nodes), total, row, number)
