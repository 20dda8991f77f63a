"""How far what runs is from the best placement of the same tasks, as far as that is proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from optalloc.engines.protocol import Clock
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.validation import with_tasks
from optalloc.objective import Level, Objective

if TYPE_CHECKING:
    from optalloc.result import LevelResult

RELAXED_SHARE = 0.5
"""Part of the time for a bound without the shapes of gangs."""


def bounds(
    instance: Instance,
    placement: Placement,
    objective: Objective,
    seconds: float,
    threads: int | None,
) -> dict[str, float]:
    """Bound the levels for all placements of the tasks that run, however many of them move.

    Parameters
    ----------
    instance, placement
        What runs and where.
    objective
        Of the levels.
    seconds, threads
        For it.

    Returns
    -------
    dict
        By level, those that are known: no placement is better in the first level, nor in a later
        one where the earlier ones are at their bounds.
    """
    clock = Clock(seconds)
    whole = with_tasks(instance, [replace(task, required=True) for task in instance.tasks])
    loose = [
        replace(task, within="", per_node=0) if task.within or task.per_node else task
        for task in whole.tasks
    ]
    first = objective.levels[0]
    # Gangs of any shape are fewer kinds of decisions: that is far faster, and a bound as well.
    relaxed = _solve(with_tasks(instance, loose), first.name, clock.left * RELAXED_SHARE, threads)
    found = [_bounds(relaxed, [first])]
    shaped = any(a is not b for a, b in zip(loose, whole.tasks, strict=True))
    if shaped or len(objective.levels) > 1:
        levels = _solve(whole, objective.text, clock.left, threads, placement)
        found.append(_bounds(levels, objective.levels))
    return {
        level.name: (max if level.sense == "min" else min)(known)
        for level in objective.levels
        if (known := [each[level.name] for each in found if level.name in each])
    }


def gaps(
    values: Mapping[str, float], bound: Mapping[str, float], levels: Sequence[Level]
) -> dict[str, float]:
    """Gap of each level to its bound: ``|value - bound| / max(one quantum, |value|)``.

    Up to the first level that is not at its bound: what comes after it cannot be compared.
    """
    found: dict[str, float] = {}
    for level in levels:
        if level.name not in bound:
            break
        value = values[level.name]
        apart = abs(value - bound[level.name])
        found[level.name] = apart / max(float(level.quantum), abs(value))
        if apart:
            break
    return found


def _solve(
    instance: Instance,
    objective: str,
    seconds: float,
    threads: int | None,
    placement: Placement | None = None,
) -> Sequence[LevelResult]:
    from optalloc.solving import solve

    with suppress(OptallocError):  # Nothing is known then.
        return solve(
            instance, objective, time_limit=seconds, threads=threads, warm_start=placement
        ).levels
    return ()


def _bounds(found: Sequence[LevelResult], levels: Sequence[Level]) -> dict[str, float]:
    """Those bounds that hold whatever is proven of earlier levels."""
    pairs = zip(levels, found, strict=False)
    return {a.name: b.bound for a, b in pairs if b.bound is not None and not b.conditional}
