"""How much of the free devices is of no use to the requests that are to be expected."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.model import Task
from optalloc.mapping.compiled.base import compiled
from optalloc.oracle.expecting import unusable
from optalloc.oracle.ground import Ground
from optalloc.oracle.kinds import Kind
from optalloc.oracle.oracle import Oracle
from optalloc.oracle.policies.fragmentation import Fragmentation, Mix, Request

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MIX_S = 30.0
"""Seconds after which the mix of requests is counted anew."""


@compiled
def lost(
    nodes: IntArray,
    free: IntArray,
    devices: IntArray,
    class_of: IntArray,
    may: BoolArray,
    needs: IntArray,
    parts: IntArray,
    share: FloatArray,
) -> float:
    """Sum `unusable` over some nodes."""
    total = 0.0
    for n in nodes:
        total += unusable(free[n], devices[n], may[class_of[n]], needs, parts, share)
    return total


@dataclass(frozen=True)
class Sample:
    """What is free at one moment.

    Parameters
    ----------
    ground, kinds
        Of the oracle.
    tasks
        Like those that are to be expected.
    nodes
        Those that are open.
    free : (nodes, resources)
        Of each resource.
    devices : (nodes, most)
        Parts free of each device.
    """

    ground: Ground
    kinds: Mapping[bytes, Kind]
    tasks: tuple[Task, ...]
    nodes: IntArray
    free: IntArray
    devices: IntArray


@dataclass
class Fragments:
    """Follows the share of the free devices that the next request cannot use.

    Of a request of the mix that needs devices, and a node, it is what is free there of devices
    that have too little free for it, and all where the node cannot take it; the mean over the mix
    and the sum over open nodes, over all that is free there. It is FGD's loss (Weng et al., USENIX
    ATC'23) as a share.
    """

    _ranking: Fragmentation | None = None
    _mix: Mix | None = None
    _until: float = 0.0
    _known: dict[bytes, tuple[Request, ...]] = field(default_factory=dict)

    def take(self, oracle: Oracle, tasks: Iterable[Task]) -> Sample | None:
        """Copy what changes, in the thread that has the oracle; None where there are no devices.

        Parameters
        ----------
        oracle
            Which is not changed.
        tasks
            Like those that are to be expected.
        """
        ground = oracle.ground
        if ground.devices is None:
            return None
        nodes = np.flatnonzero(~ground.closed)
        free, devices = ground.free(), ground.devices.free.copy()
        return Sample(ground, oracle._kinds, tuple(tasks), nodes, free, devices)

    def share(self, sample: Sample) -> float | None:
        """The share, in any one thread; None while no request is known, or nothing is free."""
        if self._ranking is None or self._ranking.ground is not sample.ground:
            self._ranking, self._until = Fragmentation(sample.ground), 0.0
            self._known.clear()
        if time.monotonic() >= self._until:
            self._mix = self._expected(self._ranking, sample)
            self._until = time.monotonic() + (MIX_S if self._mix else 0.0)
        total = int(sample.devices[sample.nodes].sum())
        if self._mix is None or not total:
            return None
        mix, free = self._mix, np.ascontiguousarray(sample.free[:, self._ranking._resources])
        wasted = lost(
            sample.nodes, free, sample.devices, mix.class_of, mix.may, mix.needs, mix.parts,
            mix.share,
        )  # fmt: skip
        return float(wasted / total)

    def _expected(self, ranking: Fragmentation, sample: Sample) -> Mix | None:
        counted: Counter[Request] = Counter()
        numbers, before = Counter(Oracle._key(task) for task in sample.tasks), self._known
        # Those that come no more are forgotten.
        self._known = {key: before[key] for key in numbers if key in before}
        for key, number in numbers.items():
            if key not in self._known and (kind := sample.kinds.get(key)) is not None:
                self._known[key] = tuple(ranking._requests(kind))
            for request in self._known.get(key, ()):
                counted[request] += number if request.parts else 0
        return Mix.of(+counted, ranking._devices) if +counted else None
