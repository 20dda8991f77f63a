"""The base of every policy: what an instance file says about one goal or rule."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from optalloc.instance.columns import Columns
    from optalloc.instance.factored import Factored
    from optalloc.instance.model import Instance

Number = int | float
T = TypeVar("T")
Sense = Literal["min", "max"]
Fault = tuple[str, str]
"""Where (a path below the policy, such as ``.resource``) and what was expected there."""


def kebab(name: str) -> str:
    """Spell a class name as a policy type: ``SafetyCapacity`` -> ``safety-capacity``."""
    return "".join(("-" if c.isupper() and i else "") + c.lower() for i, c in enumerate(name))


class Policy(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag=kebab,
):
    """One goal or rule of an instance.

    A policy has a *value*, an integer number of quanta: what it measures (a goal) or the total
    amount by which it is violated (a rule).

    Parameters
    ----------
    name
        How reports and objectives call it; by default its type.
    weight
        Adds ``weight * value`` to the ``penalty`` objective (subtracts it where more is better). A
        rule with a weight is soft; a rule without one is hard.
    at_most, at_least
        Hard limits on the value of a goal, in the goal's unit. Rules take none.
    """

    name: str = ""
    weight: Number | None = None
    at_most: Number | None = None
    at_least: Number | None = None

    is_rule: ClassVar[bool] = False
    """Whether the value is an amount of violation (hard unless weighted)."""
    sense: ClassVar[Sense] = "min"
    """The better direction of the value."""
    merges_nodes: ClassVar[bool] = False
    """Whether the value stays exact when identical nodes are merged (see `merge_nodes`)."""
    judged_by: ClassVar[Literal["task", "groups", "cluster"]] = "cluster"
    """What tells whether placing a task breaks it: the placement of the task alone, how many
    replicas its groups have in each domain of the scope, or all that runs."""
    summary: ClassVar[str] = ""
    """One line for people: what the value is."""

    @property
    def type(self) -> str:
        """The policy's type as files spell it."""
        return str(self.__struct_config__.tag)

    @property
    def hard(self) -> bool:
        """Whether this is a rule that every answer must keep."""
        return self.is_rule and self.weight is None

    def unit(self, columns: Columns) -> str:
        """The unit in which people read the value."""
        return ""

    def quantum(self, columns: Columns) -> Fraction:
        """The size of one quantum of the value, in units."""
        return Fraction(1)

    def splits(self, columns: Columns) -> NDArray[np.bool_]:
        """Which task entries must not be merged with others for the value to be exact."""
        return np.zeros(columns.tasks, bool)

    def scopes_seen(self, columns: Columns) -> tuple[str, ...]:
        """Scopes whose domains the policy looks at: it merges identical nodes within each only."""
        return ()

    def caps(self, columns: Columns) -> tuple[int, ...]:
        """Resources (by index) whose load the policy keeps within every node's capacity."""
        return ()

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        """What replicas add beside demands and costs: merged ones are equal in it as well."""
        return ()

    def problems(self, instance: Instance) -> Iterator[Fault]:
        """Everything wrong with the policy's own fields (references, ranges)."""
        return iter(())


def once(columns: Columns, key: Hashable, make: Callable[[], T]) -> T:
    """What follows from the columns, made on first use."""
    if key not in columns.memo:
        columns.memo[key] = make()
    found: T = columns.memo[key]
    return found


def label_policies(policies: tuple[Policy, ...]) -> tuple[str, ...]:
    """Name every policy uniquely: its name, else its type, with ``#k`` when repeated."""
    seen: dict[str, int] = {}
    labels = []
    for policy in policies:
        label = policy.name or policy.type
        seen[label] = seen.get(label, 0) + 1
        labels.append(label if seen[label] == 1 else f"{label}#{seen[label]}")
    return tuple(labels)
