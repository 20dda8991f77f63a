"""Gavel's traces: steps to do, and steps/s on each GPU type (OSDI 2020).

The table of throughputs is JSON: worker type, then ``('job type', GPUs)``, then ``null`` for the
steps/s alone. ``X_unconsolidated`` is for GPUs of type X spread over servers; the others are for
GPUs of one server. A trace has a job a line, with tabs: job type, command, folder, argument of the
steps, whether it needs data, steps, GPUs, priority, deadline, arrival in seconds. The work of a
task is its steps, and throughputs are steps/s.
Source: https://github.com/stanford-futuredata/gavel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optalloc.instance import text as texts
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE, Configuration, Task
from optalloc.simulation.readers import Reader
from optalloc.simulation.readers._rows import Row, refuse
from optalloc.simulation.trace import Job, Trace

COLUMNS = (
    "job type", "command", "folder", "argument", "data", "steps", "GPUs", "priority", "deadline",
    "arrival",
)  # fmt: skip
APART = "_unconsolidated"
Rates = Mapping[tuple[str, int], Mapping[str, float]]
"""Steps/s by worker type, of each job type on so many GPUs."""


def _read(paths: Sequence[Path]) -> Trace:
    rates = _rates(paths[0])
    problems: list[tuple[str, str]] = []
    tables: dict[str, tuple[Configuration, ...]] = {}
    jobs = []
    for number, row in enumerate(_rows(paths[1], problems)):
        kind = row.text("job type"), row.whole("GPUs", least=1)
        name = f"{kind[0]} x {kind[1]}"
        if name not in tables:
            tables[name] = tuple(_table(rates.get(kind, {}), kind[1]))
        if not tables[name]:
            row.wrong(
                "job type", f"expected one with throughputs on {kind[1]} GPUs, got {kind[0]!r}"
            )
        jobs.append(
            Job(
                task=Task(name=f"job-{number}", configurations=name, work=row.number("steps", 1)),
                arrival_s=row.number("arrival"),
                priority=row.number("priority"),
            )
        )
    refuse(problems, paths[1])
    return Trace(name=paths[1].stem, configurations=tables, jobs=jobs)


def _rows(path: Path, problems: list[tuple[str, str]]) -> Iterator[Row]:
    for line, text in enumerate(texts.read_bytes(path).decode("utf-8", "replace").splitlines(), 1):
        values = text.split("\t")
        if len(values) == len(COLUMNS):
            yield Row(dict(zip(COLUMNS, values, strict=True)), line, problems)
        elif text.strip():
            what = f"expected {len(COLUMNS)} values with tabs between them, got {len(values)}"
            problems.append((f"line {line}", what))


def _rates(path: Path) -> Rates:
    try:
        stated = texts.parse(texts.read_bytes(path))
        found: dict[tuple[str, int], dict[str, float]] = {}
        for worker, table in stated.items():
            for key, rates in table.items():
                name, gpus = ast.literal_eval(key)
                found.setdefault((str(name), int(gpus)), {})[worker] = float(rates["null"])
    except InstanceError as error:
        raise InstanceError(error.problems, str(path)) from None
    except (AttributeError, KeyError, SyntaxError, TypeError, ValueError) as error:
        what = "expected throughputs by worker type, (job type, GPUs) and null"
        raise InstanceError([("", f"{what}: {error}")], str(path)) from None
    return found


def _table(rates: Mapping[str, float], gpus: int) -> Iterator[Configuration]:
    """The ways in which a job of so many GPUs runs at all."""
    for worker, rate in rates.items():
        apart = worker.endswith(APART)
        if rate > 0 and not (apart and gpus == 1):
            device = worker.removesuffix(APART)
            shape: dict[str, Any] = {} if apart or gpus == 1 else {"within": NODE}
            name = f"{device} x {gpus}{' apart' if apart else ''}"
            yield Configuration(name=name, device=device, replicas=gpus, throughput=rate, **shape)


READER = Reader(
    name="gavel",
    summary="Gavel: jobs with steps to do, and a table of steps/s by GPU type",
    arguments=(
        ("THROUGHPUTS", "simulation_throughputs.json"),
        ("TRACE", "jobs with steps and GPUs, a line each"),
    ),
    jobs=_read,
)
