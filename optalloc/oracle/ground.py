"""What all requests share: the nodes, the policies, and the counters of what is placed."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import State
from optalloc.engines.greedy_terms import Counters, Tracked
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.goals.capacity import Capacity
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import DEVICE, Instance, Task
from optalloc.instance.validation import with_tasks
from optalloc.objective import read_objective
from optalloc.oracle.counting import Counting
from optalloc.oracle.devices import Devices
from optalloc.oracle.growing import chosen_quanta, fixed
from optalloc.oracle.policies import rankings

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MANY = 1_000_000
"""Tasks that could come to a group: so its rules have counters before any has."""
NOBODY = "\0"
"""Name of a task of all groups that runs nowhere, and of the label that keeps it off every node."""


class Ground:
    """An instance without its tasks, whose quanta stay, and counters over its nodes.

    A request is formulated on its own: a problem of the same nodes, groups and policies and of the
    request alone. Its terms count in the counters that are kept here, so that what it changes is
    evaluated for all that runs.

    Parameters
    ----------
    instance
        Nodes, groups, policies; its tasks decide on quanta.
    objective
        As for `solve`.
    policy
        Names of placement policies, joined by ``>``: what breaks ties after the objective.

    Attributes
    ----------
    chosen
        Resources whose quanta nobody stated.
    objective
        Rules and levels, those that hold unstated included.
    closed : (nodes,)
        Nodes to which nothing may come.
    devices
        What is free of each device; None where no node has any.
    rankings
        The placement policies at work.
    """

    def __init__(self, instance: Instance, objective: str | None = None, policy: str = "") -> None:
        self.chosen = chosen_quanta(instance)
        instance = fixed(instance)
        self.nobody = Task(
            name=NOBODY,
            count=MANY,
            required=False,
            groups=tuple(group.name for group in instance.groups),
            allow={NOBODY: (NOBODY,)},
        )
        self.instance = with_tasks(instance, [self.nobody])
        self.objective = read_objective(self.instance, objective)
        self.problem = self.formulate()
        state = State(self.problem)
        self.counters = Counters(state.tracked, state.spent)
        self.closed = np.zeros(instance.columns.nodes, bool)
        shares = any(node.devices for node in instance.nodes)
        self.devices = Devices(self.instance) if shares else None
        self.rankings = rankings(self, policy)

    def fork(self) -> Ground:
        """The same, to go on apart: what changes is copied."""
        made = copy(self)
        made.counters, made.closed = self.counters.copied(), self.closed.copy()
        made.devices = self.devices.copied() if self.devices else None
        made.rankings = tuple(ranking.forked(made) for ranking in self.rankings)
        made.__dict__.pop("_capacities", None)
        return made

    def formulate(self, *tasks: Task) -> Problem:
        """The problem of some tasks on these nodes.

        Raises
        ------
        InstanceError
            For tasks that do not go with them: lists every problem.
        """
        instance = with_tasks(self.instance, [self.nobody, *tasks])
        return Problem(instance, self.objective, merge=False)

    def state_of(self, problem: Problem) -> Counting:
        """Nothing placed of a problem that counts in the counters kept here.

        Raises
        ------
        OptallocError
            For a policy whose counters requests cannot share.
        """
        try:
            return Counting(
                problem,
                self.counters,
                self.closed,
                devices=self.devices,
                rankings=self.rankings,
            )
        except Unsupported as error:
            folded = [t.policy for t in self.counters.tracked if t.term.reduce != "sum"]
            folded += [
                i
                for i, metric in problem.metrics.items()
                if len(metric.terms) != len(self.problem.metrics[i].terms)
            ]
            labels = ", ".join(dict.fromkeys(self.objective.labels[i] for i in folded))
            raise OptallocError(f"the oracle cannot follow {labels}: {error}") from None

    def stating(self, tasks: Sequence[Task]) -> Instance:
        """The instance with some tasks, in the quanta in which all is counted."""
        return with_tasks(self.instance, tasks)

    def free(self) -> IntArray:
        """Capacity that is free on each node, (nodes, resources)."""
        free = self.capacity.copy()
        for resource, tracked in self._capacities:
            free[:, resource] -= tracked.y
        return free

    @cached_property
    def capacity(self) -> IntArray:
        """Capacity of each node, (nodes, resources)."""
        columns = self.problem.columns
        return columns.capacity[columns.node_entry]

    @property
    def hard_resources(self) -> tuple[int, ...]:
        """Resources whose capacity is a rule."""
        return tuple(sorted({resource for resource, _ in self._capacities}))

    @property
    def device_resource(self) -> int | None:
        """The resource that counts devices."""
        return self.problem.columns.resource_index.get(DEVICE)

    @cached_property
    def _capacities(self) -> list[tuple[int, Tracked]]:
        """The counters of load, by resource."""
        policies, columns = self.problem.objective.policies, self.problem.columns
        found = []
        for i, policy in enumerate(policies):
            if isinstance(policy, Capacity) and policy.hard:
                mine = [t for t in self.counters.tracked if t.policy == i]
                found += list(zip(policy.indices(columns), mine, strict=True))
        return found
