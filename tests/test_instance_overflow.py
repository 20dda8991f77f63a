"""Numbers that would overflow once they are quanta are refused when an instance is read."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from optalloc.instance.checks import goals
from optalloc.instance.checks.view import View
from optalloc.instance.errors import InstanceError
from optalloc.instance.files import loads_instance
from optalloc.objective import read_objective

STATED: dict[str, Any] = {
    "resources": {"cpu": {}},
    "nodes": [
        {
            "name": "a",
            "capacity": {"cpu": 8},
            "device": "gpu",
            "devices": 8,
            "idle_w": 100,
            "full_w": 300,
            "price_h": 2,
        }
    ],
    "tasks": [
        {"name": "t", "demand": {"cpu": 1}, "cost": 1, "count": 3, "groups": ["g"]},
        {
            "name": "u",
            "configurations": [{"device": "gpu", "replicas": 2, "throughput": 5, "watts": 900}],
            "work": 1000,
            "reference": 4,
            "current": "a",
        },
    ],
    "groups": [{"name": "g"}],
    "energy": {"horizon_s": 3600, "price_kwh": 0.1, "pue": 1.2, "share": "cpu"},
    "policies": [
        {"type": "anti-affinity", "limit": 9},
        {"type": "spread", "scope": "node", "domains": 1},
        {"type": "balance", "resource": "cpu", "against": "device", "ratio": 2, "weight": 1},
        {"type": "pair-move-cost", "costs": {"a": {"a": 1}}, "weight": 1},
    ],
    "objective": "penalty",
}


def read(*path: str | int, value: object) -> None:
    """Read the instance with one value changed."""
    changed = copy.deepcopy(STATED)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    loads_instance(json.dumps(changed))


def test_the_instance_itself_is_valid() -> None:
    read("name", value="unchanged")


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("nodes", 0, "capacity", "cpu"), 2**62, "nodes[0].capacity.cpu"),
        (("nodes", 0, "devices"), 2**62, "nodes[0].devices"),
        (("nodes", 0, "full_w"), 1e300, "power"),
        (("nodes", 0, "price_h"), 1e300, "money"),
        (("tasks", 0, "cost"), 1e-320, "tasks[0].cost"),
        (("tasks", 0, "count"), 10**12, "tasks"),
        (("tasks", 1, "configurations", 0, "watts"), 1e300, "power"),
        (("tasks", 1, "configurations", 0, "throughput"), 1e300, "throughput"),
        (("tasks", 1, "reference"), 1e-300, "throughput"),
        (("tasks", 1, "work"), 1e300, "energy"),
        (("energy", "horizon_s"), 1e300, "energy"),
        (("energy", "horizon_s"), 2**62, "energy"),
        (("energy", "price_kwh"), 1e300, "money"),
        (("policies", 0, "limit"), 2**64, "policies[0]"),
        (("policies", 1, "domains"), 2**64, "policies[1]"),
        (("policies", 1, "domains"), {"g": 2**64}, "policies[1]"),
        (("policies", 2, "ratio"), 1e300, "policies[2]"),
        (("policies", 3, "costs", "a", "a"), 1e-320, "policies[3]"),
    ],
)
def test_a_number_that_overflows_is_refused_with_its_path(
    path: tuple[str | int, ...], value: object, where: str
) -> None:
    with pytest.raises(InstanceError) as caught:
        read(*path, value=value)
    assert where in dict(caught.value.problems)


def test_a_whole_number_of_more_than_64_bits_is_refused_for_what_it_is() -> None:
    with pytest.raises(InstanceError) as caught:
        read("nodes", 0, "idle_w", value=2**63)
    said = "expected at most 9223372036854775807 (2**63 - 1), got a whole number of 64 bits"
    assert dict(caught.value.problems)["nodes[0].idle_w"] == said


def test_a_quantum_beyond_the_range_of_floats_is_refused() -> None:
    with pytest.raises(InstanceError):
        read("resources", "cpu", "quantum", value=1e-320)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("resources", "cpu", "quantum"), 1e300),
        (("nodes", 0, "capacity", "cpu"), 2**61),
        (("policies", 0, "limit"), 2**62),
        (("tasks", 1, "configurations", 0, "throughput"), 1e-3),
    ],
)
def test_a_large_number_that_fits_is_read(path: tuple[str | int, ...], value: object) -> None:
    read(*path, value=value)


def test_whatever_is_called_small_without_computing_it_is_small() -> None:
    """The short cut by extreme numbers never says more than the numbers themselves."""
    for exponent in range(-20, 20):
        for path in (
            ("nodes", 0, "idle_w"),
            ("nodes", 0, "price_h"),
            ("energy", "horizon_s"),
            ("tasks", 1, "configurations", 0, "throughput"),
        ):
            changed = copy.deepcopy(STATED)
            place: Any = changed
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = 3.3 * 10.0**exponent
            if path[-1] == "idle_w":
                place["full_w"] = 0
            try:
                instance = loads_instance(json.dumps(changed))
            except InstanceError:
                continue
            for name, small, compute in goals._goals(View(instance)):
                assert not small or compute() <= 2**62, (path, exponent, name)


def test_numbers_too_small_for_any_quantum_are_refused() -> None:
    nodes = [{"name": "a", "idle_w": 1e-10}]
    with pytest.raises(InstanceError, match=r"energy: .* too fine"):
        loads_instance(json.dumps({"nodes": nodes, "energy": {"horizon_s": 1e-300}}))


def test_weights_too_far_apart_for_one_sum_are_refused() -> None:
    stated = {
        "nodes": [{"name": "a"}],
        "policies": [{"type": "nodes", "weight": 1}, {"type": "moves", "weight": 1e-30}],
    }
    with pytest.raises(InstanceError, match="expected weights that are closer to each other"):
        read_objective(loads_instance(json.dumps(stated)))
