"""Throughput of the configurations chosen."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.throughput import MaxMin, Throughput
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Finding, checks


@checks(Throughput)
def throughput(policy: Throughput, facts: Facts) -> Finding:
    """Sum over rows of rate * tasks that run in the row."""
    rates, _ = policy.rates(facts.columns)
    return Finding(total(rates, facts.placement.chosen))


@checks(MaxMin)
def max_min(policy: MaxMin, facts: Facts) -> Finding:
    """Smallest rate of a counted task: 0 if one is left out, or none is counted."""
    columns = facts.columns
    counts = policy.counted(columns)
    left_out = counts & (facts.tasks_placed < columns.task_count)
    runs = (facts.placement.chosen > 0) & counts[columns.row_task]
    if left_out.any() or not runs.any():
        return Finding(0)
    rates, _ = policy.rates(columns)
    return Finding(int(np.min(rates[runs])))
