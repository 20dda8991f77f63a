"""The oracle in a process: asked where tasks go, it answers from a live state."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from itertools import chain

import msgspec
from msgspec.structs import replace

from optalloc.engines.protocol import Clock
from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import Instance, Node, Task
from optalloc.instance.placement import Placement
from optalloc.instance.validation import collector_paused, typed_tasks
from optalloc.oracle import draining, growing, jointly, keeping, suggesting
from optalloc.oracle.answers import (
    Answer,
    Decision,
    Refusal,
    Remedy,
    Snapshot,
    Taken,
    Unknown,
    Unverified,
)
from optalloc.oracle.checking import Checker
from optalloc.oracle.ground import Ground
from optalloc.oracle.improving import Plan, improve
from optalloc.oracle.kinds import NOWHERE, Kind, Live, Run, kinds_kept
from optalloc.oracle.ledger import Use
from optalloc.oracle.refusing import why_not
from optalloc.oracle.residents import Residents
from optalloc.solution import Placed, read_placement

ANY = "task"
"""Name under which kinds are formulated."""
SECONDS = 60.0
"""Longest time that one request may take."""


class Oracle:
    """A cluster kept alive between questions.

    Every answer comes from the terms of the formulation: a request is formulated on its own, and
    counted together with all that runs. Names of nodes are those of solutions.

    Parameters
    ----------
    instance
        Nodes, groups, policies and resources. Its tasks run nowhere until they are placed.
    objective
        What placements are to cost little of, as for `solve`; by default the instance's.
    policy
        What decides between places that cost the same: names of `optalloc.oracle.policies`, joined
        by ``>``, such as ``"best-fit"`` or ``"gang > fragmentation > best-fit"``.

    Attributes
    ----------
    version
        Counts the changes of the state.

    Raises
    ------
    OptallocError
        For a policy that cannot be followed request by request.

    Examples
    --------
    >>> from optalloc import Instance, Node, Task
    >>> oracle = Oracle(Instance(nodes=[Node(name="a", capacity={"cpu": 4})]))
    >>> (decision,) = oracle.place(Task(name="web", demand={"cpu": 3}))
    >>> decision.nodes
    {'a': 1}
    >>> (refusal,) = oracle.place(Task(name="db", demand={"cpu": 2}))
    >>> refusal.reason
    '1 node: 1 cpu short (need 2, largest free 1)'
    """

    def __init__(self, instance: Instance, objective: str | None = None, policy: str = "") -> None:
        self.ground = Ground(instance, objective, policy)
        self.checker = Checker(self.ground.stating(()), self.ground.objective)
        self.version = 0
        self._policy = policy
        self._text = objective or ""
        self._planned: dict[str, Decision] = {}
        self._live: dict[str, Live] = {}
        self._on = Residents()
        self._kinds: OrderedDict[bytes, Kind] = OrderedDict()

    # -- tasks ---------------------------------------------------------------------------------

    def check(self, *tasks: Task, new: bool = True) -> None:
        """Refuse tasks that do not go with the cluster, as `place` does, and place none.

        Parameters
        ----------
        *tasks
            Tasks of a request.
        new
            Whether their names have to be new.

        Raises
        ------
        InstanceError
            Lists the problems of all tasks, ``tasks[0]`` being the first.
        Taken, OptallocError
            As `place`.
        """
        keeping.check(self, [(f"tasks[{k}]", task) for k, task in enumerate(tasks)], "the request")
        if new:
            self._check_new(tasks)

    def plan(self, *tasks: Task) -> None:
        """Look ahead over tasks that are about to be placed, in this order.

        Those that are placed next go where all of them together do best, if they still can: see
        `optalloc.oracle.jointly`.
        """
        self._planned = jointly.plan(self, typed_tasks(tasks))

    def place(
        self, *tasks: Task, together: bool = False, look_ahead: bool = False
    ) -> tuple[Answer, ...]:
        """Place tasks where they cost least, one after the other in the order given.

        Parameters
        ----------
        *tasks
            Single tasks and gangs, with new names.
        together
            Place all or none: where one is refused the others are, too.
        look_ahead
            Place them so that more of them, or the same ones at less cost, have a place; none is
            refused because of one behind it.

        Raises
        ------
        InstanceError
            For tasks that do not go with the cluster; then none is placed.
        OptallocError
            For a name that is taken, and a task with a count.
        Unverified
            For a decision that fails its check; then none is placed.
        """
        asked = typed_tasks(tasks)
        self._check_new(asked)
        if look_ahead:
            self.plan(*asked)
        kinds = [self._kind(task) for task in asked]
        answers = self._place_all(asked, kinds)
        refused = [a.task for a in answers if isinstance(a, Refusal)]
        if together and refused:
            placed = [a.task for a in answers if isinstance(a, Decision)]
            for name in reversed(placed):
                self._take_off(name)
            why = f"placed together with {refused[0]!r}, which is refused"
            answers = [
                a if isinstance(a, Refusal) else Refusal(task=a.task, reason=why) for a in answers
            ]
        changed = any(isinstance(a, Decision) for a in answers)
        return self._versioned(answers, changed)

    def remedies(self, task: Task) -> tuple[Remedy, ...]:
        """Say what would make a task fit that is refused, as `optalloc.oracle.suggesting` does."""
        return suggesting.remedies(self, task)

    def expect(self, *tasks: Task) -> None:
        """Say which requests are to come, by a sample of them.

        Policies that look ahead go by it, and no longer by the requests that came.

        Raises
        ------
        InstanceError, OptallocError
            For tasks that do not go with the cluster.
        """
        kinds = [keeping.kind_of(self, task) for task in typed_tasks(tasks)]
        for ranking in self.ground.rankings:
            ranking.expect(kinds)

    def release(self, *names: str) -> None:
        """Take tasks away.

        Raises
        ------
        OptallocError
            For a name that does not run, or twice; then none is taken away.
        """
        self._check_running(names)
        for name in names:
            self._take_off(name)
        self.version += bool(names)

    def resize(self, task: Task) -> Answer:
        """Give a task that runs another demand, table or number of replicas.

        It stays where it is if it can, else it is placed anew; where it is refused it runs on as
        before.

        Raises
        ------
        InstanceError, OptallocError
            As for `place`, and for a name that does not run.
        """
        (asked,) = typed_tasks([task])
        self._check_running([asked.name])
        kind, old = self._kind(asked), self._live[asked.name]
        stay, devices = self._placed(old), self._devices(old)
        self._take_off(asked.name)
        try:
            same = self._put(asked, stay, devices) if devices else None
            answer = same or self._put(asked, stay) or self._place(asked, kind)
        except Unverified:
            self._return([old])
            raise
        if isinstance(answer, Refusal):
            self._return([old])
        return self._versioned([answer], isinstance(answer, Decision))[0]

    def move(self, *moves: Decision) -> None:
        """Let tasks run elsewhere, one move after the other.

        Raises
        ------
        OptallocError
            For a name that does not run, and a move after which a rule does not hold; then no task
            is moved.
        Unverified
            For a move that fails its check; then no task is moved.
        """
        self._check_running([move.task for move in moves])
        before = [self._live[move.task] for move in moves]
        for k, move in enumerate(moves):
            self._take_off(move.task)
            try:
                if self._put(before[k].task, move.placed, move.devices):
                    continue
            except Unverified:
                self._return(before[: k + 1])
                raise
            self._return(before[: k + 1])
            raise OptallocError(f"expected a move that keeps all rules, got that of {move.task!r}")
        self.version += bool(moves)

    # -- nodes ---------------------------------------------------------------------------------

    def add_nodes(self, *nodes: Node) -> None:
        """Let nodes join the cluster.

        A quantum of a resource that nobody stated becomes as fine as the new capacities ask for;
        to one that is stated they are rounded down. Takes as long as `restore`.

        Raises
        ------
        InstanceError
            For nodes that do not go with the cluster and with what runs, ``nodes[0]`` being the
            first; then none joins.
        """
        if nodes:
            stated = self.ground.stating(())
            self._rebuild(growing.grown(stated, self.ground.chosen, nodes))

    def remove_nodes(self, *names: str) -> None:
        """Take nodes on which nothing runs out of the cluster; those of one entry together.

        Raises
        ------
        OptallocError
            For a node that is unknown or on which something runs, some nodes of an entry and not
            all, and nodes to which something refers; then none is taken out.
        """
        for name in names:
            if running := self.tasks_on(name):
                said = f"expected an empty node, and on {name!r} runs {running[0]!r}"
                raise OptallocError(f"{said}; drain it and carry out the moves first")
        if names:
            self._rebuild(growing.shrunk(self.ground.stating(()), names), names)

    def close(self, *nodes: str) -> None:
        """Let nothing come to some nodes; what runs there runs on."""
        self._set_closed(nodes, True)

    def reopen(self, *nodes: str) -> None:
        """Let tasks come to some nodes again."""
        self._set_closed(nodes, False)

    def drain(self, node: str) -> tuple[Answer, ...]:
        """Close a node, and propose where the tasks on it could go; they run on until moved.

        The proposals hold one after the other, as `move` takes them; refusals have to wait.
        """
        self.close(node)
        return self._versioned(draining.drained(self, node), changed=False)

    def node_down(self, node: str) -> tuple[Answer, ...]:
        """Close a node and take off all tasks on it; where they could run again.

        A task that lost one of its replicas lost all. The proposals hold one after the other.
        """
        self.close(node)
        return self._versioned(draining.lost(self, node), changed=False)

    # -- better placements ---------------------------------------------------------------------

    def improve(self, seconds: float, max_moves: int, threads: int | None = None) -> Plan:
        """Look for a better placement of what runs; nothing moves before `move` takes the moves.

        See `optalloc.oracle.improving.improve`.
        """
        return improve(self, seconds, max_moves, threads)

    def elsewhere(self, name: str) -> Decision | None:
        """Propose where a task could run off all its nodes; None if nowhere."""
        self._check_running([name])
        found = draining.elsewhere(self, name)
        return found and replace(found, version=self.version)

    # -- what is there -------------------------------------------------------------------------

    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that run."""
        return tuple(self._live)

    def tasks_on(self, node: str) -> tuple[str, ...]:
        """Names of the tasks with a replica on a node."""
        return tuple(self._on.of(self._node(node)))

    @property
    def running(self) -> int:
        """Number of tasks that run."""
        return len(self._live)

    def runs(self, name: str) -> bool:
        """Whether a task of this name runs."""
        return name in self._live

    def task(self, name: str) -> Task:
        """A task that runs, as it was stated."""
        self._check_running([name])
        return self._live[name].task

    def where(self, name: str) -> Placed:
        """Where a task runs."""
        self._check_running([name])
        return self._placed(self._live[name])

    def instance(self) -> tuple[Instance, Placement]:
        """State all that runs as an instance, and where it runs: for `verify` and `solve`."""
        stated = self.ground.stating([live.task for live in self._live.values()])
        return stated, read_placement(stated, self._placements())

    def devices(self, name: str) -> dict[str, tuple[int, ...]]:
        """Numbers of the devices that a task uses, by node name, as in `Decision`."""
        self._check_running([name])
        return self._devices(self._live[name])

    def fork(self) -> Oracle:
        """Copy the state for a question of what would be: neither sees what the other does."""
        made = copy(self)
        made.ground, made.checker = self.ground.fork(), self.checker.copied()
        made._live, made._on = dict(self._live), self._on.copied()
        made._kinds, made._planned = OrderedDict(), {}
        return made

    def snapshot(self) -> Snapshot:
        """All that is known, to `restore` it."""
        return keeping.snapshot(self)

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Oracle:
        """Go on from a snapshot.

        Raises
        ------
        OptallocError
            For a snapshot that places tasks where they cannot be.
        """
        made = cls(snapshot.instance, snapshot.objective or None, snapshot.policy)
        with collector_paused():
            keeping.restore(made, snapshot)
        return made

    def resume(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of the same cluster; only the version goes on.

        Raises
        ------
        OptallocError
            For a snapshot of other nodes, rules, objective or policy, and one that places tasks
            where they cannot be or breaks a rule; then nothing is changed.
        """
        self._become(keeping.resumed(self, snapshot))

    # -- inside --------------------------------------------------------------------------------

    def _rebuild(self, instance: Instance, gone: Iterable[str] = ()) -> None:
        """Go on with other nodes."""
        known = keeping.with_nodes(keeping.snapshot(self), instance, gone)
        self._kinds.clear()  # those of the new nodes are not to lie beside them
        self._become(Oracle.restore(known))

    def _become(self, made: Oracle) -> None:
        self.ground, self._live, self._on = made.ground, made._live, made._on
        self._kinds, self.checker, self._planned = made._kinds, made.checker, {}
        self.version += 1
        gc.collect()  # instances and their columns refer to each other

    def _check_new(self, tasks: Iterable[Task]) -> None:
        seen = set()
        for k, task in enumerate(tasks):
            if not task.name:
                what = "expected a name, got an empty one"
                raise InstanceError([(f"tasks[{k}].name", what)], "the request")
            if task.name in self._live or task.name in seen:
                raise Taken(f"expected the name of a new task, got {task.name!r}")
            if task.count != 1:
                raise OptallocError(f"expected single tasks, got {task.name!r} with a count")
            seen.add(task.name)

    def _check_running(self, names: Sequence[str]) -> None:
        for k, name in enumerate(names):
            if name not in self._live:
                raise Unknown(f"expected the name of a task that runs, got {name!r}")
            if name in names[:k]:
                raise OptallocError(f"expected each task once, got {name!r} again")

    def _node(self, name: str) -> int:
        index = self.ground.problem.columns.node_index
        if name not in index:
            raise Unknown(f"expected the name of a node, got {name!r}")
        return index[name]

    def _set_closed(self, nodes: Iterable[str], closed: bool) -> None:
        found = [self._node(name) for name in nodes]
        self.ground.closed[found] = closed
        shut = self.checker.ledger.closed
        shut.update(found) if closed else shut.difference_update(found)
        self.version += bool(found)

    def _versioned(self, answers: Sequence[Answer], changed: bool) -> tuple[Answer, ...]:
        self.version += changed
        return tuple(replace(answer, version=self.version) for answer in answers)

    @staticmethod
    def _key(task: Task) -> bytes:
        """What tasks of one kind share."""
        return msgspec.json.encode(replace(task, name="", current=None))

    def _kind(self, task: Task) -> Kind:
        """The formulated kind of a task."""
        key = self._key(task)
        kind = self._kinds.get(key)
        if kind is None:
            # Names are the same for all of a kind, so that none is checked with the first only.
            kind = self._kinds[key] = Kind(self.ground, replace(task, name=ANY))
            while len(self._kinds) > kinds_kept(self.ground.problem.nodes):
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(key)
        return kind

    def _place_all(self, tasks: Sequence[Task], kinds: Sequence[Kind]) -> list[Answer]:
        answers: list[Answer] = []
        try:
            for task, kind in zip(tasks, kinds, strict=True):
                answers.append(self._place(task, kind))
        except Unverified:
            for answer in reversed(answers):
                if isinstance(answer, Decision):
                    self._take_off(answer.task)
            raise
        return answers

    def _place(self, task: Task, kind: Kind) -> Answer:
        for ranking in self.ground.rankings:
            ranking.asked(kind)
        planned = self._planned.pop(task.name, None)
        found = planned and self._put(task, planned.placed, planned.devices)
        found = found or self._find(task, kind)
        return found or Refusal(task=task.name, reason=why_not(kind))

    def _find(self, task: Task, kind: Kind) -> Decision | None:
        """Place a task where it costs least; None if nowhere."""
        for ranking in self.ground.rankings:
            for stricter in ranking.tries(task):
                if run := self._run_as(stricter, kind):
                    return self._decide(task, run)
        run = kind.place(Clock(SECONDS))
        return None if run is None else self._decide(task, run)

    def _tried(self, task: Task) -> Answer:
        """Place a task for a proposal."""
        try:
            return self._place(task, self._kind(task))
        except Unverified as error:
            return Refusal(task=task.name, reason=str(error))

    def _return(self, before: Sequence[Live]) -> None:
        """Let tasks run where they did, wherever they are now."""
        for old in reversed(before):
            if old.task.name in self._live:
                self._take_off(old.task.name)
        for old in before:
            self._add(old.task, self._kind(old.task).put(old.run))

    def _run_as(self, stricter: Task, kind: Kind) -> Run | None:
        """Place a task where it may go in stricter words; None if nowhere."""
        strict = self._kind(stricter)
        run = strict.place(Clock(SECONDS))
        if run is None:
            return None
        live = Live(stricter, run)
        placed, devices = self._placed(live), self._devices(live)
        strict.undo(run)
        return kind.put(kind.read(placed, devices))

    def _put(
        self, task: Task, placed: Placed, devices: Mapping[str, tuple[int, ...]] = NOWHERE
    ) -> Decision | None:
        """Place a task at a certain place; None where that is none, or a rule does not hold."""
        kind = self._kind(task)
        try:
            run = kind.put(kind.read(placed, devices))
        except OptallocError:
            return None
        if kind.broken() or self.ground.closed[run.node].any():
            kind.undo(run)
            return None
        return self._decide(task, run)

    def _add(self, task: Task, run: Run) -> None:
        live = Live(task, run)
        self.checker.ledger.count(self._use(live, self._said(live)))
        self._enter(live)

    def _decide(self, task: Task, run: Run) -> Decision:
        """Tell where a task runs, once that passes its check; else it runs nowhere."""
        live = Live(task, run)
        decision = self._said(live)
        use = self._use(live, decision)
        self.checker.ledger.count(use)
        self._enter(live)
        try:
            self.checker.check(use, decision)
        except Unverified:
            self._take_off(task.name)
            raise
        return decision

    def _enter(self, live: Live) -> None:
        self._live[live.task.name] = live
        self._on.add(live.run.node.tolist(), live.task.name)

    def _take_off(self, name: str) -> None:
        live = self._live.pop(name)
        self.checker.ledger.count(self._use(live, self._said(live)), -1)
        self._kind(live.task).undo(live.run)
        self._on.remove(live.run.node.tolist(), name)

    def _use(self, live: Live, decision: Decision) -> Use:
        """What a task uses, for the check of decisions."""
        problem = self._kind(live.task).problem
        row = int(problem.choice_row[live.run.choice])
        return self.checker.ledger.use(problem.columns, row, decision)

    def _said(self, live: Live) -> Decision:
        placed = self._placed(live)
        return Decision(
            task=live.task.name,
            nodes=placed.nodes,
            configuration=placed.configuration,
            devices=self._devices(live),
        )

    def _devices(self, live: Live) -> dict[str, tuple[int, ...]]:
        """Devices that a task uses, by node name."""
        names = self.ground.problem.columns.node_names
        found: dict[str, tuple[int, ...]] = {}
        for n, held in zip(live.run.node.tolist(), live.run.devices, strict=False):
            if held:
                found[names[n]] = found.get(names[n], ()) + tuple(chain.from_iterable(held))
        return found

    def _placed(self, live: Live) -> Placed:
        run, configuration = live.run, ""
        if live.task.configurations:
            problem = self._kind(live.task).problem
            configuration = problem.columns.row_name(int(problem.choice_row[run.choice]))
        names = self.ground.problem.columns.node_names
        nodes: dict[str, int] = {}
        for n, count in zip(run.node.tolist(), run.replicas.tolist(), strict=True):
            nodes[names[n]] = nodes.get(names[n], 0) + count
        return Placed(nodes=nodes, configuration=configuration)

    def _placements(self) -> dict[str, Placed]:
        return {name: self._placed(live) for name, live in self._live.items()}
