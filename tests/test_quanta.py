"""Stated numbers become integers: laws of rounding and of the choice of a quantum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optalloc.instance import quanta

decimals = st.integers(0, 10**9).flatmap(
    lambda n: st.integers(0, 6).map(lambda k: float(Fraction(n, 10**k)))
)
steps = st.sampled_from([Fraction(1), Fraction(1, 4), Fraction(1, 1000), Fraction(7), Fraction(50)])


@given(st.lists(decimals, max_size=5))
def test_decimals_of_six_places_are_stated_exactly(values: list[float]) -> None:
    quantum = quanta.choose(values)
    assert quantum >= Fraction(1, 10**6)
    for value, integer in zip(values, quanta.nearest(values, quantum), strict=True):
        # Twelve digits count as exact: computed numbers carry that much noise.
        assert float(int(integer) * quantum) == pytest.approx(value, rel=1e-12)


@given(st.lists(decimals, max_size=5))
def test_the_chosen_quantum_is_the_coarsest_that_is_exact(values: list[float]) -> None:
    quantum = quanta.choose(values)
    if quantum < 1:
        coarser = [int(i) * quantum * 10 for i in quanta.nearest(values, quantum * 10)]
        assert any(
            float(c) != pytest.approx(v, rel=1e-12) for c, v in zip(coarser, values, strict=True)
        )


@given(st.lists(st.floats(1e-5, 1e5), min_size=1, max_size=5))
def test_every_number_keeps_six_digits(values: list[float]) -> None:
    quantum = quanta.choose(values)
    for value, integer in zip(values, quanta.nearest(values, quantum), strict=True):
        assert float(int(integer) * quantum) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 1),
        ([0, 0.0], 1),
        ([1, 2.5, 64], Fraction(1, 10)),
        ([0.1 + 0.2], Fraction(1, 10)),
        ([1e-6], Fraction(1, 10**6)),
        ([1 / 3], Fraction(1, 10**7)),
        ([2e-7], Fraction(1, 10**13)),
        ([64, 0.1 + 0.2 - 0.3], 1),
    ],
)
def test_chosen_quanta(values: list[float], expected: Fraction) -> None:
    assert quanta.choose(values) == expected


@given(st.lists(decimals, max_size=5), steps)
def test_demands_round_up_and_capacities_down_by_less_than_a_quantum(
    values: list[float], quantum: Fraction
) -> None:
    up, down = quanta.upward(values, quantum), quanta.downward(values, quantum)
    for value, high, low in zip(values, up, down, strict=True):
        exact = quanta.exact(value) / quantum
        slack = Fraction(2, 10**6) + exact / 2**48
        assert exact - slack <= int(high) < exact + 1
        assert exact - 1 < int(low) <= exact + slack


@given(st.lists(st.integers(0, 10**6), max_size=5), steps)
def test_whole_multiples_stay_what_they_are(multiples: list[int], quantum: Fraction) -> None:
    values = [float(m * quantum) for m in multiples]
    for rounding in (quanta.upward, quanta.downward, quanta.nearest):
        assert rounding(values, quantum).tolist() == multiples


@given(st.lists(st.fractions(0, 100, max_denominator=60), max_size=4))
def test_a_common_quantum_divides_all_and_no_larger_one_does(fractions: list[Fraction]) -> None:
    quantum = quanta.common(*fractions)
    multiples = [f / quantum for f in fractions]
    assert all(m.denominator == 1 for m in multiples)
    if any(fractions):
        assert np.gcd.reduce([int(m) for m in multiples]) == 1


def test_numbers_are_read_as_the_decimals_that_were_written() -> None:
    assert quanta.exact(0.1) == Fraction(1, 10)
    assert quanta.exact(3) == 3
    assert quanta.exact(1e-9) == Fraction(1, 10**9)


@pytest.mark.parametrize("quantum", [Fraction(1, 10), Fraction(1, 10**400)])
def test_too_many_quanta_are_refused(quantum: Fraction) -> None:
    with pytest.raises(quanta.QuantityOverflow):
        quanta.nearest([1e18], quantum)


def test_whole_numbers_that_floats_cannot_hold_stay_exact() -> None:
    stated = [2**53 + 1, 2**61 + 1, 0.5]
    assert quanta.upward(stated, Fraction(1)).tolist() == [2**53 + 1, 2**61 + 1, 1]
    assert quanta.downward(stated, Fraction(1)).tolist() == [2**53 + 1, 2**61 + 1, 0]
    with pytest.raises(quanta.QuantityOverflow):
        quanta.upward([2**62 + 1], Fraction(1))
