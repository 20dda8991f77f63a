"""Jobs of Microsoft's Philly cluster: ``timestamp, duration, num_gpus``.

Times are seconds, and count from the first arrival. A job of up to eight GPUs runs on one node; a
larger one in equal parts of at most eight. Source: https://github.com/msr-fiddle/philly-traces, in
the form of Sia's artifact (SOSP 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path

from optalloc.instance.model import DEVICE, Task
from optalloc.simulation.readers import Reader
from optalloc.simulation.readers._rows import Rows
from optalloc.simulation.trace import Job, Trace

LARGEST = 8
"""GPUs of a node."""


def _read(paths: Sequence[Path]) -> Trace:
    rows = Rows(paths[0], ("timestamp", "duration", "num_gpus"))
    arrivals = [row.moment("timestamp") for row in rows.rows]
    first = min(arrivals)
    jobs = [
        Job(
            task=_task(f"job-{k}", row.whole("num_gpus", least=1)),
            arrival_s=arrival - first,
            duration_s=row.number("duration"),
        )
        for k, (row, arrival) in enumerate(zip(rows.rows, arrivals, strict=True))
    ]
    rows.finish()
    return Trace(name=paths[0].stem, jobs=jobs)


def _task(name: str, gpus: int) -> Task:
    each = gpus if gpus <= LARGEST else gcd(gpus, LARGEST)
    return Task(name=name, demand={DEVICE: each}, replicas=gpus // each)


READER = Reader(
    name="philly",
    summary="Microsoft's Philly cluster: jobs with GPUs and durations",
    arguments=(("JOBS", "timestamp, duration, num_gpus"),),
    jobs=_read,
)
