"""The instance as integer arrays, against a plain reading of the same instance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from strategies import instances

from optalloc.instance import quanta
from optalloc.instance.columns import Columns
from optalloc.instance.model import (
    DEVICE,
    Configuration,
    Energy,
    Instance,
    Lookup,
    Node,
    Quantity,
    Resource,
    Task,
)

NODES = (
    Node(
        name="a",
        capacity={"cpu": 4.5},
        safety={"cpu": 3},
        device="H100",
        devices=8,
        labels={"tier": "x"},
        domains={"rack": "r0"},
        idle_w=100,
        full_w=500,
        price_h=2,
    ),
    Node(name="b", capacity={"cpu": 2, "mem": 16}, idle_w=50, count=2),
)


def stated(instance: Instance, quantity: Quantity, entry: int) -> float:
    """What a quantity states for a node entry."""
    if isinstance(quantity, str):
        return stated(instance, instance.tables[quantity], entry)
    if isinstance(quantity, tuple):
        return quantity[entry]
    if isinstance(quantity, Lookup):
        node = instance.nodes[entry]
        own = {**node.labels, **node.domains, "node": node.name, "device": node.device}
        default = quantity.default
        return (
            quantity.values[own[quantity.by]]
            if default is None
            else quantity.values.get(own.get(quantity.by, ""), default)
        )
    return quantity


def stated_demand(instance: Instance, columns: Columns, row: int, name: str, entry: int) -> float:
    """What a replica in a row demands on a node entry."""
    task = instance.tasks[int(columns.row_task[row])]
    configuration = columns.row_configuration[row]
    if configuration is not None:
        if name in configuration.demand:
            return configuration.demand[name]
        if name == DEVICE and configuration.device and name not in task.demand:
            return 1
    return stated(instance, task.demand.get(name, 0), entry)


@given(instances())
def test_demand_and_cost_are_what_is_stated_in_quanta(instance: Instance) -> None:
    columns = instance.columns
    rows = np.arange(columns.rows)[:, None]
    nodes = np.arange(columns.nodes)[None, :]
    for i, name in enumerate(columns.resources):
        table = columns.demand[i].at(rows, nodes)
        quantum = columns.quantum_of_resource[i]
        for (row, node), value in np.ndenumerate(table):
            entry = int(columns.node_entry[node])
            number = stated_demand(instance, columns, row, name, entry)
            assert value == quanta.upward([number], quantum)[0]
    for (row, node), value in np.ndenumerate(columns.cost.at(rows, nodes)):
        task = instance.tasks[int(columns.row_task[row])]
        number = stated(instance, task.cost, int(columns.node_entry[node]))
        assert value == quanta.nearest([number], columns.cost_quantum)[0]


@given(instances())
def test_capacity_rounds_down_and_without_a_stated_quantum_is_exact(instance: Instance) -> None:
    columns = instance.columns
    for i, name in enumerate(columns.resources):
        quantum = columns.quantum_of_resource[i]
        resource = instance.resources.get(name, Resource())
        for entry, node in enumerate(instance.nodes):
            number = node.devices if name == DEVICE else node.capacity.get(name, 0)
            value = int(columns.capacity[entry, i]) * quantum
            assert 0 <= quanta.exact(number) - value < quantum
            assert resource.quantum is not None or value == quanta.exact(number)
            threshold = node.safety.get(name, number)
            assert columns.safety[entry, i] == quanta.downward([threshold], quantum)[0]


@given(instances())
def test_rows_nodes_and_replicas_are_counted_right(instance: Instance) -> None:
    columns = instance.columns
    assert columns.nodes == sum(node.count for node in instance.nodes)
    assert len(columns.node_index) == columns.nodes
    for t, task in enumerate(instance.tasks):
        table = columns.configurations_of(t)
        rows = range(columns.row_start[t], columns.row_start[t + 1])
        assert tuple(columns.row_configuration[r] for r in rows) == (table or (None,))
        wanted = [row.replicas for row in table] or [task.replicas]
        assert columns.row_replicas[list(rows)].tolist() == wanted
        assert len({columns.row_name(r) for r in rows}) == len(rows)
    here = columns.current_task
    for t, task in enumerate(instance.tasks):
        if isinstance(task.current, tuple):
            assert columns.current_replicas[here == t].sum() == len(task.current)
        elif task.current is None:
            assert not (here == t).any()


@given(instances())
def test_power_energy_and_cost_are_never_negative(instance: Instance) -> None:
    columns = instance.columns
    rows, nodes = np.arange(columns.rows)[:, None], np.arange(columns.nodes)[None, :]
    for draw in (columns.power, columns.energy, columns.money):
        assert (draw.on >= 0).all()
        assert (draw.row >= 0).all()
        assert (draw.share.at(rows, nodes) >= 0).all()


def test_entries_expand_to_nodes() -> None:
    columns = Instance(nodes=NODES).columns
    assert columns.node_names == ("a", "b/0", "b/1")
    assert columns.node_start.tolist() == [0, 1, 3]
    assert columns.resources == ("cpu", "mem", "device")
    assert columns.quantum_of_resource == (Fraction(1, 10), Fraction(1), Fraction(1))
    assert columns.capacity.tolist() == [[45, 0, 8], [20, 16, 0]]
    assert columns.safety.tolist() == [[30, 0, 8], [20, 16, 0]]


def test_attributes_are_labels_scopes_devices_and_nodes() -> None:
    columns = Instance(nodes=NODES).columns
    assert columns.attribute("tier").index.tolist() == [0, -1]
    assert columns.attribute("rack").values == ("r0",)
    assert columns.attribute("device").values == ("H100",)
    assert columns.attribute("node").values == ("a", "b")
    assert columns.scope("node")[0] == ("a", "b/0", "b/1")
    assert columns.scope("rack")[1].tolist() == [0, -1, -1]


def test_a_row_with_a_device_type_demands_a_device_unless_stated_otherwise() -> None:
    rows = (
        Configuration(device="H100"),
        Configuration(device="H100", name="half", demand={"device": 0}),
        Configuration(),
    )
    tasks = (Task(name="t", configurations=rows),)
    columns = Instance(nodes=NODES, tasks=tasks).columns
    demand = columns.demand[columns.resource_index["device"]]
    assert demand.at(np.arange(3), np.zeros(3, np.int64)).tolist() == [1, 0, 0]


def test_current_replicas_count_copies_and_replicas() -> None:
    tasks = (
        Task(name="s", replicas=2, count=3, current="a"),
        Task(name="l", replicas=2, current=("a", "b/1")),
        Task(name="c", count=2, current="b/0", configurations=(Configuration(),)),
    )
    columns = Instance(nodes=NODES, tasks=tasks).columns
    current = zip(columns.current_task, columns.current_node, columns.current_replicas, strict=True)
    assert [tuple(map(int, c)) for c in current] == [(0, 0, 6), (1, 0, 1), (1, 2, 1), (2, 1, 2)]


def test_a_node_without_full_watts_draws_no_more_than_idle() -> None:
    """A share of (full - idle) is drawn by load; not stated, that is 0."""
    tasks = (Task(name="t", demand={"cpu": 0.9}),)
    power = Instance(nodes=NODES, tasks=tasks, energy=Energy(share="cpu")).columns.power
    drawn = power.share.at(np.zeros(3, np.int64), np.arange(3)) * float(power.quantum)
    assert drawn.tolist() == [pytest.approx(400 * 0.9 / 4.5), 0, 0]
    assert (power.on * float(power.quantum)).tolist() == [100, 50, 50]


def test_energy_of_stated_work_is_watts_times_work_over_rate() -> None:
    rows = (Configuration(throughput=4, watts=200),)
    tasks = (Task(name="t", configurations=rows, work=1000), Task(name="u", configurations=rows))
    energy = Instance(nodes=NODES, tasks=tasks, energy=Energy(horizon_s=60)).columns.energy
    assert (energy.row * float(energy.quantum)).tolist() == [200 * 250, 200 * 60]


def test_cost_is_price_of_nodes_and_of_energy() -> None:
    rows = (Configuration(watts=1000),)
    tasks = (Task(name="t", configurations=rows),)
    energy = Energy(horizon_s=7200, price_kwh=0.3, pue=1.5)
    money = Instance(nodes=NODES, tasks=tasks, energy=energy).columns.money
    assert money.row[0] * float(money.quantum) == pytest.approx(2 * 0.3 * 1.5)
    on = [2 * 2 + 0.2 * 0.3 * 1.5, 0.1 * 0.3 * 1.5, 0.1 * 0.3 * 1.5]
    assert money.on * float(money.quantum) == pytest.approx(on)


def test_the_reference_throughput_is_stated_or_the_best_row() -> None:
    rows = (Configuration(throughput=4), Configuration(throughput=6, replicas=2))
    tasks = (
        Task(name="a", configurations=rows),
        Task(name="b", configurations=rows, reference=12),
        Task(name="c"),
    )
    assert Instance(nodes=NODES, tasks=tasks).columns.reference.tolist() == [6, 12, 1]


def test_an_instance_without_tasks_has_columns() -> None:
    columns = Instance(nodes=NODES, energy=Energy(share="cpu")).columns
    assert columns.rows == 0
    assert columns.power.row.size == 0
    assert columns.cost.is_zero
