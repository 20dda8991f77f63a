"""Each decision is checked before it is told, by what does not know how it was found.

Capacities, devices and labels are compared with what nodes and tasks state; rules of gangs and of
groups are judged by their checkers of `optalloc.verify`, on what the decision touches. Caps and
limits on totals are left to the check of the whole state.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from optalloc.formulation.goals.capacity import Capacity
from optalloc.formulation.goals.dependency import Dependency
from optalloc.formulation.goals.gangs import Gangs
from optalloc.formulation.goals.spread import Spread
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Policy
from optalloc.objective import Objective
from optalloc.oracle.answers import Decision, Unverified
from optalloc.oracle.ledger import Ledger, Use
from optalloc.verify.facts import Facts, GroupCounts, Scope
from optalloc.verify.finding import checker_of
from optalloc.verify.labels import reasons

SHAPES = Gangs(), "gangs"
"""Holds whether it is stated or not, as labels do."""


@dataclass(frozen=True)
class Part(Facts):
    """A single task that was placed, and what groups have where it was.

    Parameters
    ----------
    ledger
        What runs.
    groups
        Indices of the groups that are counted.
    everywhere
        Whether they are counted in all domains, not only in those of the task.
    """

    ledger: Ledger
    groups: tuple[int, ...] = ()
    everywhere: bool = True

    def scope(self, name: str) -> Scope:
        """Domains of a scope, read once for all."""
        return self.ledger.scope(name)

    def count_groups(self, scope: Scope) -> GroupCounts:
        """Replicas of groups in the domains that the task uses, or in all."""
        (counted,) = (c for s, c in self.ledger.domains.items() if self.ledger.scope(s) is scope)
        touched = {*scope.domain[self.placement.node].tolist()} - {-1}
        found = [
            (g, domain, counts[domain])
            for g in self.groups
            if (counts := counted.get(g))
            for domain in sorted(counts if self.everywhere else counts.keys() & touched)
            if domain >= 0
        ]
        table = np.array(found, np.int64).reshape(-1, 3)
        return GroupCounts(table[:, 0], table[:, 1], table[:, 2])


class Checker:
    """Checks decisions on a cluster.

    Parameters
    ----------
    instance
        Nodes, groups and quanta.
    objective
        The rules.
    """

    def __init__(self, instance: Instance, objective: Objective) -> None:
        hard = [(p, n) for p, n in zip(objective.policies, objective.labels, strict=True) if p.hard]
        self._gangs = [(p, label) for p, label in hard if p.judged_by == "task"]
        self._groups = [(p, label) for p, label in hard if p.judged_by == "groups"]
        columns = instance.columns
        limited = {
            name
            for policy, _ in hard
            if isinstance(policy, Capacity)
            for name in policy.resources or columns.resources
        }
        self._limited = np.array([name in limited for name in columns.resources], bool)
        scopes: list[Any] = [getattr(policy, "scope", "") for policy, _ in self._groups]
        self.ledger = Ledger(instance, [*dict.fromkeys(scopes)])

    def faults(self, use: Use, decision: Decision) -> Iterator[str]:
        """List what is wrong with a decision whose use has been counted."""
        yield from use.faults
        if int(use.replicas.sum()) != use.need.replicas or use.replicas.min(initial=1) < 1:
            yield f"expected {use.need.replicas} replicas, got {use.replicas.tolist()}"
        yield from self._labels(use)
        yield from self._capacities(use)
        yield from self._devices(use)
        yield from self._rules(use)

    def check(self, use: Use, decision: Decision) -> None:
        """Refuse a decision that does not hold.

        Raises
        ------
        Unverified
            Lists what is wrong.
        """
        found = [*self.faults(use, decision)]
        if found:
            said = "; ".join(found)
            raise Unverified(f"the placement of {decision.task!r} fails its check: {said}")

    def copied(self) -> Checker:
        """The same, to go on apart."""
        made = copy(self)
        made.ledger = self.ledger.copied()
        return made

    def _labels(self, use: Use) -> Iterator[str]:
        columns, wrong, closed = use.columns, use.need.wrong, self.ledger.closed
        if closed and not closed.isdisjoint(use.node.tolist()):
            yield "a node is closed"
        for e in self.ledger.columns.node_entry[use.node].tolist():
            said = wrong.get(e)
            if said is None:
                node = columns.instance.nodes[e]
                task = columns.instance.tasks[int(columns.row_task[use.row])]
                found = reasons(task, node, columns.row_configuration[use.row])
                said = wrong[e] = tuple(f"node {node.name}, {why}" for why in found)
            yield from said

    def _capacities(self, use: Use) -> Iterator[str]:
        ledger = self.ledger
        over = ledger.used[use.node] > ledger.capacity[use.node]
        if over.any():
            over &= (use.amounts > 0) & self._limited
            for k, i in zip(*np.nonzero(over), strict=True):
                node = ledger.columns.node_names[use.node[k]]
                yield f"node {node}: more {ledger.columns.resources[i]} than it has"

    def _devices(self, use: Use) -> Iterator[str]:
        parts, memory = self.ledger.parts, self.ledger.memory
        for n, d, _, _ in use.devices:
            if d >= len(parts[n]) or parts[n][d] < 0 or memory[n][d] < 0:
                yield f"node {self.ledger.columns.node_names[n]}: device {d} has not what is needed"

    def _rules(self, use: Use) -> Iterator[str]:
        """Ask the checkers of rules that concern the task."""
        need = use.need
        rules: list[tuple[Policy, str]] = [SHAPES] if need.shaped else []
        rules += self._gangs if need.replicas > 1 else []
        rules += self._groups if need.groups else []
        if not rules:
            return
        chosen = np.zeros(use.columns.rows, np.int64)
        chosen[use.row] = 1
        rows = np.full(use.node.size, use.row, np.int64)
        placement = Placement.of(chosen, rows, use.node, use.replicas)
        for policy, label in rules:
            counted, everywhere = sorted(need.groups), isinstance(policy, Spread)
            if isinstance(policy, Dependency):
                index = use.columns.group_index
                counted = sorted({index[name] for pair in policy.pairs for name in pair})
            instance = use.columns.instance
            part = Part(instance, placement, self.ledger, tuple(counted), everywhere)
            for breach in checker_of(type(policy))(policy, part).breaches:
                yield f"{label}: {breach.message}"
