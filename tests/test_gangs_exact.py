"""Counts of classes, counts of single gangs, a model node by node and brute force agree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from random import Random

import pytest

from optalloc import Configuration, Instance, Node, Task, solve
from optalloc.engines import engine
from optalloc.engines.loading import load
from optalloc.engines.protocol import Incumbent, Job, Message, run
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.policies import Throughput
from optalloc.verify import verify

CHUNKS, CLUSTERS = 6, 51
"""306 random clusters in all."""

LEVELS = ("leaf", "pod", "")
"""Scopes within which gangs run, the nearest first; the last is anywhere."""


def cluster(random: Random) -> Instance:
    """At most six nodes in leaves and pods, and up to six gangs of few kinds."""
    nodes = tuple(
        Node(
            name=f"n{k}",
            device="gpu",
            devices=random.randint(int(k == 0), 3),
            domains={"leaf": f"l{k // 2}", "pod": f"p{k // 4}"},
        )
        for k in range(random.randint(2, 6))
    )
    tasks = tuple(
        Task(
            name=f"t{k}",
            configurations=_table(random),
            required=random.random() < 0.15,
            count=random.choice((1, 1, 2)),
        )
        for k in range(random.randint(1, 3))
    )
    return Instance(
        nodes=nodes, tasks=tasks, policies=[Throughput(raw=True)], objective="throughput"
    )


def _table(random: Random) -> tuple[Configuration, ...]:
    """One or two sizes at some of the levels, slower the farther; some with a shape."""
    rows = []
    for size in random.sample((1, 2, 3, 4, 6), random.randint(1, 2)):
        rate = 10 * size
        shares = [share for share in (1, 2, 3) if size % share == 0]
        per_node = random.choice(shares) if random.random() < 0.3 else 0
        for scope in sorted(random.sample(LEVELS, random.randint(1, 3)), key=LEVELS.index):
            rate -= random.randint(0, 4)
            rows.append(
                Configuration(
                    name=f"{size} {scope}",
                    device="gpu",
                    replicas=size,
                    per_node=per_node,
                    within=scope,
                    throughput=max(rate, 1),
                )
            )
    return tuple(rows)


def brute_force(instance: Instance) -> float | None:
    """Try every row and every place of every gang; None if a required one has none."""
    gangs = [task for task in instance.tasks for _ in range(task.count)]

    @cache
    def best(k: int, free: tuple[int, ...]) -> float:
        if k == len(gangs):
            return 0.0
        values = [best(k + 1, free)] if not gangs[k].required else [-float("inf")]
        for row in _rows(gangs[k]):
            for inside in _domains(instance, row.within or ""):
                for taken in _places(row, inside, free):
                    left = tuple(f - t for f, t in zip(free, taken, strict=True))
                    values.append((row.throughput or 0) + best(k + 1, left))
        return max(values)

    value = best(0, tuple(node.devices or 0 for node in instance.nodes))
    return None if value == -float("inf") else value


def _rows(task: Task) -> list[Configuration]:
    """The table of a task."""
    rows = task.configurations or ()
    return [row for row in rows if isinstance(row, Configuration)]


def _domains(instance: Instance, scope: str) -> list[list[int]]:
    """Indices of the nodes of each domain."""
    names = [node.domains.get(scope, "") for node in instance.nodes]
    return [[k for k, name in enumerate(names) if name == each] for each in sorted(set(names))]


def _places(
    row: Configuration, inside: list[int], free: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """All ways to lay the replicas of a row on some nodes, as what each node gives."""
    if row.per_node:
        for chosen in combinations(inside, row.replicas // row.per_node):
            if all(free[k] >= row.per_node for k in chosen):
                yield tuple(row.per_node * (k in chosen) for k in range(len(free)))
        return

    def lay(at: int, left: int, taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if at == len(free):
            if not left:
                yield taken
            return
        most = min(free[at], left) if at in inside else 0
        for number in range(most + 1):
            yield from lay(at + 1, left - number, (*taken, number))

    yield from lay(0, row.replicas, ())


def node_by_node(instance: Instance) -> int | None:
    """A model with a number for each gang, row and node, merged nowhere."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    free = [node.devices or 0 for node in instance.nodes]
    used: list[list[cp_model.IntVar]] = [[] for _ in free]
    value = []
    for task in instance.tasks:
        for _ in range(task.count):
            runs = []
            for row in _rows(task):
                for inside in _domains(instance, row.within or ""):
                    on = model.new_bool_var("")
                    number = [model.new_int_var(0, row.replicas, "") for _ in inside]
                    model.add(sum(number) == row.replicas * on)
                    for k, n in zip(inside, number, strict=True):
                        used[k].append(n)
                        if row.per_node:
                            model.add(n == row.per_node * model.new_bool_var(""))
                    runs.append(on)
                    value.append((row.throughput or 0) * on)
            (model.add_exactly_one if task.required else model.add_at_most_one)(runs)
    for most, numbers in zip(free, used, strict=True):
        model.add(sum(numbers) <= most)
    model.maximize(sum(value))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    return round(solver.objective_value) if solver.solve(model) == cp_model.OPTIMAL else None


def solved_apart(instance: Instance, name: str) -> Placement | None:
    """Solve without merging: every gang has counts of its own, every node a column."""
    problem, found = Problem(instance, read_objective(instance), merge=False), []
    loaded, job = load(problem, "milp" if name == "milp" else "cpsat"), Job(deterministic=True)

    def listen(message: Message) -> None:
        if isinstance(message, Incumbent):
            found.append(message.values)

    finished = run(engine(name).open(loaded.model, job), loaded.model, job, listen)
    assert finished.ended in ("optimal", "infeasible")
    return loaded.placement(found[-1]) if found else None


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_all_formulations_of_gangs_agree(chunk: int) -> None:
    answered = 0
    for seed in range(chunk, CHUNKS * CLUSTERS, CHUNKS):
        instance = cluster(Random(seed))
        expected = brute_force(instance)
        assert node_by_node(instance) == expected, seed
        for name in ("milp", "cpsat"):
            merged, apart = solve(instance, engine=name, deterministic=True), None
            assert merged.status == ("infeasible" if expected is None else "optimal"), seed
            assert merged.objective == expected, (seed, name)
            apart = solved_apart(instance, name)
            assert (apart is None) == (expected is None), (seed, name)
            if apart is not None and merged.placement is not None:
                report = verify(instance, apart)
                assert report.feasible, (seed, name, report.violations)
                assert report.values == verify(instance, merged.placement).values, (seed, name)
                answered += 1
    assert answered > CLUSTERS
