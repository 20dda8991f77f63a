"""Gaps to best-known values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optalloc.batch.compare import Best, compare_rows, read_best, standings
from optalloc.instance.errors import InstanceError


def row(name: str, value: float | None, **changes: Any) -> dict[str, Any]:
    level = {
        "name": changes.pop("level", "penalty"),
        "sense": changes.pop("sense", "min"),
        "value": value,
        "bound": changes.pop("bound", None),
        "conditional": changes.pop("conditional", False),
    }
    return {
        "instance": f"out/{name}.json",
        "name": name,
        "engine": "auto",
        "seed": 0,
        "status": "feasible",
        "wall_s": 1.0,
        "levels": [level],
        **changes,
    }


@pytest.mark.parametrize(
    ("stated", "wanted", "found"),
    [
        ("set/gap1-0.txt", "set/gap1-0", True),
        ("set/gap1-0.txt", "gap1-0", True),
        ("gap1-0", "anywhere/set/gap1-0.json.gz", True),
        ("gap1-0.txt", "gap1-0.json", True),
        ("set/gap1-0.txt", "other/gap1-0.json", False),
        ("gap1-0", "gap11-0", False),
        ("a1.5", "a1", False),
        ("a1.5", "a1.5.json", True),
    ],
)
def test_names_match_by_stem_or_by_the_end_of_the_path(
    stated: str, wanted: str, found: bool
) -> None:
    assert Best({stated: 7.0}).find([wanted]) == (7.0 if found else None)


def test_the_longest_match_wins_and_an_ambiguous_one_is_none() -> None:
    best = Best({"a/x": 1.0, "b/x": 2.0})
    assert best.find(["out/b/x.json"]) == 2.0
    assert best.find(["x"]) is None
    assert best.find(["x", "a/x"]) == 1.0


def test_a_gap_is_relative_and_below_zero_for_a_new_best() -> None:
    best = Best({"a": 200.0, "b": 200.0, "c": 200.0, "d": 0.0})
    rows = [row("a", 201), row("b", 199), row("c", None), row("d", 0), row("e", 5)]
    assert [c.gap for c in compare_rows(rows, best)] == [0.005, -0.005, None, 0.0, None]


def test_the_sign_turns_where_more_is_better() -> None:
    best = Best({"a": 200.0})
    (compared,) = compare_rows([row("a", 190, sense="max", bound=199)], best)
    assert compared.gap == pytest.approx(0.05)
    assert compared.contradicts


@pytest.mark.parametrize(
    ("bound", "conditional", "wrong"),
    [(200, False, False), (201, False, True), (201, True, False), (None, False, False)],
)
def test_a_bound_that_excludes_the_best_known_is_a_contradiction(
    bound: float | None, conditional: bool, wrong: bool
) -> None:
    rows = [row("a", 300, bound=bound, conditional=conditional)]
    assert compare_rows(rows, Best({"a": 200.0}))[0].contradicts is wrong


def test_a_level_can_be_named() -> None:
    rows = [row("a", 4, level="nodes")]
    assert compare_rows(rows, Best({"a": 4.0}), "nodes")[0].gap == 0
    rows.append(row("b", 4, level="power"))
    assert compare_rows(rows, Best({"a": 4.0}), "power")[0].gap is None


def test_a_level_that_no_row_has_is_refused() -> None:
    with pytest.raises(InstanceError, match=r"expected a level of the results \(nodes\)"):
        compare_rows([row("a", 4, level="nodes")], Best({"a": 4.0}), "power")


def test_a_file_without_rows_is_refused() -> None:
    with pytest.raises(InstanceError, match="expected rows, got none"):
        compare_rows([], Best({"a": 4.0}))


def test_a_row_that_does_not_say_how_long_it_took_is_refused() -> None:
    with pytest.raises(InstanceError, match="row 1: expected a number as 'wall_s'"):
        compare_rows([row("a", 4, wall_s=None)], Best({"a": 4.0}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "expected names of columns, got none"),
        (b"\xff\xfe", "expected UTF-8 text"),
        (b'name,best\n"a,1\n', "expected a CSV file"),
        (b"name,best\na,nan\n", "line 2: expected a finite number, got 'nan'"),
        (b"name,best\na,1e999\n", "line 2: expected a finite number, got '1e999'"),
        (b"name,best\na,x\n", "line 2: expected a finite number, got 'x'"),
    ],
)
def test_a_file_of_best_values_that_is_none_is_refused(
    text: bytes, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "best.csv"
    path.write_bytes(text)
    with pytest.raises(InstanceError, match=said):
        read_best(path)


def test_engines_are_summed_up_over_what_can_be_compared() -> None:
    best = Best({"a": 100.0, "b": 100.0, "c": 100.0})
    rows = [row("a", 101, status="optimal"), row("b", 103), row("c", None), row("z", 1)]
    rows.append(row("a", 100, engine="milp"))
    auto, milp = standings(compare_rows(rows, best))
    assert (auto.rows, auto.answered, auto.optimal) == (3, 2, 1)
    assert auto.mean_gap == pytest.approx(0.02)
    assert auto.max_gap == pytest.approx(0.03)
    assert (milp.mean_gap, milp.max_gap) == (0, 0)


def write(folder: Path, text: str) -> Path:
    path = folder / "best.csv"
    path.write_text(text)
    return path


def test_columns_are_found_by_default_or_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "file,size,best_known_min,other\na.txt,3,7,8\nb.txt,3,,9\n")
    assert read_best(path).values == {"a.txt": 7}
    assert read_best(path, "other").values == {"a.txt": 8, "b.txt": 9}


def test_missing_columns_are_all_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "file,value\na,1\n")
    with pytest.raises(InstanceError) as caught:
        read_best(path, "x", "y")
    assert len(caught.value.problems) == 2


def test_bad_values_are_all_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "file,best\na,1\na,2\nb,many\n")
    with pytest.raises(InstanceError) as caught:
        read_best(path)
    assert [where for where, _ in caught.value.problems] == ["line 3", "line 4"]


def test_best_known_values_of_public_data_are_found(data: Path) -> None:
    best = read_best(data / "gap" / "best_known.csv", "best_known_min")
    assert best.find(["converted/cattrysse1994/gap1-0.json"]) == 261
    assert len(best.values) == 71
