"""A problem kept alive: tasks come and go, nodes are drained, lost and regained, and so on.

What is kept is what the search keeps, so that a question costs what it touches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local import moves
from optalloc.engines.local.frame import Frame
from optalloc.engines.local.names import Inexact, Names, NoMore, NotSo, UnknownName
from optalloc.engines.local.record import CLOSED, GONE, OPEN, Record
from optalloc.engines.local.scene import Scene
from optalloc.engines.local.state import FEASIBLE
from optalloc.engines.local.translating import build_tables
from optalloc.engines.local.walk import CHANGE, KINDS, SHIFT, SWAP
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Document, Instance
from optalloc.instance.references import choices
from optalloc.instance.validation import from_document
from optalloc.objective import read_objective
from optalloc.solution import Placed

IntArray = NDArray[np.int64]
NodeState = Literal["open", "disabled", "removed"]
STATES: tuple[NodeState, ...] = ("open", "disabled", "removed")


@dataclass(frozen=True)
class Standing:
    """How a live problem stands.

    Parameters
    ----------
    levels
        Value of each level of the objective, in its unit.
    missing
        Tasks that must be placed and are not.
    feasible
        Whether nothing is missing and all rules and limits are kept.
    """

    levels: tuple[float, ...]
    missing: int
    feasible: bool


@dataclass(frozen=True)
class Checkpoint:
    """How a live problem was, to come back to.

    Parameters
    ----------
    scene
        What was there, and where.
    waiting
        Tasks that waited to be placed.
    """

    scene: Scene
    waiting: tuple[str, ...]


class Live:
    """An instance whose tasks and nodes come and go, and a placement of what is there.

    The values are at any time those of the instance that states what is there and nothing else, in
    quanta chosen for all of it. A task that ran on a node that was removed runs nowhere any more:
    wherever it goes, it is not moved. A node that is disabled is still there.

    Names are those of solutions, see `Names`.

    Parameters
    ----------
    instance, objective
        What is there at first, none of it placed; the objective is the instance's unless stated.
    spare
        How many tasks more of an entry are made room for, by its name.
    seed
        Of the search.

    Raises
    ------
    UnknownName
        For spare tasks of an entry that the instance does not have.
    NotSo, NoMore
        For less than 0 of them, and for some of an entry whose tasks run now.
    Inexact
        Where a term of the problem cannot follow, or the search has no form for it.

    Examples
    --------
    >>> from optalloc import Instance, Node, Task
    >>> nodes = [Node(name=name, capacity={"cpu": 4}) for name in ("a", "b")]
    >>> live = Live(Instance(nodes=nodes, tasks=[Task(name="web", demand={"cpu": 2}, count=3)]))
    >>> live.complete(), live.standing().feasible
    ((), True)
    >>> what_if = live.fork()
    >>> len(what_if.remove_node("a")) > 0 and what_if.complete()
    ()
    >>> what_if.standing().feasible, live.standing().feasible
    (False, True)
    """

    def __init__(
        self,
        instance: Instance,
        objective: str | None = None,
        *,
        spare: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        self.instance = instance
        self._objective, self._seed = objective, seed
        self._names = Names(instance)
        self._waiting: dict[str, None] = {}
        stated = np.array([task.count for task in instance.tasks], np.int64)
        room = stated.copy()
        for name, more in (spare or {}).items():
            entry = self._names.entry(name)
            if more < 0:
                raise NotSo(f"expected at least 0 spare tasks of {name!r}, got {more}")
            if more and instance.tasks[entry].current is not None:
                raise self._no_more(entry, int(stated[entry]))
            room[entry] += more
        self._frame = self._framed(room)
        copy_of = numbered(room)
        there = copy_of < np.repeat(stated, room)
        self._record = Record.new(self._frame, seed)
        node = np.full(self._frame.nodes, OPEN, np.int32)
        self._record.go(Scene.empty(self._frame, there, node))
        self._waiting = dict.fromkeys(self.tasks())

    def fork(self) -> Live:
        """Copy the state for a question of what would be: neither sees what the other does.

        O(size of the state), as one copy of memory; what never changes is shared.
        """
        made = copy.copy(self)
        made._record, made._waiting = self._record.fork(), dict(self._waiting)
        return made

    def checkpoint(self) -> Checkpoint:
        """What to come back to: O(tasks, replicas and nodes), a few bytes each."""
        return Checkpoint(self._record.scene(), tuple(self._waiting))

    def rollback(self, to: Checkpoint) -> None:
        """Come back: what is there, and what is placed, is as it was at a checkpoint.

        O(what has changed since), beside one look at all tasks and replicas: where there are many
        groups and nodes, and so a large state, that is much less than a fork costs.

        Raises
        ------
        NotSo
            For a checkpoint of another problem, or of a fork that has made room for more tasks.
        """
        theirs, mine = to.scene.frame, self._frame
        if theirs.stated is not mine.stated or np.any(
            np.diff(theirs.entry_task) > np.diff(mine.entry_task)
        ):
            raise NotSo("expected a checkpoint of this problem, got one of another, or a larger")
        self._record.back(to.scene.on(mine))
        self._waiting = dict.fromkeys(to.waiting)

    # -- nodes ---------------------------------------------------------------------------------

    def node_state(self, name: str) -> NodeState:
        """Whether a node is open, disabled or removed."""
        return STATES[self._record.presence.node[self._names.node(name)]]

    def disable_node(self, name: str, *, evict: bool = True) -> tuple[str, ...]:
        """Let nothing come to an open node; the tasks that were taken off it for that.

        O(replicas on it, and kinds of tasks). Without `evict` what is there may stay. A task of
        which one replica is taken off leaves all of its nodes.
        """
        n = self._node_in(name, OPEN)
        evicted = self._evict(n) if evict else ()
        self._record.set_node(n, CLOSED)
        self._record.settle()
        return evicted

    def remove_node(self, name: str) -> tuple[str, ...]:
        """Take a node away; the tasks that were taken off it.

        O(replicas on it, kinds of tasks, and replicas of tasks that run only there now).

        Raises
        ------
        Inexact
            Where a task runs on other nodes as well now, and where from it moves matters.
        """
        n = self._node_in(name, OPEN, CLOSED)
        if np.count_nonzero(self._record.presence.node != GONE) == 1:
            raise NotSo(f"expected a node beside {name!r}, which is the only one left")
        self._check_origins(n, name)
        evicted = self._evict(n)
        self._record.set_node(n, GONE)
        self._record.settle()
        return evicted

    def enable_node(self, name: str) -> None:
        """Open a node that was disabled or removed."""
        self._record.set_node(self._node_in(name, CLOSED, GONE), OPEN)
        self._record.settle()

    def _evict(self, n: int) -> tuple[str, ...]:
        tasks = self._record.tasks_on(n)
        for task in tasks:
            self._record.take_off(task)
        names = tuple(self._name_of(task) for task in tasks)
        self._waiting.update(dict.fromkeys(names))
        return names

    def _check_origins(self, n: int, name: str) -> None:
        """Refuse to forget one of several nodes from which a task may move at a price."""
        try:
            _ = self._frame.constants
        except Unsupported as error:
            raise Inexact(f"node {name!r} cannot be removed: {error}") from None
        for k in self._frame.classes_at(n):
            if self._record.presence.homes[k] > 1 and self._frame.charged_by_origin(k):
                task = self._name_of(self._frame.tasks_of(k)[0])
                raise Inexact(
                    f"expected a node that may be forgotten, got {name!r}: task {task!r} runs on "
                    f"others as well, and its moves cost what {self._by_origin()} says for all of "
                    "them; disable the node instead"
                )

    def _by_origin(self) -> str:
        """The policies by which a move costs something that depends on where from it is."""
        problem = self._frame.problem
        return " and ".join(
            repr(problem.objective.labels[i])
            for i, metric in problem.metrics.items()
            if any(
                p.arrivals_only and p.coefficient.parts
                for _, term in metric.terms
                for p in term.family.placed
            )
        )

    # -- tasks ---------------------------------------------------------------------------------

    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that are there."""
        there = self._record.placed.tables.task_class != self._frame.absent
        return tuple(self._name_of(task) for task in np.flatnonzero(there).tolist())

    def remove_task(self, name: str) -> None:
        """Take a task away: it is absent.

        O(its replicas and groups).

        Raises
        ------
        Inexact
            For one of several identical tasks of which it is not told which runs where.
        """
        task = self._task_in(name, there=True)
        if self._frame.shares_homes(int(self._frame.tables.task_class[task])):
            raise Inexact(
                f"expected a task that runs on nodes of its own, got {name!r}: which of the "
                "replicas that run now are its own is not stated"
            )
        self._record.remove(task)
        self._record.settle()
        self._waiting.pop(name, None)

    def add_task(self, entry: str) -> str:
        """Bring in another task of an entry, and wait for `complete` to place it; its name.

        As `remove_task`; where no absent task is left, room is made for twice as many of those
        entries that have none: O(everything), as often as their number doubles.

        Parameters
        ----------
        entry
            Name of a task entry of the instance.

        Raises
        ------
        NoMore
            Where all are there, and either run now, so that there are no others, or the search has
            no form for more.
        """
        e = self._names.entry(entry)
        if self._record.presence.free[e] < 0:
            self._grow(e)
        task = int(self._record.presence.free[e])
        self._record.add(task)
        self._record.settle()
        name = self._name_of(task)
        self._waiting[name] = None
        return name

    def return_task(self, name: str) -> None:
        """Bring back a certain task that was removed, as `add_task` does."""
        self._record.add(self._task_in(name, there=False))
        self._record.settle()
        self._waiting[name] = None

    # -- the placement -------------------------------------------------------------------------

    def where(self, name: str) -> Placed | None:
        """Where a task is placed; None if it is left out."""
        task = self._task_in(name, there=True)
        tables, state = self._frame.tables, self._record.placed.state
        choice = int(state.choice[task])
        if choice < 0:
            return None
        nodes: dict[str, int] = {}
        names = self.instance.columns.node_names
        for n in state.node[tables.task_slot[task] : tables.task_slot[task + 1]].tolist():
            if n >= 0:
                nodes[names[n]] = nodes.get(names[n], 0) + 1
        row = int(self._frame.problem.choice_row[choice])
        return Placed(nodes=nodes, configuration=self._frame.problem.columns.row_name(row))

    def put(self, name: str, placed: Placed | None) -> None:
        """Place a task somewhere, or leave it out. O(its replicas)."""
        task = self._task_in(name, there=True)
        choice, nodes = self._read(task, placed)
        self._record.take_off(task)
        if choice >= 0:
            self._record.put(task, choice, nodes)
        self._record.settle()
        self._waiting.pop(name, None)

    def complete(self) -> tuple[str, ...]:
        """Place the tasks that wait, large ones first, where they cost least; those still waiting.

        These are all that came or lost a node since. O(their replicas and candidates, for each of
        their configurations). A task that need not be placed waits on where that is cheaper.
        """
        record = self._record
        waiting = [(self._task_in(name, there=True), name) for name in self._waiting]
        out = [(t, name) for t, name in waiting if record.placed.state.choice[t] < 0]
        out.sort(key=lambda pair: -self._bulk(pair[0]))
        left = [name for task, name in out if not record.place(task)]
        record.settle()
        self._waiting = dict.fromkeys(left)
        return tuple(left)

    def improve(self, turns: int) -> None:
        """Let the search go downhill for so many turns, by the first level."""
        walk, tables = self._record.placed.walk, self._frame.tables
        chance = np.zeros(KINDS)
        chance[[SHIFT, SWAP]] = 1.0
        if np.any(np.diff(tables.class_choice) + ~tables.class_required > 1):
            chance[CHANGE] = 1.0
        walk.chance[:] = np.cumsum(chance / chance.sum())
        moves.anneal(*self._record.placed.walking, turns)

    def standing(self) -> Standing:
        """Values of the levels, and whether all is kept. O(levels)."""
        tables, state = self._frame.tables, self._record.placed.state
        levels = self._frame.problem.objective.levels
        values = tuple(
            level.stated(int(value) * (1 if level.sense == "min" else -1))
            for level, value in zip(levels, state.total, strict=False)
        )
        missing = int(state.missing[0])
        kept = state.violation[0] <= FEASIBLE and bool(np.all(state.total <= tables.limit))
        return Standing(values, missing, bool(kept) and missing == 0)

    def recheck(self) -> None:
        """Make the record afresh and compare: for tests. Raises AssertionError naming the part."""
        self._record.recheck()

    # -- names ---------------------------------------------------------------------------------

    def _node_in(self, name: str, *wanted: int) -> int:
        """A node that must be in one of some states."""
        n = self._names.node(name)
        now = int(self._record.presence.node[n])
        if now not in wanted:
            states = " or ".join(STATES[state] for state in wanted)
            raise NotSo(f"expected a node that is {states}, got {name!r}, which is {STATES[now]}")
        return n

    def _task_in(self, name: str, there: bool) -> int:
        """A task that must be there, or absent."""
        task = self._names.task(self._frame, name)
        if self._record.is_there(task) != there:
            wanted, got = ("there", "absent") if there else ("absent", "there")
            raise NotSo(f"expected a task that is {wanted}, got {name!r}, which is {got}")
        return task

    def _name_of(self, task: int) -> str:
        return self._names.of_task(self._frame, task)

    def _bulk(self, task: int) -> float:
        """How large a task is in its first choice."""
        tables = self._frame.tables
        first = tables.class_choice[tables.task_class[task]]
        return float(tables.block_bulk[tables.choice_block[first]] * tables.choice_replicas[first])

    def _read(self, task: int, placed: Placed | None) -> tuple[int, list[int]]:
        """Choice and nodes of a task where it is to be placed."""
        if placed is None:
            return -1, []
        tables, problem = self._record.placed.tables, self._frame.problem
        k = tables.task_class[task]
        options = range(int(tables.class_choice[k]), int(tables.class_choice[k + 1]))
        names = {problem.columns.row_name(int(problem.choice_row[c])): c for c in options}
        stated = placed.configuration
        if stated not in names:
            raise UnknownName(f"expected a configuration ({choices(names)}), got {stated!r}")
        choice, name = names[stated], self._name_of(task)
        nodes = [self._names.node(n) for n, count in placed.nodes.items() for _ in range(count)]
        if len(nodes) != tables.choice_replicas[choice]:
            size = tables.choice_replicas[choice]
            raise NotSo(f"expected {size} replicas of {name!r}, got {len(nodes)}")
        kind = tables.block_kind[tables.choice_block[choice]]
        for n, node in zip(
            nodes, (n for n, c in placed.nodes.items() for _ in range(c)), strict=True
        ):
            if not tables.allowed[kind, n]:
                raise NotSo(
                    f"expected an open node that labels allow {name!r}, got {node!r}, "
                    f"which is {self.node_state(node)}"
                )
        return choice, nodes

    # -- room ----------------------------------------------------------------------------------

    def _grow(self, entry: int) -> None:
        """Make room for twice as many tasks of the entries of which all are there."""
        old, room = self._record, np.diff(self._frame.entry_task)
        tasks = self.instance.tasks
        if tasks[entry].current is not None:
            raise self._no_more(entry, int(room[entry]))
        full = (old.presence.free < 0) & np.array([task.current is None for task in tasks])
        try:
            frame = self._framed(np.where(full, 2 * room, room))
        except OptallocError as error:
            message = f"{self._no_more(entry, int(room[entry]))}; for more, {error}"
            raise NoMore(message) from error
        made = Record.new(frame, self._seed)
        made.go(old.scene().on(frame))
        made.placed.walk.random[:] = old.placed.walk.random
        self._frame, self._record = frame, made

    def _framed(self, room: IntArray) -> Frame:
        """Formulate the instance with so many tasks of each entry."""
        tasks = self.instance.tasks
        fields = {name: getattr(self.instance, name) for name in Document.__struct_fields__}
        fields["tasks"] = tuple(
            msgspec.structs.replace(task, count=int(count))
            for task, count in zip(tasks, room, strict=True)
        )
        instance = from_document(Document(**fields))
        problem = Problem(instance, read_objective(instance, self._objective), merge=False)
        try:
            return Frame(self.instance, problem, build_tables(problem))
        except Unsupported as error:
            raise Inexact(f"the search cannot follow {error}") from None

    def _no_more(self, entry: int, count: int) -> NoMore:
        task = self.instance.tasks[entry]
        why = ", which run now" if task.current is not None else ""
        return NoMore(f"expected an absent task of {task.name!r}: it has {count}, all there{why}")
