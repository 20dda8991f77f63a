"""Proofs of rank mapping: parts of bundles are bounded rightly, small weights keep the order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optalloc.mapping import Machine, Model, cost, map_ranks, model_traffic, parallel_traffic
from optalloc.mapping.constraining import Run, prove_cut
from optalloc.mapping.cuts import matrix_of
from optalloc.mapping.ordering import Order
from optalloc.mapping.packing import prove_parts
from optalloc.mapping.parallel import Collective
from optalloc.mapping.parting import best_split, nested, partitions, worths
from optalloc.mapping.traffic import Graph

IntArray = NDArray[np.int64]
SEEDS = st.integers(0, 10_000)


def parallel_weight(data: int, tensor: int, pipeline: int, how: Collective = "ring") -> IntArray:
    """Small weights of a group, tensor groups heaviest."""
    traffic = parallel_traffic(data, tensor, pipeline, 60, 900, 7, tensor_as=how)
    weight = matrix_of(Graph.of_traffic(traffic))
    order = Order.of(weight)
    assert order is not None
    return order.replace(weight)


def inside(weight: IntArray, at: IntArray) -> int:
    """What stays within the groups of an assignment."""
    return int(weight[np.equal.outer(at, at)].sum()) // 2


def run() -> Run:
    return Run(60, 1, 0, lambda: False, [])


# --- small weights -------------------------------------------------------------------------------


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_small_weights_put_all_sums_in_the_same_order(seed: int, kinds: int) -> None:
    draw = np.random.default_rng(seed)
    values = np.unique(draw.integers(1, 10 ** draw.integers(1, 12, kinds)))
    weight = np.triu(draw.choice(np.append(values, 0), (6, 6)), 1).astype(float)
    order = Order.of(weight + weight.T)
    if not weight.any():
        assert order is None
        return
    assert order is not None
    counts = np.array(list(product(*(range(k + 1) for k in order.counts.tolist()))))
    for a, b in draw.integers(0, len(counts), (200, 2)).tolist():
        exact, small = order.weights @ counts[a], order.small @ counts[a]
        other, less = order.weights @ counts[b], order.small @ counts[b]
        assert np.sign(exact - other) == np.sign(small - less)
        assert order.largest(small) == exact
        assert order.replaced(exact) == small
    assert order.largest(np.inf) == order.total == int(weight.sum())


def test_weights_of_a_training_step_become_small() -> None:
    traffic = model_traffic(Model(7e9, layers=32, hidden=4096), 3, 6, 3)
    order = Order.of(matrix_of(Graph.of_traffic(traffic)))
    assert order is not None
    assert order.weights.max() > 1e10
    assert order.small.max() < 1e5


# --- parts of bundles ----------------------------------------------------------------------------


def test_partitions_are_all_ways_to_add_up() -> None:
    assert sorted(partitions(6, 4, 3)) == [(2, 2, 2), (3, 2, 1), (3, 3), (4, 1, 1), (4, 2)]
    assert list(partitions(0, 4, 3)) == [()]
    assert list(partitions(9, 4, 2)) == []


def test_the_best_split_takes_the_sizes_that_keep_most() -> None:
    keeps = np.array([0, 0, 5, 6])
    for total, parts in ((6, 3), (7, 3), (7, 4), (3, 1)):
        most = max(int(keeps[list(sizes)].sum()) for sizes in partitions(total, 3, parts))
        assert best_split(keeps, total, parts) == most


def test_groups_are_nested_by_the_weights_of_their_edges() -> None:
    levels = nested(parallel_weight(3, 2, 2))
    assert [sorted(map(len, level)) for level in levels] == [[2] * 6, [6, 6], [12]]


@given(SEEDS, st.sampled_from([(3, 2, 1), (2, 3, 1), (4, 2, 1)]), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_a_bundle_never_keeps_more_than_its_worth(
    seed: int, shape: tuple[int, int, int], most: int
) -> None:
    weight, draw = parallel_weight(*shape), np.random.default_rng(seed)
    found = worths(weight, nested(weight)[0], most, len(weight), np.zeros(1, np.int64))
    assert found is not None
    for _ in range(20):
        at = draw.integers(0, 4, len(weight))
        sizes = tuple(sorted(np.bincount(at)[np.bincount(at) > 0].tolist(), reverse=True))
        if sizes[0] <= most:
            assert inside(weight, at) <= found[sizes]
    assert set(found) == set(partitions(len(weight), most, len(weight)))


def test_a_ring_of_pairs_is_worth_what_its_parts_keep() -> None:
    weight = parallel_weight(4, 2, 1)
    pair, ring = (int(w) for w in np.unique(weight[weight > 0])[::-1])
    found = worths(weight, nested(weight)[0], 4, 4, np.zeros(1, np.int64))
    assert found is not None
    assert found[4, 4] == 4 * pair + 4 * ring
    assert found[2, 2, 2, 2] == 4 * pair
    assert found[4, 2, 2] == 4 * pair + 2 * ring


@pytest.mark.parametrize(("groups", "most"), [(2, 4), (3, 3), (3, 4), (4, 2)])
@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 3, 1), (4, 2, 1), (3, 2, 1), (2, 1, 4)])
def test_the_bound_from_parts_is_never_below_the_best(
    shape: tuple[int, int, int], groups: int, most: int
) -> None:
    weight = parallel_weight(*shape)
    n = len(weight)
    if n > groups * most:
        return
    best, known = -1, np.arange(n) // most
    for rest in product(range(groups), repeat=n - 1):
        at = np.array((0, *rest))
        if np.bincount(at).max() <= most:
            best = max(best, inside(weight, at))
    bounds: list[float] = []
    prove_parts(weight, groups, most, known, run(), np.zeros(1, np.int64), bounds.append)
    assert all(bound >= best for bound in bounds)
    cuts: list[float] = []
    prove_cut(weight, groups, most, known, 0, run(), cuts.append, lambda _: None)
    assert max(cuts) == weight.sum() // 2 - best


@pytest.mark.parametrize(
    ("shape", "leaf", "how"),
    [
        ((4, 6, 1), 4, "all-to-all"),
        ((4, 6, 2), 16, "ring"),
        ((3, 6, 3), 4, "ring"),
        ((3, 4, 2), 6, "ring"),
    ],
)
def test_groups_that_do_not_fill_their_leaves_are_proven(
    shape: tuple[int, int, int], leaf: int, how: Collective
) -> None:
    traffic = model_traffic(Model(7e9, layers=32, hidden=4096), *shape, tensor_as=how)
    machine = Machine.hierarchy((leaf, -(-traffic.ranks // leaf)), (1, 10))
    found = map_ranks(traffic, machine, time_limit=60, threads=1)
    assert found.status == "optimal"


@pytest.mark.parametrize(("data", "tensor", "pipeline"), [(2, 3, 1), (3, 2, 1), (7, 1, 1)])
def test_bounds_of_three_levels_are_never_above_the_least_cost(
    data: int, tensor: int, pipeline: int
) -> None:
    traffic = parallel_traffic(data, tensor, pipeline, 60, 900, 7)
    machine = Machine.hierarchy((2, 2, 2), (1, 10, 100))
    found = map_ranks(traffic, machine, time_limit=2, threads=1)
    places = permutations(range(machine.slots), traffic.ranks)
    least = min(cost(traffic, machine, np.array(at)) for at in places if at[0] == 0)
    assert found.bound <= least == found.cost


def test_the_proof_ends_when_it_is_told_to() -> None:
    weight, bounds = parallel_weight(4, 5, 3, "all-to-all"), list[float]()
    stopped = Run(60, 1, 0, lambda: True, [])
    prove_parts(weight, 8, 8, np.arange(60) // 8, stopped, np.ones(1, np.int64), bounds.append)
    assert not bounds
