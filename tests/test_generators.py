"""Claims about the seeded generators."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optalloc.generators import generate, hardware, scenarios, workloads
from optalloc.generators.stock import Stock, divide
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import DEVICE, Instance
from optalloc.solving import solve

NAMES = sorted(scenarios())
SIZES = [(1, 1), (2, 3), (7, 12), (30, 60)]


def _text(instance: Instance) -> bytes:
    return msgspec.json.encode(instance)


def test_every_scenario_is_found_and_says_what_it_decides() -> None:
    assert NAMES == [
        "ai-cloud", "consolidation", "edge-sites", "gang-fabric", "hpc-centre", "rebalancing",
    ]  # fmt: skip
    assert all(s.summary and s.name == name for name, s in scenarios().items())


@pytest.mark.parametrize("name", NAMES)
def test_same_arguments_give_the_same_instance(name: str) -> None:
    assert _text(generate(name, 5, 20, 40)) == _text(generate(name, 5, 20, 40))


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_another_instance(name: str) -> None:
    assert _text(generate(name, 5, 20, 40)) != _text(generate(name, 6, 20, 40))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**40),
    nodes=st.integers(1, 60),
    tasks=st.integers(1, 60),
)
def test_numbers_of_nodes_and_tasks_are_exact(name: str, seed: int, nodes: int, tasks: int) -> None:
    instance = generate(name, seed, nodes, tasks)
    assert sum(node.count for node in instance.nodes) == nodes
    assert sum(task.count for task in instance.tasks) == tasks


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("nodes", "tasks"), SIZES)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_required_fits(name: str, nodes: int, tasks: int, seed: int) -> None:
    """Some placement keeps every rule: asked with a plain objective, so that it is quick."""
    objective = "moves" if name == "rebalancing" else "penalty"
    result = solve(
        generate(name, seed, nodes, tasks), objective=objective, engine="cpsat", deterministic=True
    )
    assert result.status in ("optimal", "feasible")


@pytest.mark.parametrize("name", ["ai-cloud", "edge-sites", "hpc-centre"])
def test_large_instances_have_required_and_optional_tasks_and_policies(name: str) -> None:
    instance = generate(name, 3, 200, 400)
    required = [task.required for task in instance.tasks]
    assert any(required)
    assert not all(required)
    assert len(instance.policies) >= 3


def test_what_runs_in_the_cloud_fits_where_it_runs() -> None:
    columns = generate("ai-cloud", 2, 40, 120).columns
    assert columns.current_task.size
    load = np.zeros((columns.nodes, len(columns.resources)), np.int64)
    rows = columns.row_start[columns.current_task]
    for i, demand in enumerate(columns.demand):
        used = demand.at(rows, columns.current_node) * columns.current_replicas
        np.add.at(load[:, i], columns.current_node, used)
    assert (load <= columns.capacity[columns.node_entry]).all()


def test_large_centres_state_identical_nodes_once() -> None:
    instance = generate("hpc-centre", 0, 4000, 100)
    assert len(instance.nodes) <= 4000 / 4 + 10


def test_a_fleet_to_consolidate_has_the_shape_that_it_is_drawn_for() -> None:
    """Nodes of 20 kinds, tasks of 500; the scarcest resource used to 80 %; labels and rules."""
    instance = generate("consolidation", 1, 4000, 40_000)
    columns = instance.columns
    rows = columns.row_start[:-1]
    used = [int(d.base[rows] @ columns.task_count) for d in columns.demand]
    capacity = columns.capacity[columns.node_entry].sum(axis=0)
    assert max(np.array(used) / capacity) == pytest.approx(0.8, abs=0.005)
    assert len({node.name.rsplit("-", 1)[0] for node in instance.nodes}) == 20
    assert len(instance.tasks) == 500
    assert all(task.required for task in instance.tasks)
    kinds = [group.kind for group in instance.groups]
    assert kinds.count("apart") == 100
    assert 40 <= kinds.count("spread") <= 50
    assert 50 <= sum(bool(task.allow) for task in instance.tasks) <= 250


def test_bad_requests_list_every_problem() -> None:
    with pytest.raises(InstanceError) as caught:
        generate("moon-base", -1, 0, 0)
    assert [path for path, _ in caught.value.problems] == ["scenario", "seed", "nodes", "tasks"]
    assert "hpc-centre" in str(caught.value)


def test_nodes_are_divided_by_largest_remainder() -> None:
    shares = {hardware.R940: 0.5, hardware.DGX1: 0.3, hardware.DGX_A100: 0.2}
    assert divide(1, shares) == [hardware.R940]
    assert [divide(11, shares).count(kind) for kind in shares] == [6, 3, 2]


def test_stock_takes_all_or_nothing() -> None:
    stock = Stock(np.random.default_rng(0), [hardware.R640, hardware.R640])
    pool = stock.by_device[""]
    assert stock.take_all([pool] * 3, {"cores": 8}, apart=True) is None
    assert stock.free["cores"].tolist() == [56, 56]
    assert sorted(stock.take_all([pool] * 2, {"cores": 56}, apart=True) or []) == [0, 1]
    assert stock.take(pool, {"cores": 1}) is None


def test_training_rates_reproduce_the_measurements() -> None:
    """One and four H200s on NVLink reach the samples/s that were measured."""
    job = workloads.TRAINING["gpt2-small"]
    assert job.batch / workloads.training_step(job, hardware.H200, 1) == pytest.approx(377.86, 1e-4)
    four = 4 * job.batch / workloads.training_step(job, hardware.H200, 4)
    assert four == pytest.approx(1465.96, 1e-4)


@pytest.mark.parametrize("device", [hardware.V100, hardware.A100, hardware.H100, hardware.B200])
@pytest.mark.parametrize("name", sorted(workloads.TRAINING))
def test_more_replicas_train_faster_but_less_than_in_proportion(
    name: str, device: hardware.Device
) -> None:
    job = workloads.TRAINING[name]
    steps = [workloads.training_step(job, device, k) for k in (1, 2, 4, 8, 16, 32)]
    assert steps == sorted(steps)
    rates = [k / step for k, step in zip((1, 2, 4, 8, 16, 32), steps, strict=True)]
    assert rates == sorted(rates)


def test_training_rows_leave_out_devices_with_too_little_memory() -> None:
    job = workloads.TRAINING["gpt2-large"]
    rows = workloads.training_table(job, [hardware.V100, hardware.A100], (1,))
    assert [row.device for row in rows] == ["a100"]


def test_inference_rows_serve_the_rate_asked_for() -> None:
    model = workloads.INFERENCE["efficientnet-s"]
    devices = [hardware.EDGE_TPU, hardware.ORIN, hardware.U50]
    rows = workloads.inference_table(model, devices, 500.0)
    assert [(row.device, row.replicas) for row in rows] == [
        ("edge-tpu", 3),
        ("orin", 1),
        ("alveo-u50", 2),
    ]
    assert all(float(row.throughput) >= 500 for row in rows)


@pytest.mark.parametrize("server", [hardware.R640, hardware.DGX_H100, hardware.JETSON])
def test_servers_draw_more_at_full_load_than_idle(server: hardware.Server) -> None:
    assert 0 < server.idle_w < server.full_w


def test_a_server_states_its_devices() -> None:
    node = hardware.DGX_H100.node("n", 2, {"rack": "r"}, {})
    assert (node.device, node.devices, node.count) == ("h100", 8, 2)
    assert DEVICE not in node.capacity
