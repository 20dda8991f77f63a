"""`optalloc solve`: what it hands on, prints, writes and returns."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest

from optalloc import solving
from optalloc.cli import cli
from optalloc.cli.answer import MOST_NODES, MOST_TASKS, headline, placement_table
from optalloc.instance.files import dump_instance
from optalloc.instance.model import Configuration, Instance, Node, Task
from optalloc.instance.placement import Placement
from optalloc.result import LevelResult, Reason, Result
from optalloc.solution import Placed, read_placement, read_solution

KEYS = {"status", "objective", "bound", "gap", "wall_s", "engine", "stopped_by", "verified"}
PLACED = {
    "web/0": Placed(nodes={"a": 1}),
    "web/1": Placed(nodes={"a": 1}),
    "train": Placed(nodes={"b": 2}, configuration="two"),
}
Invoke = Callable[..., click.testing.Result]


@pytest.fixture
def instance() -> Instance:
    return Instance(
        name="small",
        nodes=(Node(name="a", capacity={"cpu": 8}), Node(name="b", capacity={"cpu": 8})),
        tasks=(
            Task(name="web", demand={"cpu": 2}, count=2),
            Task(name="train", configurations=(Configuration(name="two", replicas=2),)),
        ),
        objective="nodes",
    )


@pytest.fixture
def file(instance: Instance, tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    dump_instance(instance, path)
    return path


def answer(instance: Instance, placement: Placement | None, **changes: Any) -> Result:
    value, bound = changes.pop("value", 2.0), changes.pop("bound", 1.0)
    level = LevelResult("nodes", "min", "", value, bound, 0.5, value == bound, False)
    fields: dict[str, Any] = {
        "status": "feasible",
        "stopped_by": "time",
        "levels": (level,),
        "terms": {"capacity": 0.0, "nodes": 2.0},
        "engine": "milp",
        "wall_s": 0.25,
    }
    return Result(instance=instance, placement=placement, **{**fields, **changes})


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Let `solve` return a given answer; gives back what it was called with."""

    def arrange(placed: bool = True, **changes: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def solve(instance: Instance, objective: str | None, **options: Any) -> Result:
            seen.update(options, instance=instance, objective=objective)
            # Solvers print on the descriptor itself.
            os.write(1, b"chatter\n")
            best = read_placement(instance, PLACED) if placed else None
            return answer(instance, best, **changes)

        monkeypatch.setattr(solving, "solve", solve)
        return seen

    return arrange


def invoke(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, ["solve", *map(str, arguments)])


NOTHING: dict[str, Any] = {"placed": False, "levels": (), "terms": {}}
ENDS = [
    ({"status": "optimal", "stopped_by": "proof"}, 0),
    ({"status": "feasible", "stopped_by": "time"}, 0),
    ({"status": "feasible", "stopped_by": "interrupted"}, 0),
    ({"status": "infeasible", "stopped_by": "proof", **NOTHING}, 1),
    ({"status": "unknown", "stopped_by": "time", **NOTHING}, 3),
    ({"status": "unknown", "stopped_by": "memory", **NOTHING}, 3),
    ({"status": "unknown", "stopped_by": "interrupted", **NOTHING}, 130),
]


@pytest.mark.parametrize(("changes", "code"), ENDS)
def test_the_exit_code_says_what_was_found(
    changes: dict[str, Any], code: int, file: Path, solved: Callable[..., Any]
) -> None:
    solved(**changes)
    shown = invoke(file)
    assert shown.exit_code == code
    assert changes["status"] in shown.stdout
    as_json = invoke(file, "--json")
    assert as_json.exit_code == code
    told = json.loads(as_json.stdout)
    assert told.keys() >= KEYS
    assert (told["status"], told["stopped_by"]) == (changes["status"], changes["stopped_by"])


def test_every_option_reaches_the_solver(
    file: Path, instance: Instance, tmp_path: Path, solved: Callable[..., Any]
) -> None:
    seen = solved()
    start = tmp_path / "start.json"
    assert invoke(file, "-o", start).exit_code == 0
    options = ["--objective", "power > nodes", "--engine", "cpsat", "--time-limit", "2.5"]
    options += ["--threads", "2", "--seed", "7", "--partial", "--log", "--memory-limit", "1.5"]
    assert invoke(file, *options, "--warm-start", start).exit_code == 0
    warm = seen.pop("warm_start")
    assert isinstance(warm, Placement)
    assert warm.chosen.tolist() == read_placement(instance, PLACED).chosen.tolist()
    del seen["on_progress"], seen["instance"]
    assert seen == {
        "objective": "power > nodes",
        "engine": "cpsat",
        "time_limit": 2.5,
        "threads": 2,
        "memory_limit": 1_500_000_000,
        "seed": 7,
        "partial": True,
        "log": True,
    }


def test_the_solution_file_can_be_read_again(
    file: Path, instance: Instance, tmp_path: Path, solved: Callable[..., Any]
) -> None:
    solved()
    output = tmp_path / "out.json"
    shown = invoke(file, "-o", output)
    assert str(output) in shown.stdout
    read = read_solution(output, instance)
    wanted = read_placement(instance, PLACED)
    assert read.node.tolist() == wanted.node.tolist()
    assert json.loads(output.read_text())["result"]["status"] == "feasible"


def test_without_a_placement_no_solution_file_is_written(
    file: Path, tmp_path: Path, solved: Callable[..., Any]
) -> None:
    solved(status="unknown", **NOTHING)
    output = tmp_path / "out.json"
    shown = invoke(file, "-o", output)
    assert not output.exists()
    assert "not written" in shown.stderr


def test_json_holds_the_placement_unless_a_file_does(
    file: Path, tmp_path: Path, solved: Callable[..., Any]
) -> None:
    solved()
    told = json.loads(invoke(file, "--json").stdout)
    assert told["placements"]["train"] == {"nodes": {"b": 2}, "configuration": "two"}
    output = tmp_path / "out.json"
    told = json.loads(invoke(file, "--json", "-o", output).stdout)
    assert "placements" not in told
    assert told["solution"] == str(output)


def test_quiet_prints_nothing(file: Path, solved: Callable[..., Any]) -> None:
    solved()
    shown = invoke(file, "--quiet")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "")


