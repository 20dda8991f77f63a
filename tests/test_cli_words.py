"""Numbers, tables and progress as people see them."""

from __future__ import annotations

import io
import sys

import pytest

from optalloc.cli.progress import StatusLine, bar, describe
from optalloc.cli.tables import Table, plain, show
from optalloc.cli.words import counted, measured, number, percent, shortened
from optalloc.solving import Progress


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (44306501.0, "44,306,501"),
        (-3, "-3"),
        (0.125, "0.125"),
        (1234.5678, "1,234.57"),
        (12345678.9, "12,345,678.9"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_are_whole_or_of_six_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_only_a_true_zero_reads_as_zero_percent() -> None:
    assert percent(0.0) == "0 %"
    assert percent(1e-9) == "1e-07 %"
    assert percent(None) == "-"


def test_counts_units_and_lists() -> None:
    assert counted(1, "node") == "1 node"
    assert counted(2000, "node") == "2,000 nodes"
    assert measured(1.5, "W") == "1.5 W"
    assert measured(None, "W") == "-"
    assert shortened(["a", "b", "c"], 2) == "a, b and 1 more"


TABLE = Table("title", ("name", ">value"), [("a", "1"), ("[long]", "1,000")])


def test_a_table_is_plain_columns_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert plain(TABLE) == "title\n  name    value\n  a           1\n  [long]  1,000"
    show(TABLE, Table("empty", ("name",), []))
    assert capsys.readouterr().out == "\n" + plain(TABLE) + "\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    show(TABLE)
    assert "[long]" in terminal.getvalue()
    assert "1,000" in terminal.getvalue()


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    file, terminal = io.StringIO(), Terminal()
    for stream in (file, terminal):
        monkeypatch.setattr(sys, "stderr", stream)
        with StatusLine() as line:
            line.show("half done")
    assert file.getvalue() == ""
    assert "half done" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_bar_is_filled_in_proportion() -> None:
    assert bar(1, 4, 8) == "[##......]"
    assert bar(0, 0, 4) == "[####]"


def test_a_solve_is_described_by_its_time_and_what_is_known() -> None:
    now = Progress(3.2, 1200.0, 1100.0, 1 / 12, "local", "power")
    value = "power: best 1,200, bound 1,100, gap 8.33 %  local"
    assert describe("x", 3.2, None, now) == f"3 s  {value}"
    assert describe("x", 15, 60, now) == f"[{'#' * 6}{'.' * 18}] 15 of 60 s  {value}"
    assert describe("x", 61, 60, None) == f"[{'#' * 24}] 61 of 60 s  solving x ..."
    unknown = Progress(1.0, None, 5.0, None, "", "power")
    assert describe("x", 1, None, unknown) == "1 s  power: best -, bound 5, gap -"
