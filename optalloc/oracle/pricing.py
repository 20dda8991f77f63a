"""What free capacity is worth to requests of a mix.

The requests that share devices are packed into as few as possible by a linear program over what a
device holds (Gilmore and Gomory, Operations Research 9, 1961): ``min sum of x[p]`` with
``sum of a[p, s] x[p] >= number[s]`` for each size s. Its duals say which part of a device each size
is worth, and a knapsack what the rest of a device can still be worth at most. A node's free devices
are worth that only as far as its other resources reach for those who would fill them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.compiled.base import compiled
from optalloc.oracle.devices import WHOLE

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SIZES = 64
"""Sizes of parts that are packed; rarer ones are left out."""
SCALE = 10_000.0
"""Requests that the program packs in all."""
CLOSE = 1e-7


@dataclass(frozen=True)
class Prices:
    """What is free, valued.

    Parameters
    ----------
    worth : (WHOLE + 1,)
        Of a device, by its free parts; a whole one is worth 1.
    filling : (WHOLE + 1, resources)
        What those who fill it need of resources, in the mean.
    scarcity : (classes,)
        Of devices on nodes of a class: how much is asked for that can go there, the most being 1.
    """

    worth: FloatArray
    filling: FloatArray
    scarcity: FloatArray

    @classmethod
    def of(
        cls,
        needs: IntArray,
        parts: IntArray,
        share: FloatArray,
        may: BoolArray,
        devices: FloatArray,
    ) -> Prices:
        """Value what requests of a mix find.

        Parameters
        ----------
        needs, parts, share : (kinds, resources), (kinds,), (kinds,)
            What each kind asks for of resources and of devices, and how frequent it is.
        may : (classes, kinds)
            Where the kinds may run.
        devices : (classes,)
            Of all nodes of a class.
        """
        small = (parts > 0) & (parts < WHOLE)
        number: FloatArray = np.zeros(WHOLE)
        np.add.at(number, parts[small], share[small])
        sizes = np.sort(np.argsort(-number, kind="stable")[: min(SIZES, np.count_nonzero(number))])
        mean = np.array([np.average(needs[parts == s], 0, share[parts == s]) for s in sizes])
        mean = mean.reshape(sizes.size, needs.shape[1])
        worth, last, used = _packed(sizes.astype(np.int64), number[sizes])
        filling = np.zeros((WHOLE + 1, needs.shape[1]))
        for room in range(1, WHOLE):
            k = int(last[room])
            filling[room] = filling[room - sizes[k]] + mean[k] if k >= 0 else filling[room - 1]
        devices_used = used + (share * (parts // WHOLE)).sum()
        if devices_used > 0:
            filling[WHOLE] = (share * (parts > 0)) @ needs / devices_used
        found = devices @ may
        asked = np.divide(share * parts, found, out=np.zeros(share.size), where=found > 0)
        scarcity = may @ asked
        return cls(worth, filling, scarcity / max(scarcity.max(initial=0.0), 1e-300))

    def new(self, part: int) -> float:
        """The price of a part of a device that is whole."""
        return float(self.worth[WHOLE] - self.worth[WHOLE - part])


def _packed(sizes: IntArray, number: FloatArray) -> tuple[FloatArray, IntArray, float]:
    """Worth of free parts, the size that each is best used for (or -1), and devices in all."""
    from scipy.optimize import linprog

    worth, last = np.zeros(WHOLE + 1), np.full(WHOLE + 1, -1, np.int64)
    worth[WHOLE] = 1.0
    if not sizes.size:
        return worth, last, 0.0
    scale = SCALE / number.sum()
    contents = [np.eye(sizes.size)[k] * (WHOLE // sizes[k]) for k in range(sizes.size)]
    while True:
        packed = np.array(contents).T
        solved = linprog(np.ones(len(contents)), -packed, -number * scale, method="highs")
        best_uses(sizes, -solved.ineqlin.marginals, worth, last)
        content = _content(sizes, last)
        known = any(np.array_equal(content, other) for other in contents)
        if worth[WHOLE] <= 1 + CLOSE or known:
            worth[WHOLE] = 1.0
            return np.minimum(worth, 1.0), last, float(solved.fun) / scale
        contents.append(content)


def _content(sizes: IntArray, last: IntArray) -> FloatArray:
    """How many of each size the best content of a device has."""
    content, room = np.zeros(sizes.size), WHOLE
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            content[last[room]] += 1
            room -= int(sizes[last[room]])
    return content


@compiled
def best_uses(sizes: IntArray, price: FloatArray, worth: FloatArray, last: IntArray) -> None:
    """The most that sizes are worth in each room, and the last of them (-1: as a part less)."""
    worth[0], last[0] = 0.0, -1
    for room in range(1, worth.size):
        worth[room], last[room] = worth[room - 1], -1
        for k in range(sizes.size):
            if sizes[k] <= room and worth[room - sizes[k]] + price[k] > worth[room] + 1e-9:
                worth[room], last[room] = worth[room - sizes[k]] + price[k], k


@compiled
def worth_of(
    free: IntArray,
    devices: IntArray,
    worth: FloatArray,
    filling: FloatArray,
    needed: FloatArray,
) -> float:
    """What the free devices of a node are worth, as far as its resources reach."""
    total, reach = 0.0, 1.0
    needed[:] = 0.0
    for d in range(devices.size):
        total += worth[devices[d]]
        for r in range(free.size):
            needed[r] += filling[devices[d], r]
    for r in range(free.size):
        if needed[r] > free[r]:
            reach = min(reach, max(free[r], 0) / needed[r])
    return total * reach
