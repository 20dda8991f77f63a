"""What the checker of one policy finds, and which checker speaks for which policy."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from optalloc.instance.policy import Policy
from optalloc.verify.facts import Facts


@dataclass(frozen=True)
class Breach:
    """A rule broken at one place; the fields are those of `Violation`."""

    task: str | None
    node: str | None
    amount: float
    message: str


@dataclass(frozen=True)
class Finding:
    """Value of a policy in quanta, and for a rule where it is broken."""

    value: int
    breaches: tuple[Breach, ...] = ()


Checker = Callable[[Any, Facts], Finding]
F = TypeVar("F", bound=Checker)
_CHECKERS: dict[type[Policy], Checker] = {}


def checks(*policies: type[Policy]) -> Callable[[F], F]:
    """Register the decorated function as the checker of policy classes."""

    def register(checker: F) -> F:
        for policy in policies:
            if policy in _CHECKERS:
                raise TypeError(f"{policy.__name__} has two checkers")
            _CHECKERS[policy] = checker
        return checker

    return register


@cache
def checkers() -> dict[type[Policy], Checker]:
    """Every checker, found by importing all modules of this package."""
    package = importlib.import_module("optalloc.verify")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(_CHECKERS)


def checker_of(policy: type[Policy]) -> Checker:
    """Look up the checker of a policy class.

    Raises
    ------
    TypeError
        If there is none: then nothing may be claimed about a placement.
    """
    if policy not in checkers():
        raise TypeError(f"no checker for the policy {policy.__name__}")
    return checkers()[policy]
