"""The benchmarks: what they measure is kept, resumed, judged and stated as it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import __main__ as command
from benchmarks.contract import (
    DATA,
    ROOT,
    Benchmark,
    Case,
    Context,
    Figure,
    NoData,
    Row,
    at_least,
    at_most,
)
from benchmarks.fresh import fresh
from benchmarks.generated import assignment
from benchmarks.judged import brute_force
from benchmarks.registry import benchmarks
from benchmarks.results import path_of, rows_of
from benchmarks.suites import (
    first_run,
    gap,
    gap_open,
    move_rates,
    rebalancer,
    roadef,
    roadef_score,
    time_limit,
)
from benchmarks.tables import (
    BEGIN,
    END,
    circumstances,
    number,
    plain,
    readme_table,
    table_of,
    write_table,
)
from optalloc.formats import formats


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


# --- what there is -------------------------------------------------------------------------------


def test_every_benchmark_is_found_and_listed() -> None:
    listed = run("--list").stdout
    named = {
        "gap",
        "gap_open",
        "model_building",
        "move_rates",
        "reading",
        "roadef",
        "scale",
        "startup",
        "time_limit",
    }
    assert named <= set(benchmarks())
    for name, benchmark in benchmarks().items():
        assert f"{name} " in listed
        assert benchmark.summary in listed


def test_an_unknown_benchmark_is_bad_usage() -> None:
    done = run("nothing")
    assert done.exit_code == 2
    assert "no benchmark nothing; there are calibration, first_run," in done.stderr


@pytest.mark.parametrize("stated", [None, "", "/no/such/folder"])
def test_missing_data_are_said_before_anything_is_measured(
    stated: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if stated is None:
        monkeypatch.delenv(DATA, raising=False)
    else:
        monkeypatch.setenv(DATA, stated)
    done = run("--output", str(tmp_path / "results"))
    assert done.exit_code == 2
    assert f"{DATA} must name the folder with the public data" in done.stderr
    assert "--smoke" in done.stderr
    assert not (tmp_path / "results").exists()
    with pytest.raises(NoData):
        Context(tmp_path).data("gap")


def test_cases_of_a_benchmark_have_different_keys(tmp_path: Path) -> None:
    for name, benchmark in benchmarks().items():
        keys = [case.key for case in benchmark.cases(Context(tmp_path, smoke=True, seeds=(0, 1)))]
        assert len(keys) == len(set(keys)), name


# --- rows ----------------------------------------------------------------------------------------


class Counting:
    """A benchmark whose cases count how often they are measured."""

    def __init__(self, wrong: int = 0) -> None:
        self.measured: list[str] = []
        self.failing: set[str] = set()
        self.wrong = wrong

    def benchmark(self) -> Benchmark:
        return Benchmark("counts", 0.1, self.cases, self.figures)

    def cases(self, context: Context) -> list[Case]:
        return [Case(key, self._measure(key)) for key in ("one", "two", "three")]

    def _measure(self, key: str) -> Callable[[], Row]:
        def measure() -> Row:
            self.measured.append(key)
            if key in self.failing:
                raise RuntimeError("out of luck")
            return {"value": len(self.measured)}

        return measure

    def figures(self, rows: Sequence[Row]) -> list[Figure]:
        return [
            Figure("rows", len(rows), "", at_least(2), (len(rows), 3)),
            Figure("wrong answers", self.wrong, "", at_most(0), sound=True),
        ]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr(command, "benchmarks", lambda: {"counting": made.benchmark()})
    return made


def test_rows_say_what_was_measured_where_and_when(counting: Counting, tmp_path: Path) -> None:
    assert run("--output", str(tmp_path)).exit_code == 0
    rows = rows_of(tmp_path, "counting")
    assert [(row["case"], row["value"]) for row in rows] == [("one", 1), ("two", 2), ("three", 3)]
    for row in rows:
        assert row["benchmark"] == "counting"
        assert set(row["machine"]) == {"cpu", "cores", "memory_gb", "system", "python"}
        assert row.keys() >= {"date", "version", "command", "load_before"}
        assert row["smoke"] is False


def test_resuming_measures_what_is_missing_only(counting: Counting, tmp_path: Path) -> None:
    run("--output", str(tmp_path), "--only", "t*")
    assert counting.measured == ["two", "three"]
    with path_of(tmp_path, "counting").open("ab") as file:
        file.write(b'{"case": "torn')
    run("--output", str(tmp_path), "--resume")
    assert counting.measured == ["two", "three", "one"]
    assert [row["case"] for row in rows_of(tmp_path, "counting")] == ["two", "three", "one"]


def test_measuring_again_replaces_the_rows_of_the_cases_asked_for(
    counting: Counting, tmp_path: Path
) -> None:
    run("--output", str(tmp_path))
    run("--output", str(tmp_path), "--only", "two")
    rows = rows_of(tmp_path, "counting")
    assert [(row["case"], row["value"]) for row in rows] == [("one", 1), ("three", 3), ("two", 4)]


def test_a_failing_measurement_costs_its_own_row_and_the_exit_code(
    counting: Counting, tmp_path: Path
) -> None:
    counting.failing = {"two"}
    done = run("--output", str(tmp_path))
    assert done.exit_code == 1
    assert "failed: counting, two: RuntimeError: out of luck" in done.stderr
    assert [row["case"] for row in rows_of(tmp_path, "counting")] == ["one", "three"]


@pytest.mark.parametrize("smoke", [False, True])
def test_a_wrong_answer_fails_the_run_but_a_missed_target_does_not(
    counting: Counting, tmp_path: Path, smoke: bool
) -> None:
    options = ["--output", str(tmp_path), *["--smoke"] * smoke]
    assert run("--only", "one", *options).exit_code == 0
    counting.wrong = 1
    done = run(*options)
    assert done.exit_code == 1
    assert "wrong answers: 1" in done.stderr


def test_rows_of_a_smoke_run_are_never_stated(counting: Counting, tmp_path: Path) -> None:
    run("--smoke", "--output", str(tmp_path))
    assert rows_of(tmp_path, "counting")
    assert readme_table({"counting": counting.benchmark()}, tmp_path) == ""


def test_a_function_runs_in_a_process_of_its_own_and_its_failure_is_told() -> None:
    row = fresh(time_limit.limited, {"kind": "assignment", "nodes": 3, "tasks": 5}, 2.0, 0)
    assert row["status"] == "optimal"
    with pytest.raises(RuntimeError, match="KeyError: 'no-such-kind'"):
        fresh(time_limit.limited, {"kind": "no-such-kind", "files": ["x"]}, 2.0, 0)


# --- figures -------------------------------------------------------------------------------------


def solved(name: str, **fields: Any) -> Row:
    row: Row = {
        "name": name,
        "seed": 0,
        "time_limit": 10.0,
        "status": "optimal",
        "wall_s": 1.0,
        "value": 100.0,
        "bound": 100.0,
        "best": 100.0,
        "gap": 0.0,
        "contradicts": False,
        "refused": [],
    }
    return {**row, **fields}


def met(figures: Sequence[Figure]) -> list[str]:
    return [figure.met for figure in figures]


def test_a_figure_is_met_only_when_all_that_it_takes_was_measured() -> None:
    rows = [solved(f"cattrysse1994/gap{i}") for i in range(gap.EASY)]
    assert met(gap.BENCHMARK.figures(rows)) == ["yes", "yes", "yes"]
    assert met(gap.BENCHMARK.figures(rows[1:])) == ["part", "yes", "yes"]
    late = [*rows[1:], solved("cattrysse1994/gap0", wall_s=10.5)]
    assert met(gap.BENCHMARK.figures(late)) == ["no", "yes", "yes"]


def test_gaps_are_stated_as_mean_and_largest() -> None:
    rows = [solved(f"yagiura2004/d{i}", gap=0.001) for i in range(gap.HARD - 1)]
    rows.append(solved("yagiura2004/e1", gap=0.03, status="feasible"))
    answers, mean, largest, *sound = gap.BENCHMARK.figures(rows)
    assert (answers.measured, answers.met) == (28, "yes")
    assert mean.measured == pytest.approx((27 * 0.1 + 3) / 28)
    assert (mean.met, largest.met, largest.detail) == ("yes", "no", "yagiura2004/e1")
    assert met(sound) == ["yes", "yes"]


def test_auto_is_counted_as_worse_where_an_engine_alone_found_a_smaller_value() -> None:
    """Ties and engines without an answer do not count; no answer of `auto` does."""
    names = [f"yagiura2004/d{i}" for i in range(gap_open.INSTANCES)]
    rows = [solved(name, engine=engine) for name in names for engine in gap_open.ENGINES]
    assert met(gap_open.BENCHMARK.figures(rows)) == ["yes"] * 5
    assert met(gap_open.BENCHMARK.figures(rows[3:]))[:3] == ["part"] * 3
    rows[1] |= {"value": 99.0}
    rows[2] |= {"value": None, "gap": None}
    rows[3] |= {"value": None, "gap": None}
    mean, largest, worse, *_ = gap_open.BENCHMARK.figures(rows)
    assert (mean.measured, largest.measured) == (None, None)
    assert worse.measured == 3
    assert worse.detail.startswith(f"{names[0]} cpsat, {names[1]} cpsat")


def test_the_hard_open_instances_are_those_of_yagiura_and_type_d() -> None:
    assert gap_open.hard("yagiura2004/c10400")
    assert gap_open.hard("chu1997/d20100")
    assert not gap_open.hard("chu1997/c20100")
    assert not gap_open.hard("cattrysse1994/gap1-0")


def test_answers_that_are_refused_and_bounds_that_are_wrong_are_counted() -> None:
    rows = [solved("a1_1", refused=["capacity"]), solved("a1_3", contradicts=True)]
    *_, refused, contradicted = roadef.BENCHMARK.figures(rows)
    assert (refused.measured, refused.met, refused.sound) == (1, "no", True)
    assert (contradicted.measured, contradicted.met, contradicted.sound) == (1, "no", True)


def test_no_answer_misses_the_target() -> None:
    _, figure, *_ = roadef.BENCHMARK.figures(
        [solved("a1_1"), solved("a1_2", value=None, gap=None, bound=None)]
    )
    assert (figure.measured, figure.met) == (None, "no")


def test_scores_are_summed_over_the_medians_of_the_large_instances() -> None:
    def run(name: str, seed: int, value: float | None) -> Row:
        facts = {"best": 100.0, "initial": 1000.0, "winner": 110.0, "time_limit": 60.0}
        return solved(name, seed=seed, value=value, **facts)

    names = ["b_1", "b_3", "b_5", "b_6", "b_8"]
    rows = [run(name, 1, 100.0) for name in names]
    rows += [run("b_1", 2, 99.0), run("b_1", 3, None)]
    # The median of -0.1, 0 and no answer.
    assert roadef_score.BENCHMARK.figures(rows)[0].measured == 0
    rows = [run("b_1", seed, 102.0) for seed in range(3)] + [run(name, 1, 101.0) for name in names]
    together = roadef_score.BENCHMARK.figures(rows)[0]
    assert together.measured == pytest.approx(0.2 + 4 * 0.1)
    assert together.met == "no"
    nothing = roadef_score.BENCHMARK.figures([run(name, 1, None) for name in names])[0]
    assert (nothing.measured, nothing.met) == (None, "no")


def test_small_instances_are_compared_with_the_best_known_and_the_winner() -> None:
    def run(name: str, value: float | None, winner: float) -> Row:
        facts = {"best": 2e6, "initial": 1e7, "winner": winner, "time_limit": 300.0}
        return solved(name, seed=1, value=value, **facts)

    rows = [run("a1_1", 2e6, 2e6), run("a1_4", 2.02e6, 2.1e6), run("a2_4", 2.04e6, 2.03e6)]
    reached, behind, far, *_ = roadef_score.BENCHMARK.figures(rows)
    assert (reached.measured, reached.detail) == (1, "a1_1")
    assert (behind.measured, behind.detail) == (1, "a2_4")
    assert far.measured == pytest.approx(2.0)
    assert far.met == "no"
    rows = [*rows[:2], run("a2_4", 2e6, 2.03e6), run("a2_5", None, 2.1e6)]
    assert roadef_score.BENCHMARK.figures(rows)[1].detail == "a2_5"
    far = roadef_score.BENCHMARK.figures(rows)[2]
    assert (far.measured, far.met) == (None, "part")  # 4 of 10 instances.


def test_overshoot_counts_runs_that_did_not_end_by_proof() -> None:
    def limited(limit: float, wall: float, stopped_by: str) -> Row:
        over = wall - limit
        return {
            "instance": "x", "limit": limit, "wall_s": wall, "over_s": over, "value": None,
            "over_allowed": over / (0.05 * limit + 0.5), "stopped_by": stopped_by,
        }  # fmt: skip

    rows = [limited(10, 10.5, "time"), limited(1, 1.5, "time"), limited(1, 3, "proof")]
    share, worst, answered = time_limit.BENCHMARK.figures(rows)
    assert share.measured == pytest.approx(100 * 0.5 / 0.55)
    assert share.cases == (2, 50)
    assert worst.measured == pytest.approx(0.5)
    assert answered.measured == 0


def test_the_slowest_run_of_an_instance_says_how_fast_moves_are_looked_at() -> None:
    rows = [
        {"name": name, "evaluations_per_s": rate, "early_share": 0.9, "moves_per_s": 1234}
        for name, rate in (("a2_2", 9e6), ("a2_2", 7e6), ("b_1", 5e6), ("b_8", 4e6))
    ]
    figures = {figure.name.split()[4].strip(","): figure for figure in move_rates._figures(rows)}
    assert {name: figure.met for name, figure in figures.items()} == {
        "a2_2": "no",
        "b_1": "-",
        "b_8": "yes",
    }
    assert figures["a2_2"].measured == 7e6
    assert figures["a2_2"].detail == "90 % of them rejected early, 1,234 moves made in a second"


def test_first_runs_count_those_with_an_answer_and_name_the_others() -> None:
    def run(name: str, first_s: float | None, over: float) -> Row:
        return {
            "kind": "first", "instance": name, "seed": 0, "limit": 5.0, "wall_s": 5 + 0.75 * over,
            "over_allowed": over, "first_s": first_s, "verified": first_s is not None,
        }  # fmt: skip

    rows = [run("x", 0.5, 0.1), run("y", 3.0, 0.2), run("z", None, 2.0)]
    rows += [{"kind": "compile", "cpu_s": 20.0}, {"kind": "start", "instance": "x", "wall_s": 0.5}]
    answered, latest, over, compiled, start = first_run.BENCHMARK.figures(rows)
    assert (answered.measured, answered.met, answered.detail) == (2, "no", "none for z")
    assert (latest.measured, latest.detail) == (3.0, "y")
    assert (over.measured, over.met) == (200, "no")
    assert compiled.measured == 20
    assert (start.measured, start.met) == (0.5, "part")


def test_a_peer_is_compared_by_costs_and_what_it_ignores_is_said() -> None:
    row = {"name": "x", "time_limit": 60.0, "value": 9.0, "theirs": 12, "broken": 3}
    (figure,) = rebalancer.BENCHMARK.figures([row, {**row, "name": "y", "value": 13.0}])
    assert (figure.measured, figure.met) == (1, "no")
    assert figure.detail == (
        "x 9 against 12 with 3 broken rules; y 13 against 12 with 3 broken rules"
    )
    (figure,) = rebalancer.BENCHMARK.figures([{"name": "x", "skipped": "no Python 3.12"}])
    assert (figure.measured, figure.met, figure.detail) == (None, "-", "no Python 3.12")


def test_a_peer_that_cannot_be_had_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebalancer, "_pythons", lambda: iter(()))
    assert rebalancer.environment(tmp_path / "a") == (
        None, "no Python 3.12 or newer was found, which it needs",
    )  # fmt: skip
    monkeypatch.setattr(rebalancer, "_pythons", lambda: iter([which("true")]))
    python, why = rebalancer.environment(tmp_path / "b")
    assert python is None
    assert why.startswith(f"{rebalancer.PACKAGE} cannot be installed for {which('true')}: ")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.1234, "s", "0.123 s"), (3, "s", "3 s"), (1634.2, "MB", "1,634 MB"), (0, "", "0")],
)
def test_numbers_are_as_precise_as_people_need(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text


# --- tables --------------------------------------------------------------------------------------


def test_the_table_is_written_between_the_markers_and_nowhere_else(
    counting: Counting, tmp_path: Path
) -> None:
    run("--output", str(tmp_path), "--only", "t*")
    known = {"counting": counting.benchmark()}
    table = readme_table(known, tmp_path)
    measured = "2 (2 of 3 cases measured)"
    assert f"| rows | ≥ 2 | {measured} | part | `python -m benchmarks counting` |" in table
    assert circumstances(rows_of(tmp_path, "counting"))[0] in table
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(readme, table)
    assert readme.read_text() == f"before\n{BEGIN}\n{table}\n{END}\nafter\n"
    assert table_of(readme) == table


def test_a_text_without_markers_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="expected the markers"):
        write_table(readme, "table")
    assert readme.read_text() == "no markers"


def test_the_readme_states_what_the_committed_results_say() -> None:
    assert table_of(ROOT / "README.md") == readme_table(benchmarks(), command.RESULTS)


def test_plain_tables_have_aligned_columns() -> None:
    lines = plain([Figure("a", 1.0, "s", at_most(2)), Figure("longer", None)]).splitlines()
    assert lines[0].index("target") == lines[1].index("≤ 2 s")
    assert "yes" in lines[1]


# --- instances and judges ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(5, 3), (12, 4)])
def test_a_generated_problem_is_the_same_as_a_file_and_as_an_instance(
    size: tuple[int, int], tmp_path: Path
) -> None:
    made = assignment(*size, seed=3)
    assert made == assignment(*size, seed=3)
    path = tmp_path / "made.txt"
    path.write_text(made.text())
    read, stated = formats()["gap"].read([path]).columns, made.instance().columns
    every = np.arange(size[0])[:, None], np.arange(size[1])[None, :]
    assert np.array_equal(read.capacity, stated.capacity)
    assert np.array_equal(read.demand[0].at(*every), stated.demand[0].at(*every))
    assert np.array_equal(read.cost.at(*every), stated.cost.at(*every))


def test_the_gap_judge_adds_up_by_hand() -> None:
    judge = gap.judge_of("2 3  1 2 3  4 5 6  1 1 1  2 2 2  2 9")
    assert judge("0\n0\n1\n") == ([], 9)
    assert judge("0\n0\n0\n") == (["agent 0 holds 3 > 2"], 6)
    assert judge("0\n0\n") == (["not an agent for each task"], 0)
    assert judge("0\n0\n2\n") == (["not an agent for each task"], 0)


def test_the_small_reassignment_starts_feasible_and_can_be_improved() -> None:
    model, start = roadef.small_model(1)
    judge = roadef.judge_of(model, start)
    broken, cost = judge(start)
    assert not broken
    best = brute_force(judge, roadef.MACHINES, roadef.PROCESSES)
    assert 0 < best < cost


def test_a_smoke_run_goes_from_end_to_end_without_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The suites solve, export, judge and compare; every benchmark is smoked by ``.ci/run``."""
    monkeypatch.delenv(DATA, raising=False)
    done = run("gap", "roadef", "--smoke", "--json", "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    for name, count in (("gap", 2), ("roadef", 1)):
        rows = rows_of(tmp_path, name)
        assert [row["status"] for row in rows] == ["optimal"] * count
        assert all(row["value"] == row["best"] == row["bound"] for row in rows)
        assert not any(row["refused"] or row["contradicts"] for row in rows)
