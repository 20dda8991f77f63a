"""Joins of sorted arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def join(wanted: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """Match numbers with a sorted array: indices (into `wanted`, into `keys`) of equal ones."""
    low = np.searchsorted(keys, wanted, "left")
    size = np.searchsorted(keys, wanted, "right") - low
    left = np.repeat(np.arange(wanted.size, dtype=np.int64), size)
    within = np.arange(left.size) - np.repeat(np.cumsum(size) - size, size)
    return left, low[left] + within
