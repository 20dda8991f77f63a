"""The generalised assignment problem, as the OR-Library and Yagiura's instances state it.

``m n``; m rows of n costs; m rows of n resource uses; m capacities. Agents become the nodes
``a0, a1, ...`` with the resource ``capacity``; tasks become ``t0, t1, ...``, whose demand and cost
depend on the agent. Minimised, with the objective ``assignment-cost``. The solution file has the
agent of each task, counted from 0, one task a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optalloc.formats import Format
from optalloc.formats._integers import IntegerFile
from optalloc.formats._single import node_of_tasks
from optalloc.instance.model import Instance, Node, Quantity, Resource, Task
from optalloc.instance.placement import Placement

RESOURCE = "capacity"


def _read(paths: Sequence[Path]) -> Instance:
    file = IntegerFile(paths[0])
    agents, tasks = file.one("number of agents", least=1), file.one("number of tasks")
    cost = file.table(agents, tasks, "an agent's cost of each task")
    use = file.table(agents, tasks, "an agent's resource use for each task")
    capacity = file.take(agents, "capacity of each agent")
    file.finish()
    return Instance(
        name=paths[0].stem,
        resources={RESOURCE: Resource()},
        nodes=tuple(
            Node(name=f"a{i}", capacity={RESOURCE: limit})
            for i, limit in enumerate(capacity.tolist())
        ),
        tasks=tuple(
            Task(name=f"t{j}", demand={RESOURCE: _quantity(u)}, cost=_quantity(c))
            for j, (u, c) in enumerate(zip(use.T.tolist(), cost.T.tolist(), strict=True))
        ),
        objective="assignment-cost",
    )


def _quantity(by_agent: list[int]) -> Quantity:
    """State one number where all agents have the same."""
    return by_agent[0] if len(set(by_agent)) == 1 else tuple(by_agent)


def _write(instance: Instance, placement: Placement) -> str:
    return "".join(f"{agent}\n" for agent in node_of_tasks(instance, placement).tolist())


FORMAT = Format(
    name="gap",
    summary="generalised assignment problem (OR-Library, Yagiura)",
    arguments=(("FILE", "costs, resource uses and capacities"),),
    solution="the agent of each task, from 0, one task a line",
    reader=_read,
    writer=_write,
)
