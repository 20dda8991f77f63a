"""Ratios such as samples per joule: the largest one, what is proven of it, and what is refused."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tradeoffs import fleets, limited_job, reachable, stated

from optalloc import Instance, InstanceError, Node, OptallocError, Placement, dinkelbach
from optalloc.answering import Question
from optalloc.engines.protocol import Clock
from optalloc.formulation.problem import Problem
from optalloc.objective import Ratio, read_objective
from optalloc.rationals import between, lower, simplest
from optalloc.solving import Progress, make_request, solve
from optalloc.verify import verify

SAMPLES = "samples-per-joule"


def best_ratio(instance: Instance, objective: str = SAMPLES) -> Fraction | None:
    """Brute force; None if nothing is feasible."""
    values = reachable(instance, objective)
    ratios = [Fraction(over, under) if under else Fraction(0) for over, under in values]
    return max(ratios, default=None)


def ratio_level(instance: Instance, objective: str = SAMPLES) -> Ratio:
    level = read_objective(instance, objective).levels[-1]
    assert isinstance(level, Ratio)
    return level


def search(instance: Instance, objective: str = SAMPLES) -> dinkelbach._Search:
    request = make_request("milp", 1, 0, True, False, None)
    question = Question(instance, request, time.monotonic())
    wanted = read_objective(instance, objective)
    return dinkelbach._Search(question, wanted, Clock(float("inf")), None)


# --- the largest ratio ---------------------------------------------------------------------------


@settings(max_examples=30)
@given(fleets(), st.sampled_from([SAMPLES, "throughput / power"]))
def test_the_largest_ratio_is_that_of_brute_force(instance: Instance, objective: str) -> None:
    result = solve(instance, objective, deterministic=True)
    best = best_ratio(instance, objective)
    if best is None:
        assert result.status == "infeasible"
        return
    level = ratio_level(instance, objective)
    assert result.status == "optimal"
    assert result.objective == result.bound == level.of(best)
    assert result.gap == 0


@settings(max_examples=15)
@given(fleets())
def test_what_every_step_proves_holds(instance: Instance) -> None:
    """``r + max(U, 0) / (d B_min)`` of each maximum on the way is above the largest ratio."""
    best = best_ratio(instance)
    assume(best is not None)
    assert best is not None
    found = search(instance)
    found.climb(None)
    found._bound_without_proof()
    for _, rate, most in found.sums:
        assert rate + Fraction(most, rate.denominator * (found._least or 1)) >= best
    assert found.sums


@settings(max_examples=15)
@given(fleets())
def test_ratios_that_are_rounded_end_within_the_resolution(instance: Instance) -> None:
    best = best_ratio(instance)
    assume(best is not None)
    assert best is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dinkelbach, "SIMPLE", 0)
        patch.setattr(dinkelbach, "EXACT_FLOAT", 1e6)
        result = solve(instance, SAMPLES, deterministic=True)
    level = ratio_level(instance)
    assert result.objective is not None
    assert result.bound is not None
    # Rounded to few digits it may end early, and says so.
    assert result.objective <= level.of(best) <= result.bound
    assert (result.status == "optimal") == (result.bound <= result.objective * (1 + 1e-9))


@given(st.fractions(0, 50, max_denominator=300), st.integers(1, 40))
def test_a_fraction_is_rounded_down_to_the_nearest_simple_one(value: Fraction, most: int) -> None:
    nearest = max(Fraction((value * d).__floor__(), d) for d in range(1, most + 1))
    assert lower(value, most) == nearest


@pytest.mark.parametrize("engine", ["auto", "milp", "cpsat"])
def test_every_exact_engine_proves_the_same_ratio(engine: str) -> None:
    instance = stated(
        nodes=[Node(name="n", idle_w=10, count=2)],
        tasks=[limited_job((4, 5), (6, 9), (7, 16), count=3)],
    )
    result = solve(instance, SAMPLES, engine=engine, deterministic=True)
    assert (result.status, result.stopped_by) == ("optimal", "proof")
    assert result.objective == 18 / 37


def test_levels_around_a_ratio_are_held() -> None:
    """All jobs run first; of the best ratios the one that uses fewest nodes."""
    instance = stated(
        nodes=[Node(name="n", count=3)],
        tasks=[limited_job((4, 8), (1, 1), required=False, count=2)],
    )
    result = solve(instance, f"admitted > {SAMPLES} > nodes")
    assert [level.value for level in result.levels] == [2, 1, 1]
    assert result.status == "optimal"


def test_nothing_for_nothing_is_not_the_best_for_the_levels_below() -> None:
    """The last maximum is 0 for the best ratio, for which two ways are as good, and for nothing."""
    job = limited_job((4, 8), (2, 4), (9, 20), required=False)
    result = solve(stated(nodes=[Node(name="n")], tasks=[job]), f"{SAMPLES} > power")
    assert [level.value for level in result.levels] == [0.5, 4]
    assert [level.bound for level in result.levels] == [0.5, 4]
    assert result.status == "optimal"


def test_what_cannot_run_has_the_ratio_zero_with_proof() -> None:
    instance = stated(
        nodes=[Node(name="n", capacity={"cpu": 1}, idle_w=3)],
        tasks=[limited_job((4, 8), required=False, demand={"cpu": 2})],
    )
    result = solve(instance, SAMPLES)
    assert (result.status, result.objective, result.bound) == ("optimal", 0, 0)


@settings(max_examples=15)
@given(fleets())
def test_a_ratio_without_an_exact_engine_is_bounded_by_closed_forms(instance: Instance) -> None:
    best = best_ratio(instance)
    result = solve(instance, SAMPLES, engine="greedy")
    if best is not None and result.objective is not None:
        assert result.objective <= ratio_level(instance).of(best)
        assert result.bound is None or result.bound >= ratio_level(instance).of(best)
        assert result.bound is not None or not result.objective


@given(st.fractions(Fraction(1, 99), 50, max_denominator=99), st.integers(1, 60))
def test_a_fraction_between_two_is_strictly_between(low: Fraction, width: int) -> None:
    high = low * (1 + Fraction(width, 1000))
    assert low < between(low, high, Fraction(1, 1000)) < high


@given(st.fractions(Fraction(1, 99), 50, max_denominator=99), st.integers(1, 60))
def test_the_simplest_fraction_between_two(low: Fraction, width: int) -> None:
    high = low + Fraction(1, width)
    found = simplest(low, high)
    assert low <= found <= high
    assert not any((low * d).__ceil__() <= high * d for d in range(1, found.denominator))


def test_a_ratio_is_infeasible_for_the_same_reasons() -> None:
    instance = stated(
        nodes=[Node(name="n", capacity={"cpu": 1})], tasks=[limited_job((4, 8), demand={"cpu": 2})]
    )
    result = solve(instance, SAMPLES)
    assert (result.status, result.stopped_by) == ("infeasible", "proof")
    assert result.reasons
    part = solve(instance, SAMPLES, partial=True)
    assert part.status == "optimal"
    assert "cpu" in part.reasons[0].message


def test_a_start_is_never_made_worse_and_progress_tells_of_the_ratio() -> None:
    instance = stated(
        nodes=[Node(name="n", idle_w=4, count=2)],
        tasks=[limited_job((4, 5), (6, 9), required=False, count=3)],
    )
    first = solve(instance, "power")
    seen: list[Progress] = []
    result = solve(instance, SAMPLES, warm_start=first, on_progress=seen.append)
    values = [step.objective for step in seen if step.objective is not None]
    assert values == sorted(values)
    assert values[-1] == result.objective
    assert {step.level for step in seen} == {SAMPLES}


def test_an_interruption_returns_the_best_ratio_so_far() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.objective:
            raise KeyboardInterrupt

    instance = stated(nodes=[Node(name="n", idle_w=4)], tasks=[limited_job((4, 5), (6, 9))])
    result = solve(instance, SAMPLES, on_progress=interrupt)
    assert result.stopped_by == "interrupted"
    assert result.verified
    assert result.objective is not None


# --- what is refused -----------------------------------------------------------------------------


def test_samples_without_watts_have_no_largest_ratio() -> None:
    instance = stated(nodes=[Node(name="n")], tasks=[limited_job((4, 0), (9, 3))])
    with pytest.raises(InstanceError, match="expected power above 0 for whatever has samples"):
        solve(instance, SAMPLES)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("power / throughput", "goal of which more is better / one of which less is"),
        ("throughput / admitted", "such as 'throughput / power'"),
        ("throughput / capacity", "such as 'throughput / power'"),
        ("throughput / speed", "expected one of .*; got 'speed'"),
        ("throughput /", "expected one of"),
        (f"{SAMPLES} > throughput / nodes", "expected at most one ratio"),
    ],
)
def test_a_wrong_ratio_is_named(objective: str, expected: str) -> None:
    instance = stated(nodes=[Node(name="n", idle_w=1)], tasks=[limited_job((4, 2))])
    with pytest.raises(InstanceError, match=expected):
        solve(instance, objective)


def test_a_file_may_state_a_ratio_and_a_wrong_one_is_found_on_reading() -> None:
    fields = {"nodes": [Node(name="n", idle_w=1)], "tasks": [limited_job((4, 3))]}
    assert solve(stated(**fields, objective=SAMPLES)).objective == 1
    with pytest.raises(InstanceError, match="such as 'throughput / power'"):
        stated(**fields, objective="nodes / power")


def test_a_name_with_a_slash_is_no_ratio() -> None:
    from optalloc.policies import Power

    instance = stated(
        nodes=[Node(name="n", idle_w=1)],
        tasks=[limited_job((4, 3))],
        policies=[Power(name="throughput / power")],
    )
    assert solve(instance, "throughput / power").objective == 4


def test_only_solve_knows_ratios() -> None:
    instance = stated(nodes=[Node(name="n", idle_w=1)], tasks=[limited_job((4, 3))])
    with pytest.raises(OptallocError, match="is a ratio, for `solve` alone"):
        Problem(instance, read_objective(instance, SAMPLES))


@settings(max_examples=15)
@given(fleets())
def test_the_checker_scores_the_ratio_that_solve_reports(instance: Instance) -> None:
    result = solve(instance, SAMPLES, deterministic=True)
    if isinstance(result.placement, Placement):
        wanted = read_objective(instance, SAMPLES)
        report = verify(instance, result.placement, wanted)
        assert wanted.levels[0].read(report.values) == result.objective
