"""Jobs that an instance states with calibrated parameters instead of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from optalloc import (
    Alone,
    Configuration,
    Instance,
    InstanceError,
    Link,
    Node,
    Task,
    Training,
    dump_instance,
    load_instance,
    policies,
    solve,
)
from optalloc.physics import parameters
from optalloc.physics.calibration import calibrate
from optalloc.physics.parameters import Parameters
from optalloc.physics.training import SHIPPED, shipped

ALONE = Alone(step_s=0.1, step_j=50.0, demand={"memory": 40})
JOB = Training(
    parameters="gpu-calibration",
    batch=32,
    gradient_bytes=4e8,
    alone={"H100": ALONE},
    replicas=(1, 4, 8),
    levels={"node": "nvlink", "": "tcp-loopback"},
)
LINKS = {"node": Link(latency_s=1e-6, bandwidth=4e11), "rack": Link(latency_s=5e-6, bandwidth=5e10)}


def cluster(job: Training = JOB, **stated: Any) -> Instance:
    fields: dict[str, Any] = {
        "nodes": [
            Node(
                name=f"n{i}",
                device="H100",
                devices=4,
                capacity={"memory": 160},
                domains={"rack": f"r{i // 2}"},
            )
            for i in range(4)
        ],
        "training": {"llm": job},
        "tasks": [Task(name="a", configurations="llm", count=2, required=False)],
        "policies": [policies.Throughput(raw=True)],
        "objective": "throughput",
    }
    return Instance(**(fields | stated))


def test_a_job_is_placed_as_its_stated_table_is() -> None:
    stated = cluster()
    rows = stated.shared_rows["llm"]
    assert [(row.replicas, row.within) for row in rows] == [
        (1, ""),
        (4, "node"),
        (4, ""),
        (8, "node"),
        (8, ""),
    ]
    by_hand = cluster(training={}, configurations={"llm": rows})
    assert solve(stated, deterministic=True).objective == solve(by_hand).objective
    rate = {(row.replicas, row.within): row.throughput for row in rows}
    assert rate[4, "node"] > rate[4, ""] > rate[1, ""]
    assert solve(stated, deterministic=True).objective == pytest.approx(
        2 * max(rate[4, "node"], rate[8, ""])
    )


def test_a_file_keeps_the_job_and_not_its_table(tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    carried = parameters.load(SHIPPED / "gpu-calibration.json")
    assert isinstance(carried, Parameters)
    stated = cluster(replace(JOB, parameters="ours"), parameters={"ours": carried})
    dump_instance(stated, path)
    read = load_instance(path)
    assert read.training == stated.training
    assert read.parameters == {"ours": carried}
    assert read.configurations == {}
    assert read.shared_rows == stated.shared_rows == cluster().shared_rows


def test_links_take_longer_further_out() -> None:
    """A rack's time follows from the links inside it, with as many devices as its nodes have."""
    rows = cluster(replace(JOB, levels=LINKS)).shared_rows["llm"]
    rate = {(row.replicas, row.within): row.throughput for row in rows}
    assert rate[8, "node"] > rate[8, "rack"]
    near = replace(
        JOB, levels={"node": LINKS["node"], "rack": replace(LINKS["rack"], bandwidth=4e11)}
    )
    faster = {(r.replicas, r.within): r.throughput for r in cluster(near).shared_rows["llm"]}
    assert faster[8, "rack"] > rate[8, "rack"]
    assert faster[4, "node"] == rate[4, "node"]


DEAD = Link(latency_s=0, bandwidth=0)
UNFITTED = Parameters(
    kind="data-parallel", source=(), date="", step={"busy": 1.0}, energy={}, interconnects=()
)


@pytest.mark.parametrize(
    ("job", "stated", "said"),
    [
        ({"parameters": "lab"}, {}, r"training\.llm\.parameters: .*gpu-calibration.*got 'lab'"),
        ({"levels": {"node": "fast"}}, {}, r"training\.llm\.levels\.node: .*nvlink.*got 'fast'"),
        ({"levels": {"row": "nvlink"}}, {}, r"training\.llm\.levels\.row: .*rack.*got 'row'"),
        ({"levels": {}}, {}, r"training\.llm\.levels: .*at least one"),
        ({"levels": {"node": "nvlink", "rack": LINKS["rack"]}}, {}, r"levels\.rack: .*inside"),
        (
            {"levels": {"": DEAD}},
            {},
            r"levels\..*bandwidth: .*above 0",
        ),
        ({"replicas": (2, 0)}, {}, r"training\.llm\.replicas\[1\]: .*got 0"),
        ({"replicas": ()}, {}, r"training\.llm\.replicas: .*at least one"),
        ({"replicas": (2, 2)}, {}, r"training\.llm\.replicas\[1\]: .*once"),
        ({"batch": 0}, {}, r"training\.llm\.batch: .*above 0"),
        ({"alone": {}}, {}, r"training\.llm\.alone: .*device type"),
        ({"alone": {"H100": replace(ALONE, step_s=0)}}, {}, r"alone\.H100\.step_s: .*above 0"),
        (
            {"alone": {"H100": replace(ALONE, demand={"disk": 1})}},
            {},
            r"alone\.H100\.demand\.disk: .*memory",
        ),
        ({}, {"configurations": {"llm": [Configuration()]}}, r"training\.llm: .*no configuration"),
        (
            {},
            {"parameters": {"x": UNFITTED}},
            r"parameters\.x\.step\.width: expected a number",
        ),
        (
            {"parameters": "x"},
            {"parameters": {"x": UNFITTED}},
            r"training\.llm\.parameters: .*without problems",
        ),
        (
            {},
            {"tasks": [Task(name="a", configurations="lm")]},
            r"tasks\[0\]\.configurations: .*llm",
        ),
    ],
)
def test_what_cannot_be_tabulated_is_told(
    job: dict[str, Any], stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(InstanceError, match=said):
        cluster(replace(JOB, **job), **stated)


@pytest.mark.data
def test_shipped_parameters_are_those_of_our_measurements(data: Path) -> None:
    folder = data / "gpu-calibration"
    fitted = calibrate(folder / "training.csv", folder / "allreduce.csv")
    read = parameters.load(SHIPPED / "gpu-calibration.json")
    assert isinstance(read, Parameters)
    assert shipped() == ("gpu-calibration",)
    assert read.step == pytest.approx(fitted.step, rel=1e-3)
    assert read.energy == pytest.approx(fitted.energy, rel=1e-3)
    assert read.interconnects == fitted.interconnects
