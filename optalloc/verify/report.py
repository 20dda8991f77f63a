"""What the independent checker finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One rule broken at one place.

    Parameters
    ----------
    rule
        Label of the policy (or ``placement`` for what no policy could allow).
    task, node
        Who and where, where that applies (a group's or domain's name is in the message).
    amount
        By how much, in the rule's unit.
    message
        One sentence for people: what was found and what was expected.
    hard
        False for a soft rule, whose amount is scored instead.
    """

    rule: str
    task: str | None
    node: str | None
    amount: float
    message: str
    hard: bool = True


@dataclass(frozen=True)
class Report:
    """The checker's verdict.

    Parameters
    ----------
    violations
        Every broken rule, hard and soft.
    values
        Value of every policy of the objective, in its quanta, in the objective's order.
    """

    violations: tuple[Violation, ...]
    values: tuple[int, ...]

    @property
    def feasible(self) -> bool:
        """Whether no hard rule is broken."""
        return not any(violation.hard for violation in self.violations)
