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
    if kind.shares:
        runs = [kind.read(one, held) for one, held in zip(placed, devices, strict=True)]
        _count(kind, runs)
        return [kind.deal(run) for run in runs]
    runs = []
    single: dict[tuple[str, str], Run] = {}
    for one in placed:
        # Tasks of one replica share what says where they run: there are far fewer nodes.
        (key,) = one.nodes if len(one.nodes) == 1 else ("",)
        known = single.get((one.configuration, key)) if key else None
        if known is None or one.nodes[key] != known.replicas[0]:
            known = kind.read(one)
            if key:
                single[one.configuration, key] = known
        runs.append(known)
    _count(kind, runs)
    return runs


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
