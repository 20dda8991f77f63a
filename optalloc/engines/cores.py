"""Cores: all columns that a better solution can use by the prices of the relaxation.

A solution pays the reduced cost of every column beyond the bound at which the relaxation has it, on
top of the relaxation's value (reduced cost fixing: Nemhauser and Wolsey 1988, Integer and
Combinatorial Optimization, section II.5.2). So columns that cost more than the room between that
value and the best known one stay where they are in all better solutions. Better solutions mostly
use columns far below the room, so that a smaller core has them too (kernel search: Angelelli,
Mansini and Speranza 2010, Computers & Operations Research 37).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from optalloc.engines.milp import run_highs
from optalloc.engines.protocol import IntArray
from optalloc.engines.relaxing import Relaxation
from optalloc.engines.repairing import Small, kept, pass_model
from optalloc.formulation.sparse import SparseModel

FIRST, SMALLER, LARGER = 0.3, 0.7, 1.6
"""Part of the room that a column of the first core costs at most; that part changes so when a core
took too long, or had nothing better."""
TOLERANCE = 1e-6
"""Error of a reduced cost."""


@dataclass(frozen=True)
class Searched:
    """What the search of a small model brought.

    Parameters
    ----------
    values
        A solution that is good enough; None if none was found.
    exhausted
        Whether it is certain that there is none.
    seconds
        How long it took.
    """

    values: IntArray | None
    exhausted: bool
    seconds: float


class Cores:
    """Chooses the core to look at next.

    Parameters
    ----------
    model, relaxation
        A model, and the relaxation of a level.
    unit
        Greatest common divisor of the level's coefficients.
    """

    def __init__(self, model: SparseModel, relaxation: Relaxation, unit: int) -> None:
        self.relaxation, self.unit = relaxation, unit
        self.base = np.rint(relaxation.values).astype(np.int64)
        self.dear = np.abs(relaxation.price)
        # What follows from decisions follows them.
        self.dear[model.decisions :] = 0.0
        self.share = FIRST

    def free(self, best: int) -> IntArray:
        """Columns of the core, where `best` is known: the coefficients times the values."""
        room = max(best / self.unit - 1 - self.relaxation.value, 0.0)
        return np.flatnonzero(self.dear <= self.share * room + TOLERANCE)

    def learn(self, searched: Searched) -> bool:
        """Take a larger core where there was nothing, a smaller one where the time was too short.

        Returns
        -------
        bool
            Whether no better solution of the whole model exists.
        """
        whole = self.share >= 1
        if searched.exhausted:
            self.share = min(self.share * LARGER, 1.0)
        elif searched.values is None:
            self.share *= SMALLER
        return whole and searched.exhausted


def search(small: Small, seconds: float, seed: int) -> Searched:
    """Look for any solution of cost `Small.most` or less with HiGHS on one thread."""
    import highspy

    assert small.most is not None
    started = time.monotonic()
    highs: Any = highspy.Highs()
    for name, value in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", seed),
        ("mip_rel_gap", 0.0),
        ("mip_max_improving_sols", 1),
        # With a fraction more, solutions of the next whole cost would count as good enough.
        ("objective_bound", float(small.most)),
        ("time_limit", seconds),
    ):
        highs.setOptionValue(name, value)
    pass_model(highs, small, small.integer)
    run_highs(highs)
    status, api = highs.getModelStatus(), highspy.HighsModelStatus
    values = np.rint(np.array(highs.getSolution().col_value)).astype(np.int64)
    good = values.size == small.cost.size and kept(small, values)
    good = good and int(small.cost @ values) <= small.most
    ended = status in (api.kOptimal, api.kInfeasible, api.kObjectiveBound)
    return Searched(values if good else None, ended and not good, time.monotonic() - started)
