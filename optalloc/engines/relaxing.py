"""The linear relaxation of a model: where it places things, and what each column would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.milp import HighsSession, run_highs
from optalloc.engines.protocol import Job
from optalloc.formulation.sparse import SparseModel

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Relaxation:
    """An optimal solution of the relaxation.

    Parameters
    ----------
    values : (columns,)
        Column values.
    price : (columns,)
        Reduced cost of each column: what one unit more of it costs at least.
    """

    values: FloatArray
    price: FloatArray


def relax(
    model: SparseModel, level: int, given: Sequence[int], seconds: float
) -> Relaxation | None:
    """Solve the relaxation of a level with HiGHS; None if it takes longer."""
    session = HighsSession(model, Job())
    highs: Any = session.prepare(level, given)
    highs.setOptionValue("solve_relaxation", True)
    highs.setOptionValue("time_limit", seconds)
    run_highs(highs)
    if highs.getModelStatus() != session.optimal:
        return None
    solution = highs.getSolution()
    return Relaxation(np.array(solution.col_value), np.array(solution.col_dual))
