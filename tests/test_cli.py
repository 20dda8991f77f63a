"""The command line as a whole: exit codes, streams, JSON, start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import optalloc
from optalloc.cli import cli
from optalloc.cli.failures import TRACEBACK, guarded
from optalloc.instance.errors import EngineFailure, InstanceError, OptallocError

PYTHON = (sys.executable, "-m", "optalloc")
HEAVY = ("highspy", "msgspec", "numpy", "ortools", "pulp", "rich")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTHON, *arguments], capture_output=True, text=True, check=False)


def test_the_version_is_printed_on_standard_output() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"optalloc {optalloc.__version__}\n",
        "",
    )


def test_printing_the_version_imports_nothing_heavy() -> None:
    script = (
        "import sys; from optalloc.cli import cli; cli(['--version'], standalone_mode=False);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_commands_imports_nothing_heavy() -> None:
    script = (
        "import sys; from optalloc.cli import cli; cli(['--help'], standalone_mode=False);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_help() -> None:
    for name in cli.list_commands(click.Context(cli)):
        shown = CliRunner().invoke(cli, [name, "--help"])
        assert shown.exit_code == 0
        assert shown.stdout.startswith("Usage:")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["solve"],
        ["solve", "no-such-file.json"],
        ["solve", __file__, "--time-limit", "0"],
        ["solve", __file__, "--time-limit", "nan"],
        ["solve", __file__, "--threads", "0"],
        ["solve", __file__, "-o", "no/such/folder/a.json"],
        ["convert", "nonsense", __file__, "-o", "a.json"],
        ["export", "nonsense", __file__, __file__, "-o", "a"],
        ["export", "gap", __file__, "-o", "a"],
        ["batch", __file__, "-o", "a.jsonl", "--seeds", "1,x"],
    ],
)
def test_wrong_usage_ends_with_2_and_words_on_standard_error(arguments: list[str]) -> None:
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert "Error" in shown.stderr


def test_wrong_usage_with_json_is_one_object_on_standard_output() -> None:
    shown = CliRunner().invoke(cli, ["solve", "no-such-file.json", "--json"])
    assert shown.exit_code == 2
    told = json.loads(shown.stdout)
    assert told["status"] == "error"
    assert told["error"]["kind"] == "usage"
    assert "no-such-file.json" in told["error"]["message"]
    assert shown.stderr == ""


def test_a_bad_instance_lists_all_problems_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"optalloc": 1, "nodes": [{"name": "a"}, {"name": "a"}], "typo": 1}')
    for name in ("solve", "info"):
        shown = CliRunner().invoke(cli, [name, str(file)])
        assert shown.exit_code == 2
        assert shown.stdout == ""
        assert "typo" in shown.stderr
        assert str(file) in shown.stderr
        assert "Traceback" not in shown.stderr


def test_a_bad_instance_with_json_lists_its_problems_by_path(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("[1, 2")
    shown = CliRunner().invoke(cli, ["solve", str(file), "--json"])
    assert shown.exit_code == 2
    error = json.loads(shown.stdout)["error"]
    assert error["kind"] == "input"
    assert len(error["problems"]) == 1
    assert set(error["problems"][0]) == {"path", "message"}


FAILURES = [
    (InstanceError([("a", "b")]), 2, "input"),
    (OptallocError("no"), 2, "input"),
    (EngineFailure("milp failed: signal 6"), 4, "internal"),
    (PermissionError(13, "Permission denied", "out.json"), 2, "input"),
    (click.UsageError("no"), 2, "usage"),
    (click.Abort(), 130, "interrupted"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (ZeroDivisionError("oops"), 4, "internal"),
    (MemoryError(), 4, "internal"),
    (OSError(28, "No space left on device"), 4, "internal"),
]


@pytest.mark.parametrize(("error", "code", "kind"), FAILURES)
def test_each_failure_has_its_exit_code(
    error: BaseException, code: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise error

    assert guarded(run, as_json=True) == code
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["status"] == "error"
    assert told["error"]["kind"] == kind
    assert guarded(run, as_json=False) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err


def test_a_failed_engine_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        raise EngineFailure("milp failed: signal 6")

    guarded(run, as_json=False)
    assert capsys.readouterr().err == "optalloc: internal error: milp failed: signal 6\n"


def test_an_internal_error_shows_its_traceback_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise ZeroDivisionError("oops")

    guarded(run, as_json=False)
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert TRACEBACK in shown
    monkeypatch.setenv(TRACEBACK, "1")
    guarded(run, as_json=True)
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert json.loads(captured.out)["status"] == "error"


def test_a_closed_pipe_is_no_error() -> None:
    """A reader such as `head` that leaves early gets no message."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*PYTHON, "schema"], stdout=writer, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_an_interruption_that_was_caught_does_not_end_the_process_by_its_signal() -> None:
    """Python remembers one that comes while a string is executed, as when data classes are made."""
    program = (
        "try: exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt: pass\n"
        "from optalloc.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, "--version"], check=False)
    assert done.returncode == 0
