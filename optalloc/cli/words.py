"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

NONE = "-"
LARGE = 1e15
"""From here on, digits would say more than is known."""


def number(value: float | None) -> str:
    """Write a number with thousands separated: whole numbers in full, others to 6 digits."""
    if value is None:
        return NONE
    if abs(value) >= LARGE:
        return f"{value:g}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.1f}"


def measured(value: float | None, unit: str) -> str:
    """Write a number with its unit."""
    return f"{number(value)} {unit}" if unit and value is not None else number(value)


def percent(fraction: float | None) -> str:
    """Write a fraction as a percentage; only a true zero reads ``0 %``."""
    if fraction is None:
        return NONE
    return f"{100 * fraction:.3g} %"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 node``, ``2,000 nodes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shortened(names: Sequence[str], most: int) -> str:
    """Join names, the last of many as a count."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
