"""Each solve of a batch runs by itself: limits, crashes and interruptions cost one row at most."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from optalloc.batch import processes
from optalloc.batch.jobs import Job
from optalloc.batch.results import Row
from optalloc.batch.runner import Settings, run_batch
from optalloc.batch.worker import Order
from optalloc.batch.worker import run as solve_order

READ = "import json, os, signal, subprocess, sys, time; order = json.loads(sys.stdin.readline())\n"
"""How every worker of these tests begins."""
ANSWER = (
    'print(json.dumps({"result": {"status": "optimal", "engine": "fake", "wall_s": 1.0,'
    '"objective": order["seed"], "threads_seen": order["threads"]}}))'
)


def job(seed: int = 0, time_limit: float | None = None) -> Job:
    return Job("i.json", "i", "00", "auto", seed, None, time_limit)


def worker(script: str) -> Sequence[str]:
    return (sys.executable, "-c", READ + script)


def run(script: str, *jobs: Job, **settings: object) -> list[Row]:
    options = Settings(worker=worker(script), **settings)  # type: ignore[arg-type]
    return list(run_batch(jobs or (job(),), options))


def alive(pid: int) -> bool:
    return pid in processes.running()


def test_each_answer_becomes_a_row() -> None:
    rows = run(ANSWER, *(job(seed) for seed in range(5)), jobs=2, threads=3)
    assert sorted(row["objective"] for row in rows) == list(range(5))
    for row in rows:
        assert row["seed"] == row["objective"]
        assert (row["status"], row["engine"], row["found_by"]) == ("optimal", "auto", "fake")
        assert row["threads"] == row["threads_seen"] == 3
        assert row["peak_rss_mib"] >= 0
        assert row["finished"] >= row["started"]
        assert row["cpus"] >= 1


def test_no_more_solves_run_at_a_time_than_asked_for() -> None:
    seen: list[int] = []
    settings = Settings(jobs=2, worker=worker("time.sleep(0.2);" + ANSWER))
    rows = list(run_batch([job(seed) for seed in range(4)], settings, seen.append))
    assert len(rows) == 4
    assert max(seen) <= 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, perhaps"),
        ("sys.exit(3)", "exit code 3"),
        ("print('no json')", "exit code 0 and without an answer"),
    ],
)
def test_a_crash_costs_its_own_row_which_says_so(script: str, said: str) -> None:
    crash = f"print('last words', file=sys.stderr, flush=True)\nif order['seed'] == 1: {script}\n"
    rows = run(crash + ANSWER, job(0), job(1), job(2))
    assert [row["status"] for row in rows] == ["optimal", "crashed", "optimal"] or (
        "no json" in script
    )
    crashed = next(row for row in rows if row["seed"] == 1)
    assert crashed["status"] == "crashed"
    assert crashed["verified"] is False
    assert said in crashed["error"]["message"]
    assert "last words" in crashed["error"]["detail"]


def test_bad_input_is_told_from_a_crash() -> None:
    (row,) = run('print(json.dumps({"error": {"kind": "input", "message": "two problems"}}))')
    assert row["status"] == "error"
    assert row["error"]["message"] == "two problems"


def test_a_solve_is_ended_after_its_time_limit() -> None:
    (row,) = run("time.sleep(1000)", job(time_limit=0.1), grace_s=0.3)
    assert (row["status"], row["stopped_by"]) == ("unknown", "time")
    assert row["error"]["kind"] == "limit"


def test_a_solve_is_ended_at_its_memory_limit() -> None:
    hog = "block = bytearray(400 << 20); time.sleep(1000)"
    (row,) = run(hog, memory_limit_mib=200)
    assert (row["status"], row["stopped_by"]) == ("unknown", "memory")
    assert row["peak_rss_mib"] > 200


def test_the_memory_of_children_counts() -> None:
    hog = "block = bytearray(400 << 20); import time; time.sleep(1000)"
    (row,) = run(f"subprocess.run([sys.executable, '-c', {hog!r}])", memory_limit_mib=200)
    assert row["stopped_by"] == "memory"


def test_memory_that_is_reserved_but_not_used_does_not_count() -> None:
    """Solvers reserve much: an address space limit would end them for nothing."""
    reserve = "import mmap; block = mmap.mmap(-1, 4 << 30); time.sleep(0.5);"
    (row,) = run(reserve + ANSWER, memory_limit_mib=200)
    assert row["status"] == "optimal"


@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("ends", [False, True])
def test_what_a_solve_started_ends_with_it(session: bool, ends: bool, tmp_path: Path) -> None:
    """Also in a session of its own, and also when the solve itself has already ended."""
    note = tmp_path / "pid"
    script = (
        "child = subprocess.Popen(['sleep', '1000'], "
        f"start_new_session={session}); open({str(note)!r}, 'w').write(str(child.pid));"
        f"time.sleep({0.5 if ends else 1000});" + ANSWER
    )
    (row,) = run(script, job(time_limit=0.5), grace_s=2.0)
    assert row["status"] == ("optimal" if ends else "unknown")
    assert not alive(int(note.read_text()))


def test_leaving_a_batch_ends_what_runs(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "if order['seed']:\n"
        f"    open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(1000)\n"
        f"while not os.path.exists({str(note)!r}): time.sleep(0.01)\n"
    )
    settings = Settings(jobs=2, worker=worker(script + ANSWER))
    rows = run_batch([job(0), job(1)], settings)
    assert next(rows)["objective"] == 0
    rows.close()
    assert not alive(int(note.read_text()))


def test_a_worker_ends_when_its_batch_is_gone(tmp_path: Path) -> None:
    """Even a batch that is killed leaves no solve behind."""
    note = tmp_path / "pid"
    real = tmp_path / "worker.py"
    real.write_text(
        "import os, time, optalloc.batch.worker as w\n"
        f"w.run = lambda order: (open({str(note)!r}, 'w').write(str(os.getpid())), "
        "time.sleep(1000))\nw.main()\n"
    )
    script = (
        "from optalloc.batch.runner import *\nfrom optalloc.batch.jobs import Job\n"
        f"list(run_batch([Job('i', 'i', '0')], Settings(worker=(sys.executable, {str(real)!r}))))"
    )
    batch = subprocess.Popen([sys.executable, "-c", script], env=with_path())
    while not (note.exists() and note.read_text()):
        assert batch.poll() is None
        time.sleep(0.02)
    batch.kill()
    batch.wait()
    pid = int(note.read_text())
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def with_path() -> dict[str, str]:
    """The environment, in which scripts from elsewhere find the package as this test does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_the_worker_keeps_its_answer_apart_from_what_solvers_print(tmp_path: Path) -> None:
    real = tmp_path / "worker.py"
    real.write_text(
        "import os, optalloc.batch.worker as w\n"
        "def run(order):\n"
        "    os.write(1, b'solver chatter'); print('more')\n"
        "    return w.Outcome(result={'status': 'optimal', 'engine': order.engine})\n"
        "w.run = run\nw.main()\n"
    )
    order = {"instance": "i", "engine": "milp", "seed": 0, "threads": 1}
    process = subprocess.Popen(
        [sys.executable, str(real)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=with_path(),
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    assert process.wait(timeout=60) == 0
    assert json.loads(process.stdout.read())["result"]["engine"] == "milp"
    said = process.stderr.read().decode()
    assert "solver chatter" in said
    assert "more" in said
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def test_the_peak_of_a_process_is_what_it_has_held() -> None:
    script = (
        "from optalloc.batch.processes import own_peak_mib; before = own_peak_mib();"
        "block = bytearray(300 << 20); del block; print(own_peak_mib() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=with_path()
    )
    assert 250 < float(done.stdout) < 350


def test_processes_are_listed_alike_by_both_roads() -> None:
    """What `ps` says, where there is no `/proc`, is what `/proc` says."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system has no /proc to compare with")
    me = os.getpid()
    by_proc, by_ps = processes._from_proc()[me], processes._from_ps()[me]
    assert (by_proc.parent, by_proc.group) == (by_ps.parent, by_ps.group)


def test_a_solution_that_cannot_be_written_does_not_cost_the_row_its_answer(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text('{"nodes": [{"name": "a"}], "tasks": [{"name": "t"}]}')
    (tmp_path / "file").touch()
    target = str(tmp_path / "file" / "s.json")
    outcome = solve_order(
        Order(instance=str(tmp_path / "i.json"), engine="milp", seed=0, threads=1, solution=target)
    )
    assert outcome.result is not None
    assert outcome.result["status"] == "optimal"
    assert [text for text in outcome.result["failures"] if "no solution file" in text]


def test_a_failed_engine_makes_a_row_of_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "i.json").write_text('{"nodes": [{"name": "a"}], "tasks": [{"name": "t"}]}')
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    order = Order(instance=str(tmp_path / "i.json"), engine="milp", seed=0, threads=1)
    outcome = solve_order(order)
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.message) == (
        "exception",
        "milp failed: exit code 1",
    )
