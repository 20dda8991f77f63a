"""Simulation: jobs come and go, and the oracle decides where they run."""

from __future__ import annotations

from optalloc.simulation.replay import Progress, simulate
from optalloc.simulation.result import JobRecord, Series, Simulation, Spread
from optalloc.simulation.trace import Job, Trace, dump_trace, load_trace

__all__ = [
    "Job",
    "JobRecord",
    "Progress",
    "Series",
    "Simulation",
    "Spread",
    "Trace",
    "dump_trace",
    "load_trace",
    "simulate",
]
