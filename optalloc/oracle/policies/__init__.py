"""Placement policies: what decides between places that cost the same.

A module of this package holds ``POLICY`` and is found by looking into it. Policies are joined by
``>``: a later one decides where all before it see no difference.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from optalloc.instance.errors import OptallocError
from optalloc.instance.references import choices
from optalloc.oracle.policies.protocol import Policy, Ranking

if TYPE_CHECKING:
    from optalloc.oracle.ground import Ground

__all__ = ["Policy", "Ranking", "policies", "rankings"]


@cache
def policies() -> dict[str, Policy]:
    """All placement policies by name, sorted."""
    modules = (
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    )
    found = [module.POLICY for module in modules if hasattr(module, "POLICY")]
    return {policy.name: policy for policy in sorted(found, key=lambda policy: policy.name)}


def rankings(ground: Ground, text: str) -> tuple[Ranking, ...]:
    """Put policies to work.

    Raises
    ------
    OptallocError
        For an unknown name, or one that is there twice.
    """
    names = [name.strip() for name in text.split(">")] if text.strip() else []
    for k, name in enumerate(names):
        if name not in policies():
            known = choices(policies())
            raise OptallocError(f"expected a placement policy ({known}), got {name!r}")
        if name in names[:k]:
            raise OptallocError(f"expected each placement policy once, got {name!r} again")
    return tuple(policies()[name].make(ground) for name in names)
