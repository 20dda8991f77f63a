"""What a batch is asked to solve."""

from __future__ import annotations

from pathlib import Path

import pytest

from optalloc.batch.jobs import find_instances, key_of, make_jobs
from optalloc.instance.errors import InstanceError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "set/a.json",
        "set/deep/b.json.gz",
        "set/notes.txt",
        "set/a.auto.0.solution.json",
        "other/a.json",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_folders_are_searched_for_instances_but_not_for_solutions() -> None:
    assert find_instances(["set"]) == [("set/a.json", "a"), ("set/deep/b.json.gz", "deep/b")]


@pytest.mark.usefixtures("folder")
def test_files_and_patterns_are_found_once_in_the_order_stated() -> None:
    found = find_instances(["other/a.json", "*/a.json", "set/**/*.json*"])
    assert found == [
        ("other/a.json", "a"),
        ("set/a.json", "set/a"),
        ("set/deep/b.json.gz", "deep/b"),
    ]


@pytest.mark.usefixtures("folder")
def test_every_path_with_nothing_there_is_listed() -> None:
    with pytest.raises(InstanceError) as caught:
        find_instances(["set", "nowhere", "no/*.json"])
    assert [path for path, _ in caught.value.problems] == ["nowhere", "no/*.json"]


@pytest.mark.usefixtures("folder")
def test_a_file_is_solved_by_every_engine_with_every_seed() -> None:
    jobs = make_jobs(["other"], ["milp", "cpsat", "milp"], [1, 2], "nodes", 3.0)
    assert [(job.engine, job.seed) for job in jobs] == [
        ("milp", 1),
        ("milp", 2),
        ("cpsat", 1),
        ("cpsat", 2),
    ]
    assert {(job.objective, job.time_limit) for job in jobs} == {("nodes", 3.0)}


def test_a_row_has_the_key_of_its_job(folder: Path) -> None:
    (job,) = make_jobs(["other"], time_limit=1.5)
    assert key_of(job.row()) == job.key
    (folder / "other/a.json").write_text("changed")
    (changed,) = make_jobs(["other"], time_limit=1.5)
    assert changed.key != job.key
    assert make_jobs(["other"], time_limit=2)[0].key != changed.key
