"""Requests that are alike but for their names: formulated once, and placed again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from optalloc.engines.greedy_placing import Placing
from optalloc.engines.protocol import Clock
from optalloc.instance.model import Task
from optalloc.oracle.ground import Ground

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """Where a task of a kind runs.

    Parameters
    ----------
    choice, spot
        Of the kind's problem; spot is -1 where there is none.
    block, node, replicas : (k,)
        Replicas of a block on a node, each pair once.
    apart
        Aggregates in which no other task counts, by term that has some.
    """

    choice: int
    spot: int
    block: IntArray
    node: IntArray
    replicas: IntArray
    apart: tuple[IntArray, ...] = ()


class Kind:
    """One request, formulated on the ground that all share.

    Parameters
    ----------
    ground
        Nodes, policies and counters.
    task
        What is asked for; its name does not matter.

    Raises
    ------
    InstanceError
        For a task that does not go with the nodes, resources and groups.
    """

    def __init__(self, ground: Ground, task: Task) -> None:
        self.ground = ground
        self.task = replace(task, required=False, count=1, current=None)
        self.problem = ground.formulate(self.task)
        self.state = ground.state_of(self.problem)
        self.placing = Placing(self.state)
        self._mine = int(self.problem.classes) - 1
        shared = {id(tracked) for tracked in ground.counters.tracked}
        self._apart = [tracked for tracked in self.state.tracked if id(tracked) not in shared]
        self._constants = [tracked.y.copy() for tracked in self._apart]

    def place(self, clock: Clock) -> Run | None:
        """Place one task where it costs least, in the row that costs least and fits; None if none.

        A row after which a rule does not hold is not taken.
        """
        for choice in self.placing.choices(self._mine):
            self._clear()
            self.placing.place(choice, self.placing.within_limits(choice, 1), clock)
            run = self._run(choice)
            if run is None:
                continue
            if not self.state.broken:
                return run
            self.undo(run)
        return None

    def put(self, run: Run) -> None:
        """Place a task where it ran before."""
        self._clear()
        self._count(run, 1)

    def undo(self, run: Run) -> None:
        """Take a task away from where it runs."""
        self._clear()
        for tracked, y in zip(self._apart, run.apart, strict=True):
            tracked.restart(y)
        self._count(run, -1)

    # -- one task at a time --------------------------------------------------------------------

    def _clear(self) -> None:
        """Forget the task that was placed last; what it shares with others stays."""
        state = self.state
        state.x.clear()
        state.blocks_on.clear()
        state.y[:] = 0
        state.w[:] = 0
        state.left[self._mine] = 1
        for tracked, constant in zip(self._apart, self._constants, strict=True):
            tracked.restart(constant)

    def _run(self, choice: int) -> Run | None:
        if not self.state.y[choice]:
            return None
        spots = np.flatnonzero(self.state.w)
        spot = int(spots[0]) if spots.size else -1
        apart = tuple(tracked.y.copy() for tracked in self._apart)
        return Run(choice, spot, *self.state.pairs(), apart)

    def _count(self, run: Run, sign: int) -> None:
        for block in np.unique(run.block).tolist():
            here = run.block == block
            node, replicas = run.node[here], run.replicas[here]
            if sign < 0:
                for n, number in zip(node.tolist(), replicas.tolist(), strict=True):
                    self.state.hold(block, n, number)
            self.state.move(block, node, sign * replicas)
        self.state.choose(run.choice, sign, run.spot)
