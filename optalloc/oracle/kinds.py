"""Requests that are alike but for their names: formulated once, and placed again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_placing import Placing
from optalloc.engines.protocol import Clock
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Task
from optalloc.instance.references import choices
from optalloc.oracle.ground import Ground
from optalloc.solution import Placed

IntArray = NDArray[np.int64]
NOWHERE: Mapping[str, tuple[int, ...]] = {}
"""No devices on any node."""
KINDS, KINDS_BYTES = 500, 2**30
"""Kinds of requests that are kept formulated, at most, and the memory that they may take: more than
any of the published lists of pods has, 427 at most among 8,152 pods."""
KIND_BYTES, NODE_BYTES = 30_000, 270
"""What a kind takes, about, and more for each node: measured with 3 resources and 2 goals."""


def kinds_kept(nodes: int) -> int:
    """How many kinds of requests are kept formulated."""
    return min(KINDS_BYTES // (KIND_BYTES + NODE_BYTES * nodes) + 1, KINDS)


@dataclass(frozen=True)
class Run:
    """Where a task of a kind runs.

    Parameters
    ----------
    choice, spot
        Of the kind's problem; spot is -1 where there is none.
    block, node, replicas : (k,)
        Replicas of a block on a node, each pair once.
    devices
        Those of each replica, by pair of block and node.
    apart
        Aggregates in which no other task counts, by term that has some.
    """

    choice: int
    spot: int
    block: IntArray
    node: IntArray
    replicas: IntArray
    devices: tuple[tuple[tuple[int, ...], ...], ...] = ()
    apart: tuple[IntArray, ...] = ()


@dataclass(frozen=True)
class Live:
    """A task that runs, and where."""

    task: Task
    run: Run


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
        self.task = msgspec.structs.replace(task, required=False, count=1, current=None)
        self.problem = ground.formulate(self.task)
        self.state = ground.state_of(self.problem)
        gently = any(ranking.one_by_one for ranking in ground.rankings)
        self.placing = Placing(self.state, one_by_one=gently)
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

    def put(self, run: Run) -> Run:
        """Place a task somewhere, whatever rules say; where it runs, with what it counts in.

        It gets the devices that it had, or some where that is not said.
        """
        self._clear()
        self.state.wanted.update(_by_pair(run))
        self._count(run, 1)
        apart = tuple(tracked.y.copy() for tracked in self._apart)
        return replace(run, devices=self._devices(run.block, run.node), apart=apart)

    def read(self, placed: Placed, devices: Mapping[str, tuple[int, ...]] = NOWHERE) -> Run:
        """Find where a task runs that a solution places.

        Parameters
        ----------
        placed
            Its nodes and row.
        devices
            By node name, as in `Decision`; on nodes that are not named it gets some.

        Raises
        ------
        OptallocError
            For an unknown node or configuration, a wrong number of replicas, nodes on which the
            task may not run, and replicas that are not within one domain as they must.
        """
        problem, columns = self.problem, self.problem.columns
        names = self.choices
        if placed.configuration not in names:
            found = choices(names)
            raise OptallocError(f"expected a configuration ({found}), got {placed.configuration!r}")
        choice = names[placed.configuration]
        unknown = [name for name in placed.nodes if name not in columns.node_index]
        if unknown:
            raise OptallocError(f"expected the name of a node, got {min(unknown)!r}")
        node = np.array([columns.node_index[name] for name in placed.nodes], np.int64)
        replicas = np.array([*placed.nodes.values()], np.int64)
        self._check_shape(choice, node, replicas)
        spot = int(problem.spot_of(np.array([choice]), node[:1])[0])
        block = int(problem.block_of(np.array([choice]), np.array([spot]))[0])
        dealt = self.dealt(block, placed, devices)
        return Run(choice, spot, np.full(node.size, block, np.int64), node, replicas, dealt)

    def dealt(
        self, block: int, placed: Placed, devices: Mapping[str, tuple[int, ...]]
    ) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Deal named devices out to the replicas on each node."""
        share, index = self.state.share_of(block), self.problem.columns.node_index
        unknown = devices.keys() - placed.nodes.keys()
        if unknown:
            raise OptallocError(f"expected devices of the task's nodes, got {min(unknown)!r}")
        dealt = []
        for name, replicas in placed.nodes.items():
            each = share.number(index[name]) if share else 0
            named = tuple(devices.get(name, ()))
            if name in devices and len(named) != each * replicas:
                raise OptallocError(
                    f"expected {each * replicas} devices on node {name!r}, got {len(named)}"
                )
            dealt.append(tuple(named[k : k + each] for k in range(0, len(named), each or 1)))
        return tuple(dealt)

    def _devices(self, block: IntArray, node: IntArray) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Devices that the task placed last has, by pair of block and node."""
        pairs = zip(block.tolist(), node.tolist(), strict=True)
        return tuple(tuple(self.state.held.get(pair, ())) for pair in pairs)

    def _check_shape(self, choice: int, node: IntArray, replicas: IntArray) -> None:
        problem, row = self.problem, int(self.problem.choice_row[choice])
        columns = problem.columns
        wanted, share = int(problem.choice_replicas[choice]), int(columns.row_per_node[row])
        if replicas.sum() != wanted or np.any(replicas < 1):
            raise OptallocError(f"expected {wanted} replicas, got {int(replicas.sum())}")
        if share and np.any(replicas != share):
            raise OptallocError(f"expected {share} replicas on each node that is used")
        allowed = problem.node_mask[problem.allowed.row_kind[row], node]
        if not allowed.all():
            name = columns.node_names[node[np.argmin(allowed)]]
            raise OptallocError(f"expected a node that labels allow, got {name!r}")
        within = int(columns.row_within[row])
        if within >= 0:
            domain = np.unique(problem.anchors(within).domain[node])
            if domain.size != 1 or domain[0] < 0:
                scope = columns.within_scopes[within]
                raise OptallocError(f"expected nodes within one {scope}")

    @cached_property
    def choices(self) -> dict[str, int]:
        """Choices by the names of their rows."""
        problem = self.problem
        options = np.flatnonzero(problem.choice_class == self._mine).tolist()
        return {problem.columns.row_name(int(problem.choice_row[c])): c for c in options}

    @cached_property
    def single_block(self) -> int | None:
        """The block of the only replica in the only row; None where there are more."""
        found = [*self.choices.values()]
        problem = self.problem
        if len(found) != 1 or problem.choice_replicas[found[0]] != 1:
            return None
        block = int(problem.choice_block[found[0]])
        return block if problem.spots.of_choice[found[0]] < 0 else None

    @property
    def apart(self) -> bool:
        """Whether some counters serve one task of the kind alone."""
        return bool(self._apart)

    def count(
        self, block: IntArray, node: IntArray, number: IntArray, rows: IntArray, tasks: IntArray
    ) -> None:
        """Count many tasks at once, where none has counters of its own.

        Parameters
        ----------
        block, node, number : (k,)
            All their replicas, each pair of block and node once.
        rows : (m, 2)
            Choices and spots, each pair once.
        tasks : (m,)
            How many tasks run so.
        """
        self._clear()
        self.state.settle(block, node, number)
        for ranking in self.ground.rankings:
            ranking.changed(node)
        for (choice, spot), many in zip(rows.tolist(), tasks.tolist(), strict=True):
            self.state.choose(choice, many, spot)
        self._clear()

    def deal(self, run: Run) -> Run:
        """Choose devices for the replicas of a task that is counted and lacks some.

        Raises
        ------
        OptallocError
            Where none are free.
        """
        self._clear()
        self.state.held.update(_by_pair(run))
        pairs = zip(run.block.tolist(), run.node.tolist(), run.replicas.tolist(), strict=True)
        for block, node, replicas in pairs:
            if (block, node) not in self.state.held:
                self.state.deal(block, node, replicas)
        self._check_devices()
        return replace(run, devices=self._devices(run.block, run.node))

    def put_surely(self, run: Run) -> Run:
        """As `put`, and it has its devices.

        Raises
        ------
        OptallocError
            Where they are not free.
        """
        made = self.put(run)
        self._check_devices()
        return made

    def _check_devices(self) -> None:
        if self.state.lacks:
            raise OptallocError(f"expected free devices for a task like {self.task.name!r}")

    def broken(self) -> bool:
        """Whether some rule does not hold now."""
        return self.state.broken

    def undo(self, run: Run) -> None:
        """Take a task away from where it runs."""
        self._clear()
        for tracked, y in zip(self._apart, run.apart, strict=True):
            tracked.restart(y)
        self.state.held.update(_by_pair(run))
        self._count(run, -1)

    # -- one task at a time --------------------------------------------------------------------

    def _clear(self) -> None:
        """Forget the task that was placed last; what it shares with others stays."""
        state = self.state
        state.forget()
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
        block, node, replicas = self.state.pairs()
        return Run(choice, spot, block, node, replicas, self._devices(block, node), apart)

    def _count(self, run: Run, sign: int) -> None:
        for block in np.unique(run.block).tolist():
            here = run.block == block
            node, replicas = run.node[here], run.replicas[here]
            if sign < 0:
                for n, number in zip(node.tolist(), replicas.tolist(), strict=True):
                    self.state.hold(block, n, number)
            self.state.move(block, node, sign * replicas)
        self.state.choose(run.choice, sign, run.spot)


def _by_pair(run: Run) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """Devices of each replica by block and node, where that is known."""
    pairs = zip(run.block.tolist(), run.node.tolist(), strict=True)
    return {pair: list(held) for pair, held in zip(pairs, run.devices, strict=False) if held}
