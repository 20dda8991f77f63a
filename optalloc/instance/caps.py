"""Caps of the domains of a scope: one number for all, or numbers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.policy import Fault, Number
from optalloc.instance.references import unknown_domains

if TYPE_CHECKING:
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]
Caps = Number | dict[str, Number]
"""One for all domains, or by name (others: no cap)."""


def numbers_of(caps: Caps) -> list[Number]:
    """All numbers that are stated."""
    return list(caps.values()) if isinstance(caps, dict) else [caps]


def cap_of(caps: Caps, name: str) -> Number | None:
    """The cap of a domain; None if it has none."""
    return caps.get(name) if isinstance(caps, dict) else caps


def caps_of(
    columns: Columns, scope: str, caps: Caps, in_quanta: Callable[[Number], int]
) -> tuple[IntArray, IntArray]:
    """Cap of each domain that has one, in quanta, and the cap of each concrete node (-1)."""
    names, domain = columns.scope(scope)
    stated = [cap_of(caps, name) for name in names]
    place = np.full(len(names) + 1, -1, np.int64)
    found: list[int] = []
    for i, cap in enumerate(stated):
        if cap is not None:
            place[i] = len(found)
            found.append(in_quanta(cap))
    return np.array(found, np.int64), place[domain]


def wrong_caps(instance: Instance, path: str, scope: str, caps: Caps) -> Iterator[Fault]:
    """Report names of no domain, and caps that are none."""
    if isinstance(caps, dict):
        yield from unknown_domains(instance, path, scope, caps)
    for name, number in caps.items() if isinstance(caps, dict) else [("", caps)]:
        if not (isfinite(number) and number >= 0):
            at = f"{path}.{name}" if name else path
            yield at, f"expected a finite number of at least 0, got {number}"
