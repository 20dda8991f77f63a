"""What an objective means: levels in order of importance.

A level is a weighted sum of policy values, or the ratio of two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import Literal

import msgspec

from optalloc.formulation.registry import effective_policies, policy_classes
from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.policy import Policy, Sense, label_policies
from optalloc.instance.quanta import LARGEST, common, exact
from optalloc.instance.references import choices

PENALTY = "penalty"
"""The level that sums all weighted policies."""
INSTANCE = "instance"
"""Stands for the objective that the instance itself states."""
SAMPLES_PER_JOULE = "samples-per-joule"
"""The level that divides plain samples/s by watts."""
SAMPLES = "samples"
"""Label of plain samples/s where no policy of the instance has them."""


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

    def read(self, values: Mapping[int, int] | tuple[int, ...]) -> float:
        """Evaluate from the policies' values, in the unit people read."""
        return self.stated(self.value(values))


@dataclass(frozen=True)
class Ratio(Level):
    """A level that is to be maximised: one policy's value over another's.

    ``ratio = value(over) / value(under)``; 0 where both are 0, infinite where only `under` is.
    `quantum` is that of a ratio of one quantum to one. No engine knows ratios: `at` makes the sums
    that Dinkelbach's method maximises instead (`optalloc.dinkelbach`).

    Parameters
    ----------
    over, under
        Indices of the two policies; more of the first is better, and less of the second.
    """

    over: int = 0
    under: int = 0

    def value(self, values: Mapping[int, int] | tuple[int, ...]) -> int:
        """Refuse: a ratio is no whole number of quanta."""
        raise OptallocError(f"level {self.name!r} is a ratio, which only `solve` can optimise")

    def ratio(self, values: Mapping[int, int] | tuple[int, ...]) -> Fraction | None:
        """Evaluate in quanta of the one over quanta of the other; None for an infinite one."""
        over, under = values[self.over], values[self.under]
        if not under:
            return None if over else Fraction(0)
        return Fraction(over, under)

    def read(self, values: Mapping[int, int] | tuple[int, ...]) -> float:
        ratio = self.ratio(values)
        return inf if ratio is None else self.of(ratio)

    def of(self, ratio: Fraction) -> float:
        """Convert a ratio of quanta to the unit people read."""
        return float(ratio * self.quantum)

    def at(self, ratio: Fraction) -> Level:
        """The sum ``d * over - n * under`` for a ratio n / d: above 0 where the ratio is larger."""
        factors = ((ratio.denominator, self.over), (-ratio.numerator, self.under))
        kept = tuple(factor for factor in factors if factor[0])
        return Level(self.name, "max", kept, Fraction(1), self.unit)


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

    @property
    def ratio(self) -> int | None:
        """Index of the level that is a ratio; None if none is."""
        return next((k for k, lv in enumerate(self.levels) if isinstance(lv, Ratio)), None)

    def with_levels(self, *levels: Level) -> Objective:
        """The same rules with other levels."""
        return replace(self, levels=levels)

    def limited(
        self, index: int, side: Literal["at_most", "at_least"], limit: Fraction
    ) -> Objective:
        """Add a hard limit to a policy, unless it has a tighter one.

        Parameters
        ----------
        index
            The policy.
        side
            ``at_most`` or ``at_least``.
        limit
            In the policy's unit.
        """
        stated = getattr(self.policies[index], side)
        if stated is not None:
            tightest = min if side == "at_most" else max
            limit = tightest(limit, exact(stated))
        policies = list(self.policies)
        policies[index] = msgspec.structs.replace(policies[index], **{side: limit})
        return replace(self, policies=tuple(policies))


def default_objective(instance: Instance) -> str:
    """The objective of an instance that states none."""
    optional = any(not task.required for task in instance.tasks)
    return f"admitted > {PENALTY}" if optional else PENALTY


def read_objective(instance: Instance, text: str | None = None) -> Objective:
    """Read an objective; without one, that of the instance.

    Raises
    ------
    InstanceError
        As `name_levels`, and for weights whose sum cannot be computed in 64 bits.
    """
    names, policies, chosen = name_levels(instance, text)
    levels = tuple(_level(instance, policies, name, found) for name, found in chosen)
    labels = label_policies(tuple(policies))
    return Objective(" > ".join(names), tuple(policies), labels, levels)


