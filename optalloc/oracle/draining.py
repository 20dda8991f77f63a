"""Where tasks could go that have to leave a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optalloc.oracle.answers import Answer, Decision, Refusal

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle


def drained(oracle: Oracle, node: str) -> list[Answer]:
    """Propose where the tasks on a closed node could go, one after the other."""
    trial = oracle.fork()
    answers: list[Answer] = []
    for name in oracle.tasks_on(node):
        old = trial._live[name]
        trial._take_off(name)
        answers.append(trial._tried(old.task))
        if isinstance(answers[-1], Refusal):
            trial._return([old])
    return answers


def lost(oracle: Oracle, node: str) -> list[Answer]:
    """Take off all tasks on a closed node, and propose where they could run again."""
    tasks = [oracle._live[name].task for name in oracle.tasks_on(node)]
    oracle.release(*(task.name for task in tasks))
    trial = oracle.fork()
    return [trial._tried(task) for task in tasks]


def elsewhere(oracle: Oracle, name: str) -> Decision | None:
    """Propose where a task that runs could run off all its nodes; None if nowhere."""
    live = oracle._live[name]
    closed = oracle.ground.closed.copy()
    oracle.ground.closed[live.run.node] = True
    oracle._take_off(name)
    found = oracle._tried(live.task)
    oracle._return([live])
    oracle.ground.closed[:] = closed
    return found if isinstance(found, Decision) else None
