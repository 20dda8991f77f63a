"""From an oracle to all that it knows, and back; with other nodes on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import Instance, Task
from optalloc.oracle.answers import Snapshot
from optalloc.oracle.bulk import Bulk
from optalloc.oracle.growing import restated
from optalloc.oracle.kinds import NOWHERE, Kind, Live, Run

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle


def snapshot(oracle: Oracle) -> Snapshot:
    """All that an oracle knows."""
    ground, live = oracle.ground, oracle._live
    names = ground.problem.columns.node_names
    return Snapshot(
        instance=ground.stating(()),
        objective=oracle._text,
        policy=oracle._policy,
        tasks=tuple(one.task for one in live.values()),
        placements={name: oracle._placed(one) for name, one in live.items()},
        devices={name: held for name, one in live.items() if (held := oracle._devices(one))},
        closed=tuple(names[n] for n in ground.closed.nonzero()[0].tolist()),
        version=oracle.version,
        chosen=ground.chosen,
        mix=next((mix for r in ground.rankings if (mix := r.seen()) is not None), None),
    )


def restore(made: Oracle, snapshot: Snapshot) -> None:
    """Let a new oracle of a snapshot's instance go on from it.

    Raises
    ------
    OptallocError
        For a snapshot that places tasks where they cannot be.
    """
    made.ground.chosen = snapshot.chosen or made.ground.chosen
    kinds: dict[bytes, list[Task]] = {}
    for task in snapshot.tasks:
        kinds.setdefault(made._key(task), []).append(task)
    bulk, runs = Bulk(), dict[str, Run]()

    def done(tasks: list[Task], kind: Kind, put: list[Run]) -> None:
        _count(made, kind, put)
        runs.update(zip((task.name for task in tasks), put, strict=True))

    for tasks in kinds.values():
        placed = [snapshot.placements[task.name] for task in tasks]
        devices = [snapshot.devices.get(task.name, NOWHERE) for task in tasks]
        bulk.put(kind_of(made, tasks[0]), placed, devices, partial(done, tasks))
    bulk.finish()
    for task in snapshot.tasks:
        made._enter(Live(task, runs[task.name]))
    made._set_closed(snapshot.closed, True)
    _resume(made, snapshot)
    made.version = snapshot.version


def _count(made: Oracle, kind: Kind, runs: Sequence[Run]) -> None:
    """Count what tasks of a kind use for the check of decisions."""
    rows = kind.problem.choice_row[[run.choice for run in runs]].tolist()
    by_row: dict[int, list[Run]] = {}
    for row, run in zip(rows, runs, strict=True):
        by_row.setdefault(row, []).append(run)
    for row, mine in by_row.items():
        node = np.concatenate([run.node for run in mine])
        replicas = np.concatenate([run.replicas for run in mine])
        held = (
            (n, chain.from_iterable(devices))
            for run in mine
            for n, devices in zip(run.node.tolist(), run.devices, strict=False)
        )
        made.checker.ledger.count_all(kind.problem.columns, row, node, replicas, held)


def resumed(oracle: Oracle, snapshot: Snapshot) -> Oracle:
    """An oracle of the same cluster as a snapshot has it.

    Raises
    ------
    OptallocError
        As `Oracle.resume`.
    """
    from optalloc.verify import verify

    present = oracle.ground.stating(())
    if (snapshot.instance, snapshot.objective, snapshot.policy) != (
        present,
        oracle._text,
        oracle._policy,
    ):
        raise OptallocError("expected a snapshot of the cluster as it is, and of its objective")
    _check_names(snapshot)
    check(oracle, [(f"task {task.name!r}", task) for task in snapshot.tasks], "the snapshot")
    made = type(oracle).restore(replace(snapshot, chosen=oracle.ground.chosen))
    report = verify(*made.instance()) if snapshot.tasks else None
    if report and not report.feasible:
        broken = report.violations[0].message
        raise OptallocError(f"expected a snapshot that keeps all rules: {broken}")
    return made


def _check_names(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose parts do not belong together."""
    names = [task.name for task in snapshot.tasks]
    if "" in names or len({*names}) < len(names):
        raise OptallocError("expected names of tasks in the snapshot, each another one")
    if any(task.count != 1 for task in snapshot.tasks):
        raise OptallocError("expected single tasks in the snapshot, got one with a count")
    if {*snapshot.placements} != {*names} or not {*snapshot.devices} <= {*names}:
        raise OptallocError("expected a placement of each task in the snapshot, and of no other")
    if mix := snapshot.mix:
        kinds = [*mix.recent, *(kind for kind, _ in mix.counts)]
        if not all(0 <= kind < len(mix.tasks) for kind in kinds):
            raise OptallocError("expected indices of its tasks in the snapshot's mix")


def with_nodes(snapshot: Snapshot, instance: Instance, gone: Iterable[str]) -> Snapshot:
    """The same on other nodes; some are gone."""
    lost = {*gone}
    return replace(
        snapshot,
        instance=instance,
        tasks=tuple(restated(task, lost) for task in snapshot.tasks) if lost else snapshot.tasks,
        closed=tuple(name for name in snapshot.closed if name not in lost),
    )


def _resume(made: Oracle, snapshot: Snapshot) -> None:
    """Let policies go by the requests that they knew; else by what runs."""
    for ranking in made.ground.rankings:
        if snapshot.mix is not None:
            ranking.resume(snapshot.mix, [kind_of(made, task) for task in snapshot.mix.tasks])
            continue
        for task in snapshot.tasks:
            ranking.asked(made._kind(task))


def check(oracle: Oracle, tasks: Iterable[tuple[str, Task]], where: str) -> None:
    """Refuse tasks that do not go with the cluster.

    Raises
    ------
    InstanceError
        Lists the problems of all, each with what its task is called.
    """
    problems: list[tuple[str, str]] = []
    for here, task in tasks:
        try:
            with np.errstate(over="raise", invalid="raise"):
                oracle._kind(task)
        except InstanceError as error:
            problems += _renamed(error, here)
        except FloatingPointError:
            problems.append((here, "expected smaller numbers beside the cluster's quanta"))
    if problems:
        raise InstanceError(problems, where)


def kind_of(made: Oracle, task: Task) -> Kind:
    """The kind of a task that is known; errors name it."""
    try:
        return made._kind(task)
    except InstanceError as error:
        said = _renamed(error, f"task {task.name!r}")
        raise InstanceError(said, "the tasks that are known") from None


def _renamed(error: InstanceError, here: str) -> list[tuple[str, str]]:
    """Problems of a task that is formulated alone, with what the task is called."""
    return [(re.sub(r"^tasks\[\d+\]", here, path), what) for path, what in error.problems]
