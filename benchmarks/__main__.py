"""``python -m benchmarks``: measure, show, and write the README's table."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.contract import ROOT, Context, Figure, NoData, Row
from benchmarks.registry import benchmarks
from benchmarks.running import Runner
from benchmarks.tables import as_row, circumstances, plain, readme_table, write_table
from optalloc.instance.errors import OptallocError

RESULTS = Path(__file__).parent / "results"


def _read_seeds(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        message = f"expected whole numbers such as 0,1,2, got {value!r}"
        raise click.BadParameter(message) from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listed", is_flag=True, help="List the benchmarks and leave.")
@click.option("--smoke", is_flag=True, help="Tiny sizes, no data: does everything work?")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the results; by default benchmarks/results, with --smoke none.",
)
@click.option("--seeds", callback=_read_seeds, default="0", show_default=True, metavar="0,1,2")
@click.option("--resume", is_flag=True, help="Skip what has a result already.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Cases to measure, such as 'a1_*'.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, one a line.")
@click.option("--table", is_flag=True, help="Measure nothing: write the README's table and leave.")
def main(
    *,
    names: tuple[str, ...],
    listed: bool,
    smoke: bool,
    output: Path | None,
    seeds: tuple[int, ...],
    resume: bool,
    only: tuple[str, ...],
    as_json: bool,
    table: bool,
) -> None:
    """Measure the benchmarks NAME, or all of them.

    Every measurement is a JSON row in DIR/NAME.jsonl, written as soon as it is made; what was
    measured before is replaced, or kept with --resume. Exit code 1 if a measurement failed or an
    answer was wrong; a target that is missed is no failure.
    """
    known = benchmarks()
    wrong = [name for name in names if name not in known]
    if wrong:
        raise click.UsageError(f"no benchmark {', '.join(wrong)}; there are {', '.join(known)}")
    if listed:
        for name, benchmark in known.items():
            click.echo(f"{name:15} {benchmark.summary} (about {benchmark.minutes:g} min)")
        return
    if table:
        text = readme_table(known, output or RESULTS)
        write_table(ROOT / "README.md", text)
        click.echo(text)
        return
    with tempfile.TemporaryDirectory(prefix="optalloc-benchmarks-") as scratch:
        context = Context(Path(scratch), smoke, seeds)
        folder = output or (Path(scratch) / "results" if smoke else RESULTS)
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        runner = Runner(context, folder, command, resume, only)
        _run(runner, names or tuple(known), as_json)


def _run(runner: Runner, names: Sequence[str], as_json: bool) -> None:
    known = benchmarks()
    try:
        # All are listed before the first is measured, so that missing data are said at once.
        cases = {name: runner.cases_of(known[name]) for name in names}
    except (NoData, OptallocError) as error:
        raise click.UsageError(str(error)) from None
    for name, listed in cases.items():
        rows = runner.run(name, listed)
        figures = known[name].figures(rows) if rows else []
        if runner.context.smoke:
            # Tiny sizes reach any target in time and memory, which says nothing.
            figures = [f if f.sound else replace(f, target=None, cases=(1, 1)) for f in figures]
        _show(name, figures, rows, runner.command, as_json)
        runner.failures += [
            f"{name}: {figure.name}: {figure.measured:g} ({figure.detail})"
            for figure in figures
            if figure.sound and figure.measured is not None and figure.met == "no"
        ]
    for failure in runner.failures:
        click.echo(f"failed: {failure}", err=True)
    if runner.failures:
        sys.exit(1)


def _show(
    name: str, figures: Sequence[Figure], rows: Sequence[Row], command: str, as_json: bool
) -> None:
    if as_json:
        for figure in figures:
            click.echo(json.dumps(as_row(name, figure, rows), ensure_ascii=False))
        return
    click.echo(f"\n{name}: {benchmarks()[name].summary}\n{command}")
    for line in circumstances(rows):
        click.echo(line)
    if any(row["smoke"] for row in rows):
        click.echo("tiny sizes (--smoke): these figures say only that it works")
    click.echo(plain(figures))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
