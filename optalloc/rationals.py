"""Fractions near others, with small numerators and denominators."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt


def between(low: Fraction, high: Fraction, precise: Fraction) -> Fraction:
    """A simple fraction about the geometric mean of two.

    Parameters
    ----------
    low, high
        Above 0; they differ by more than a part `precise` of themselves.
    """
    mean = Fraction(sqrt(low * high))
    return mean.limit_denominator(max(int(4 / (precise * mean)), 1000))


def simplest(low: Fraction, high: Fraction) -> Fraction:
    """The fraction with the smallest denominator from a positive one to a larger one.

    Examples
    --------
    >>> simplest(Fraction(314, 100), Fraction(315, 100))
    Fraction(22, 7)
    """
    whole = low.numerator // low.denominator
    if whole == low or whole + 1 <= high:
        return Fraction(whole if whole == low else whole + 1)
    return whole + 1 / simplest(1 / (high - whole), 1 / (low - whole))


def lower(value: Fraction, most: int) -> Fraction:
    """The largest fraction that is not above a value and whose denominator is not above a limit.

    Examples
    --------
    >>> lower(Fraction(314159, 100000), 10)
    Fraction(25, 8)
    """
    if value.denominator <= most:
        return value
    # Continued fractions, as in `Fraction.limit_denominator`, of which this is the lower side.
    p0, q0, p1, q1 = 0, 1, 1, 0
    n, d = value.numerator, value.denominator
    while True:
        a = n // d
        if q0 + a * q1 > most:
            break
        p0, q0, p1, q1 = p1, q1, p0 + a * p1, q0 + a * q1
        n, d = d, n - a * d
    k = (most - q0) // q1
    return min(Fraction(p0 + k * p1, q0 + k * q1), Fraction(p1, q1))
