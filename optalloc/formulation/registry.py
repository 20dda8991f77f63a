"""Every policy class of the package, found by looking into `formulation.goals`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from optalloc.formulation import goals
from optalloc.instance.columns import shapes_gangs
from optalloc.instance.policy import Policy, kebab

if TYPE_CHECKING:
    from optalloc.instance.model import Instance


@cache
def goal_modules() -> tuple[str, ...]:
    """Names of the goal modules; `optalloc.verify` has one of the same name for each."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(goals.__path__)))


@cache
def policy_classes() -> dict[str, type[Policy]]:
    """All policy classes by type, sorted."""
    found: dict[str, type[Policy]] = {}
    for name in goal_modules():
        module = importlib.import_module(f"{goals.__name__}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Policy) and value is not Policy:
                found[kebab(value.__name__)] = value
    return dict(sorted(found.items()))


def effective_policies(instance: Instance) -> tuple[Policy, ...]:
    """The stated policies and the rules that hold unstated (capacity, labels, gangs ...)."""
    stated = {policy.type for policy in instance.policies}
    unneeded = set()
    if not any(resource.transient for resource in instance.resources.values()):
        unneeded.add("transient-capacity")
    if not shapes_gangs(instance):
        unneeded.add("gangs")
    implied = [
        policy_classes()[kind]()
        for kind in ("capacity", "transient-capacity", "labels", "gangs")
        if kind not in stated | unneeded
    ]
    return tuple(implied) + instance.policies
