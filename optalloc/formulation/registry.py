"""Every policy class of the package, found by looking into `formulation.goals`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from optalloc.formulation import goals
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
    """The stated policies and the rules that hold unstated (capacity, transient, labels)."""
    stated = {policy.type for policy in instance.policies}
    implied = []
    for kind in ("capacity", "transient-capacity", "labels"):
        transient = any(resource.transient for resource in instance.resources.values())
        if kind not in stated and (kind != "transient-capacity" or transient):
            implied.append(policy_classes()[kind]())
    return tuple(implied) + instance.policies
