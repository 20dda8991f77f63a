"""What an objective means: levels in order of importance, each a weighted sum of policy values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from optalloc.formulation.registry import effective_policies, policy_classes
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Instance
from optalloc.instance.policy import Policy, Sense, label_policies
from optalloc.instance.quanta import LARGEST, common, exact
from optalloc.instance.references import choices

PENALTY = "penalty"
"""The level that sums all weighted policies."""
INSTANCE = "instance"
"""Stands for the objective that the instance itself states."""


@dataclass(frozen=True)
class Level:
    """One level: optimise ``sum of factor * value(policy)``, an integer in level quanta.

    Parameters
    ----------
    name
        As in the objective's text.
    sense
        ``min`` or ``max``.
    factors
        Integer factor and index of each policy.
    quantum
        Value of one level quantum, in the level's unit.
    unit
        For people.
    """

    name: str
    sense: Sense
    factors: tuple[tuple[int, int], ...]
    quantum: Fraction
    unit: str = ""

    def value(self, values: Mapping[int, int] | tuple[int, ...]) -> int:
        """Evaluate from the policies' values in quanta."""
        return sum(factor * values[index] for factor, index in self.factors)

    def stated(self, quanta: int) -> float:
        """Convert level quanta to the unit people read."""
        return float(quanta * self.quantum)


@dataclass(frozen=True)
class Objective:
    """The levels, and every policy that is a rule, a level, a limit or reported.

    Parameters
    ----------
    text
        The objective in words, such as ``"throughput > energy"``.
    policies, labels
        The effective policies of the instance followed by those that only the levels name.
    levels
        In order of importance.
    """

    text: str
    policies: tuple[Policy, ...]
    labels: tuple[str, ...]
    levels: tuple[Level, ...]


def default_objective(instance: Instance) -> str:
    """The objective of an instance that states none."""
    optional = any(not task.required for task in instance.tasks)
    return f"admitted > {PENALTY}" if optional else PENALTY


def read_objective(instance: Instance, text: str | None = None) -> Objective:
    """Read an objective; without one, that of the instance.

    Raises
    ------
    InstanceError
        For a level that is neither ``penalty`` nor a policy's name or type, and for weights whose
        sum cannot be computed in 64 bits.
    """
    names, policies, chosen = name_levels(instance, text)
    levels = tuple(_level(instance, policies, name, index) for name, index in chosen)
    labels = label_policies(tuple(policies))
    return Objective(" > ".join(names), tuple(policies), labels, levels)


def name_levels(
    instance: Instance, text: str | None = None
) -> tuple[list[str], list[Policy], list[tuple[str, int | None]]]:
    """Find the policies of an objective's levels without computing anything.

    Returns
    -------
    tuple
        The levels as named, the policies (effective ones, then those only named), and for each
        level its name and the index of its policy (None for the penalty).

    Raises
    ------
    InstanceError
        For a level that is neither ``penalty`` nor a policy's name or type.
    """
    own = instance.objective or default_objective(instance)
    stated = own if text is None or not text.strip() else text
    names = [name.strip() for name in stated.split(">")]
    names = [n for name in names for n in (own.split(">") if name == INSTANCE else [name])]
    names = [name.strip() for name in names]
    policies = list(effective_policies(instance))
    chosen: list[tuple[str, int | None]] = []
    for name in names:
        for part in [name, "throughput"] if name == "max-min" else [name]:
            entry = (part, _find(instance, policies, part))
            if entry not in chosen:
                chosen.append(entry)
    return names, policies, chosen


def _find(instance: Instance, policies: list[Policy], name: str) -> int | None:
    """Index of the policy that a level names, added if need be; None for the penalty."""
    if name == PENALTY:
        return None
    labels = label_policies(tuple(policies))
    if name in labels:
        return labels.index(name)
    classes = policy_classes()
    known = {kind for kind, cls in classes.items() if not cls.is_rule and _bare(cls)}
    if name not in known:
        expected = choices(known | {PENALTY, INSTANCE} | set(labels), most=40)
        raise InstanceError([("objective", f"expected one of {expected}; got {name!r}")])
    policies.append(classes[name]())
    return len(policies) - 1


def _bare(cls: type[Policy]) -> bool:
    """Whether a policy can stand without parameters."""
    stated = cls.__struct_defaults__
    missing = len(cls.__struct_fields__) - len(stated)
    return not missing and all(default is not msgspec.NODEFAULT for default in stated)


def _level(instance: Instance, policies: list[Policy], name: str, index: int | None) -> Level:
    columns = instance.columns
    if index is not None:
        policy = policies[index]
        quantum, unit = policy.quantum(columns), policy.unit(columns)
        return Level(name, policy.sense, ((1, index),), quantum, unit)
    weighted = [(i, p) for i, p in enumerate(policies) if p.weight]
    steps = [exact(p.weight or 0) * p.quantum(columns) for _, p in weighted]
    quantum = common(*steps)
    factors = [
        (int(step / quantum) * (1 if p.sense == "min" else -1), i)
        for step, (i, p) in zip(steps, weighted, strict=True)
    ]
    if any(abs(factor) > LARGEST for factor, _ in factors):
        message = "expected weights that are closer to each other: their sum has too fine quanta"
        raise InstanceError([(PENALTY, message)])
    return Level(name, "min", tuple(factors), quantum)
