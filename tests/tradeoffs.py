"""Tiny fleets of jobs that trade throughput for watts, and all that they can reach."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from optalloc import Configuration, Instance, Node, Placement, Task
from optalloc.objective import read_objective
from optalloc.verify import verify

watts = st.integers(1, 90).map(lambda k: k / 2)
rates = st.integers(1, 60)


@st.composite
def fleets(draw: st.DrawFn) -> Instance:
    """Draw up to three jobs with up to three power limits each on up to two nodes."""
    nodes = [
        Node(name=f"n{i}", device="gpu", devices=draw(st.integers(1, 2)), idle_w=draw(watts))
        for i in range(draw(st.integers(1, 2)))
    ]
    tasks = [
        Task(
            name=f"t{i}",
            configurations=[
                Configuration(name=f"c{k}", device="gpu", throughput=draw(rates), watts=draw(watts))
                for k in range(draw(st.integers(1, 3)))
            ],
            required=draw(st.booleans()),
            weight=draw(st.integers(0, 3)),
        )
        for i in range(draw(st.integers(1, 3)))
    ]
    return Instance(nodes=nodes, tasks=tasks)


def reachable(instance: Instance, objective: str) -> list[tuple[int, ...]]:
    """Values, in quanta, of the two policies that an objective ends with, of all placements."""
    wanted = read_objective(instance, objective)
    reports = [verify(instance, placement, wanted) for placement in placements(instance)]
    return list({report.values[-2:] for report in reports if report.feasible})


def placements(instance: Instance) -> Iterator[Placement]:
    """All placements of single tasks of one replica each, whatever rules say."""
    columns = instance.columns
    nodes, options = range(columns.nodes), []
    for task in range(columns.tasks):
        rows = range(int(columns.row_start[task]), int(columns.row_start[task + 1]))
        options.append([(), *product(rows, nodes)])
    for chosen in product(*options):
        pairs = np.array([pair for pair in chosen if pair], np.int64).reshape(-1, 2)
        row, node = pairs[:, 0], pairs[:, 1]
        counts = np.bincount(row, minlength=columns.rows).astype(np.int64)
        yield Placement.of(counts, row, node, np.ones_like(row))


def stated(**fields: Any) -> Instance:
    """Make an instance from lists, as users do."""
    return Instance(**fields)


def limited_job(*ways: tuple[float, float], name: str = "train", **fields: Any) -> Task:
    """A job with a row for each (throughput, watts)."""
    rows = [Configuration(name=f"{w:g} W", throughput=s, watts=w) for s, w in ways]
    return Task(name=name, configurations=rows, **fields)
