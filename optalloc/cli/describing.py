"""What an instance holds, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.cli.words import measured
from optalloc.instance.columns import Columns
from optalloc.instance.factored import Factored
from optalloc.instance.model import DEVICE, Instance, Task
from optalloc.instance.policy import Policy
from optalloc.objective import read_objective

IntArray = NDArray[np.int64]


def describe(instance: Instance) -> dict[str, Any]:
    """Describe an instance in people's units."""
    columns = instance.columns
    objective = read_objective(instance)
    count = columns.task_count
    current = np.unique(columns.current_task)
    return {
        "name": instance.name,
        "description": instance.description,
        "nodes": _nodes(instance),
        "resources": _resources(instance),
        "tasks": {
            "total": int(count.sum()),
            "entries": columns.tasks,
            "required": int(count[columns.required].sum()),
            "optional": int(count[~columns.required].sum()),
            "with_table": int(count[columns.row_number[columns.row_start[:-1]] >= 0].sum()),
            "running": int(count[current].sum()),
        },
        "groups": _groups(instance),
        "policies": [
            {
                "name": label,
                "type": policy.type,
                "how": _how(policy, columns),
                "summary": policy.summary,
            }
            for label, policy in zip(objective.labels, objective.policies, strict=True)
        ],
        "objective": objective.text,
        "model": {"choices": columns.rows, "variables": _variables(instance)},
    }


def _nodes(instance: Instance) -> dict[str, Any]:
    columns = instance.columns
    types: dict[str, dict[str, Any]] = {}
    for node in instance.nodes:
        blank = {"nodes": 0, "devices": 0, "idle_w": 0.0, "full_w": 0.0, "price_h": 0.0}
        entry = types.setdefault(node.device, {"device": node.device, **blank})
        entry["nodes"] += node.count
        for field in ("devices", "idle_w", "full_w", "price_h"):
            entry[field] += node.count * getattr(node, field)
    scopes = sorted({scope for node in instance.nodes for scope in node.domains})
    return {
        "total": columns.nodes,
        "entries": len(instance.nodes),
        "devices": sum(entry["devices"] for entry in types.values()),
        "full_w": sum(entry["full_w"] for entry in types.values()),
        "types": list(types.values()),
        "domains": {scope: len(columns.scope(scope)[0]) for scope in scopes},
    }


def _resources(instance: Instance) -> list[dict[str, Any]]:
    """Capacity of each resource against the least that the tasks can demand of it."""
    columns = instance.columns
    described = []
    for i, name in enumerate(columns.resources):
        quantum = columns.quantum_of_resource[i]
        capacity = int(columns.capacity[columns.node_entry, i].sum())
        least = _least(columns, columns.demand[i])
        required, total = int(least[columns.required].sum()), int(least.sum())
        stated = instance.resources.get(name)
        described.append(
            {
                "resource": name,
                "unit": stated.unit if stated else "",
                "capacity": float(capacity * quantum),
                "required": float(required * quantum),
                "required_share": required / capacity if capacity else None,
                "all": float(total * quantum),
                "all_share": total / capacity if capacity else None,
            }
        )
    return described


def _least(columns: Columns, demand: Factored) -> IntArray:
    """Least demand of each task entry over its rows and over all nodes, in quanta."""
    if not columns.tasks:
        return np.zeros(0, np.int64)
    replica = demand.base.copy()
    for part in demand.parts:
        speaks = part.index >= 0
        replica[speaks] = part.values[:, part.column].min(axis=1)[part.index[speaks]]
    row = replica * columns.row_replicas
    least = np.minimum.reduceat(row, columns.row_start[:-1])
    return np.asarray(least * columns.task_count, np.int64)


def _groups(instance: Instance) -> list[dict[str, Any]]:
    columns = instance.columns
    kinds = np.array(columns.group_kind, dtype=object)
    return [
        {
            "kind": kind,
            "groups": int((kinds == kind).sum()),
            "memberships": int((kinds[columns.membership_group] == kind).sum()),
        }
        for kind in dict.fromkeys(columns.group_kind)
    ]


def _how(policy: Policy, columns: Columns) -> str:
    """Whether a policy is hard, weighted or limited."""
    unit = policy.unit(columns)
    said = ["hard rule"] if policy.hard else []
    if policy.weight is not None:
        said.append(f"weight {measured(policy.weight, '')}")
    if policy.at_most is not None:
        said.append(f"at most {measured(policy.at_most, unit)}")
    if policy.at_least is not None:
        said.append(f"at least {measured(policy.at_least, unit)}")
    return ", ".join(said) or "goal"


def _variables(instance: Instance) -> int:
    """Pairs of a row and a node that labels and device types permit."""
    columns = instance.columns
    permitted: dict[tuple[Any, ...], int] = {}
    total = 0
    for row in range(columns.rows):
        configuration = columns.row_configuration[row]
        task = instance.tasks[int(columns.row_task[row])]
        device = configuration.device if configuration else ""
        labels = (tuple(task.allow.items()), tuple(task.forbid.items()), device)
        if labels not in permitted:
            permitted[labels] = _permitted(columns, task, device)
        total += permitted[labels]
    return total


def _permitted(columns: Columns, task: Task, device: str) -> int:
    """Number of nodes on which a task may run in a row of a device type."""
    rules = [(label, values, True) for label, values in task.allow.items()]
    rules += [(label, values, False) for label, values in task.forbid.items()]
    if device:
        rules.append((DEVICE, (device,), True))
    open_nodes = np.ones(columns.nodes, bool)
    for label, values, wanted in rules:
        attribute = columns.attribute(label)
        listed = np.array([*(value in values for value in attribute.values), False], bool)
        open_nodes &= listed[attribute.index[columns.node_entry]] == wanted
    return int(open_nodes.sum())
