"""Tables for people: drawn on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import click


@dataclass(frozen=True)
class Table:
    """Lines of cells under headings.

    Parameters
    ----------
    title
        Printed above.
    columns
        Headings; one that starts with ``>`` is of a column set flush right.
    rows
        The cells; without any the table is not printed.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = field(default=())

    @property
    def right(self) -> tuple[bool, ...]:
        """Which columns are set flush right."""
        return tuple(column.startswith(">") for column in self.columns)

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings as printed."""
        return tuple(column.removeprefix(">") for column in self.columns)


def show(*tables: Table) -> None:
    """Print tables on standard output."""
    for table in tables:
        if not table.rows:
            continue
        if sys.stdout.isatty():
            _draw(table)
        else:
            click.echo("\n" + plain(table))


def plain(table: Table) -> str:
    """Set a table as aligned text."""
    lines = [table.headings, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    text = [table.title]
    for line in lines:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, table.right, strict=True)
        )
        text.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(text)


def _draw(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD)
    for heading, right in zip(table.headings, table.right, strict=True):
        drawn.add_column(Text(heading), justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)
