"""Numbers in the checker's sentences."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction


def number(value: float) -> str:
    """Write a number without a trailing ``.0`` or the noise of its last digits."""
    return f"{value:.15g}"


def with_unit(value: float, unit: str) -> str:
    """Write a number with its unit, if it has one."""
    return f"{number(value)} {unit}" if unit else number(value)


def stated(quanta: int, quantum: Fraction) -> float:
    """Convert quanta to the unit in which they were stated."""
    return float(int(quanta) * quantum)


def listed(names: Iterable[str]) -> str:
    """Join quoted names."""
    return ", ".join(repr(name) for name in names) or "none"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun in the right number."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
