"""From an instance whose tasks do not all fit to one that leaves out what it must."""

from __future__ import annotations

import msgspec

from optalloc.instance.model import Instance
from optalloc.objective import INSTANCE, default_objective

ADMITTED = "admitted"


def relax(instance: Instance, objective: str | None = None) -> tuple[Instance, str]:
    """Make every task optional and the admitted weight the first level.

    Parameters
    ----------
    instance
        Its tasks may be required.
    objective
        Levels joined by ``>``; by default the instance's own.

    Returns
    -------
    tuple
        The instance with optional tasks, and ``admitted > ...`` followed by the levels asked for,
        each once.
    """
    own = instance.objective or default_objective(instance)
    text = own if objective is None or not objective.strip() else objective
    named = [part.strip() for part in text.split(">")]
    levels = [ADMITTED]
    for name in named:
        levels += [part.strip() for part in own.split(">")] if name == INSTANCE else [name]
    tasks = tuple(msgspec.structs.replace(task, required=False) for task in instance.tasks)
    return replaced(instance, tasks=tasks), " > ".join(dict.fromkeys(levels))


def replaced(instance: Instance, **fields: object) -> Instance:
    """Make an instance that differs in some fields."""
    stated = {name: getattr(instance, name) for name in instance.__struct_fields__}
    return Instance(**(stated | fields))
