"""Memory of single devices: what a replica needs on each that it uses, and what nodes offer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import quanta
from optalloc.instance.model import Configuration, Node, Task
from optalloc.instance.policy import Number

QUANTUM = Fraction(1, 1000)
"""GiB of which memory is a whole number."""


def stated(task: Task, configuration: Configuration | None) -> Number:
    """GiB on each device that a replica uses: as the configuration says, else the task."""
    own = None if configuration is None else configuration.device_memory_gib
    return task.device_memory_gib if own is None else own


def needed(gib: Number) -> int:
    """A need in quanta, rounded up."""
    return int(quanta.upward([gib], QUANTUM)[0])


def offered(nodes: Sequence[Node]) -> NDArray[np.int64]:
    """Memory of each device of each node in quanta, rounded down; 0 where it is not stated."""
    return quanta.downward([node.memory_gib or 0 for node in nodes], QUANTUM)
