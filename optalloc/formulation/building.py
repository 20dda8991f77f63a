"""From a policy to its terms: the builders of `formulation.goals`, found by policy class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from optalloc.formulation.terms import Metric
from optalloc.instance.policy import Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

P = TypeVar("P", bound=Policy)
Builder = Callable[[P, "Problem"], Metric]
_builders: dict[type[Policy], Builder[Policy]] = {}


def formulates(policy: type[P]) -> Callable[[Builder[P]], Builder[P]]:
    """Register a function as the formulation of a policy class."""

    def register(builder: Builder[P]) -> Builder[P]:
        _builders[policy] = builder  # type: ignore[assignment]
        return builder

    return register


def build(policy: Policy, problem: Problem) -> Metric:
    """Formulate a policy: its terms, whose sum is its value in quanta."""
    return _builders[type(policy)](policy, problem)


def has_builder(policy: type[Policy]) -> bool:
    """Whether a policy class has a formulation."""
    return policy in _builders
