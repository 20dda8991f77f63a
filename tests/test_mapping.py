"""Rank mapping: costs are what their definition says, searches keep the rules, proofs are right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.mapping import (
    Machine,
    Model,
    Traffic,
    cost,
    map_ranks,
    model_traffic,
    parallel_traffic,
    ring_length,
    ring_order,
    ring_traffic,
)
from optalloc.mapping.compiled import annealing, climbing, coarsening, flowing, tabu
from optalloc.mapping.compiled.base import generator
from optalloc.mapping.cuts import classes, cut_bound, matrix_of
from optalloc.mapping.layout import Layout
from optalloc.mapping.multilevel import Effort, Multisection, cycle, halves, spots_of
from optalloc.mapping.parallel import Collective
from optalloc.mapping.traffic import Graph

Array = NDArray[np.float64]
SEEDS = st.integers(0, 10_000)


def random_traffic(seed: int, ranks: int, share: float = 0.5) -> Traffic:
    draw = np.random.default_rng(seed)
    flow = draw.integers(0, 9, (ranks, ranks)) * (draw.random((ranks, ranks)) < share)
    return Traffic.of_matrix(flow)


def defined_cost(traffic: Traffic, machine: Machine, at: NDArray[np.int64]) -> float:
    """The definition, pair by pair."""
    flow = traffic.matrix
    pairs = product(range(traffic.ranks), repeat=2)
    return float(sum(flow[i, j] * machine.distance[at[i], at[j]] for i, j in pairs))


# --- costs ---------------------------------------------------------------------------------------


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_evaluator_computes_the_definition(seed: int) -> None:
    traffic, machine = random_traffic(seed, 7), Machine.hierarchy((2, 2, 2), (1, 10, 100))
    at = np.random.default_rng(seed).permutation(8)[:7]
    assert cost(traffic, machine, at) == defined_cost(traffic, machine, at)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_on_a_tree_the_cost_is_the_sum_of_its_cuts(seed: int) -> None:
    """``d_0 W + sum (d_l - d_(l-1)) cut_l``, which is what bounds on groups rest on."""
    traffic, machine = random_traffic(seed, 12), Machine.hierarchy((3, 2, 2), (1, 4, 9))
    at = np.random.default_rng(seed).permutation(12)
    source, target = at[traffic.source], at[traffic.target]
    different = source != target
    total = float(traffic.volume[different].sum())
    for level, more in zip(machine.levels, (3, 5), strict=False):
        total += more * float(traffic.volume[level[source] != level[target]].sum())
    assert cost(traffic, machine, at) == total


@given(SEEDS, st.booleans())
@settings(max_examples=25, deadline=None)
def test_tabu_knows_the_change_of_every_exchange_after_every_move(seed: int, even: bool) -> None:
    n, draw = 7, np.random.default_rng(seed)
    a = draw.integers(0, 9, (n, n)).astype(float)
    d = draw.integers(0, 9, (n, n)).astype(float)
    if even:
        a, d = a + a.T, d + d.T
    walk = tabu.Walk(
        a, np.zeros((n, n)), draw.permutation(n), np.zeros(n, np.int64), np.zeros((n, n)),
        np.zeros((n, n)), np.zeros(4),
    )  # fmt: skip
    tabu.begin(walk, d)
    traffic, machine = Traffic.of_matrix(a), Machine.of_matrix(d)
    for _ in range(5):
        r, s = sorted(draw.choice(n, 2, replace=False).tolist())
        tabu.exchange(walk, r, s, even)
        now = cost(traffic, machine, walk.slot)
        assert walk.number[tabu.NOW] == now
        for i in range(n):
            for j in range(i + 1, n):
                other = walk.slot.copy()
                other[[i, j]] = other[[j, i]]
                assert walk.delta[i, j] == cost(traffic, machine, other) - now


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_annealing_and_passes_report_the_change_that_they_make(seed: int) -> None:
    traffic = random_traffic(seed, 14, 0.3)
    machine = Machine.hierarchy((2, 4), (1, 10), capacity=2)
    layout = Layout.of(traffic, machine)
    random = generator(seed)
    spots = spots_of(layout.graph, layout.distance, layout.capacity, np.arange(14) // 2)
    queue, journal = climbing.new_queue(14, 8), np.zeros((14, 2), np.int64)
    searches: tuple[Callable[[], float], ...] = (
        lambda: annealing.anneal(spots, 20.0, 1.0, 300, random),
        lambda: annealing.descend(spots, random),
        lambda: climbing.climb_all(spots, queue, 3, 20, 0, journal, random),
        lambda: climbing.climb_here(spots, queue, 9, 20, 5, journal, random),
        lambda: flowing.divide_well(spots, 1, 6, 8.0, np.full(14, -1, np.int64)),
    )
    before = cost(traffic, machine, spots.slot)
    for search in searches:
        change = search()
        now = cost(traffic, machine, spots.slot)
        assert now - before == pytest.approx(change, abs=1e-6)
        load = np.bincount(spots.slot, minlength=8)
        assert np.array_equal(load, spots.load)
        assert np.all(load <= machine.capacity)
        before = now


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_a_flow_divides_two_slots_as_well_as_any_division_that_fits(seed: int) -> None:
    traffic, machine = random_traffic(seed, 9, 0.7), Machine.hierarchy((1, 3), (1, 10), capacity=9)
    layout = Layout.of(traffic, machine)
    at = np.random.default_rng(seed).integers(0, 3, 9)
    spots = spots_of(layout.graph, layout.distance, layout.capacity, at)
    moved = np.flatnonzero(at != 2)
    least = cost(traffic, machine, at)
    for choice in product((0, 1), repeat=moved.size):
        other = at.copy()
        other[moved] = choice
        least = min(least, cost(traffic, machine, other))
    joined = traffic.matrix[np.ix_(at == 0, at == 1)] + traffic.matrix[np.ix_(at == 1, at == 0)].T
    change = flowing.divide(spots, 0, 1, 9.0, np.full(9, -1, np.int64))
    now = cost(traffic, machine, spots.slot)
    assert now - cost(traffic, machine, at) == pytest.approx(change, abs=1e-6)
    if joined.size and joined.any(axis=0).all() and joined.any(axis=1).all():
        # All of them are on the border then.
        assert now == pytest.approx(least)
    assert np.all(spots.slot[at == 2] == 2)


def test_a_part_grows_along_heavy_edges() -> None:
    path = Graph.of_traffic(Traffic.of_pairs(6, range(5), range(1, 6), [9, 9, 1, 9, 9]))
    for seed in range(5):
        part = coarsening.grow(path.start, path.end, path.weight, path.size, 3, generator(seed))
        assert np.bincount(part, minlength=2).tolist() == [3, 3]
        assert abs(np.diff(part)).tolist() in ([0, 0, 1, 0, 0], [0, 1, 0, 1, 0])


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_exchanges_of_neighbours_and_loops_within_a_slot_are_priced_exactly(seed: int) -> None:
    traffic = random_traffic(seed, 8, 0.9)
    distance = np.random.default_rng(seed).integers(0, 9, (4, 4))
    machine = Machine.of_matrix(distance + distance.T, 2)
    layout = Layout.of(traffic, machine)
    spots = spots_of(layout.graph, layout.distance, layout.capacity, np.arange(8) // 2)
    own = Traffic.of_matrix(traffic.matrix * (1 - np.eye(8)))
    before = cost(own, machine, spots.slot)
    for u, v in ((0, 7), (3, 4), (1, 6)):
        change = annealing.exchanging(spots, u, v)
        annealing.exchange(spots, u, v)
        now = cost(own, machine, spots.slot)
        assert now - before == change
        before = now


# --- proofs --------------------------------------------------------------------------------------


def brute_force(traffic: Traffic, machine: Machine) -> float:
    places = permutations(range(machine.slots), traffic.ranks)
    return min(cost(traffic, machine, np.array(at)) for at in places)


@given(SEEDS, st.sampled_from([4, 5, 6]))
@settings(max_examples=12, deadline=None)
def test_branch_and_bound_finds_what_brute_force_finds(seed: int, ranks: int) -> None:
    draw = np.random.default_rng(seed)
    traffic = random_traffic(seed, ranks)
    machine = Machine.of_matrix(draw.integers(0, 9, (6, 6)))
    found = map_ranks(traffic, machine, time_limit=60, threads=1)
    assert found.status == "optimal"
    assert found.bound == found.cost == brute_force(traffic, machine)
    assert found.gap == 0
    assert found.stopped_by == "proof"


@given(SEEDS)
@settings(max_examples=6, deadline=None)
def test_groups_on_a_tree_are_proven_as_brute_force_says(seed: int) -> None:
    traffic, machine = random_traffic(seed, 6, 0.6), Machine.hierarchy((2, 3), (1, 10))
    found = map_ranks(traffic, machine, time_limit=60, threads=1)
    assert found.status == "optimal"
    assert found.cost == brute_force(traffic, machine)


@given(SEEDS, st.sampled_from([(2, 3), (3, 2)]))
@settings(max_examples=15, deadline=None)
def test_the_bound_on_cuts_is_never_above_the_least_cut(seed: int, shape: tuple[int, int]) -> None:
    most, groups = shape
    weight = matrix_of(Graph.of_traffic(random_traffic(seed, 6, 0.6)))
    cuts = []
    for label in product(range(groups), repeat=6):
        at = np.array(label)
        if np.bincount(at, minlength=groups).max() <= most:
            cuts.append(float(weight[np.not_equal.outer(at, at)].sum()) / 2)
    flag = np.zeros(1, np.int64)
    bound = cut_bound(
        weight, groups, most, np.arange(6) // most, lambda: False, lambda _: None, flag
    )
    assert 0 <= bound <= min(cuts) + 1e-6


@pytest.mark.parametrize(
    ("shape", "leaf"),
    [((2, 4, 2), 4), ((4, 8, 2), 8), ((4, 8, 1), 4), ((8, 1, 8), 8), ((2, 8, 4), 16)],
)
@pytest.mark.parametrize("how", ["ring", "all-to-all"])
def test_parallel_groups_that_fill_their_leaves_are_proven(
    shape: tuple[int, int, int], leaf: int, how: Collective
) -> None:
    data, tensor, pipeline = shape
    model = Model(7e9, layers=32, hidden=4096)
    traffic = model_traffic(model, data, tensor, pipeline, tensor_as=how)
    machine = Machine.hierarchy((leaf, traffic.ranks // leaf), (1, 10))
    found = map_ranks(traffic, machine, time_limit=60, threads=1)
    assert found.status == "optimal"
    assert found.cost == cost(traffic, machine, found.assignment)


def test_ranks_of_one_role_look_alike() -> None:
    """In a ring of pairs all do; the ends of a pipeline differ from its middle."""
    ring = matrix_of(Graph.of_traffic(parallel_traffic(4, 2, 1, 5, 9, 0)))
    assert np.unique(classes(ring)).size == 1
    chain = matrix_of(Graph.of_traffic(parallel_traffic(1, 2, 4, 0, 9, 5)))
    assert np.unique(classes(chain)).size == 2


# --- searches ------------------------------------------------------------------------------------


def test_several_ranks_a_slot_keep_to_the_capacity() -> None:
    side = np.arange(400).reshape(20, 20)
    source = np.concatenate([side[:, :-1].ravel(), side[:-1].ravel()])
    target = np.concatenate([side[:, 1:].ravel(), side[1:].ravel()])
    traffic = Traffic.of_pairs(400, source, target, np.ones(source.size), both_ways=True)
    machine = Machine.hierarchy((2, 4), (1, 10), capacity=51)
    found = map_ranks(traffic, machine, time_limit=2, threads=1)
    assert np.bincount(found.assignment, minlength=8).max() <= 51
    in_order = cost(traffic, machine, np.arange(400) // 51)
    assert found.cost == cost(traffic, machine, found.assignment) <= in_order
    layout = Layout.of(traffic, machine)
    effort = Effort(steps=20, least=10)
    cut = Multisection(layout.distance, layout.capacity, layout.levels, effort, 2)
    parts = layout.assignment(cut.assign(layout.graph, generator(1), lambda: False))
    assert np.bincount(parts, minlength=8).max() <= 51
    assert cost(traffic, machine, parts) < in_order


def test_multisection_fills_single_slots_exactly() -> None:
    traffic, machine = random_traffic(3, 16, 0.3), Machine.hierarchy((2, 2, 4), (1, 10, 100))
    layout = Layout.of(traffic, machine)
    cut = Multisection(
        layout.distance, layout.capacity, layout.levels, Effort(steps=5, least=10), 2
    )
    at = cut.assign(layout.graph, generator(1), lambda: False)
    assert sorted(layout.assignment(at).tolist()) == list(range(16))
    again = cycle(
        layout.graph, layout.distance, layout.capacity, at, Effort(steps=5, least=10),
        generator(2), lambda: False,
    )  # fmt: skip
    assert sorted(layout.assignment(again).tolist()) == list(range(16))


def test_halves_follow_the_levels_and_else_the_distances() -> None:
    tree = Machine.hierarchy((2, 3), (1, 10))
    second = halves(tree.distance, tree.levels[::-1], np.arange(6))
    assert second.tolist() == [False, False, True, True, True, True]
    line = Machine.of_matrix(np.abs(np.subtract.outer(np.arange(6), np.arange(6))))
    second = halves(line.distance, (), np.arange(6))
    assert sorted([second[:3].tolist(), second[3:].tolist()]) == [[False] * 3, [True] * 3]


def test_an_answer_is_never_worse_than_the_start() -> None:
    traffic, machine = random_traffic(5, 40, 0.2), Machine.torus((5, 8))
    start = np.random.default_rng(0).permutation(40)
    found = map_ranks(traffic, machine, time_limit=0.3, threads=1, start=start)
    assert found.cost <= cost(traffic, machine, start)


def test_ranks_that_do_not_talk_cost_nothing_and_that_is_proven() -> None:
    traffic = Traffic.of_pairs(5, [], [], [])
    found = map_ranks(traffic, Machine.torus((3, 3)), time_limit=5)
    assert (found.cost, found.bound, found.status) == (0.0, 0.0, "optimal")


# --- traffic and rings ---------------------------------------------------------------------------


def test_volumes_of_a_step_follow_the_formulas() -> None:
    model = Model(1000, layers=4, hidden=8, sequence=16, micro_batch=2, micro_batches=3, width=2)
    active = 2 * 16 * 8 * 2
    assert model.volumes(data=2, tensor=2, pipeline=2) == (500, 4 * 3 * active * 2, 3 * active // 2)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_groups_send_what_an_all_reduce_takes(data: int, tensor: int, pipeline: int) -> None:
    """Directly or around a ring, all ranks of a group of n together send ``2 (n - 1) S``."""
    ways: tuple[Collective, ...] = ("ring", "all-to-all")
    for as_stated in ways:
        traffic = parallel_traffic(
            data, tensor, pipeline, 1200, 120, 7, data_as=as_stated, tensor_as=as_stated
        )  # fmt: skip
        reduced = (
            2 * (data - 1) * 1200 * tensor * pipeline + 2 * (tensor - 1) * 120 * data * pipeline
        )
        stages = 2 * 7 * data * tensor * (pipeline - 1)
        assert traffic.total == reduced + stages
        assert traffic.ranks == data * tensor * pipeline


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_the_ring_on_a_tree_is_the_shortest(seed: int) -> None:
    machine = Machine.hierarchy((2, 2, 2), (1, 4, 9))
    slots = np.random.default_rng(seed).permutation(8)[:6].tolist()
    order = ring_order(machine, slots)
    assert sorted(order) == sorted(slots)
    rings = ([slots[0], *rest] for rest in permutations(slots[1:]))
    assert ring_length(machine, order) == min(ring_length(machine, ring) for ring in rings)


def test_the_ring_of_a_torus_takes_one_hop_each_time() -> None:
    machine = Machine.torus((4, 4))
    assert ring_length(machine, ring_order(machine, range(16))) <= 18


def test_a_ring_has_one_pair_a_rank() -> None:
    traffic = ring_traffic([2, 0, 1], 5)
    assert traffic.matrix.tolist() == [[0, 5, 0], [0, 0, 5], [5, 0, 0]]


# --- bad input -----------------------------------------------------------------------------------


def test_too_little_room_is_said() -> None:
    with pytest.raises(InstanceError, match="expected room for 5 units of ranks, got 4"):
        map_ranks(Traffic.of_pairs(5, [0], [1], [1]), Machine.hierarchy((2, 2), (1, 10)))
    heavy = Traffic.of_pairs(2, [0], [1], [1], size=[3, 3])
    with pytest.raises(InstanceError, match="only if they are split"):
        map_ranks(heavy, Machine.of_matrix(np.ones((3, 3)), 2))


def test_bad_traffic_names_the_pair() -> None:
    with pytest.raises(InstanceError, match=r"target\[0\]: expected a rank from 0 to 1, got 7"):
        Traffic.of_pairs(2, [0], [7], [1])
    with pytest.raises(InstanceError, match=r"volume\[0\]: expected a finite number"):
        Traffic.of_pairs(2, [0], [1], [-1])
    with pytest.raises(InstanceError, match="expected a square matrix, got 2 x 3"):
        Traffic.of_matrix(np.zeros((2, 3)))


def test_bad_machines_name_the_level() -> None:
    with pytest.raises(InstanceError, match=r"hierarchy\[1\]: expected at least 1, got 0"):
        Machine.hierarchy((2, 0), (1, 10))
    with pytest.raises(InstanceError, match="none below an inner one, got 10:1"):
        Machine.hierarchy((2, 2), (10, 1))
    with pytest.raises(InstanceError, match="one for each level, got 2 sizes and 1"):
        Machine.hierarchy((2, 2), (10,))
    with pytest.raises(InstanceError, match=r"distance\[0\]\[1\]: expected a finite number"):
        Machine.of_matrix(np.array([[0, np.inf], [1, 0]]))


@pytest.mark.parametrize("wrong", [{"time_limit": 0}, {"threads": 0}, {"seed": -1}])
def test_arguments_out_of_range_are_named(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(OptallocError, match=f"{name}: expected"):
        map_ranks(random_traffic(1, 3), Machine.torus((3,)), **wrong)  # type: ignore[arg-type]


def test_a_start_that_is_no_assignment_is_refused() -> None:
    with pytest.raises(InstanceError, match="slot 0 holds 2 of 1"):
        map_ranks(random_traffic(1, 2), Machine.torus((3,)), start=np.array([0, 0]))
