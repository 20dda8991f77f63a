"""A queue before the oracle: tasks may wait a while for others that they go with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import DEVICE, Task
from optalloc.oracle.answers import Answer, Decision, Taken, Unknown
from optalloc.oracle.kinds import Kind
from optalloc.oracle.oracle import Oracle

LONGEST = 64
"""How many newer tasks may arrive before one is answered."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """A task in the queue.

    Parameters
    ----------
    number
        Tasks that arrived before it.
    size
        Devices that it asks for.
    """

    task: Task
    number: int
    size: float


class Queue:
    """Decides when tasks are placed: at once, or when what they wait for has come.

    Whether a task had better wait is up to the placement policies (`Ranking.waits`); without one
    that says so each is placed as it arrives. Of those that need not wait, the largest is first.
    A task that does not fit waits, too. Changes that others make to the oracle are taken notice of.

    Parameters
    ----------
    oracle
        Where tasks are placed.
    longest
        How many newer tasks may arrive before a task is answered for good.

    Examples
    --------
    >>> from optalloc import Instance, Node, Task
    >>> from optalloc.oracle import Oracle, Queue
    >>> oracle = Oracle(Instance(nodes=[Node(name="a", devices=1)]), policy="fragmentation")
    >>> queue = Queue(oracle, longest=2)
    >>> parts = [Task(name=name, demand={"device": 0.5}) for name in ("t", "u")]
    >>> oracle.expect(*parts)
    >>> queue.ask(parts[0])
    ()
    >>> queue.waiting
    ('t',)
    >>> [answer.task for answer in (*queue.ask(parts[1]), *queue.flush())]
    ['t', 'u']
    """

    def __init__(self, oracle: Oracle, longest: int = LONGEST) -> None:
        if longest < 0:
            raise OptallocError(f"expected longest of at least 0, got {longest}")
        self.oracle, self.longest = oracle, longest
        self._line: dict[str, Waiting] = {}
        self._arrived = 0
        self._kinds: dict[str, Kind] = {}
        self._idle: set[Kind] = set()
        self._refused: set[Kind] = set()
        self._version = oracle.version

    @property
    def waiting(self) -> tuple[str, ...]:
        """Names of the tasks that wait, the first to have come first."""
        return tuple(self._line)

    def ask(self, *tasks: Task) -> tuple[Answer, ...]:
        """Let tasks arrive, one after the other; answers to all that are decided by now.

        Raises
        ------
        InstanceError, OptallocError
            As `Oracle.check`, and for the name of a task that waits; then none has arrived.
        """
        self.oracle.check(*tasks)
        for task in tasks:
            if task.name in self._line:
                raise Taken(f"expected the name of a new task, got {task.name!r}, which waits")
        answers: list[Answer] = []
        for task in tasks:
            self._line[task.name] = Waiting(task, self._arrived, _size(task))
            self._kinds[task.name] = self.oracle._kind(task)
            self._arrived += 1
            answers += self._settle(self.longest)
        return tuple(answers)

    def flush(self) -> tuple[Answer, ...]:
        """Answer all that wait: those that go with what runs first, then the largest."""
        return tuple(self._settle(-1))

    def withdraw(self, *names: str) -> None:
        """Let tasks wait no longer, unanswered.

        Raises
        ------
        OptallocError
            For a name that does not wait; then all wait on.
        """
        for k, name in enumerate(names):
            if name not in self._line or name in names[:k]:
                raise Unknown(f"expected the name of a task that waits, got {name!r}")
        for name in names:
            self._leave(name)

    def _settle(self, longest: int) -> list[Answer]:
        """Place what need not wait, or has waited so long; answers for good."""
        answers: list[Answer] = []
        while self._line:
            if self.oracle.version != self._version:
                self._look_again()
            ready = [w for w in self._line.values() if self._ready(self._kinds[w.task.name])]
            due = [w for w in self._line.values() if self._arrived - 1 - w.number >= longest]
            if longest < 0:
                due = [max(due, key=lambda w: w.size)]
            if not ready and not due:
                break
            found = max(ready, key=lambda w: w.size) if ready else due[0]
            answer = self._place(found)
            if isinstance(answer, Decision) or not ready:
                self._leave(found.task.name)
                answers.append(answer)
        return answers

    def _ready(self, kind: Kind) -> bool:
        """Whether tasks of a kind need not wait."""
        if kind in self._idle or kind in self._refused:
            return False
        if any(ranking.waits(kind) for ranking in self.oracle.ground.rankings):
            self._idle.add(kind)
            return False
        return True

    def _place(self, waiting: Waiting) -> Answer:
        """Place a task; those for which that makes a place wait no longer."""
        kind = self._kinds[waiting.task.name]
        (answer,) = self.oracle.place(waiting.task)
        self._version = self.oracle.version
        if not isinstance(answer, Decision):
            # What is placed makes no room: it is not tried again before something else happens.
            self._refused.add(kind)
            return answer
        index = self.oracle.ground.problem.columns.node_index
        nodes = np.array([index[name] for name in answer.nodes], np.int64)
        rankings = self.oracle.ground.rankings
        self._idle -= {k for k in self._idle if not any(r.waits(k, nodes) for r in rankings)}
        return answer

    def _look_again(self) -> None:
        """Forget what was found out: others changed the oracle."""
        self._idle.clear()
        self._refused.clear()
        self._version = self.oracle.version
        self._kinds = {name: self.oracle._kind(w.task) for name, w in self._line.items()}

    def _leave(self, name: str) -> None:
        del self._line[name]
        kind = self._kinds.pop(name)
        if kind not in self._kinds.values():
            self._idle.discard(kind)


def _size(task: Task) -> float:
    """Devices that a task asks for; 0 where that depends on the node."""
    asked = task.demand.get(DEVICE, 0)
    return float(asked) * task.replicas if isinstance(asked, int | float) else 0.0