def name_levels(
    instance: Instance, text: str | None = None
) -> tuple[list[str], list[Policy], list[tuple[str, tuple[int, ...]]]]:
    """Find the policies of an objective's levels without computing anything.

    Returns
    -------
    tuple
        The levels as named, the policies (effective ones, then those only named), and for each
        level its name and the index of its policy (none for the penalty, two for a ratio).

    Raises
    ------
    InstanceError
        For a level that is neither ``penalty`` nor a policy's name or type, nor a ratio of a goal
        of which more is better to one of which less is; and for more than one ratio.
    """
    own = instance.objective or default_objective(instance)
    stated = own if text is None or not text.strip() else text
    names = [name.strip() for name in stated.split(">")]
    names = [n for name in names for n in (own.split(">") if name == INSTANCE else [name])]
    names = [name.strip() for name in names]
    policies = list(effective_policies(instance))
    chosen: list[tuple[str, tuple[int, ...]]] = []
    for name in names:
        for part in [name, "throughput"] if name == "max-min" else [name]:
            entry = (part, _find(instance, policies, part))
            if entry not in chosen:
                chosen.append(entry)
    ratios = [name for name, found in chosen if len(found) > 1]
    if len(ratios) > 1:
        raise InstanceError([("objective", f"expected at most one ratio, got {choices(ratios)}")])
    return names, policies, chosen


def _find(instance: Instance, policies: list[Policy], name: str) -> tuple[int, ...]:
    """Indices of the policies that a level names, added if need be; none for the penalty."""
    if name in (PENALTY, *label_policies(tuple(policies))):
        return () if name == PENALTY else (find_policy(policies, name),)
    if name == SAMPLES_PER_JOULE:
        return _samples(policies), find_policy(policies, "power")
    over, divided, under = (part.strip() for part in name.partition("/"))
    if not divided:
        return (find_policy(policies, name, (PENALTY, INSTANCE, SAMPLES_PER_JOULE)),)
    found = find_policy(policies, over), find_policy(policies, under)
    better = tuple("rule" if policies[i].is_rule else policies[i].sense for i in found)
    if better != ("max", "min"):
        wanted = "a goal of which more is better / one of which less is"
        example = "such as 'throughput / power'"
        raise InstanceError([("objective", f"expected {wanted}, {example}; got {name!r}")])
    return found


def _samples(policies: list[Policy]) -> int:
    """Index of the policy that counts plain samples/s, added if need be."""
    for i, policy in enumerate(policies):
        if policy.type == "throughput" and getattr(policy, "raw", False):
            return i
    policies.append(policy_classes()["throughput"](name=SAMPLES, raw=True))  # type: ignore[call-arg]
    return len(policies) - 1


def find_policy(policies: list[Policy], name: str, others: tuple[str, ...] = ()) -> int:
    """Index of the policy of a name or type, added if need be.

    Parameters
    ----------
    policies
        Those that there are; one that is only named is added.
    name
        A label of one of them, or the type of a goal.
    others
        What else could have been named, for the error.

    Raises
    ------
    InstanceError
        If it is neither; lists what there is.
    """
    labels = label_policies(tuple(policies))
    if name in labels:
        return labels.index(name)
    classes = policy_classes()
    known = {kind for kind, cls in classes.items() if not cls.is_rule and _bare(cls)}
    if name not in known:
        expected = choices(known | set(others) | set(labels), most=40)
        raise InstanceError([("objective", f"expected one of {expected}; got {name!r}")])
    policies.append(classes[name]())
    return len(policies) - 1


def _bare(cls: type[Policy]) -> bool:
    """Whether a policy can stand without parameters."""
    stated = cls.__struct_defaults__
    missing = len(cls.__struct_fields__) - len(stated)
    return not missing and all(default is not msgspec.NODEFAULT for default in stated)


def policy_level(instance: Instance, policies: Sequence[Policy], name: str, index: int) -> Level:
    """The level that is one policy's value."""
    policy, columns = policies[index], instance.columns
    quantum, unit = policy.quantum(columns), policy.unit(columns)
    return Level(name, policy.sense, ((1, index),), quantum, unit)


def _level(instance: Instance, policies: list[Policy], name: str, found: tuple[int, ...]) -> Level:
    columns = instance.columns
    if len(found) == 2:
        return _ratio(instance, policies, name, *found)
    if found:
        return policy_level(instance, policies, name, *found)
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


def _ratio(
    instance: Instance, policies: Sequence[Policy], name: str, over: int, under: int
) -> Ratio:
    top, bottom = (policy_level(instance, policies, name, i) for i in (over, under))
    quantum = top.quantum / bottom.quantum
    units = (top.unit, bottom.unit)
    unit = "samples/J" if units == ("samples/s", "W") else "/".join(u or "1" for u in units)
    unit = unit.removesuffix("/1") if units != ("", "") else ""
    factors = ((1, over), (-1, under))
    return Ratio(name, "max", factors, quantum, unit, over, under)
