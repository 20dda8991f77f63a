"""One group into what a cluster has free."""

from __future__ import annotations

from random import Random

import pytest

import optalloc
from optalloc import Configuration, Instance, InstanceError, Node, Task, place_group

LEVELS = {"rack": 4.0, "zone": 3.0, "": 2.0}


def gang(replicas: int, name: str = "gang") -> Task:
    rows = tuple(
        Configuration(
            name=within or "anywhere",
            device="gpu",
            replicas=replicas,
            within=within,
            throughput=rate * replicas,
        )
        for within, rate in LEVELS.items()
    )
    return Task(name=name, configurations=rows)


def cluster(free: list[int], rack: int = 2, zone: int = 4, **fields: object) -> Instance:
    nodes = [
        Node(
            name=f"n{i}",
            device="gpu",
            devices=devices,
            domains={"rack": f"r{i // rack}", "zone": f"z{i // zone}"},
        )
        for i, devices in enumerate(free)
    ]
    return Instance(nodes=nodes, **fields)  # type: ignore[arg-type]


def rate_of(free: list[int], replicas: int, rack: int = 2, zone: int = 4) -> float | None:
    """The best samples/s by looking at every domain."""
    for size, rate in ((rack, LEVELS["rack"]), (zone, LEVELS["zone"]), (len(free), LEVELS[""])):
        rooms = [sum(free[i : i + size]) for i in range(0, len(free), size)]
        if max(rooms) >= replicas:
            return rate * replicas
    return None


def test_the_nearest_domain_that_has_room_is_found_and_proven() -> None:
    rng = Random(1)
    for _ in range(40):
        free = [rng.randint(0, 4) for _ in range(rng.choice([4, 8, 12]))]
        replicas = rng.randint(1, 12)
        expected = rate_of(free, replicas)
        if not any(free):
            continue
        found = place_group(cluster(free), gang(replicas), time_limit=10)
        if expected is None:
            assert found.status == "infeasible"
            assert found.reasons
        else:
            assert found.status == "optimal"
            assert found.objective == pytest.approx(expected)


def test_what_runs_there_stays_and_takes_its_room() -> None:
    running = Task(name="old", replicas=3, demand={"device": 1}, current=("n0", "n0", "n2"))
    found = place_group(cluster([2, 2, 2, 2], tasks=[running]), gang(3))
    assert found.objective == 3 * LEVELS["rack"]
    assert found.assignment == {"gang": {"n2": 1, "n3": 2}}


def test_groups_follow_one_another_by_results() -> None:
    first = place_group(cluster([2, 2, 2, 2]), gang(4, "a"))
    assert first.objective == 4 * LEVELS["rack"]
    second = place_group(first, gang(4, "b"))
    assert second.objective == 4 * LEVELS["rack"]
    assert not first.assignment["a"].keys() & second.assignment["b"].keys()


def test_a_full_cluster_and_a_group_larger_than_it_have_no_place() -> None:
    full = place_group(cluster([1, 1]), gang(2))
    for busy, size in ((full, 1), (cluster([1, 1]), 3)):
        found = place_group(busy, gang(size))
        assert found.status == "infeasible"
        assert "gang" in found.reasons[0].task
        assert "device" in found.reasons[0].message


def test_nodes_stated_together_are_told_apart_where_some_are_busy() -> None:
    nodes = [Node(name="n", device="gpu", devices=2, count=3)]
    running = Task(name="old", replicas=2, demand={"device": 1}, current="n/1")
    found = place_group(
        Instance(nodes=nodes, tasks=[running]), Task(name="g", replicas=4, demand={"device": 1})
    )
    assert found.assignment == {"g": {"n/0": 2, "n/2": 2}}


def test_a_group_that_does_not_go_with_the_cluster_is_told() -> None:
    with pytest.raises(InstanceError, match="expected a domain scope"):
        place_group(cluster([1]), Task(name="g", within="row"))
    tpus = Configuration(device="tpu", throughput=1)
    found = place_group(cluster([1]), Task(name="g", configurations=[tpus]))
    assert found.status == "infeasible"
    assert "tpu" in found.reasons[0].message
    with pytest.raises(optalloc.OptallocError, match="group"):
        place_group(cluster([1]), "g")  # type: ignore[arg-type]
