"""How the searches are compiled, and their random numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.compiling import Function, kept

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Words = NDArray[np.uint64]


def compiled(function: Function) -> Function:
    """Compile a function when it is first called; machine code is kept on disk.

    It runs without the interpreter's lock, so that threads search side by side.
    """
    return kept(function, nogil=True, error_model="numpy")


def generator(seed: int) -> Words:
    """Make the state of a generator of random numbers, (1,)."""
    return np.array([(seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % 2**64], np.uint64)


@compiled
def draw(state: Words) -> float:
    """Draw a number from [0, 1): splitmix64."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def below(state: Words, many: int) -> int:
    """Draw a whole number from 0 to many - 1."""
    return int(draw(state) * many)


@compiled
def shuffle(values: IntArray, state: Words) -> None:
    """Put values in random order."""
    for i in range(values.size - 1, 0, -1):
        j = below(state, i + 1)
        values[i], values[j] = values[j], values[i]
