"""Traces: jobs with the times at which they arrive and how long they run, as JSON files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance import text as texts
from optalloc.instance.errors import InstanceError
from optalloc.instance.field import Field, Several, Stated, kept
from optalloc.instance.model import Configuration, Task
from optalloc.instance.policy import Fault, Number
from optalloc.instance.schema_walk import Walk, plain

VERSION = 1
"""Of the format."""


class Job(Stated, frozen=True):
    """A task that arrives, waits for its place, runs and leaves.

    Parameters
    ----------
    task
        What is to be placed, as in an instance; its name is the job's. With ``work`` it runs until
        its samples are processed, at the throughput of the configuration in which it is placed.
    arrival_s
        Seconds after the beginning of the trace at which it arrives.
    duration_s
        Seconds that it runs, wherever it is; without it and without work it never leaves.
    priority
        Jobs of higher priority are asked for first, where the order goes by it.
    """

    task: Task
    arrival_s: Number = 0
    duration_s: Number | None = None
    priority: Number = 0


class TraceDocument(Stated, frozen=True):
    """The fields of a trace, as a file states them.

    Parameters
    ----------
    optalloc_trace
        Version of the format: 1.
    name, description
        What it is called and what it is about; for people only.
    configurations
        Shared configuration tables that its tasks can name, beside those of the instance.
    jobs
        In any order.
    """

    optalloc_trace: int = VERSION
    name: str = ""
    description: str = ""
    configurations: Field[
        Mapping[str, Sequence[Configuration]], dict[str, tuple[Configuration, ...]]
    ] = kept({})
    jobs: Several[Job] = kept(())


# It is as frozen as `TraceDocument`, but to say so again makes mypy forget the types that are kept.
class Trace(TraceDocument):  # type: ignore[misc]
    """Jobs over time, validated.

    Raises
    ------
    InstanceError
        From the constructor: lists every problem with its path and what was expected.

    Examples
    --------
    >>> from optalloc import Task
    >>> Trace(jobs=[Job(task=Task(name="a"), duration_s=60)]).jobs[0].arrival_s
    0
    """

    def __post_init__(self) -> None:
        """Bring it into normal form (tuples, plain numbers) and check it."""
        read = _converted({field: getattr(self, field) for field in self.__struct_fields__})
        for field in self.__struct_fields__:
            msgspec.structs.force_setattr(self, field, getattr(read, field))
        if faults := list(_faults(self)):
            raise InstanceError(faults, "the trace")


def load_trace(path: str | Path) -> Trace:
    """Read a trace file.

    Raises
    ------
    InstanceError
        If there is no such file or it states no valid trace: lists every problem.
    """
    return loads_trace(texts.read_bytes(Path(path)), str(path))


def loads_trace(text: bytes | str, source: str = "the trace") -> Trace:
    """Read a trace from JSON.

    Raises
    ------
    InstanceError
        Lists every problem with its path and what was expected; for text that is no JSON, where.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    data = texts.without_mark(data)
    try:
        return _read(data)
    except InstanceError as error:
        raise InstanceError(error.problems, source) from None


def dump_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace file, a job a line; compressed where the name ends in ``.gz``."""
    texts.write_bytes(Path(path), dumps_trace(trace))


def dumps_trace(trace: Trace) -> bytes:
    """Write a trace as JSON, a job a line."""
    parts = [b'"optalloc_trace": %d' % trace.optalloc_trace]
    parts += [
        b'"%s": %s' % (field.encode(), msgspec.json.encode(value))
        for field in ("name", "description", "configurations")
        if (value := getattr(trace, field))
    ]
    lines = msgspec.json.Encoder().encode_lines(trace.jobs)[:-1]
    parts.append(b'"jobs": [\n  ' + lines.replace(b"\n", b",\n  ") + b"\n]")
    return b"{\n" + b",\n".join(parts) + b"\n}\n"


@cache
def _decoder() -> msgspec.json.Decoder[TraceDocument]:
    return msgspec.json.Decoder(TraceDocument)


def _read(data: bytes) -> Trace:
    try:
        document = _decoder().decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults = Walk(texts.parse(data), TraceDocument).faults
        raise InstanceError(faults or [("", str(error))]) from None
    if texts.may_repeat(data) and (faults := Walk(texts.parse(data), TraceDocument).faults):
        raise InstanceError(faults)
    return Trace(**{field: getattr(document, field) for field in document.__struct_fields__})


def _converted(stated: dict[str, Any]) -> TraceDocument:
    """Read objects whose types may be wrong."""
    try:
        return msgspec.convert(msgspec.to_builtins(stated, enc_hook=plain), TraceDocument)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
        faults = Walk(stated, TraceDocument).faults
        raise InstanceError(faults or [("", str(error))], "the trace") from None


def _faults(trace: Trace) -> Iterator[Fault]:
    if trace.optalloc_trace != VERSION:
        yield "optalloc_trace", f"expected {VERSION}, got {trace.optalloc_trace!r}"
    first: dict[str, int] = {}
    for k, job in enumerate(trace.jobs):
        here, task = f"jobs[{k}]", job.task
        if not task.name:
            yield f"{here}.task.name", "expected a name, got an empty one"
        elif first.setdefault(task.name, k) != k:
            yield f"{here}.task.name", f"expected a new name, got that of jobs[{first[task.name]}]"
        yield from _numbers(job, here)
        if task.count != 1:
            yield f"{here}.task.count", f"expected 1, as a job is one task; got {task.count!r}"
        if task.work is not None and job.duration_s is not None:
            yield f"{here}.duration_s", "expected none beside task.work, from which it follows"


def _numbers(job: Job, here: str) -> Iterator[Fault]:
    stated: dict[str, Any] = {"arrival_s": job.arrival_s, "duration_s": job.duration_s}
    for field, value in stated.items():
        if value is not None and not (isfinite(value) and value >= 0):
            yield f"{here}.{field}", f"expected a number of at least 0, got {value!r}"
    if not isfinite(job.priority):
        yield f"{here}.priority", f"expected a finite number, got {job.priority!r}"
