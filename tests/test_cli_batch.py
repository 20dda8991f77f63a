"""`optalloc batch` and `compare`: from instance files to rows to gaps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from optalloc.batch import runner
from optalloc.batch.jobs import Job
from optalloc.batch.results import read_rows
from optalloc.cli import cli
from optalloc.instance.files import dump_instance
from optalloc.instance.model import Instance, Node, Task


def invoke(*arguments: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three instances: the node of the first may not be used up, the last is none."""
    path = tmp_path / "instances"
    path.mkdir()
    for name, demand in (("small", 2), ("full", 9)):
        nodes = (Node(name="a", capacity={"cpu": 8}),)
        tasks = (Task(name="t", demand={"cpu": demand}, count=2),)
        dump_instance(Instance(nodes=nodes, tasks=tasks, objective="nodes"), path / f"{name}.json")
    (path / "wrong.json").write_text("{}")
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Let a batch answer at once; gives back the jobs that it was asked for."""
    seen: list[Job] = []

    def run_batch(jobs: list[Job], settings: Any, on_tick: Any) -> Generator[dict[str, Any]]:
        on_tick(settings.jobs)
        for job in jobs:
            seen.append(job)
            yield {**job.row(), "status": "optimal"}

    monkeypatch.setattr(runner, "run_batch", run_batch)
    return seen


def test_a_row_is_appended_for_each_solve(folder: Path, ran: list[Job], tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    shown = invoke("batch", folder, "-o", output, "--engine", "greedy", "--seeds", "1,2")
    assert shown.exit_code == 0
    assert shown.stdout == f"{output}: 6 solves (6 optimal)\n"
    assert len(ran) == len(read_rows(output)) == 6


def test_resuming_solves_only_what_is_missing(folder: Path, ran: list[Job], tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    arguments = ["batch", folder, "-o", output, "--engine", "greedy", "--time-limit", "3"]
    invoke(*arguments)
    text = output.read_bytes()
    output.write_bytes(text[:-10])
    ran.clear()
    shown = invoke(*arguments, "--resume")
    assert shown.stdout == f"{output}: 1 solve (1 optimal), 2 done before\n"
    assert [job.name for job in ran] == ["wrong"]
    assert output.read_bytes() == text
    told = json.loads(invoke(*arguments, "--resume", "--json").stdout)
    assert (told["solved"], told["skipped"]) == (0, 3)


def test_results_are_not_overwritten(folder: Path, ran: list[Job], tmp_path: Path) -> None:
    output = tmp_path / "r.jsonl"
    output.write_text('{"status": "optimal"}\n')
    shown = invoke("batch", folder, "-o", output, "--engine", "greedy")
    assert shown.exit_code == 2
    assert "--resume" in shown.stderr
    assert not ran


def test_nothing_is_started_for_a_bad_path_or_engine(
    folder: Path, ran: list[Job], tmp_path: Path
) -> None:
    output = tmp_path / "r.jsonl"
    shown = invoke("batch", folder, "nowhere", "-o", output, "--engine", "greedy")
    assert shown.exit_code == 2
    assert "nowhere" in shown.stderr
    shown = invoke("batch", folder, "-o", output, "--engine", "nonsense")
    assert shown.exit_code == 2
    assert "nonsense" in shown.stderr
    assert not ran
    assert not output.exists()


def test_real_solves_are_compared_with_best_known_values(folder: Path, tmp_path: Path) -> None:
    """One solve ends optimal, one infeasible and one on bad input: three rows, two commands."""
    output, best, answers = tmp_path / "r.jsonl", tmp_path / "best.csv", tmp_path / "answers"
    arguments = ["--jobs", "2", "--time-limit", "30", "--solutions", answers]
    shown = invoke("batch", folder, "-o", output, *arguments)
    assert shown.exit_code == 0, shown.stderr
    rows = {row["name"]: row for row in read_rows(output)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "small": "optimal",
        "full": "infeasible",
        "wrong": "error",
    }
    assert rows["small"]["verified"] is True
    assert rows["small"]["peak_rss_mib"] > 1
    assert [path.name for path in answers.iterdir()] == ["small.auto.0.solution.json"]
    best.write_text("name,best_known\nsmall.txt,1\nfull,3\n")
    shown = invoke("compare", output, best)
    assert shown.exit_code == 0
    assert "1 row without a best value: wrong" in shown.stdout
    told = json.loads(invoke("compare", output, best, "--json").stdout)
    (engine,) = told["engines"]
    assert (engine["rows"], engine["answered"], engine["max_gap"]) == (2, 1, 0)
    assert told["without_best"] == ["wrong"]


def test_compare_warns_of_contradictions(folder: Path, ran: list[Job], tmp_path: Path) -> None:
    output, best = tmp_path / "r.jsonl", tmp_path / "best.csv"
    invoke("batch", folder / "small.json", "-o", output, "--engine", "greedy")
    assert len(ran) == 1
    (row,) = read_rows(output)
    level = {"name": "nodes", "sense": "min", "value": 9.0, "bound": 8.0, "conditional": False}
    output.write_text(json.dumps({**row, "levels": [level], "wall_s": 1.0}) + "\n")
    best.write_text("name,best_known\nsmall,7\n")
    shown = invoke("compare", output, best)
    assert "contradiction: small" in shown.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_a_file_to_resume(
    folder: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    output = tmp_path / "r.jsonl"
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, optalloc.batch.runner as r\n"
        "from optalloc.cli import main\n"
        "script = 'import json, sys, time; order = json.loads(sys.stdin.readline());'\\\n"
        '    \'time.sleep(1000 if "wrong" in order["instance"] else 0);\'\\\n'
        '    \'print(json.dumps({"result": {"status": "optimal", "engine": "x"}}))\'\n'
        "plain = r.Settings\n"
        "r.Settings = lambda **k: plain(worker=(sys.executable, '-c', script), **k)\n"
        "main()\n"
    )
    command = [sys.executable, str(slow), "batch", str(folder), "-o", str(output)]
    command += ["--engine", "greedy"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 60
    while not (output.exists() and len(read_rows(output)) == 2):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "2 of 3 done; --resume" in err
    assert len(read_rows(output)) == 2


@pytest.mark.parametrize("name", ["batch", "compare"])
def test_rows_of_something_else_are_bad_input(name: str, folder: Path, tmp_path: Path) -> None:
    results, best = tmp_path / "r.jsonl", tmp_path / "best.csv"
    results.write_text('{"instance": 1}\n')
    best.write_text("name,best\nsmall,1\n")
    arguments: dict[str, list[object]] = {
        "batch": [folder, "-o", results, "--resume"],
        "compare": [results, best],
    }
    shown = invoke(name, *arguments[name])
    assert shown.exit_code == 2
    assert "row 1.instance: expected a row of a batch" in shown.stderr
    assert "row 1.engine: " in shown.stderr
    assert results.read_text() == '{"instance": 1}\n'


def test_results_never_go_into_a_file_that_is_to_be_solved(folder: Path) -> None:
    before = (folder / "small.json").read_bytes()
    shown = invoke("batch", folder, "-o", folder / "small.json", "--resume")
    assert shown.exit_code == 2
    assert "another file" in shown.stderr
    assert (folder / "small.json").read_bytes() == before


def test_a_folder_for_solutions_that_cannot_be_is_told_before_the_work(
    folder: Path, ran: list[Job], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    answers = tmp_path / "file" / "answers"
    shown = invoke("batch", folder, "-o", tmp_path / "r.jsonl", "--solutions", answers)
    assert shown.exit_code == 2
    assert str(answers) in shown.stderr
    assert ran == []


@pytest.mark.parametrize("seeds", ["", "1,x", "-1", "1,,2", str(2**31), "1.5"])
def test_seeds_that_solvers_do_not_take_are_bad_usage(
    seeds: str, folder: Path, tmp_path: Path
) -> None:
    shown = invoke("batch", folder, "-o", tmp_path / "r.jsonl", "--seeds", seeds)
    assert shown.exit_code == 2
    assert "expected whole numbers from 0" in shown.stderr
