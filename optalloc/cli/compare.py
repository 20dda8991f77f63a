"""``optalloc compare``: how far results are from best-known values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured, number, percent

if TYPE_CHECKING:
    from optalloc.batch.compare import Comparison, Standing


@click.command()
@click.argument("results", type=options.FILE)
@click.argument("best", type=options.FILE)
@click.option("--column", help="Column with the values; else the first that starts with 'best'.")
@click.option("--name-column", help="Column with the instances' names; else the first.")
@click.option("--level", help="Objective level to compare; else the first.")
@options.as_json
def compare(
    *,
    results: Path,
    best: Path,
    column: str | None,
    name_column: str | None,
    level: str | None,
    as_json: bool,
) -> None:
    """Compare RESULTS of a batch with the best-known values in the CSV file BEST.

    Names match by file name or relative path, with or without an extension. A gap below 0 is a
    value better than the best known.
    """
    from optalloc.batch.compare import compare_rows, read_best, standings
    from optalloc.batch.jobs import check_rows
    from optalloc.batch.results import read_rows

    rows = read_rows(results)
    check_rows(rows, str(results))
    compared = compare_rows(rows, read_best(best, column, name_column), level)
    if as_json:
        failures.print_json(
            {
                "rows": [c for c in compared if c.best is not None],
                "engines": standings(compared),
                "without_best": [c.name for c in compared if c.best is None],
                "contradictions": [c.name for c in compared if c.contradicts],
            }
        )
    else:
        _show(compared, standings(compared))


def _show(compared: Sequence[Comparison], summed: Sequence[Standing]) -> None:
    headings = (
        "instance",
        "engine",
        ">seed",
        "status",
        ">value",
        ">best",
        ">gap",
        ">bound",
        ">time",
    )
    known = [entry for entry in compared if entry.best is not None]
    show(
        Table(
            "gaps to best-known values",
            headings,
            [
                (
                    entry.name,
                    entry.engine,
                    str(entry.seed),
                    entry.status,
                    number(entry.value),
                    number(entry.best),
                    percent(entry.gap),
                    number(entry.bound),
                    measured(round(entry.wall_s, 2), "s"),
                )
                for entry in known
            ],
        ),
        Table(
            "engines",
            ("engine", ">solves", ">answered", ">optimal", ">mean gap", ">largest gap"),
            [
                (
                    entry.engine,
                    number(entry.rows),
                    number(entry.answered),
                    number(entry.optimal),
                    percent(entry.mean_gap),
                    percent(entry.max_gap),
                )
                for entry in summed
            ],
        ),
    )
    if len(known) < len(compared):
        names = ", ".join(dict.fromkeys(e.name for e in compared if e.best is None))
        click.echo(f"\n{counted(len(compared) - len(known), 'row')} without a best value: {names}")
    for entry in compared:
        if entry.contradicts:
            click.echo(
                f"contradiction: {entry.name} ({entry.engine}): the bound {number(entry.bound)} "
                f"excludes the best known {number(entry.best)}",
                err=True,
            )
