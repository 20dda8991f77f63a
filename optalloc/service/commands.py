"""What each request does to the oracle, and what of it goes into the journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from optalloc.formulation.goals.draw import Power
from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import Task
from optalloc.oracle.answers import Answer, Decision, Refusal, Snapshot
from optalloc.oracle.growing import quanta_of
from optalloc.oracle.oracle import Oracle
from optalloc.service import asked as a
from optalloc.service.errors import Refused
from optalloc.service.records import Added, Closed, Gone, Put, Record, Removed, Reopened
from optalloc.service.turn import Turn
from optalloc.verify import verify


@dataclass(frozen=True)
class Change:
    """What was answered, and the records of what was changed."""

    answer: msgspec.Struct
    records: tuple[Record, ...] = ()


def place(oracle: Oracle, asked: a.Place, turn: Turn) -> Change:
    """Place tasks; whatever was placed when the deadline passes is taken away again."""
    oracle.check(*asked.tasks)
    version, answers = oracle.version, list[Answer]()
    try:
        if asked.look_ahead:
            oracle.plan(*asked.tasks)
        if asked.together:
            answers += oracle.place(*asked.tasks, together=True)
        else:
            for task in asked.tasks:
                turn.check()
                answers += oracle.place(task)
        turn.seal()
    except OptallocError:
        oracle.release(*(x.task for x in answers if isinstance(x, Decision)))
        oracle.version = version
        raise
    stated = {task.name: task for task in asked.tasks}
    return Change(_answers(oracle, answers), _puts(stated, answers))


def release(oracle: Oracle, asked: a.Names, turn: Turn) -> Change:
    """Take tasks away."""
    turn.seal()
    oracle.release(*asked.tasks)
    return Change(_done(oracle), (Gone(asked.tasks),) if asked.tasks else ())


def resize(oracle: Oracle, asked: a.Resize, turn: Turn) -> Change:
    """Give a task another size."""
    task = asked.task
    oracle.where(task.name)
    if task.count != 1:
        raise Refused(
            422, "expected a single task", [("task.count", f"expected 1, got {task.count}")]
        )
    try:
        oracle.check(task, new=False)
    except InstanceError as error:
        said = [(path.replace("tasks[0]", "task", 1), what) for path, what in error.problems]
        raise InstanceError(said, "the request") from None
    turn.seal()
    answer = oracle.resize(task)
    return Change(_answers(oracle, [answer]), _puts({task.name: task}, [answer]))


def move(oracle: Oracle, asked: a.Moves, turn: Turn) -> Change:
    """Move tasks, all or none."""
    moves = [
        Decision(task=m.task, nodes=m.nodes, configuration=m.configuration, devices=m.devices)
        for m in asked.moves
    ]
    for one in moves:
        oracle.where(one.task)
    turn.seal()
    try:
        oracle.move(*moves)
    except OptallocError as error:
        raise Refused(409, str(error)) from None
    stated = {one.task: oracle.task(one.task) for one in moves}
    held = [msgspec.structs.replace(one, devices=oracle.devices(one.task)) for one in moves]
    return Change(_done(oracle), _puts(stated, held))


def close(oracle: Oracle, asked: a.Nodes, turn: Turn) -> Change:
    """Let nothing come to nodes."""
    turn.seal()
    oracle.close(*asked.nodes)
    return Change(_done(oracle), (Closed(asked.nodes),) if asked.nodes else ())


def reopen(oracle: Oracle, asked: a.Nodes, turn: Turn) -> Change:
    """Let tasks come to nodes again."""
    turn.seal()
    oracle.reopen(*asked.nodes)
    return Change(_done(oracle), (Reopened(asked.nodes),) if asked.nodes else ())


def drain(oracle: Oracle, asked: a.OneNode, turn: Turn) -> Change:
    """Close a node, and propose where its tasks could go."""
    turn.seal()
    answers = oracle.drain(asked.node)
    return Change(_answers(oracle, answers), (Closed((asked.node,)),))


def down(oracle: Oracle, asked: a.OneNode, turn: Turn) -> Change:
    """A node is gone with all tasks on it; propose where they could run again."""
    turn.seal()
    lost = oracle.tasks_on(asked.node)
    answers = oracle.node_down(asked.node)
    records: tuple[Record, ...] = (Closed((asked.node,)), *([Gone(lost)] if lost else []))
    return Change(_answers(oracle, answers), records)


def add_nodes(oracle: Oracle, asked: a.NewNodes, turn: Turn) -> Change:
    """Let nodes join the cluster."""
    turn.seal()
    oracle.add_nodes(*asked.nodes)
    ground = oracle.ground
    record = Added(asked.nodes, quanta_of(ground.instance, ground.chosen))
    return Change(_done(oracle), (record,) if asked.nodes else ())


def remove_nodes(oracle: Oracle, asked: a.Nodes, turn: Turn) -> Change:
    """Take empty nodes out of the cluster."""
    turn.seal()
    oracle.remove_nodes(*asked.nodes)
    return Change(_done(oracle), (Removed(asked.nodes),) if asked.nodes else ())


def restore(oracle: Oracle, asked: a.Restore, turn: Turn) -> Change:
    """Go back to a snapshot."""
    turn.seal()
    before, ran = _closed(oracle), oracle.tasks()
    try:
        oracle.resume(_told(oracle, asked.snapshot))
    except InstanceError:
        raise
    except OptallocError as error:
        raise Refused(409, str(error)) from None
    held = [
        (oracle.task(name), oracle.where(name), oracle.devices(name)) for name in oracle.tasks()
    ]
    records: list[Record] = [Gone(ran)] if ran else []
    records += [Reopened(before)] if before else []
    records += [Closed(closed)] if (closed := _closed(oracle)) else []
    records += [Put(task, at.nodes, at.configuration, devices) for task, at, devices in held]
    return Change(_done(oracle), tuple(records))


def _told(oracle: Oracle, told: a.Told) -> Snapshot:
    """The snapshot that was told, where it is of this cluster."""
    present = oracle.ground.stating(())
    if told.instance != msgspec.json.decode(msgspec.json.encode(present)):
        raise OptallocError("expected a snapshot of the cluster as it is")
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return Snapshot(**fields | {"instance": present})


def _closed(oracle: Oracle) -> tuple[str, ...]:
    """Names of the closed nodes."""
    names = oracle.ground.problem.columns.node_names
    return tuple(names[n] for n in oracle.ground.closed.nonzero()[0].tolist())


# -- questions -------------------------------------------------------------------------------------


def where(oracle: Oracle, name: str) -> a.Running:
    """Where a task runs."""
    placed = oracle.where(name)
    return a.Running(
        version=oracle.version,
        task=name,
        nodes=placed.nodes,
        configuration=placed.configuration,
        devices=oracle.devices(name),
    )


def standing(oracle: Oracle) -> a.Standing:
    """The state in figures."""
    ground = oracle.ground
    columns = ground.problem.columns
    capacity = columns.capacity[columns.node_entry].sum(axis=0).tolist()
    free = ground.free().sum(axis=0).tolist()
    resources = {}
    for i, name in enumerate(columns.resources):
        quantum = float(columns.quantum_of_resource[i])
        used = (capacity[i] - free[i]) * quantum
        resources[name] = a.Use(capacity=capacity[i] * quantum, used=used)
    names = columns.node_names
    return a.Standing(
        version=oracle.version,
        tasks=oracle.running,
        nodes=columns.nodes,
        closed=tuple(names[n] for n in ground.closed.nonzero()[0].tolist()),
        resources=resources,
        power_w=_power(oracle),
    )


def what_if(fork: Oracle, asked: a.WhatIf) -> a.Answers:
    """Try changes on a copy that nobody else sees."""
    version = fork.version
    fork.release(*asked.release)
    fork.add_nodes(*asked.add)
    fork.close(*asked.close)
    fork.reopen(*asked.reopen)
    fork.check(*asked.place)
    answers = fork.place(*asked.place, together=asked.together)
    fork.version = version
    return _answers(fork, answers)


def snapshot(fork: Oracle, _: a.Nothing) -> Snapshot:
    """All that an oracle needs to go on."""
    return fork.snapshot()


def check(fork: Oracle, _: a.Nothing) -> a.Verdict:
    """Have all that runs checked independently."""
    instance, placement = fork.instance()
    report = verify(instance, placement)
    return a.Verdict(
        version=fork.version,
        tasks=fork.running,
        feasible=report.feasible,
        violations=tuple(
            a.BrokenRule(rule=v.rule, message=v.message) for v in report.violations if v.hard
        ),
    )


# -- inside ----------------------------------------------------------------------------------------


def _done(oracle: Oracle) -> a.Done:
    return a.Done(version=oracle.version)


def _answers(oracle: Oracle, answers: Iterable[Answer]) -> a.Answers:
    at = [msgspec.structs.replace(answer, version=oracle.version) for answer in answers]
    return a.Answers(
        version=oracle.version,
        decisions=tuple(x for x in at if isinstance(x, Decision)),
        refusals=tuple(x for x in at if isinstance(x, Refusal)),
    )


def _puts(stated: dict[str, Task], answers: Sequence[Answer]) -> tuple[Record, ...]:
    return tuple(
        Put(stated[x.task], x.nodes, x.configuration, x.devices)
        for x in answers
        if isinstance(x, Decision)
    )


def _power(oracle: Oracle) -> float | None:
    """Watts, from the counters of the goal that counts them."""
    problem = oracle.ground.problem
    for i, policy in enumerate(problem.objective.policies):
        if isinstance(policy, Power):
            mine = (t for t in oracle.ground.counters.tracked if t.policy == i)
            value = sum(int(t.reduced.sum()) for t in mine)
            return float(value * policy.quantum(problem.columns))
    return None
