"""Numbers within their bounds."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.policy import Fault, Number

FloatArray = NDArray[np.float64]
LARGEST_INT = 2**63 - 1
"""No whole number of an instance may be larger: readers elsewhere have 64 bits."""


@dataclass(frozen=True)
class Bound:
    """What a number must be.

    Parameters
    ----------
    expected
        In words, for the message.
    least
        Smallest number allowed.
    strict
        Whether `least` itself is not allowed.
    """

    expected: str
    least: float
    strict: bool = False

    def admits(self, value: Number) -> bool:
        """Whether one number is allowed."""
        whole = isinstance(value, int)
        finite = abs(value) <= LARGEST_INT if whole else isfinite(value)
        return finite and (value > self.least if self.strict else value >= self.least)

    def admits_all(self, values: FloatArray | None) -> bool:
        """Whether all numbers, of which none may be negative, are allowed; in doubt False."""
        if values is None or self.least < 0:
            return False
        low = values.min(initial=np.inf)
        above = low > self.least if self.strict else low >= self.least
        # The sum is too large, or no number, if any of them is.
        return bool(above and values.sum() <= LARGEST_INT // 2)

    def refuse(self, value: Number) -> str:
        """Message for a number that is not allowed."""
        if isinstance(value, int) and value > LARGEST_INT:
            return f"expected at most {LARGEST_INT} (2**63 - 1), got {shown(value)}"
        return f"expected {self.expected}, got {shown(value)}"


FINITE = Bound("a finite number", -float("inf"))
NOT_NEGATIVE = Bound("a finite number of at least 0", 0)
POSITIVE = Bound("a finite number above 0", 0, strict=True)
AT_LEAST_ONE = Bound("a finite number of at least 1", 1)
WHOLE_POSITIVE = Bound("a whole number of at least 1", 1)
WHOLE = Bound("a whole number of at least 0", 0)


def floats(values: Iterable[Any]) -> FloatArray | None:
    """Make floats of numbers; None where some value is none or too large for a float."""
    try:
        return np.frombuffer(array("d", values), np.float64)
    except (TypeError, OverflowError):
        return None


def shown(value: Number) -> str:
    """Print a number for a message; one of hundreds of digits is cut."""
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        return f"a whole number of {value.bit_length()} bits"
    return str(value)


def one(path: str, value: Number | None, bound: Bound) -> Iterator[Fault]:
    """Check a number that may be missing."""
    if value is not None and not bound.admits(value):
        yield path, bound.refuse(value)


def column(
    values: Sequence[Number | None], path: Callable[[int], str], bound: Bound
) -> Iterator[Fault]:
    """Check a number of every entry of a list."""
    if not values:
        return
    same = values[:1] if values.count(values[0]) == len(values) else values
    numbers = floats(same)
    if numbers is None:
        numbers = floats([v for v in same if v is not None])
    if bound.admits_all(numbers):
        return
    for i, value in enumerate(values):
        yield from one(path(i), value, bound)


def maps(
    values: Iterable[Mapping[str, Number]], path: Callable[[int], str], bound: Bound
) -> Iterator[Fault]:
    """Check every number of a mapping of every entry of a list."""
    kept = list(values)
    if bound.admits_all(floats([v for mapping in kept for v in mapping.values()])):
        return
    for i, mapping in enumerate(kept):
        for key, value in mapping.items():
            yield from one(f"{path(i)}.{key}", value, bound)
