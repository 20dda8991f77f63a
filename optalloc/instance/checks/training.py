"""Jobs that train, and the tables that follow from them."""

from __future__ import annotations

from collections.abc import Iterator

from optalloc.instance.checks import tables
from optalloc.instance.checks.view import View
from optalloc.instance.policy import Fault


def check(view: View) -> Iterator[Fault]:
    """List what is wrong with the jobs and their parameters."""
    instance = view.instance
    if not instance.training and not instance.parameters:
        return
    from optalloc.physics.training import faults

    yield from faults(instance)
    for name, job in instance.training.items():
        if name in instance.configurations:
            yield f"training.{name}", "expected a name that no configuration table has"
        for device, alone in job.alone.items():
            path = f"training.{name}.alone.{device}"
            yield from tables.demanded(path, alone.demand, view)
