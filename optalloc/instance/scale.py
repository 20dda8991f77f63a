"""The quanta of an instance: each is chosen once, and may serve other tasks on the same nodes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from fractions import Fraction

FINER = 1000
"""By how much quanta that are to serve tasks unknown yet are finer than known ones ask for."""


class Scale:
    """Chosen quanta by what they are of.

    Parameters
    ----------
    finer
        Divides each quantum that is chosen.
    """

    def __init__(self, finer: int = 1) -> None:
        self._finer = finer
        self._chosen: dict[Hashable, Fraction] = {}

    def quantum(self, of: Hashable, choose: Callable[[], Fraction]) -> Fraction:
        """The quantum of something: the one chosen before, or `choose` chooses it now."""
        if of not in self._chosen:
            self._chosen[of] = choose() / self._finer
        return self._chosen[of]
