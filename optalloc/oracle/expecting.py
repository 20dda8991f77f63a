"""What more requests of a mix would find on a node, compiled.

A node's state is what is free of its resources and devices. What a request takes of their worth
to others is its price: see `optalloc.oracle.pricing`. Where prices are about the same the loss
decides: the free capacity of devices that the next requests cannot use, as FGD states it (Weng et
al., USENIX ATC'23), and a part of what random sequences of requests leave, which counts how far the
capacity reaches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.compiled.base import compiled
from optalloc.oracle.devices import WHOLE
from optalloc.oracle.pricing import worth_of

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WORST = np.inf
"""Of nodes that cannot take it."""
AHEAD = 0.3
"""Weight of what sequences leave."""
CLOSE = 20.0
"""Losses are rounded to multiples of it, in parts of a device."""
STEP = 0.02
"""Prices are rounded to multiples of it, in devices."""
FIRST = 2.0**20
"""How much more a step of the price counts than a step of the loss."""


@compiled
def reaches(need: IntArray, free: IntArray) -> bool:
    """Whether resources are enough."""
    for r in range(need.size):  # noqa: SIM110 (what is compiled has no generators)
        if need[r] > free[r]:
            return False
    return True


@compiled
def take(parts: int, devices: IntArray) -> bool:
    """Take whole devices, or a part of the fullest that has it; False where they lack."""
    if parts < WHOLE:
        at = -1
        for d in range(devices.size):
            if devices[d] >= parts and (at < 0 or devices[d] < devices[at]):
                at = d
        if at >= 0:
            devices[at] -= parts
        return at >= 0
    number, whole = parts // WHOLE, 0
    for d in range(devices.size):
        whole += devices[d] == WHOLE
    if whole < number:
        return False
    for d in range(devices.size):
        if number and devices[d] == WHOLE:
            devices[d] = 0
            number -= 1
    return True


@compiled
def unusable(
    free: IntArray,
    devices: IntArray,
    may: BoolArray,
    needs: IntArray,
    parts: IntArray,
    share: FloatArray,
) -> float:
    """Parts of free devices that the next request cannot use, in the mean over the mix."""
    total, lost = devices.sum(), 0.0
    if not total:
        return 0.0
    for k in range(share.size):
        if not parts[k] or not may[k] or not reaches(needs[k], free):
            lost += share[k] * total
            continue
        each = min(parts[k], WHOLE)
        small, fits = 0, 0
        for d in range(devices.size):
            if devices[d] < each:
                small += devices[d]
            else:
                fits += 1
        lost += share[k] * (small if fits >= parts[k] // WHOLE else total)
    return lost


@compiled
def left_over(
    free: IntArray,
    devices: IntArray,
    may: BoolArray,
    needs: IntArray,
    parts: IntArray,
    sequences: IntArray,
    rest: IntArray,
    devices_left: IntArray,
) -> float:
    """Parts of free devices that sequences of requests leave, in the mean."""
    total = devices.sum()
    if not total:
        return 0.0
    left = 0.0
    for s in range(sequences.shape[0]):
        rest[:], devices_left[:], open_parts = free, devices, total
        for t in range(sequences.shape[1]):
            k = sequences[s, t]
            if not may[k] or not reaches(needs[k], rest):
                continue
            if parts[k] and not take(parts[k], devices_left):
                continue
            for r in range(rest.size):
                rest[r] -= needs[k, r]
            open_parts -= parts[k]
            if not open_parts:
                break
        left += open_parts
    return float(left / sequences.shape[0])


@compiled
def alike(
    n: int,
    other: int,
    free: IntArray,
    devices: IntArray,
    class_of: IntArray,
    need: IntArray,
    part: IntArray,
) -> bool:
    """Whether a replica finds the same on two nodes."""
    same = part[other] == part[n] and class_of[other] == class_of[n]
    for r in range(free.shape[1] if same else 0):
        same &= free[n, r] == free[other, r] and need[n, r] == need[other, r]
    for d in range(devices.shape[1] if same else 0):
        same &= devices[n, d] == devices[other, d]
    return bool(same)


@compiled
def leaves(part: int, devices: IntArray, d: int, left: IntArray) -> bool:
    """Write what is left of devices after a replica, its part from device d if it asks for one.

    False where it does not fit, or a device before d has as much free.
    """
    left[:] = devices
    if not 0 < part < WHOLE:
        return part == 0 or take(part, left)
    tried = devices[d] < part
    for e in range(d):
        tried |= devices[e] == devices[d]
    left[d] -= part
    return not tried


@compiled
def losses(  # noqa: PLR0913, PLR0917 (arrays alone are fast to hand over)
    nodes: IntArray,
    free: IntArray,
    devices: IntArray,
    class_of: IntArray,
    may: BoolArray,
    need: IntArray,
    part: IntArray,
    needs: IntArray,
    parts: IntArray,
    weight: FloatArray,
    sequences: IntArray,
    worth: FloatArray,
    filling: FloatArray,
    scarcity: FloatArray,
    value: FloatArray,
    price: FloatArray,
    at: IntArray,
) -> None:
    """What a replica takes of some nodes, and the device that it gets, if a part of one.

    Parameters
    ----------
    nodes : (k,)
        Those to evaluate.
    free : (nodes, resources)
        Resources but devices.
    devices : (nodes, most)
        Parts free of each device.
    class_of, may : (nodes,), (classes, kinds)
        Class of each node, and where the kinds of the mix may run.
    need, part : (nodes, resources), (nodes,)
        What the replica needs of resources and of devices.
    needs, parts, weight
        The same of the kinds of the mix, and how much each counts.
    sequences : (number, length)
        Of kinds.
    worth, filling, scarcity
        As in `optalloc.oracle.pricing.Prices`.
    value, price, at : (nodes,)
        Where to write them: the price in steps, and in the value the loss after it.
    """
    rest, ahead = np.empty(free.shape[1], np.int64), np.empty(devices.shape[1], np.int64)
    after, mine = np.empty(free.shape[1], np.int64), np.empty(devices.shape[1], np.int64)
    needed = np.empty(free.shape[1], np.float64)
    before = -1
    for i in range(nodes.size):
        n = nodes[i]
        if before >= 0 and alike(n, before, free, devices, class_of, need, part):
            value[n], price[n], at[n] = value[before], price[before], at[before]
            continue
        before, here, scarce = n, may[class_of[n]], scarcity[class_of[n]]
        value[n], price[n], at[n] = WORST, WORST, -1
        if not reaches(need[n], free[n]):
            continue
        after[:] = free[n] - need[n]
        held = worth_of(free[n], devices[n], worth, filling, needed)
        old = unusable(free[n], devices[n], here, needs, parts, weight)
        old += AHEAD * left_over(free[n], devices[n], here, needs, parts, sequences, rest, ahead)
        single, least = 0 < part[n] < WHOLE, WORST
        for d in range(devices.shape[1] if single else 1):
            if not leaves(part[n], devices[n], d, mine):
                continue
            taken = scarce * (held - worth_of(after, mine, worth, filling, needed))
            steps = np.floor(taken / STEP + 0.5)
            if steps > price[n]:
                continue
            new = unusable(after, mine, here, needs, parts, weight)
            new += AHEAD * left_over(after, mine, here, needs, parts, sequences, rest, ahead)
            change = new - old
            close = steps == price[n] and abs(change - least) < 1e-9
            if (
                steps < price[n]
                or (change < least and not close)
                or (close and single and devices[n, d] < devices[n, at[n]])
            ):
                price[n], least, at[n] = steps, change, d if single else -1
        value[n] = price[n] * FIRST + np.floor(least / CLOSE + 0.5)
