"""Configuration tables of the jobs that an instance states with calibrated parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE, Configuration, Instance
from optalloc.instance.policy import Fault
from optalloc.instance.references import choices
from optalloc.instance.training import Link, Training
from optalloc.physics import parameters
from optalloc.physics.parameters import Parameters
from optalloc.physics.tables import Exchange, Reach, configurations, linked_levels

SHIPPED = Path(__file__).with_name("calibrated")
"""Parameters that are part of the package, a file each."""


def tabulate(instance: Instance) -> dict[str, tuple[Configuration, ...]]:
    """Tabulate all jobs of an instance by name, but for those with `faults`."""
    found = {}
    for name, job in instance.training.items():
        try:
            found[name] = _rows(instance, job)
        except InstanceError:
            continue
    return found


def faults(instance: Instance) -> Iterator[Fault]:
    """List what keeps jobs of an instance from being tabulated."""
    for name, job in instance.training.items():
        try:
            _rows(instance, job)
        except InstanceError as error:
            yield from ((f"training.{name}.{path}", problem) for path, problem in error.problems)
    for name, fitted in instance.parameters.items():
        yield from ((f"parameters.{name}.{path}", problem) for path, problem in fitted.faults())


def shipped() -> tuple[str, ...]:
    """Names of the parameters that are part of the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


@cache
def _shipped(name: str) -> Parameters:
    return cast(Parameters, parameters.load(SHIPPED / f"{name}.json"))


def _rows(instance: Instance, job: Training) -> tuple[Configuration, ...]:
    fitted = _parameters(instance, job.parameters)
    wrong = [*_level_faults(instance, job)]
    measured = {scope: name for scope, name in job.levels.items() if isinstance(name, str)}
    curves: dict[str, Exchange] = {}
    for scope, name in measured.items():
        try:
            curves[scope] = fitted.interconnect(name)[1]
        except InstanceError as error:
            path, (_, problem) = f"levels.{scope}", error.problems[0]
            wrong.append((path, f"{problem}, got {name!r}"))
    if wrong:
        raise InstanceError(wrong, "the job")
    rows: list[Configuration] = []
    for device in job.alone or ("",):
        alone = {device: job.alone[device]} if job.alone else {}
        exchanges = {**linked_levels(_reaches(instance, job, device)), **curves}
        ordered = {scope: exchanges[scope] for scope in job.levels}
        one = replace(job, alone=alone)
        rows += configurations(one, ordered, fitted, measured)
    return tuple(rows)


def _parameters(instance: Instance, name: str) -> Parameters:
    if name in instance.parameters:
        fitted = instance.parameters[name]
        if any(fitted.faults()):
            message = f"expected parameters without problems, got {name!r}"
            raise InstanceError([("parameters", message)], "the job")
        return fitted
    if name not in shipped():
        known = choices([*instance.parameters, *shipped()])
        message = f"expected calibrated parameters ({known}), got {name!r}"
        raise InstanceError([("parameters", message)], "the job")
    return _shipped(name)


def _level_faults(instance: Instance, job: Training) -> Iterator[Fault]:
    scopes = {scope for node in instance.nodes for scope in node.domains} | {NODE, ""}
    inside = ""
    for scope, level in job.levels.items():
        path = f"levels.{scope}"
        if scope not in scopes:
            yield path, f"expected a domain scope ({choices(scopes - {''})}), got {scope!r}"
        if isinstance(level, str):
            inside = inside or level
            continue
        if inside:
            yield path, f"expected an interconnect, as inside it is one ({inside}), got a link"
        if not level.latency_s >= 0:
            yield f"{path}.latency_s", f"expected at least 0, got {level.latency_s}"
        if not level.bandwidth > 0:
            yield f"{path}.bandwidth", f"expected a number above 0, got {level.bandwidth}"


def _reaches(instance: Instance, job: Training, device: str) -> list[Reach]:
    """What devices of a type reach one another over links, at each level."""
    return [
        Reach(scope, _largest(instance, scope, device), level.latency_s, level.bandwidth)
        for scope, level in job.levels.items()
        if isinstance(level, Link)
    ]


def _largest(instance: Instance, scope: str, device: str) -> int:
    """Devices of a type in the domain of a scope that has most."""
    nodes = [node for node in instance.nodes if node.device == device]
    if scope == NODE:
        return max((node.devices for node in nodes), default=0)
    held: Counter[str] = Counter()
    for node in nodes:
        if not scope or scope in node.domains:
            held[node.domains.get(scope, "")] += node.devices * node.count
    return max(held.values(), default=0)
