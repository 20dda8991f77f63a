"""Job lists of Pollux and Sia: ``name, time, application, num_replicas, batch_size``, and work.

The published lists state no total work: how many samples a job takes follows there from models of
statistical efficiency. A list is read where it has a column ``work`` with the samples of each job;
their rate is that of the measured placements (``app, gpu, placement, local_bsz, step_time``) of the
application on as many GPUs, at the largest local batch within the job's.
Source: https://github.com/siasosp23/artifacts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE, Configuration, Task
from optalloc.physics.measurements import Placed, read
from optalloc.simulation.readers import Reader
from optalloc.simulation.readers._rows import Row, Rows
from optalloc.simulation.trace import Job, Trace

WORK = "work"


def _read(paths: Sequence[Path]) -> Trace:
    rows = Rows(paths[0], ("name", "time", "application", "num_replicas", "batch_size"))
    if WORK not in rows.columns:
        what = (
            f"expected a column {WORK!r} with the samples that each job takes: without a total "
            "work nothing says how long it runs (the published lists leave that to a model)"
        )
        raise InstanceError([("", what)], str(paths[0]))
    placed: list[Placed] = read(Placed, paths[1])
    tables: dict[str, tuple[Configuration, ...]] = {}
    jobs = [_job(row, placed, tables) for row in rows.rows]
    rows.finish()
    return Trace(name=paths[0].stem, configurations=tables, jobs=jobs)


def _job(row: Row, placed: Sequence[Placed], tables: dict[str, tuple[Configuration, ...]]) -> Job:
    app, gpus = row.text("application"), row.whole("num_replicas", least=1)
    batch = row.whole("batch_size", least=1)
    name = f"{app} x {gpus}, batch {batch}"
    if name not in tables:
        tables[name] = tuple(_table(placed, app, gpus, batch))
    if not tables[name]:
        row.wrong("application", f"expected one measured on {gpus} GPUs, got {app!r}")
    return Job(
        task=Task(name=row.text("name"), configurations=name, work=row.number(WORK)),
        arrival_s=row.number("time"),
    )


def _table(placed: Sequence[Placed], app: str, gpus: int, batch: int) -> Iterator[Configuration]:
    """The fastest placement of each GPU type within a node, and the slowest over several."""
    mine = [p for p in placed if p.app == app and sum(p.counts) == gpus]
    for gpu in dict.fromkeys(p.gpu for p in mine):
        for within in (NODE, ""):
            fitting = [
                p
                for p in mine
                if p.gpu == gpu
                and (len(p.counts) == 1) == (within == NODE)
                and p.local_bsz * gpus <= batch
            ]
            if fitting:
                largest = max(p.local_bsz for p in fitting)
                step = max(p.step_time for p in fitting if p.local_bsz == largest)
                yield Configuration(
                    name=f"{gpu} x {gpus}{'' if within else ' apart'}",
                    device=gpu,
                    replicas=gpus,
                    within=within,
                    throughput=largest * gpus / step,
                )


READER = Reader(
    name="sia",
    summary="Pollux and Sia: jobs with a total work, and measured placements",
    arguments=(
        ("JOBS", "name, time, application, num_replicas, batch_size, work"),
        ("PLACEMENTS", "placements.csv"),
    ),
    jobs=_read,
)
