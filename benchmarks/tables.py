"""Figures as text: a table for the terminal, JSON lines, and the table of the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.contract import Benchmark, Figure, Row, Target
from benchmarks.machine import in_words
from benchmarks.results import rows_of

BEGIN = "<!-- measured:begin -->"
END = "<!-- measured:end -->"
_HEADER = ("figure", "target", "measured", "met", "detail")


def number(value: float, unit: str) -> str:
    """A number with its unit, as precise as people need it."""
    digits = f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def target_of(target: Target | None, unit: str) -> str:
    """A target in a few characters."""
    if target is None:
        return ""
    return ("≤ " if target.sense == "at_most" else "≥ ") + number(target.limit, unit)


def cells(figure: Figure) -> tuple[str, ...]:
    """The cells of a figure's line."""
    measured = "" if figure.measured is None else number(figure.measured, figure.unit)
    have, need = figure.cases
    missing = f"{have} of {need} cases measured" if have < need else ""
    detail = "; ".join(part for part in (figure.detail, missing) if part)
    return (figure.name, target_of(figure.target, figure.unit), measured, figure.met, detail)


def plain(figures: Iterable[Figure]) -> str:
    """Lines of aligned columns."""
    lines = [_HEADER, *(cells(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_row(name: str, figure: Figure, rows: Sequence[Row]) -> Row:
    """A figure as a JSON object."""
    return {
        "benchmark": name,
        "figure": figure.name,
        "target": target_of(figure.target, figure.unit),
        "measured": figure.measured,
        "unit": figure.unit,
        "met": figure.met,
        "cases": list(figure.cases),
        "detail": figure.detail,
        "circumstances": circumstances(rows),
    }


def circumstances(rows: Iterable[Row]) -> list[str]:
    """When, with which version and on which machine rows were measured; several if they differ."""
    dates: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        key = (row["version"], in_words(row["machine"]))
        dates.setdefault(key, set()).add(row["date"][:10])
    return [
        f"optalloc {version}, {_span(days)}, {words}" for (version, words), days in dates.items()
    ]


def _span(days: set[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"


def readme_table(known: Mapping[str, Benchmark], folder: Path) -> str:
    """The figures of all results in a folder as a table in Markdown; empty without results."""
    lines: list[str] = []
    every: list[Row] = []
    for name, benchmark in known.items():
        rows = [row for row in rows_of(folder, name) if not row["smoke"]]
        every += rows
        for figure in benchmark.figures(rows) if rows else ():
            what, target, measured, met, detail = cells(figure)
            more = f" ({detail})" if detail else ""
            command = f"`python -m benchmarks {name}`"
            lines.append(f"| {what} | {target} | {measured}{more} | {met} | {command} |")
    if not lines:
        return ""
    header = ["| figure | target | measured | met | command |", "|---|---|---|---|---|"]
    return "\n".join([*header, *lines, "", *(f"With {line}." for line in circumstances(every))])


def write_table(readme: Path, table: str) -> None:
    """Put a table between the markers of a text.

    Raises
    ------
    ValueError
        If the text does not have both markers.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme.name}: expected the markers {BEGIN} and {END}")
    inside = f"{table}\n" if table else ""
    readme.write_text(f"{before}{BEGIN}\n{inside}{END}{after}", encoding="utf-8")


def table_of(readme: Path) -> str:
    """The table that a text has between the markers."""
    text = readme.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n")
