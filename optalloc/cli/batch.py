"""``optalloc batch``: many instances, each solved in a process of its own."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from optalloc.arguments import LARGEST_SEED
from optalloc.cli import failures, options
from optalloc.cli.progress import StatusLine, bar
from optalloc.cli.words import counted


def _read_seeds(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() and int(part) <= LARGEST_SEED for part in parts):
        message = f"expected whole numbers from 0 to {LARGEST_SEED} such as 1,2,3"
        raise click.BadParameter(f"{message}, got {value!r}")
    return tuple(map(int, parts))


@click.command()
@click.argument("paths", nargs=-1, required=True)
@options.output("JSON lines file.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option(
    "--time-limit", type=float, callback=options.positive, metavar="S", help="Seconds each."
)
@click.option(
    "--memory-limit", type=float, callback=options.positive, metavar="MIB", help="MiB each."
)
@click.option("--engine", multiple=True, default=("auto",), help="May be given repeatedly.")
@click.option("--seeds", callback=_read_seeds, default="0", show_default=True, metavar="1,2,3")
@click.option(
    "--threads",
    type=options.THREADS,
    metavar="N",
    help="Threads each; by default the cores divided by --jobs.",
)
@options.objective
@click.option(
    "--solutions",
    type=click.Path(file_okay=False, writable=True, path_type=Path),
    metavar="DIR",
    help="Write a solution file for each answer.",
)
@click.option("--resume", is_flag=True, help="Go on with a results file; skip what it has.")
@options.as_json
def batch(  # noqa: PLR0913  (one per option)
    *,
    paths: tuple[str, ...],
    output: Path,
    jobs: int,
    time_limit: float | None,
    memory_limit: float | None,
    engine: tuple[str, ...],
    seeds: tuple[int, ...],
    threads: int | None,
    objective: str | None,
    solutions: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Solve all instances at PATHS: files, folders and patterns such as 'a/**/*.json'.

    Each solve is a process that is ended at its time or memory limit. One row of JSON is appended
    to the output per solve, also for one that crashed. Ctrl-C leaves a file to --resume.
    """
    from optalloc.batch.jobs import ROW_BEGIN, check_rows, key_of, make_jobs
    from optalloc.batch.results import ResultsFile, read_rows
    from optalloc.batch.runner import Settings, run_batch, usable_cpus

    options.known_engines(engine)
    wanted = make_jobs(paths, engine, seeds, objective, time_limit)
    options.spare(output, *(Path(job.instance) for job in wanted))
    if solutions is not None:
        solutions.mkdir(parents=True, exist_ok=True)
    file = ResultsFile(output, resume, ROW_BEGIN)
    check_rows(file.rows, str(output))
    done = {key_of(row) for row in file.rows}
    left = [job for job in wanted if job.key not in done]
    settings = Settings(
        jobs=jobs,
        threads=threads or max(1, usable_cpus() // jobs),
        memory_limit_mib=memory_limit,
        solutions=solutions,
    )
    tally = _Tally(len(left))
    try:
        with (
            tally.line,
            failures.terminated_as_interrupted(),
            closing(run_batch(left, settings, tally.tick)) as rows,
        ):
            for row in rows:
                file.append(row)
                tally.add(row)
    except KeyboardInterrupt:
        # The file knows best: the interruption may have come between a row and its count.
        done_now = len(read_rows(output)) - len(file.rows)
        said = f"{done_now} of {len(left)} done; --resume goes on with the rest"
        click.echo(f"optalloc: {said}", err=True)
        raise
    finally:
        file.close()
    tally.report(output, len(wanted) - len(left), as_json)


class _Tally:
    """Counts what has come of the solves, and shows it while they run."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.statuses: Counter[str] = Counter()
        self.line = StatusLine()
        self._begin = time.monotonic()

    def add(self, row: dict[str, Any]) -> None:
        self.done += 1
        self.statuses[row["status"]] += 1

    def tick(self, running: int) -> None:
        spent = time.monotonic() - self._begin
        left = spent / self.done * (self.total - self.done) if self.done else None
        rest = "" if left is None else f", about {left:.0f} s left"
        self.line.show(
            f"{bar(self.done, self.total)} {self.done}/{self.total}, {running} running, "
            f"{spent:.0f} s{rest}  {self.words()}"
        )

    def words(self) -> str:
        """Statuses with their numbers."""
        return ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))

    def report(self, output: Path, skipped: int, as_json: bool) -> None:
        """Say on standard output what has come of it all."""
        if as_json:
            failures.print_json(
                {
                    "status": "done",
                    "results": str(output),
                    "solved": self.done,
                    "skipped": skipped,
                    "statuses": dict(sorted(self.statuses.items())),
                }
            )
            return
        before = f", {skipped} done before" if skipped else ""
        words = f" ({self.words()})" if self.done else ""
        click.echo(f"{output}: {counted(self.done, 'solve')}{words}{before}")
