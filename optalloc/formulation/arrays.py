"""Runs, joins of sorted arrays, and intervals cut into pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def numbered(length: IntArray) -> IntArray:
    """Number the members of consecutive runs of some lengths, each from 0."""
    start = np.cumsum(length) - length
    return np.asarray(np.arange(int(length.sum())) - np.repeat(start, length), np.int64)


def join(wanted: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """Match numbers with a sorted array: indices (into `wanted`, into `keys`) of equal ones."""
    low = np.searchsorted(keys, wanted, "left")
    size = np.searchsorted(keys, wanted, "right") - low
    left = np.repeat(np.arange(wanted.size, dtype=np.int64), size)
    within = numbered(size)
    return left, low[left] + within


def cut(
    start: IntArray, owner: IntArray, length: IntArray, pieces: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Cut intervals that follow one another where pieces end, that do too.

    Parameters
    ----------
    start, owner, length : (k,)
        Where the first interval of each owner starts; intervals, of positive length, sorted by
        owner.
    pieces
        Lengths of the pieces, of all owners one after the other.

    Returns
    -------
    interval, piece, length
        What each part is of, and how long it is.
    """
    ends = np.cumsum(length)
    before = np.concatenate([[0], ends])[np.searchsorted(owner, owner)]
    high = start + ends - before
    low = high - length
    piece_end = np.cumsum(pieces)
    first = np.searchsorted(piece_end, low, "right")
    size = np.searchsorted(piece_end, high, "left") - first + 1
    index = np.repeat(np.arange(owner.size), size)
    within = numbered(size)
    piece = first[index] + within
    taken = np.minimum(high[index], piece_end[piece])
    taken -= np.maximum(low[index], piece_end[piece] - pieces[piece])
    used = np.flatnonzero(taken > 0)
    return index[used], piece[used], taken[used]
