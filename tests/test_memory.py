"""Memory: what there is, and what is not begun or is ended because of it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from test_solving import knapsacks

from optalloc.engines.ledger import Ledger
from optalloc.engines.loading import load
from optalloc.engines.memory import SHARE, available, default_limit
from optalloc.engines.protocol import Clock, Job
from optalloc.engines.race import Race
from optalloc.engines.worker import Worker
from optalloc.formulation.problem import Problem
from optalloc.objective import read_objective
from optalloc.solving import solve

GIB = 2**30


def system(root: Path, groups: str, **files: str) -> Path:
    """Write a system's files; the name of one has ``__`` for each slash."""
    written = {"proc__meminfo": f"MemTotal: 9 kB\nMemAvailable: {8 * GIB // 1024} kB\n"}
    written |= {"proc__self__cgroup": groups, **files}
    for name, text in written.items():
        path = root.joinpath(*name.split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_groups_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    assert available(system(tmp_path, "")) == 8 * GIB


def test_the_tightest_group_around_the_process_counts(tmp_path: Path) -> None:
    """Files in cache can be given up: they leave what they hold."""
    root = system(
        tmp_path,
        "0::/pod/job\n",
        **{
            "sys__fs__cgroup__pod__memory.max": f"{6 * GIB}\n",
            "sys__fs__cgroup__pod__memory.current": f"{3 * GIB}\n",
            "sys__fs__cgroup__pod__memory.stat": f"anon 1\ninactive_file {GIB}\n",
            "sys__fs__cgroup__pod__job__memory.max": "max\n",
            "sys__fs__cgroup__pod__job__memory.current": f"{GIB}\n",
            "sys__fs__cgroup__pod__job__memory.stat": "inactive_file 0\n",
        },
    )
    assert available(root) == 4 * GIB


def test_a_container_with_the_older_kind_of_groups_sees_its_own_as_the_mount(
    tmp_path: Path,
) -> None:
    root = system(
        tmp_path,
        "5:cpu,cpuacct:/x\n4:memory:/docker/unknown/here\n",
        **{
            "sys__fs__cgroup__memory__memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys__fs__cgroup__memory__memory.usage_in_bytes": f"{GIB}\n",
            "sys__fs__cgroup__memory__memory.stat": "cache 5\ntotal_inactive_file 0\n",
        },
    )
    assert available(root) == GIB


def test_what_cannot_be_read_limits_nothing(tmp_path: Path) -> None:
    root = system(tmp_path, "0::/pod\n", **{"sys__fs__cgroup__pod__memory.max": "a lot\n"})
    assert available(root) == 8 * GIB


def test_the_limits_of_the_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (GIB, resource.RLIM_INFINITY))
    assert available(system(tmp_path, "")) == GIB


def test_by_default_a_part_of_what_is_available_may_be_held() -> None:
    here = available()
    assert here is not None
    assert default_limit() == pytest.approx(SHARE * here, rel=0.2)


def test_a_model_that_is_too_large_for_what_there_is_is_not_formulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first answer is there all the same."""

    def formulate(*_: object) -> None:
        pytest.fail("it was formulated")

    monkeypatch.setattr("optalloc.solving.default_limit", lambda: 100)
    monkeypatch.setattr("optalloc.engines.auto.load", formulate)
    result = solve(knapsacks(), time_limit=5)
    assert (result.status, result.stopped_by) == ("feasible", "memory")
    assert result.engine == "greedy"
    larger = solve(knapsacks(), engine="local", memory_limit=100, time_limit=5)
    assert (larger.status, larger.stopped_by) == ("feasible", "memory")


def test_of_engines_that_hold_too_much_together_the_hungriest_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = knapsacks()
    objective = read_objective(instance)
    model = load(Problem(instance, objective), "milp")
    held = {"milp": 3 * GIB, "lns": GIB}
    monkeypatch.setattr(Worker, "resident_bytes", property(lambda worker: held[worker.engine]))
    race = Race(Ledger(instance, objective), Clock(60.0), memory=2 * GIB)
    with race.running():
        # Neither can end by itself: there is nothing to improve, and nobody reads its first word.
        monkeypatch.setattr(race, "_listen", lambda runner: None)
        hungry, modest = race.start("milp", model, Job()), race.start("lns", model, Job())
        race.wait(0.01)
        assert (hungry in race._runners, modest in race._runners) == (False, True)
        assert race.over is False
        assert "ended: it held 3.22 GB, 2.15 GB allowed for all" in race.logs[0]
        held["lns"] = 3 * GIB
        race._watched = 0.0
        race.wait(0.01)
        assert race.out_of_memory
        for runner in (hungry, modest):
            runner.worker.kill()
            runner.worker.close()


def test_running_out_of_memory_ends_with_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    start = solve(knapsacks(), engine="greedy").placement
    monkeypatch.setattr("optalloc.engines.auto.Run.solve", fail)
    result = solve(knapsacks(), warm_start=start)
    assert (result.status, result.stopped_by) == ("feasible", "memory")
