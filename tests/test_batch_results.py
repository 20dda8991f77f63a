"""The results file survives whatever happens to its writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from optalloc.batch.results import ResultsFile, read_rows
from optalloc.instance.errors import InstanceError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "r.jsonl"
    file = ResultsFile(path)
    file.append({"i": 0, "text": "two\nlines"})
    file.append({"i": 1})
    file.close()
    return path


def test_what_was_appended_is_read(path: Path) -> None:
    assert read_rows(path) == [{"i": 0, "text": "two\nlines"}, {"i": 1}]


def test_results_are_not_added_to_unless_resumed(path: Path) -> None:
    with pytest.raises(InstanceError, match="--resume"):
        ResultsFile(path)
    assert len(read_rows(path)) == 2


def test_a_file_torn_at_any_byte_is_resumed_with_its_whole_rows(path: Path) -> None:
    text = path.read_bytes()
    for size in range(len(text) + 1):
        path.write_bytes(text[:size])
        whole = text[:size].count(b"\n")
        file = ResultsFile(path, resume=True)
        assert [row["i"] for row in file.rows] == list(range(whole))
        file.append({"i": 9})
        file.close()
        assert [row["i"] for row in read_rows(path)] == [*range(whole), 9]


def test_a_file_that_holds_no_rows_is_refused_and_left_alone(path: Path) -> None:
    text = b'{"i": 1}\nnonsense\n[1]\n{"i": 2}\n'
    path.write_bytes(text)
    with pytest.raises(InstanceError) as caught:
        ResultsFile(path, resume=True)
    assert [where for where, _ in caught.value.problems] == ["line 2", "line 3"]
    assert path.read_bytes() == text


def test_a_file_of_something_else_without_a_line_end_is_refused_and_left_alone(
    tmp_path: Path,
) -> None:
    """It is no row that was torn off, to be removed: such as an instance in one line."""
    path = tmp_path / "instance.json"
    text = b'{"optalloc": 1, "nodes": []}'
    path.write_bytes(text)
    with pytest.raises(InstanceError, match="line 1: expected a row of results"):
        ResultsFile(path, resume=True, begin=b'{"instance":')
    assert path.read_bytes() == text


@pytest.mark.parametrize("text", [b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_bytes_that_are_no_json_are_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(text)
    with pytest.raises(InstanceError, match="line 1: expected a JSON object"):
        read_rows(path)


def test_an_empty_file_needs_no_resuming(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.touch()
    ResultsFile(path).close()
