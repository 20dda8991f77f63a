"""Better placements of what runs, and the moves that lead there, each within all rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance, Task
from optalloc.oracle.answers import Decision
from optalloc.policies import Moves
from optalloc.solution import Placed, name_placement
from optalloc.verify import verify

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle

BUDGET = "move budget"
"""Name of the policy that counts moves."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Moves that make a placement better, in an order in which each keeps all rules.

    Parameters
    ----------
    moves
        For `Oracle.move`. A task may move twice: first out of the way, to a third place.
    before, after
        Value of each level of the objective, in its unit, by name.
    freed
        Nodes on which something runs before and nothing after.
    left_out
        Tasks whose better place could not be reached move by move.
    version
        Version of the state for which it holds.
    """

    moves: tuple[Decision, ...] = ()
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    freed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    version: int = 0


def improve(
    oracle: Oracle,
    seconds: float,
    max_moves: int,
    threads: int | None = None,
    deterministic: bool = False,
) -> Plan:
    """Look for a better placement of what runs, and for moves that lead there.

    Parameters
    ----------
    oracle
        Which is not changed.
    seconds
        For the search.
    max_moves
        Most replicas that move; moves out of the way count as well.
    threads
        Of the search.
    deterministic
        The same plan for the same state: one solver (CP-SAT) searches, and `seconds` are those of
        its own measure of work.

    Returns
    -------
    Plan
        Without moves where nothing better was found, or none of it is better when it is reached.
    """
    from optalloc.solving import solve

    before = _values(oracle)
    if not before or max_moves < 1:
        return Plan(before=before, after=before, version=oracle.version)
    instance, placement = oracle.instance()
    asked = _to_move(instance, oracle, max_moves)
    # Of placements that are as good, the one that takes fewest moves.
    text = f"{oracle.ground.objective.text} > {BUDGET}"
    result = solve(
        asked,
        text,
        engine="cpsat" if deterministic else "auto",
        time_limit=seconds,
        threads=threads,
        warm_start=placement,
        deterministic=deterministic,
    )
    if result.placement is None:
        return Plan(before=before, after=before, version=oracle.version)
    return plan(oracle, name_placement(asked, result.placement), max_moves)


def plan(oracle: Oracle, target: dict[str, Placed], max_moves: int) -> Plan:
    """Order the moves that lead to a placement; what cannot be reached is left out.

    A move that does not fit yet waits for others. Where all wait for each other, one of them goes
    to a third place first.
    """
    before = _values(oracle)
    trial = oracle.fork()
    moves = list(_steps(trial, target, max_moves))
    after = _values(trial)
    if not _better(trial, after, before):
        return Plan(before=before, after=before, version=oracle.version)
    unreached = tuple(name for name, placed in target.items() if trial.where(name) != placed)
    return Plan(
        moves=tuple(moves),
        before=before,
        after=after,
        freed=tuple(sorted(_used(oracle) - _used(trial))),
        left_out=unreached,
        version=oracle.version,
    )


def _steps(trial: Oracle, target: dict[str, Placed], max_moves: int) -> Iterator[Decision]:
    waiting = [name for name, placed in target.items() if trial.where(name) != placed]
    staged: set[str] = set()
    left = max_moves
    while waiting:
        done = []
        for name in waiting:
            size = _moved(trial.where(name), target[name])
            step = Decision(
                task=name, nodes=target[name].nodes, configuration=target[name].configuration
            )
            if size <= left and _moves(trial, step):
                left -= size
                done.append(name)
                yield step
        waiting = [name for name in waiting if name not in done]
        if done:
            continue
        step_aside = next(_aside(trial, waiting, staged, left), None)
        if step_aside is None:
            return
        staged.add(step_aside.task)
        left -= sum(step_aside.nodes.values())
        yield step_aside


def _moves(trial: Oracle, step: Decision) -> bool:
    try:
        trial.move(step)
    except OptallocError:
        return False
    return True


def _aside(trial: Oracle, waiting: list[str], staged: set[str], left: int) -> Iterator[Decision]:
    """Move a task that waits to a third place; single ones first."""
    sizes = {name: sum(trial.where(name).nodes.values()) for name in waiting}
    for name in sorted(waiting, key=sizes.__getitem__):
        if name in staged or 2 * sizes[name] > left:
            continue
        found = trial.elsewhere(name)
        if found is not None and _moves(trial, found):
            yield found


def _moved(now: Placed, then: Placed) -> int:
    """Replicas that move."""
    stay = sum(min(number, now.nodes.get(node, 0)) for node, number in then.nodes.items())
    return max(sum(then.nodes.values()) - stay, 1)


def _to_move(instance: Instance, oracle: Oracle, max_moves: int) -> Instance:
    """The instance in which all that runs must run on, and so many replicas may move."""
    from optalloc.explaining.relaxing import replaced

    tasks = tuple(_running(task, oracle.where(task.name)) for task in instance.tasks)
    budget = Moves(name=BUDGET, at_most=max_moves)
    return replaced(instance, tasks=tasks, policies=(*instance.policies, budget))


def _running(task: Task, placed: Placed) -> Task:
    current = tuple(np.repeat([*placed.nodes], [*placed.nodes.values()]).tolist())
    return msgspec.structs.replace(task, current=current, required=True)


def _values(oracle: Oracle) -> dict[str, float]:
    """Value of each level."""
    if not oracle.tasks():
        return {}
    instance, placement = oracle.instance()
    objective = oracle.ground.objective
    report = verify(instance, placement, objective)
    return {level.name: level.read(report.values) for level in objective.levels}


def _better(oracle: Oracle, after: dict[str, float], before: dict[str, float]) -> bool:
    for level in oracle.ground.objective.levels:
        if after[level.name] != before[level.name]:
            return (after[level.name] < before[level.name]) == (level.sense == "min")
    return False


def _used(oracle: Oracle) -> set[str]:
    return {node for name in oracle.tasks() for node in oracle.where(name).nodes}
