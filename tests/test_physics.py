"""Models of compute, collectives, power and response: their formulas, laws and errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optalloc.instance.errors import InstanceError
from optalloc.physics import collectives, compute, groups, power, response
from optalloc.physics.collectives import Tier
from optalloc.physics.interconnects import BUCKET, Interconnect
from optalloc.physics.steps import soft_minimum

positive = st.floats(1e-6, 1e6)


def test_the_ring_and_the_trees_have_their_textbook_times() -> None:
    assert collectives.ring(4, 8e9, 1e-6, 100e9) == pytest.approx(6e-6 + 2 * 3 / 4 * 8e9 / 100e9)
    assert collectives.tree(8, 8e9, 1e-6, 100e9) == pytest.approx(6e-6 + 2 * 8e9 / 100e9)
    assert collectives.ring(1, 8e9, 1e-6, 1) == collectives.tree(1, 8e9, 1e-6, 1) == 0


def test_a_hierarchy_sends_only_its_share_over_the_slow_tier() -> None:
    """8 devices a node, 4 nodes: the nodes' links carry an eighth of the bytes of each device."""
    tiers = [Tier(8, 1e-6, 300e9), Tier(4, 5e-6, 25e9)]
    size = 1e9
    inside = 2 * 7 * (1e-6 + size / 8 / 300e9)
    across = 2 * 3 * (5e-6 + size / 8 / 4 / 25e9)
    assert collectives.hierarchical(tiers, size) == pytest.approx(inside + across)
    seconds, form = collectives.all_reduce(tiers, size)
    assert seconds == pytest.approx(inside + across)
    assert form == "hierarchical"


@given(
    st.lists(st.tuples(st.integers(1, 16), positive, positive), min_size=1, max_size=4), positive
)
def test_an_all_reduce_is_no_faster_than_its_bandwidth_allows(
    made: list[tuple[int, float, float]], size: float
) -> None:
    """At least 2 (n - 1)/n S over the fastest tier: the bound of nccl-tests' bus bandwidth."""
    tiers = [Tier(*entry) for entry in made]
    ranks = math.prod(tier.members for tier in tiers)
    fastest = max(tier.bandwidth for tier in tiers)
    seconds, _ = collectives.all_reduce(tiers, size)
    assert seconds >= (2 * (ranks - 1) / ranks * size / fastest) * (1 - 1e-9)
    assert seconds == 0 or ranks > 1


@given(st.lists(st.integers(2, 8), min_size=1, max_size=3), st.floats(1, 1e9))
def test_more_bytes_never_take_less_time(members: list[int], size: float) -> None:
    tiers = [Tier(m, 1e-6 * 4**k, 1e9 / 2**k) for k, m in enumerate(members)]
    assert collectives.all_reduce(tiers, 2 * size)[0] >= collectives.all_reduce(tiers, size)[0]


def test_a_tier_that_cannot_be_is_refused() -> None:
    with pytest.raises(InstanceError) as error:
        Tier(0, -1, 0)
    assert "members: expected at least 1, got 0" in str(error.value)
    assert "latency" in str(error.value)
    assert "bandwidth" in str(error.value)


def test_measured_times_are_read_between_and_beyond_their_points() -> None:
    curve = Interconnect("x", {2: [(1e4, 1e-5), (1e6, 1e-3)], 4: [(1e4, 2e-5), (1e6, 2e-3)]})
    assert curve.all_reduce(2, 1e5) == pytest.approx(1e-4)
    assert curve.all_reduce(3, 1e5) == pytest.approx(1.5e-4)
    assert curve.all_reduce(2, 1e7) == pytest.approx(1e-2)
    assert curve.all_reduce(8, 1e5) == pytest.approx(2e-4 * (7 / 8) / (3 / 4))
    assert curve.all_reduce(1, 1e5) == curve.all_reduce(2, 0) == 0
    assert curve.all_reduce(2, 4 * BUCKET) == pytest.approx(4 * curve.all_reduce(2, BUCKET))


@pytest.mark.parametrize("points", [{}, {1: [(1, 1)]}, {2: [(0, 1)]}, {2: [(1, -1)]}])
def test_measured_times_that_are_none_are_refused(
    points: dict[int, list[tuple[float, float]]],
) -> None:
    with pytest.raises(InstanceError, match="x: expected"):
        Interconnect("x", points)


