"""Better placements of what runs, and the moves that lead there, each within all rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from optalloc.engines.protocol import Clock
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance, Task
from optalloc.oracle.answers import Decision
from optalloc.oracle.bounding import bounds, gaps
from optalloc.oracle.replacing import moved, place_anew
from optalloc.policies import Moves
from optalloc.solution import Placed, name_placement, read_placement
from optalloc.verify import verify

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle

BUDGET = "move budget"
"""Name of the policy that counts moves."""
REPLACING_SHARE, SEARCH_SHARE = 0.4, 0.5
"""Parts of the time left for placing anew, and then for a search with engines; the rest is for
bounds."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Moves that make a placement better, in an order in which each keeps all rules.

    Parameters
    ----------
    moves
        For `Oracle.move`. A task may move twice: first out of the way, to a third place.
    before, after
        Value of each level of the objective, in its unit, by name.
    bound
        What is proven of the levels, those of which something is: no placement of the same tasks
        is better in the first one, nor in a later one where the earlier ones are at their bounds,
        however much moves.
    gap
        Of `before` to it, ``|value - bound| / max(one quantum, |value|)``, up to the first level
        that is not at its bound.
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
    bound: dict[str, float] = {}
    gap: dict[str, float] = {}
    freed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    version: int = 0


def improve(
    oracle: Oracle,
    seconds: float | None,
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
        For search and bounds; None for as long as the search takes, and no bounds.
    max_moves
        Most replicas that move; moves out of the way count as well.
    threads
        Of the search.
    deterministic
        The same plan for the same state: one solver (CP-SAT) searches, and `seconds` are those of
        its own measure of work; without bounds.

    Returns
    -------
    Plan
        Without moves where nothing better was found, or none of it is better when it is reached.
    """
    clock = Clock(math.inf if seconds is None or deterministic else seconds)
    before = _values(oracle)
    if not before:
        return Plan(version=oracle.version)
    levels, bound = oracle.ground.objective.levels, dict[str, float]()
    found = Plan(before=before, after=before, version=oracle.version)
    if max_moves > 0:
        trial = oracle.fork()
        target = place_anew(trial, Clock(clock.left * REPLACING_SHARE), max_moves)
        found = plan(oracle, target, max_moves, before)
        limit = None if seconds is None else min(seconds, clock.left) * SEARCH_SHARE
        # Placing anew may have taken all the time that there was.
        if limit is None or limit > 0:
            other = _searched(oracle, found, limit, max_moves, threads, deterministic)
            found = other if other and _better(oracle, other.after, found.after) else found
    if clock.left < math.inf:
        bound = bounds(*oracle.instance(), oracle.ground.objective, clock.left, threads)
    return msgspec.structs.replace(found, bound=bound, gap=gaps(before, bound, levels))


def _searched(
    oracle: Oracle,
    known: Plan,
    seconds: float | None,
    max_moves: int,
    threads: int | None,
    deterministic: bool,
) -> Plan | None:
    """Solve the instance in which so much may move, from what is known already."""
    from optalloc.solving import solve

    instance, placement = oracle.instance()
    asked = _to_move(instance, oracle, max_moves)
    if known.moves:
        where = {name: oracle.where(name) for name in oracle.tasks()}
        placement = read_placement(instance, where | {m.task: m.placed for m in known.moves})
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
        return None
    found = name_placement(asked, result.placement)
    changed = {name: placed for name, placed in found.items() if oracle.where(name) != placed}
    return plan(oracle, changed, max_moves, known.before)


def plan(
    oracle: Oracle,
    target: dict[str, Placed],
    max_moves: int,
    before: dict[str, float] | None = None,
) -> Plan:
    """Order the moves that lead to a placement; what cannot be reached is left out.

    A move that does not fit yet waits for others. Where all wait for each other, one of them goes
    to a third place first.

    Parameters
    ----------
    oracle
        Which is not changed.
    target
        Where tasks are to run; the others stay.
    max_moves
        Most replicas that move.
    before
        Value of each level now, where that is known.
    """
    before = _values(oracle) if before is None else before
    trial = oracle.fork()
    moves = list(_steps(trial, target, max_moves))
    after = _values(trial) if moves else before
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
            size = moved(trial.where(name), target[name])
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
