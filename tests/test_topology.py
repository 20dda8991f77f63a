"""Fabrics and their domains: shapes of the generated ones, laws of the tree, clear errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optalloc.instance.errors import InstanceError
from optalloc.topology import Domains, Fabric, Level, Link, Speed, generators

BUILT = {
    "fat tree": generators.fat_tree(4, oversubscription=2),
    "leaf and spine": generators.leaf_spine(3, 4, oversubscription=3),
    "tree": generators.tree((4, 3, 2), oversubscription=(1, 2, 4)),
    "rails": generators.rail_optimised(2, 3, rails=4),
    "islands": generators.nvlink_islands(4, 3, islands_per_leaf=2),
    "torus": generators.torus((4, 3)),
    "torus in blocks": generators.torus((4, 4, 2), block=(2, 2, 2)),
    "dragonfly": generators.dragonfly(5, 2, 2),
}


@pytest.mark.parametrize("name", BUILT)
def test_domains_nest_and_the_last_level_joins_all(name: str) -> None:
    domains = BUILT[name].domains
    for k, above in enumerate(domains.parents):
        lower, upper = domains.levels[k], domains.levels[k + 1]
        assert np.array_equal(above[lower.of_node], upper.of_node)
    assert len(domains.levels[-1].names) == 1
    assert np.isinf(domains.levels[-1].uplink).all()


@pytest.mark.parametrize("name", BUILT)
def test_farther_levels_are_neither_faster_nor_nearer(name: str) -> None:
    levels = BUILT[name].domains.levels[1:]
    widths = [level.bandwidth or 0.0 for level in levels]
    assert widths == sorted(widths, reverse=True)
    if name != "islands":  # NVLink has the longer steps of the two.
        assert [level.latency for level in levels] == sorted(level.latency for level in levels)


@pytest.mark.parametrize("name", BUILT)
def test_names_of_a_level_differ(name: str) -> None:
    for level in BUILT[name].domains.levels:
        assert len(set(level.names)) == len(level.names)


def test_a_fat_tree_has_its_numbers() -> None:
    """With k = 4: 16 nodes, 8 edge, 8 aggregation and 4 core switches (Al-Fares et al. 2008)."""
    fabric = generators.fat_tree(4)
    assert (len(fabric.nodes), len(fabric.switches)) == (16, 20)
    assert [len(level.names) for level in fabric.domains.levels] == [16, 8, 4, 1]
    hops = fabric.distances()
    leaf, pod = (fabric.domains.levels[k].of_node for k in (1, 2))
    expected = np.where(leaf[:, None] == leaf, 2, np.where(pod[:, None] == pod, 4, 6))
    assert np.array_equal(hops, np.where(np.eye(16) == 1, 0, expected))


def test_oversubscription_is_what_was_asked_for() -> None:
    fabric = generators.leaf_spine(3, 4, bandwidth=10, spines=2, oversubscription=3)
    assert fabric.domains.oversubscription("leaf") == pytest.approx([3, 3, 3])
    leaf, spine = fabric.domains.levels[1:]
    assert leaf.uplink == pytest.approx([4 * 10 / 3] * 3)
    assert leaf.bandwidth == pytest.approx(10)
    assert spine.bandwidth == pytest.approx(10 / 3)


def test_islands_are_faster_than_the_leaves_around_them() -> None:
    fabric = generators.nvlink_islands(
        4, 3, devices=4, islands_per_leaf=2, nvlink=900, bandwidth=50, oversubscription=2
    )
    island, leaf, spine = fabric.domains.levels[1:]
    assert island.bandwidth == pytest.approx(4 * 900)
    assert leaf.bandwidth == pytest.approx(4 * 50)
    assert spine.bandwidth == pytest.approx(4 * 50 / 2)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_ways_in_a_torus_follow_the_formula(dims: list[int]) -> None:
    hops = generators.torus(dims).distances()
    places = list(itertools.product(*(range(d) for d in dims)))
    for i, j in itertools.combinations(range(len(places)), 2):
        apart = [abs(a - b) for a, b in zip(places[i], places[j], strict=True)]
        assert hops[i, j] == sum(min(a, d - a) for a, d in zip(apart, dims, strict=True))


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 2))
def test_a_dragonfly_joins_any_nodes_by_three_links_between_routers(
    groups: int, routers: int, nodes: int
) -> None:
    fabric = generators.dragonfly(groups, routers, nodes)
    assert fabric.distances().max(initial=0) <= 2 + 3
    group = fabric.domains.levels[2].of_node
    hops = fabric.distances()
    assert np.all(hops[group[:, None] == group] <= 3)


def test_the_energy_of_a_bit_adds_up_along_the_way() -> None:
    links = [
        Link("a", "s", "leaf", energy_per_bit=2e-12),
        Link("s", "b", "leaf", energy_per_bit=3e-12),
    ]
    fabric = Fabric(["a", "b"], ["s"], links, ["leaf"])
    assert fabric.distances(measure="energy")[0, 1] == pytest.approx(5e-12)
    assert fabric.distances(["b"])[0, 0] == 0


def test_span_is_the_innermost_level_that_holds_all() -> None:
    domains = generators.tree((2, 2, 2)).domains
    assert [domains.span(nodes) for nodes in ([0], [0, 1], [0, 2], [1, 3, 0], [0, 7])] == [
        0, 1, 2, 2, 3,
    ]  # fmt: skip
    assert domains.of(5) == {"leaf": "leaf2", "pod": "pod1", "core": "core0"}


def test_what_is_wrong_with_a_fabric_is_named_at_once() -> None:
    links = [
        Link("a", "s", "leaf"),
        Link("b", "nowhere", "leaf", bandwidth=-1),
        Link("s", "s", "roof", count=0),
    ]
    with pytest.raises(InstanceError) as error:
        Fabric(["a", "b", "a"], ["s"], links, ["leaf"])
    text = str(error.value)
    for part in ("a: expected a name that no other", "'nowhere'", "above 0 bytes/s, got -1"):
        assert part in text
    for part in ("expected two different ends", "got 'roof'", "at least 1 parallel link"):
        assert part in text


def test_parts_that_nothing_joins_are_refused_unless_a_forest_is_wanted() -> None:
    links = [Link("a", "s", "leaf"), Link("b", "t", "leaf"), Link("c", "t", "leaf")]
    with pytest.raises(InstanceError, match="b and 1 more: expected a link to the rest"):
        Fabric(["a", "b", "c"], ["s", "t"], links, ["leaf"])
    domains = Fabric(["a", "b", "c"], ["s", "t"], links, ["leaf"], forest=True).domains
    assert domains.levels[1].names == ("s", "t")
    with pytest.raises(InstanceError, match="expected nodes that the fabric joins"):
        domains.span([0, 2])


def test_levels_that_do_not_nest_are_refused() -> None:
    one = np.array([0, 0, 1])
    two = np.array([0, 1, 1])
    levels = (
        Level("leaf", ("x", "y"), one, np.ones(2)),
        Level("pod", ("p", "q"), two, np.ones(2)),
    )
    with pytest.raises(
        InstanceError, match="leaf x: expected all its nodes in one pod, got p and q"
    ):
        Domains(("a", "b", "c"), levels)


def test_an_unknown_bandwidth_stays_unknown() -> None:
    fabric = Fabric(
        ["a", "b"], ["s"], [Link("a", "s", "leaf"), Link("b", "s", "leaf", 5.0)], ["leaf"]
    )
    assert fabric.domains.levels[1].bandwidth is None
    assert np.isnan(fabric.domains.levels[0].uplink[0])


def test_parallel_links_count_together() -> None:
    links = [
        Link("a", "s", "leaf", 5.0, count=3),
        Link("a", "s", "leaf", 4.0),
        Link("b", "s", "leaf", 1.0),
    ]
    fabric = Fabric(["a", "b"], ["s"], links, ["leaf"], inside=Speed(7.0, 1e-6))
    assert fabric.domains.levels[0].uplink.tolist() == [19.0, 1.0]
    assert fabric.domains.levels[0].bandwidth == 7.0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: generators.fat_tree(3),
        lambda: generators.leaf_spine(0, 4),
        lambda: generators.torus((4, 4), block=(3, 2)),
        lambda: generators.dragonfly(9, 2, 1, global_links=1),
        lambda: generators.tree((2, 0)),
        lambda: generators.tree((2, 2), levels=("leaf",)),
    ],
)
def test_requests_that_cannot_be_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(InstanceError, match="in the request for a fabric"):
        wrong()
