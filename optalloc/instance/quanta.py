"""Stated numbers become integers here, once: a quantity is a whole number of its quantum."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, gcd, log10

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optalloc.instance.errors import OptallocError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

LARGEST = 2**62
"""No integer of an instance may be larger."""
DIGITS = 6
"""Significant digits that rates, watts and money keep at least."""
EXACT = 1e-12
"""Relative error up to which a computed number counts as the decimal it is meant to be."""


class QuantityOverflow(OptallocError, ValueError):
    """A quantity is too large for its quantum."""


def choose(values: ArrayLike) -> Fraction:
    """Pick the coarsest quantum 1, 0.1, ..., 1e-6 that states every value exactly.

    Where none does (thirds, say), the quantum leaves the smallest positive value at least
    `DIGITS` significant digits. Values are read to `EXACT` of themselves, and those below one part
    in 2**50 of the largest count as rounding noise.
    """
    array = np.abs(np.asarray(values, np.float64).ravel())
    array = array[array > array.max(initial=0.0) * 2.0**-50]
    for k in range(DIGITS + 1):
        scaled = array * 10.0**k
        if np.all(np.abs(scaled - np.rint(scaled)) <= scaled * EXACT):
            return Fraction(1, 10**k)
    k = DIGITS - floor(log10(float(array.min())))
    return Fraction(10) ** -max(k, 0)


def nearest(values: ArrayLike, quantum: Fraction) -> IntArray:
    """Round to the nearest quantum: for rates, watts, weights and money."""
    return _integers(np.rint(_scaled(values, quantum)))


def upward(values: ArrayLike, quantum: Fraction) -> IntArray:
    """Round up: for demands."""
    scaled = _scaled(values, quantum)
    if _passes_floats(scaled):
        return _exactly(values, quantum, ceil)
    return _integers(np.ceil(scaled - _slack(scaled)))


def downward(values: ArrayLike, quantum: Fraction) -> IntArray:
    """Round down: for capacities."""
    scaled = _scaled(values, quantum)
    if _passes_floats(scaled):
        return _exactly(values, quantum, floor)
    return _integers(np.floor(scaled + _slack(scaled)))


def common(*quanta: Fraction) -> Fraction:
    """Find the largest quantum of which all the given ones are whole multiples."""
    top, bottom = 0, 1
    for q in quanta:
        if q:
            bottom = bottom * q.denominator // gcd(bottom, q.denominator)
    for q in quanta:
        top = gcd(top, int(q * bottom))
    return Fraction(top or 1, bottom)


def exact(number: int | float | Fraction) -> Fraction:
    """Read a stated number as the decimal that was written."""
    return number if isinstance(number, Fraction) else Fraction(repr(number))


def _scaled(values: ArrayLike, quantum: Fraction) -> FloatArray:
    array = np.asarray(values, np.float64)
    if quantum == 1:
        return array
    try:
        factor = float(1 / quantum)
    except OverflowError:
        digits = len(str(quantum.denominator // quantum.numerator)) - 1
        raise QuantityOverflow(f"a quantum of about 1e-{digits} is too fine") from None
    # A quantum of 1/n is applied by multiplying: 0.1 * 1000 is exact where 0.1 / 0.001 is not.
    return np.asarray(array * factor, np.float64)


def _passes_floats(scaled: FloatArray) -> bool:
    """Whether some numbers are so large that floats are too coarse for quanta."""
    return bool(np.abs(scaled).max(initial=0.0) >= 2.0**49)


def _exactly(values: ArrayLike, quantum: Fraction, rounded: Callable[[Fraction], int]) -> IntArray:
    """Round numbers of any size, one by one, as the decimals that were written."""
    stated = np.asarray(values, object)
    whole = [rounded(exact(number) / quantum) for number in stated.ravel().tolist()]
    if max(map(abs, whole)) > LARGEST:
        raise QuantityOverflow(f"{max(map(abs, whole)):.3g} quanta, more than 2**62")
    return np.array(whole, np.int64).reshape(stated.shape)


def _slack(scaled: FloatArray) -> FloatArray:
    return np.asarray(1e-6 + np.abs(scaled) * 2.0**-50, np.float64)


def _integers(scaled: FloatArray) -> IntArray:
    if scaled.size and not float(np.abs(scaled).max()) <= LARGEST:
        raise QuantityOverflow(f"{np.abs(scaled).max():.3g} quanta, more than 2**62")
    return scaled.astype(np.int64)
