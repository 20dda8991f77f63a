"""The oracle in a process: asked where tasks go, it answers from a live state."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from optalloc.engines.protocol import Clock
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance, Task
from optalloc.instance.placement import Placement
from optalloc.instance.validation import typed_tasks
from optalloc.oracle.answers import Answer, Decision, Refusal
from optalloc.oracle.ground import Ground
from optalloc.oracle.kinds import Kind, Run
from optalloc.oracle.refusing import why_not
from optalloc.solution import Placed, read_placement

KINDS = 2_000
"""Kinds of requests that are kept formulated."""
SECONDS = 60.0
"""Longest time that one request may take."""


@dataclass(frozen=True)
class Live:
    """A task that runs."""

    task: Task
    run: Run


class Oracle:
    """A cluster kept alive between questions.

    Parameters
    ----------
    instance
        Nodes, groups, policies and resources. Of its tasks, those with ``current`` run; the others
        run nowhere until they are placed.
    objective
        What placements are to cost little of, as for `solve`; by default the instance's.

    Raises
    ------
    OptallocError
        For a policy that cannot be followed task by task.
    """

    def __init__(self, instance: Instance, objective: str | None = None) -> None:
        self.ground = Ground(instance, objective)
        self.version = 0
        self._live: dict[str, Live] = {}
        self._kinds: OrderedDict[bytes, Kind] = OrderedDict()

    # -- tasks ---------------------------------------------------------------------------------

    def place(self, *tasks: Task) -> tuple[Answer, ...]:
        """Place tasks, each by itself, in the order given.

        Raises
        ------
        InstanceError
            For a task that does not go with the cluster.
        OptallocError
            For a name that runs already.
        """
        asked = typed_tasks(tasks)
        self._check_new(asked)
        kinds = [self._kind(task) for task in asked]
        return tuple(self._place(task, kind) for task, kind in zip(asked, kinds, strict=True))

    def release(self, *names: str) -> None:
        """Take tasks away.

        Raises
        ------
        OptallocError
            For a name that does not run; then none is taken away.
        """
        unknown = [name for name in names if name not in self._live]
        if unknown:
            raise OptallocError(f"expected the name of a task that runs, got {unknown[0]!r}")
        for name in names:
            live = self._live.pop(name)
            self._kind(live.task).undo(live.run)
        self.version += bool(names)

    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that run."""
        return tuple(self._live)

    def where(self, name: str) -> Placed:
        """Where a task runs."""
        if name not in self._live:
            raise OptallocError(f"expected the name of a task that runs, got {name!r}")
        live = self._live[name]
        return self._placed(live.task, live.run)

    # -- the whole -----------------------------------------------------------------------------

    def instance(self) -> tuple[Instance, Placement]:
        """State all that runs as an instance, and where it runs."""
        ground = self.ground
        tasks = [msgspec.structs.replace(live.task, name=n) for n, live in self._live.items()]
        stated = ground.stating(tasks)
        placements = {n: self._placed(live.task, live.run) for n, live in self._live.items()}
        return stated, read_placement(stated, placements)

    # -- inside --------------------------------------------------------------------------------

    def _check_new(self, tasks: Iterable[Task]) -> None:
        seen = set()
        for task in tasks:
            if task.name in self._live or task.name in seen:
                raise OptallocError(f"expected the name of a new task, got {task.name!r}")
            if task.count != 1:
                raise OptallocError(f"expected single tasks, got {task.name!r} with a count")
            seen.add(task.name)

    def _kind(self, task: Task) -> Kind:
        """The formulated kind of a task."""
        key = msgspec.json.encode(msgspec.structs.replace(task, name="", current=None))
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = Kind(self.ground, task)
            while len(self._kinds) > KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(key)
        return kind

    def _place(self, task: Task, kind: Kind) -> Answer:
        run = kind.place(Clock(SECONDS))
        if run is None:
            return Refusal(task=task.name, reason=why_not(kind), version=self.version)
        self._live[task.name] = Live(task, run)
        self.version += 1
        placed = self._placed(task, run)
        return Decision(
            task=task.name,
            nodes=placed.nodes,
            configuration=placed.configuration,
            version=self.version,
        )

    def _placed(self, task: Task, run: Run) -> Placed:
        problem = self._kind(task).problem
        names = self.ground.problem.columns.node_names
        nodes: dict[str, int] = {}
        for n, count in zip(run.node.tolist(), run.replicas.tolist(), strict=True):
            nodes[names[n]] = nodes.get(names[n], 0) + count
        row = int(problem.choice_row[run.choice])
        return Placed(nodes=nodes, configuration=problem.columns.row_name(row))
