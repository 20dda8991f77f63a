"""Machine reassignment, the problem of the ROADEF/EURO challenge 2012.

Machines become the nodes ``m0, m1, ...`` in domains of the scopes ``neighbourhood`` and
``location``, processes the tasks ``p0, p1, ...``, services the groups ``s0, s1, ...`` of kind
``service``. Every rule and cost of the challenge is one of the general policies:

===================== ==========================================================
capacity              holds unstated
conflict              `AntiAffinity` at node level
spread                `Spread` over locations, services with a minimum above 1
dependency            `Dependency` over neighbourhoods
transient usage       `Resource.transient`
load cost             `SafetyCapacity` per resource
balance cost          `Balance` per goal
process move cost     `TaskMoveCost`
service move cost     `GroupMoveCost`
machine move cost     `PairMoveCost`
===================== ==========================================================

Costs whose weight is 0 are left out. The objective is the weighted sum, ``penalty``. The solution
file is the challenge's assignment file: the machine of each process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optalloc.formats import Format
from optalloc.formats._integers import IntArray, IntegerFile
from optalloc.formats._single import node_of_tasks
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Group, Instance, Node, Resource, Task
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.policies import (
    AntiAffinity,
    Balance,
    Dependency,
    GroupMoveCost,
    PairMoveCost,
    SafetyCapacity,
    Spread,
    TaskMoveCost,
)

SERVICE = "service"
NEIGHBOURHOOD = "neighbourhood"
LOCATION = "location"


@dataclass(frozen=True)
class Model:
    """The numbers of a model file.

    Parameters
    ----------
    resources : (resources, 2)
        Whether transient; weight of the load cost.
    place : (machines, 2)
        Neighbourhood and location.
    capacity, safety : (machines, resources)
        Hard and soft limits.
    distance : (machines, machines)
        Cost of a move from one machine to another.
    spread
        Smallest number of locations of each service.
    dependencies
        Pairs of services: the first depends on the second.
    service, requirement, move_cost
        Of each process: its service, its use of each resource, the cost of moving it.
    balance : (goals, 4)
        Two resources, target and weight.
    weights
        Weights of the process, service and machine move costs.
    """

    resources: IntArray
    place: IntArray
    capacity: IntArray
    safety: IntArray
    distance: IntArray
    spread: list[int]
    dependencies: list[tuple[int, int]]
    service: IntArray
    requirement: IntArray
    move_cost: IntArray
    balance: IntArray
    weights: tuple[int, int, int]


def _read_model(path: Path) -> Model:
    file = IntegerFile(path)
    resources = file.table(
        file.one("number of resources"), 2, "transient (0 or 1) and load weight", {0: 2}
    )
    count = len(resources)
    machines = file.one("number of machines", least=1)
    what = "neighbourhood, location, capacities, safety capacities and move costs of a machine"
    machine = file.table(machines, 2 + 2 * count + machines, what)
    place, capacity, safety, distance = np.split(machine, [2, 2 + count, 2 + 2 * count], axis=1)
    own = np.flatnonzero(distance.diagonal())
    offset = own * machine.shape[1] + 2 + 2 * count + own
    file.refuse(offset, "expected move cost 0 from a machine to itself")
    spread, dependencies = _read_services(file)
    processes = file.one("number of processes")
    what = "service, requirements and move cost of a process"
    process = file.table(processes, count + 2, what, {0: len(spread)})
    goals = file.one("number of balance goals")
    what = "two resources, target and weight of a balance goal"
    balance = file.table(goals, 4, what, {0: count, 1: count})
    weights = file.take(3, "weights of process, service and machine moves").tolist()
    file.finish()
    _refuse_absent(process[:, 0], spread, path)
    service, requirement, move_cost = process[:, 0], process[:, 1:-1], process[:, -1]
    return Model(
        resources, place, capacity, safety, distance, spread, dependencies,
        service, requirement, move_cost, balance, (weights[0], weights[1], weights[2]),
    )  # fmt: skip


def _read_services(file: IntegerFile) -> tuple[list[int], list[tuple[int, int]]]:
    services = file.one("number of services")
    spread: list[int] = []
    dependencies: list[tuple[int, int]] = []
    what = "a service on which another depends"
    for s in range(services):
        minimum, number = file.take(2, "spread and number of dependencies of a service").tolist()
        spread.append(minimum)
        if number:
            dependencies += [(s, needed) for needed in file.take(number, what, services).tolist()]
    return spread, dependencies


def _refuse_absent(service: IntArray, spread: list[int], path: Path) -> None:
    """Refuse services without a process that must run somewhere: no assignment could."""
    sizes = np.bincount(service, minlength=len(spread))
    wrong = np.flatnonzero((sizes == 0) & (np.array(spread, np.int64) > 0)).tolist()
    if wrong:
        message = "expected a spread minimum of 0, for it has no process; got"
        raise InstanceError([(f"service {s}", f"{message} {spread[s]}") for s in wrong], str(path))


def _read(paths: Sequence[Path]) -> Instance:
    model = _read_model(paths[0])
    start = IntegerFile(paths[1])
    assignment = start.take(len(model.service), "machine of each process", len(model.place))
    start.finish()
    return Instance(
        name=paths[0].stem.removeprefix("model_"),
        resources={
            f"r{r}": Resource(transient=bool(transient))
            for r, transient in enumerate(model.resources[:, 0].tolist())
        },
        nodes=tuple(_nodes(model)),
        tasks=tuple(_tasks(model, assignment)),
        groups=tuple(Group(name=f"s{s}", kind=SERVICE) for s in range(len(model.spread))),
        policies=tuple(_rules(model)) + tuple(_costs(model)),
        objective="penalty",
    )


def _nodes(model: Model) -> Iterator[Node]:
    names = [f"r{r}" for r in range(len(model.resources))]
    lines = zip(model.place.tolist(), model.capacity.tolist(), model.safety.tolist(), strict=True)
    for m, ((neighbourhood, location), capacity, safety) in enumerate(lines):
        yield Node(
            name=f"m{m}",
            capacity=dict(zip(names, capacity, strict=True)),
            safety=dict(zip(names, safety, strict=True)),
            domains={NEIGHBOURHOOD: f"n{neighbourhood}", LOCATION: f"l{location}"},
        )


def _tasks(model: Model, assignment: IntArray) -> Iterator[Task]:
    names = [f"r{r}" for r in range(len(model.resources))]
    lines = zip(
        model.service.tolist(),
        model.requirement.tolist(),
        model.move_cost.tolist(),
        assignment.tolist(),
        strict=True,
    )
    for p, (service, requirement, move_cost, machine) in enumerate(lines):
        yield Task(
            name=f"p{p}",
            demand={name: use for name, use in zip(names, requirement, strict=True) if use},
            current=f"m{machine}",
            move_cost=move_cost,
            groups=(f"s{service}",),
        )


def _rules(model: Model) -> Iterator[Policy]:
    if model.spread:
        yield AntiAffinity(kind=SERVICE)
    # A service that runs at all runs in one location.
    minimum = {f"s{s}": number for s, number in enumerate(model.spread) if number > 1}
    if minimum:
        yield Spread(groups=tuple(minimum), scope=LOCATION, domains=minimum)
    if model.dependencies:
        pairs = tuple((f"s{a}", f"s{b}") for a, b in model.dependencies)
        yield Dependency(scope=NEIGHBOURHOOD, pairs=pairs)


def _costs(model: Model) -> Iterator[Policy]:
    for r, weight in enumerate(model.resources[:, 1].tolist()):
        if weight:
            yield SafetyCapacity(resource=f"r{r}", name=f"load-r{r}", weight=weight)
    for first, second, target, weight in model.balance.tolist():
        # Free capacity is never negative: a target of 0 costs nothing.
        if target and weight:
            yield Balance(resource=f"r{first}", against=f"r{second}", ratio=target, weight=weight)
    process, service, machine = model.weights
    if process:
        yield TaskMoveCost(weight=process)
    if service and model.spread:
        yield GroupMoveCost(kind=SERVICE, weight=service)
    if machine and model.distance.any():
        yield PairMoveCost(costs=_distances(model), weight=machine)


def _distances(model: Model) -> dict[str, dict[str, int | float]]:
    return {
        f"m{a}": {f"m{b}": cost for b, cost in enumerate(row) if cost}
        for a, row in enumerate(model.distance.tolist())
        if any(row)
    }


def _write(instance: Instance, placement: Placement) -> str:
    return " ".join(map(str, node_of_tasks(instance, placement).tolist())) + "\n"


FORMAT = Format(
    name="roadef",
    summary="machine reassignment (ROADEF/EURO challenge 2012)",
    arguments=(
        ("MODEL", "machines, services and processes"),
        ("ASSIGNMENT", "machine of each process now"),
    ),
    solution="the machine of each process, from 0",
    reader=_read,
    writer=_write,
)