def test_the_roofline_takes_the_slower_of_work_and_memory() -> None:
    work = compute.training_flops(1e9, 1000)
    assert work == 6e12
    assert compute.roofline(work, 1e15, achieved=0.5) == pytest.approx(0.012)
    slow = compute.roofline(
        work, 1e15, achieved=0.5, moved=1e11, memory_bandwidth=2e12, overhead=1e-3
    )
    assert slow == pytest.approx(0.05 + 1e-3)
    with pytest.raises(
        InstanceError, match=r"achieved: expected a share above 0 and at most 1, got 2"
    ):
        compute.roofline(work, 1e15, achieved=2)


def test_measured_steps_go_on_along_their_last_line() -> None:
    steps = compute.MeasuredSteps([(16, 0.4), (8, 0.3)])
    assert steps.seconds(4) == 0.3
    assert steps.seconds(12) == pytest.approx(0.35)
    assert steps.seconds(32) == pytest.approx(0.6)
    assert compute.MeasuredSteps([(8, 0.2)]).seconds(16) == pytest.approx(0.4)
    with pytest.raises(InstanceError):
        compute.MeasuredSteps([])


@given(st.lists(positive, min_size=1, max_size=6), positive, st.floats(0, 10))
def test_balanced_replicas_end_together_and_are_no_slower_than_equal_ones(
    rates: list[float], batch: float, exchange: float
) -> None:
    rate, batches = groups.balanced_batches(rates, batch, exchange)
    assert sum(batches) == pytest.approx(batch)
    ends = [b / v for b, v in zip(batches, rates, strict=True)]
    assert max(ends) == pytest.approx(min(ends))
    equal = groups.equal_batches([batch / len(rates) / v for v in rates], exchange)
    assert rate >= batch / equal * (1 - 1e-9)


def test_asynchronous_replicas_are_bound_by_their_server() -> None:
    assert groups.asynchronous([100, 50], 1e8, 10, server=1e12) == 150
    assert groups.asynchronous([100, 50], 1e8, 10, server=1e9) == pytest.approx(50)


def test_gathering_gradients_adds_compute_only() -> None:
    assert groups.accumulated(1.0, 0.7, 3) == pytest.approx(3.1)
    with pytest.raises(InstanceError):
        groups.accumulated(1.0, 0.7, -1)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=12))
def test_the_envelope_is_concave_rises_and_lies_above_all_points(
    points: list[tuple[int, int]],
) -> None:
    kept = [points[k] for k in power.concave_envelope(points)]
    watts, rates = np.array(kept, float).T
    assert np.all(np.diff(watts) > 0)
    assert np.all(np.diff(rates) > 0)
    slopes = np.diff(rates) / np.diff(watts)
    assert np.all(np.diff(slopes) < 0)
    for w, rate in points:
        if w >= watts[0]:
            assert rate <= np.interp(w, watts, rates) + 1e-9


def test_a_group_draws_on_top_of_what_its_nodes_draw_idle() -> None:
    device = power.DevicePower(idle_w=80, active_w=600, waiting_w=130)
    assert device.mean_w(0.75, 1.0) == pytest.approx(0.75 * 600 + 0.25 * 130)
    watts = power.group_watts(device, 4, 0.75, 1.0, host_w=20)
    assert watts == pytest.approx(4 * (482.5 - 80 + 20))
    assert power.samples_per_joule(100, 50) == 2
    with pytest.raises(InstanceError):
        power.DevicePower(idle_w=80, active_w=70)


@given(st.floats(1, 1000), st.floats(0, 1), st.floats(0, 0.01))
def test_a_site_at_its_largest_load_answers_just_in_time(
    rate: float, limit: float, trip: float
) -> None:
    site = response.Site(rate, trip, up=1e6, down=2e6)
    most = site.most_load(limit, 1000, 2000)
    if most > 0:
        assert site.response_s(most, 1000, 2000) == pytest.approx(limit, rel=1e-6)
    else:
        assert site.response_s(0, 1000, 2000) >= limit * (1 - 1e-9)
    assert math.isinf(site.response_s(rate))


def test_a_site_that_cannot_be_is_refused() -> None:
    with pytest.raises(InstanceError, match="service_rate: expected above 0"):
        response.Site(0)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_soft_minimum_is_below_both_and_near_the_smaller(a: float, b: float) -> None:
    found = float(soft_minimum(np.array([a]), np.array([b]))[0])
    assert found <= min(a, b)
    assert found >= 2 ** (-1 / 4) * min(a, b) * (1 - 1e-12)
