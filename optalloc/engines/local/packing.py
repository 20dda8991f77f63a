"""Arrays in one block of memory: to copy all of them is to copy the block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

ALIGNMENT = 64
"""Arrays begin at multiples of this, as rows of the processor's memory do."""


def lay_out(arrays: Mapping[str, Array], block: Bytes) -> dict[str, Array]:
    """Views of a block with the shapes and types of some arrays, one behind the other."""
    views, at = {}, 0
    for name, array in arrays.items():
        views[name] = block[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        at += _aligned(array.nbytes)
    return views


def pack(arrays: Mapping[str, Array]) -> Bytes:
    """Copy arrays into a new block."""
    block = np.empty(sum(_aligned(array.nbytes) for array in arrays.values()), np.uint8)
    for name, view in lay_out(arrays, block).items():
        view[...] = arrays[name]
    return block


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