def test_the_log_goes_to_standard_error(file: Path, solved: Callable[..., Any]) -> None:
    solved(log="presolve: 3 rows")
    shown = invoke(file, "--log", "--json")
    assert "presolve: 3 rows" in shown.stderr
    json.loads(shown.stdout)


def test_the_table_states_value_bound_gap_and_what_runs_where(
    file: Path, solved: Callable[..., Any]
) -> None:
    solved(status="feasible", reasons=(Reason("batch", "needs 9 cpu, no node has more than 8"),))
    text = invoke(file).stdout
    assert text.splitlines()[0] == (
        "feasible (gap 50 %), stopped by the time limit, 0.25 s, found by milp, verified"
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["nodes", "min", "2", "1", "50", "%"] in lines
    assert ["a", "2", "web", "x2"] in lines
    assert ["b", "2", "train", "[two]", "x2"] in lines
    assert "needs 9 cpu" in text
    assert "placement on 2 of 2 nodes" in text


def test_an_infeasible_answer_says_why(file: Path, solved: Callable[..., Any]) -> None:
    reason = Reason("train", "no node has a gpu")
    solved(status="infeasible", stopped_by="proof", reasons=(reason,), **NOTHING)
    text = invoke(file).stdout
    assert text.startswith("infeasible, 0.25 s\n")
    assert "why it cannot be done" in text
    assert "no node has a gpu" in text


def test_dropped_answers_are_counted(file: Path, solved: Callable[..., Any]) -> None:
    solved(rejected=2)
    assert "2 answers of engines failed the independent check" in invoke(file).stdout


def test_a_proven_level_below_an_open_one_is_said_to_be_conditional(instance: Instance) -> None:
    level = LevelResult("nodes", "min", "", 2.0, 2.0, 0.0, proven=True, conditional=True)
    result = answer(
        instance,
        read_placement(instance, PLACED),
        levels=(level,),
        stopped_by="proof",
        status="optimal",
    )
    assert headline(result) == "optimal, 0.25 s, found by milp, verified"


def test_a_large_placement_is_shortened() -> None:
    nodes, tasks = MOST_NODES + 5, MOST_TASKS + 3
    instance = Instance(
        nodes=(Node(name="n", capacity={"cpu": 100}, count=nodes),),
        tasks=tuple(Task(name=f"t{i}", demand={"cpu": 1}, replicas=nodes) for i in range(tasks)),
    )
    everywhere = {f"n/{n}": 1 for n in range(nodes)}
    placement = read_placement(instance, {f"t{i}": Placed(nodes=everywhere) for i in range(tasks)})
    table = placement_table(answer(instance, placement))
    assert len(table.rows) == MOST_NODES + 1
    assert table.rows[-1][0] == "and 5 more nodes"
    assert table.rows[0][1] == str(tasks)
    assert table.rows[0][2].endswith("t5 and 3 more")


def test_an_interruption_before_there_is_an_answer_ends_with_130(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solve(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(solving, "solve", solve)
    shown = invoke(file, "--json")
    assert shown.exit_code == 130
    assert json.loads(shown.stdout)["error"]["kind"] == "interrupted"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "optalloc", "solve", *map(str, arguments)]


@pytest.mark.parametrize("engine", ["auto", "milp", "cpsat", "greedy"])
def test_a_real_solve_prints_one_object_and_nothing_else(
    file: Path, engine: str, tmp_path: Path
) -> None:
    output = tmp_path / "out.json"
    arguments = command(file, "--engine", engine, "--json", "--log", "-o", output)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verified"] is True
    assert told["objective"] >= 1
    checked = subprocess.run(
        [sys.executable, "-m", "optalloc", "check", file, output], check=False, capture_output=True
    )
    assert checked.returncode == 0


def test_a_real_infeasible_instance_ends_with_1_and_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "full.json"
    nodes = (Node(name="a", capacity={"cpu": 1}),)
    dump_instance(Instance(nodes=nodes, tasks=(Task(name="big", demand={"cpu": 2}),)), path)
    done = subprocess.run(command(path), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "big" in done.stdout


def hard_instance(path: Path) -> None:
    """Write an assignment whose costs fall as demands rise: no engine ends it in a minute."""
    agents, tasks = 20, 200
    mixed = [[(7919 * a + 104729 * t + 31 * a * t * t) % 101 for a in range(agents)]
             for t in range(tasks)]  # fmt: skip
    demand = [[1 + value for value in row] for row in mixed]
    room = int(0.8 * sum(map(sum, demand)) / agents / agents)
    instance = Instance(
        nodes=tuple(Node(name=f"n{a}", capacity={"cpu": room}) for a in range(agents)),
        tasks=tuple(
            Task(
                name=f"t{t}",
                demand={"cpu": tuple(demand[t])},
                cost=tuple(111 - d + (d * t + a) % 21 for a, d in enumerate(demand[t])),
            )
            for t in range(tasks)
        ),
        objective="assignment-cost",
    )
    dump_instance(instance, path)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_solve_returns_its_best_answer(tmp_path: Path, sent: signal.Signals) -> None:
    """Progress shows on the terminal, there is an answer, the signal comes: it is returned."""
    path, output = tmp_path / "hard.json", tmp_path / "out.json"
    hard_instance(path)
    terminal, stderr = pty.openpty()
    with subprocess.Popen(
        command(path, "--json", "-o", output, "--time-limit", "120"),
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    ) as process:
        shown = b""
        while not re.search(rb"best [0-9]", shown):
            shown += os.read(terminal, 1 << 10)
        process.send_signal(sent)
        told = json.loads(process.communicate(timeout=60)[0])
    os.close(stderr)
    os.close(terminal)
    assert (process.returncode, told["stopped_by"]) == (0, "interrupted")
    assert told["verified"] is True
    assert output.exists()


def on_terminal(*arguments: str | Path, until: bytes | None, **environment: str) -> bytes:
    """What a solve shows on a terminal until it shows something, or ends."""
    terminal, stderr = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", **environment},
    ) as process:
        os.close(stderr)
        shown = b""
        # A terminal that nobody writes to any more is an error on Linux, and an end elsewhere.
        with contextlib.suppress(OSError):
            while until is None or not re.search(until, shown):
                piece = os.read(terminal, 1 << 10)
                if not piece:
                    break
                shown += piece
        if until is not None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):
                while piece := os.read(terminal, 1 << 10):
                    shown += piece
    os.close(terminal)
    return shown


def test_time_goes_on_in_the_bar_and_the_line_is_removed_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "hard.json"
    hard_instance(path)
    limit = ["--time-limit", "120"]
    shown = on_terminal(path, *limit, until=rb"(?s)\] 0 of 120 s.*\] 2 of 120 s.*bound [0-9]")
    assert rb"assignment-cost: best " in shown
    assert b"\r\x1b[K[" in shown
    assert shown.endswith(b"\r\x1b[K")


@pytest.mark.parametrize(
    ("option", "terminal"), [("--no-progress", "xterm"), ("--quiet", "xterm"), ("--log", "dumb")]
)
def test_no_progress_is_shown_where_nobody_wants_it(file: Path, option: str, terminal: str) -> None:
    shown = on_terminal(file, option, "--engine", "greedy", until=None, TERM=terminal)
    assert shown.strip() == b""


def test_a_solution_that_cannot_be_written_does_not_cost_the_answer(
    file: Path, solved: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "out.json")

    solved()
    monkeypatch.setattr("optalloc.solution.write_solution", fail)
    shown = invoke(file, "-o", tmp_path / "out.json")
    assert shown.exit_code == 2
    assert "found by milp" in shown.stdout
    assert "written" not in shown.stdout
    assert shown.stderr == "optalloc: no solution file: out.json: No space left on device\n"
    told = json.loads(invoke(file, "-o", tmp_path / "out.json", "--json").stdout)
    assert told["placements"].keys() == PLACED.keys()
    assert told["error"]["message"] == "out.json: No space left on device"


def test_the_solution_is_never_written_over_what_was_read(
    file: Path, solved: Callable[..., Any], tmp_path: Path
) -> None:
    solved()
    before = file.read_bytes()
    shown = invoke(file, "-o", file)
    assert shown.exit_code == 2
    assert "another file" in shown.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "option",
    [("--seed", "-1"), ("--seed", str(2**31)), ("--threads", "100000"), ("--objective", " ")],
)
def test_options_that_no_engine_takes_are_bad_usage(option: tuple[str, str], file: Path) -> None:
    shown = invoke(file, *option)
    assert shown.exit_code == 2
    assert option[0] in shown.stderr


def test_a_failure_has_the_keys_of_a_result(file: Path) -> None:
    """A program that reads the JSON finds the same keys whatever happens."""
    told = json.loads(invoke(file, "--engine", "none", "--json").stdout)
    assert told.keys() >= KEYS
    assert (told["status"], told["verified"], told["objective"]) == ("error", False, None)


def test_a_crashed_engine_is_an_internal_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    shown = invoke(file, "--engine", "milp")
    assert shown.exit_code == 4
    assert shown.stderr == "optalloc: internal error: milp failed: exit code 1\n"
    told = json.loads(invoke(file, "--engine", "milp", "--json").stdout)
    assert told["error"] == {
        "kind": "internal",
        "message": "internal error: milp failed: exit code 1",
    }
