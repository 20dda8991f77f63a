"""Every scenario of the package, found by looking into `generators.scenarios`."""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from optalloc.generators import scenarios as package
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.references import choices

Build = Callable[[np.random.Generator, int, int], Instance]


@dataclass(frozen=True)
class Scenario:
    """A family of instances.

    Parameters
    ----------
    name
        As the command line spells it: ``hpc-centre``.
    summary
        One line for people: what is to be decided there.
    build
        Makes an instance from a random generator, a number of nodes and a number of tasks.
    """

    name: str
    summary: str
    build: Build


@cache
def scenarios() -> dict[str, Scenario]:
    """All scenarios by name, sorted."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        name = info.name.replace("_", "-")
        found[name] = Scenario(name, module.SUMMARY, module.build)
    return dict(sorted(found.items()))


def generate(scenario: str, seed: int, nodes: int, tasks: int) -> Instance:
    """Make the instance of a scenario for a seed: always the same one for the same arguments.

    Everything required fits by construction: the instance has a feasible placement.

    Parameters
    ----------
    scenario
        Name of a scenario, see `scenarios`.
    seed
        At least 0.
    nodes, tasks
        Numbers of concrete nodes and tasks (entries with a count are expanded), at least 1.

    Raises
    ------
    InstanceError
        For an unknown scenario or a number that is too small; lists all of them.
    """
    problems = [
        (name, f"expected a whole number of at least {least}, got {value}")
        for name, value, least in (("seed", seed, 0), ("nodes", nodes, 1), ("tasks", tasks, 1))
        if value < least
    ]
    if scenario not in scenarios():
        known = choices(scenarios())
        problems.insert(0, ("scenario", f"expected a scenario ({known}), got {scenario!r}"))
    if problems:
        raise InstanceError(problems, "the request to generate")
    entropy = [seed, zlib.crc32(scenario.encode()), nodes, tasks]
    random = np.random.Generator(np.random.PCG64(entropy))
    return scenarios()[scenario].build(random, nodes, tasks)
