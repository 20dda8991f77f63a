"""Levelling: moves within a budget that bring the largest loads of nodes down together.

A largest value says nothing about a move that does not touch the fullest node, so a search for it
stands on a plain. Levelling anneals what stands above the means of all nodes instead, cubed, and
moves at a price that keeps to the budget; the fullest nodes follow.
"""

from __future__ import annotations

import importlib.util

from optalloc.engines.levelling.fleet import Fleet
from optalloc.engines.protocol import Form, Job, Session


class Levelling:
    """Simulated annealing of cubed excesses; proves nothing, and begins from an answer."""

    name = "levelling"
    summary = "compiled search for low peaks within a budget of moves, improves a first answer"
    form: Form = "peaks"
    needs_start = True

    def available(self) -> bool:
        """Whether numba is installed."""
        return importlib.util.find_spec("numba") is not None

    def open(self, model: Fleet, job: Job) -> Session:
        """Prepare; the first time on a machine it is compiled on the way."""
        from optalloc.engines.levelling.session import LevellingSession

        return LevellingSession(model, job)


ENGINES = (Levelling(),)
