"""Runs the cases of a benchmark and keeps their rows."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import click

import optalloc
from benchmarks.contract import Benchmark, Case, Context, Row
from benchmarks.machine import busy, machine
from benchmarks.results import forget, path_of, rows_of
from optalloc.batch.results import ResultsFile

QUIET = 0.7
"""Processes that may want to run when a measurement starts without a warning."""


@dataclass
class Runner:
    """Measures benchmarks.

    Parameters
    ----------
    context
        How to measure.
    output
        Folder of the results.
    command
        As it was typed; kept in every row.
    resume
        Skip cases that have a row.
    only
        Patterns of the cases to measure; empty for all.
    """

    context: Context
    output: Path
    command: str
    resume: bool = False
    only: Collection[str] = ()
    failures: list[str] = field(default_factory=list)

    def cases_of(self, benchmark: Benchmark) -> list[Case]:
        """The cases that were asked for."""
        cases = benchmark.cases(self.context)
        if not self.only:
            return cases
        return [c for c in cases if any(fnmatchcase(c.key, pattern) for pattern in self.only)]

    def run(self, name: str, cases: list[Case]) -> list[Row]:
        """Measure cases of a benchmark; returns all rows of this size, also of earlier runs."""
        self.output.mkdir(parents=True, exist_ok=True)
        if not self.resume:
            forget(self.output, name, {case.key for case in cases})
        done = {row["case"] for row in rows_of(self.output, name)}
        left = [case for case in cases if case.key not in done]
        file = ResultsFile(path_of(self.output, name), resume=True)
        try:
            for number, case in enumerate(left, start=1):
                click.echo(f"{name} {number}/{len(left)}: {case.key}", err=True)
                self._measure(name, case, file)
        finally:
            file.close()
        rows = rows_of(self.output, name)
        return [row for row in rows if row["smoke"] == self.context.smoke]

    def _measure(self, name: str, case: Case, file: ResultsFile) -> None:
        load = busy()
        if load > QUIET and not self.context.smoke and sys.stderr.isatty():
            click.echo(f"  {load:g} processes want to run: times are not to be trusted", err=True)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            measured = case.measure()
        except Exception as error:  # noqa: BLE001  (it costs its own row, not the run)
            self.failures.append(f"{name}, {case.key}: {type(error).__name__}: {error}")
            click.echo(traceback.format_exc(), err=True)
            return
        file.append(
            {
                "benchmark": name,
                "case": case.key,
                **measured,
                "smoke": self.context.smoke,
                "load_before": load,
                "date": started,
                "machine": machine(),
                "version": optalloc.__version__,
                "command": self.command,
            }
        )
