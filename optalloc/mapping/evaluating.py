"""The cost of an assignment and what is wrong with it, from traffic and machine alone.

Shares no code with the searches: what `map_ranks` states is computed here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]
EXACT = 2.0**53


def cost(traffic: Traffic, machine: Machine, assignment: IntArray) -> float:
    """``sum over ordered pairs (i, j) of volume[i, j] * distance[a[i], a[j]]``.

    Exact where volumes and distances are whole numbers and the sum is below 2^53.
    """
    apart = machine.distance[assignment[traffic.source], assignment[traffic.target]]
    products = traffic.volume * apart
    return math.fsum(products.tolist())


def faults(traffic: Traffic, machine: Machine, assignment: IntArray) -> list[str]:
    """Say what makes an assignment none: ranks without a slot, slots that are too full."""
    if assignment.shape != (traffic.ranks,):
        return [f"expected {traffic.ranks} ranks, got {assignment.size}"]
    lost = np.flatnonzero((assignment < 0) | (assignment >= machine.slots))
    if lost.size:
        return [f"rank {r} is on no slot of the machine" for r in lost[:10].tolist()]
    load = [0] * machine.slots
    for rank, slot in enumerate(assignment.tolist()):
        load[slot] += int(traffic.size[rank])
    return [
        f"slot {slot} holds {held} of {room}"
        for slot, (held, room) in enumerate(zip(load, machine.capacity.tolist(), strict=True))
        if held > room
    ]
