"""What free capacity is worth: duals of packing the mix, as far as other resources reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from optalloc.oracle.devices import WHOLE
from optalloc.oracle.pricing import Prices, worth_of

sizes = st.lists(st.sampled_from(range(170, 1000, 10)), min_size=1, max_size=4, unique=True)


def priced(parts: list[int], share: list[float], **stated: Any) -> Prices:
    given: dict[str, Any] = {
        "needs": np.ones((len(parts), 1), np.int64),
        "may": np.ones((1, len(parts)), bool),
        "devices": np.ones(1),
        **stated,
    }
    return Prices.of(parts=np.array(parts, np.int64), share=np.array(share), **given)


def contents(parts: list[int], room: int = WHOLE) -> list[list[int]]:
    """All that a device can hold."""
    if not parts:
        return [[]]
    first, *others = parts
    return [
        [n, *rest] for n in range(room // first + 1) for rest in contents(others, room - n * first)
    ]


@given(parts=sizes, seed=st.integers(0, 1000))
def test_prices_are_the_duals_of_packing_into_the_fewest_devices(
    parts: list[int], seed: int
) -> None:
    """Against the program over all contents: none is worth more than 1, the value is the same."""
    number = np.random.default_rng(seed).integers(1, 30, len(parts)).astype(float)
    prices = priced(parts, list(number / number.sum()))
    price = np.array([prices.new(part) for part in parts])
    every = np.array(contents(parts), float)
    assert (every @ price).max() <= 1 + 1e-6
    fewest = linprog(np.ones(len(every)), -every.T, -number, method="highs").fun
    assert number @ price == pytest.approx(fewest)


@given(parts=sizes, seed=st.integers(0, 1000))
def test_what_is_free_is_worth_the_best_that_fills_it(parts: list[int], seed: int) -> None:
    number = np.random.default_rng(seed).integers(1, 30, len(parts)).astype(float)
    prices = priced(parts, list(number))
    price = np.array([prices.new(part) for part in parts])
    for room in (100, 330, 500, 810, 999):
        best = (np.array(contents(parts, room), float) @ price).max()
        assert prices.worth[room] == pytest.approx(best, abs=1e-6)
    assert prices.worth[WHOLE] == 1
    assert np.all(np.diff(prices.worth) >= 0)


def test_a_part_that_nothing_goes_with_takes_the_whole_device() -> None:
    prices = priced([810, 470, 1000], [0.3, 0.3, 0.4])
    assert prices.new(810) == pytest.approx(1)
    assert prices.new(470) == pytest.approx(0.5)
    assert prices.worth[190] == 0


def test_devices_that_requests_can_not_do_without_are_scarce() -> None:
    """Four devices of each class; the second request may use the second class alone."""
    may = np.array([[True, False], [True, True]])
    prices = priced([1000, 1000], [0.5, 0.5], may=may, devices=np.array([4.0, 4.0]))
    assert prices.scarcity.tolist() == pytest.approx([1 / 3, 1])


def test_what_fills_devices_needs_resources_in_the_mean() -> None:
    """Two halves on a device need 6 and 2 each, and the whole one 4."""
    needs = np.array([[6], [2], [4], [9]], np.int64)
    prices = priced(
        [500, 500, 1000, 0], [0.3, 0.3, 0.2, 0.2], needs=needs, may=np.ones((1, 4), bool)
    )
    assert prices.filling[500].tolist() == pytest.approx([4])
    assert prices.filling[WHOLE].tolist() == pytest.approx([(1.8 + 0.6 + 0.8) / 0.5])


@pytest.mark.parametrize(("cpu", "worth"), [(100, 2), (16, 2), (8, 1), (0, 0), (-1, 0)])
def test_devices_are_worth_what_resources_reach_for(cpu: int, worth: float) -> None:
    prices = priced([1000], [1.0], needs=np.array([[8]], np.int64))
    devices, free = np.array([WHOLE, WHOLE, 0], np.int64), np.array([cpu], np.int64)
    found = worth_of(free, devices, prices.worth, prices.filling, np.empty(1))
    assert found == pytest.approx(worth)


def test_a_mix_without_devices_prices_nothing_but_whole_ones() -> None:
    prices = priced([0], [1.0])
    assert prices.worth[:WHOLE].tolist() == [0] * WHOLE
    assert not prices.scarcity.any()
