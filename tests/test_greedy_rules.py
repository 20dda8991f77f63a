"""The greedy rules of production schedulers do what their texts show, and are never better."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.peers.greedy_rules import RULES, balanced, best_fit, least_free
from benchmarks.suites import greedy_rules
from optalloc import Instance, Node, Task, place_group


@pytest.mark.parametrize(
    ("rule", "free", "wanted", "piece", "taken"),
    [
        (best_fit, (3, 3, 2, 1), 7, 1, [3, 3, 0, 1]),
        (least_free, (3, 3, 2, 1), 7, 1, [3, 1, 2, 1]),
        (best_fit, (6, 5, 4, 3, 2), 12, 2, [6, 0, 4, 0, 2]),
        (least_free, (6, 5, 4, 3, 2), 10, 2, [0, 2, 4, 2, 2]),
        (balanced, (6, 6, 5, 2), 10, 1, [5, 0, 5, 0]),
        (balanced, (4, 4, 2), 6, 2, [4, 0, 2]),
    ],
)
def test_published_examples(
    rule: object, free: tuple[int, ...], wanted: int, piece: int, taken: list[int]
) -> None:
    """Kueue, KEP-2724; of equal nodes LeastFreeCapacity leaves the choice of the last open."""
    assert callable(rule)
    found = rule(free, wanted, piece)
    assert sorted(found) == sorted(taken)
    assert sum(found) == wanted
    if rule is not least_free:
        assert found == taken


def test_place_group_uses_as_few_nodes_as_best_fit() -> None:
    for free in ((3, 3, 2, 1), (6, 5, 4, 3, 2), (8, 8, 1, 1)):
        nodes = [Node(name=f"n{i}", devices=k) for i, k in enumerate(free)]
        for wanted in range(1, sum(free) + 1):
            group = Task(name="g", replicas=wanted, demand={"device": 1})
            found = place_group(Instance(nodes=nodes), group, objective="nodes")
            fewest = sum(k > 0 for k in best_fit(free, wanted))
            assert (found.status, found.objective) == ("optimal", fewest)


def test_every_rule_deals_out_what_is_wanted_within_what_is_free() -> None:
    rng = Random(3)
    for _ in range(200):
        free = [rng.randint(0, 8) for _ in range(rng.randint(1, 7))]
        piece = rng.choice([1, 1, 2])
        room = sum(k // piece for k in free)
        if room:
            wanted = rng.randint(1, room) * piece
            for rule in RULES.values():
                taken = rule(free, wanted, piece)
                assert sum(taken) == wanted
                assert all(0 <= t <= k and t % piece == 0 for t, k in zip(taken, free, strict=True))


def test_no_rule_beats_the_best_answer() -> None:
    """On a few of the random clusters of the benchmark, all proven."""
    row = greedy_rules._measured(3, 6)
    assert row["worse"] == 0
    assert row["proven"] == row["clusters"] == 6
