"""The local search's prices of broken rules."""

from __future__ import annotations

import numpy as np
import pytest

from optalloc.engines.local import dense, penalties
from optalloc.engines.local.loading import load_tables
from optalloc.engines.local.placed import Placed
from optalloc.formulation.problem import Problem
from optalloc.instance.model import Configuration, Instance, Node, Task
from optalloc.objective import read_objective


def overloaded() -> Placed:
    """Three tasks on the first of two nodes, which has room for two of them."""
    ways = (Configuration(device="x", demand={"memory": 5.0}),)
    instance = Instance(
        nodes=[Node(name=f"n{i}", device="x", capacity={"memory": 10.0 + i}) for i in range(2)],
        tasks=[Task(name=f"t{i}", configurations=ways) for i in range(3)],
    )
    model = load_tables(Problem(instance, read_objective(instance))).model
    return Placed(model, 0, np.array([0, 0, 0, 0, 0, 0]))


def test_what_is_broken_gets_dearer_and_what_is_not_cheaper() -> None:
    """Two nodes: one breaks a rule all the time, one never; the counters never."""
    placed = overloaded()
    prices = penalties.Penalties(placed)
    assert placed.state.dear.tolist() == [1.0, 1.0]
    first = prices.at(0.1, 0.0)
    over = placed.state.over.copy()
    for part in range(1, 11):
        latest = prices.at(0.1, part / 1000)
    share, steps = penalties.SHARE * 0.1, 10 * penalties.PACE / 1000
    assert placed.state.dear == pytest.approx(
        np.exp([steps * (1 - share), -steps * share]), abs=2 * dense.FINEST
    )
    assert latest == pytest.approx(first * np.exp(-penalties.COUNTERS * steps * share))
    assert placed.state.over.tolist() == (over * placed.state.dear).tolist()
    assert placed.state.violation[0] == placed.state.over.sum()
    placed.recheck()
    penalties.Penalties(placed)
    assert placed.state.over.tolist() == over.tolist()


def test_penalties_rise_where_it_is_cold_whatever_is_broken() -> None:
    prices = penalties.Penalties(overloaded())
    warm = prices.at(penalties.HARDENED, 0.0)
    assert prices.at(penalties.HARDENED / 4, 0.0) == pytest.approx(4**penalties.HARDENING * warm)
    assert prices.at(1e-9, 0.0) == penalties.HARD
