"""What would make a refused task fit: each tried, or counted where nothing but room matters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from optalloc.explaining.sites import empty_sites, room
from optalloc.explaining.words import amount, counted, number
from optalloc.formulation.goals.capacity import Capacity
from optalloc.formulation.goals.gangs import Gangs
from optalloc.formulation.goals.labels import Labels
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import DEVICE, NODE, Node, Task
from optalloc.instance.quanta import upward
from optalloc.oracle.answers import Remedy
from optalloc.oracle.devices import WHOLE, Devices, Share
from optalloc.oracle.refusing import room_now, ruled_out

if TYPE_CHECKING:
    from optalloc.oracle.kinds import Kind, Live
    from optalloc.oracle.oracle import Oracle

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ROWS = 3
"""Rows of a table for which tasks to release are looked for."""
NODES, TRIES = 6, 3
"""Nodes on which tasks to release are chosen, and choices that are tried."""
RELEASED, ON_NODE = 4, 50
"""Most tasks that are released, and tasks of a node among which they are chosen."""
REBUILT = 3_000
"""Nodes and tasks up to which nodes that join are tried where rules tell places apart."""


def remedies(oracle: Oracle, task: Task) -> tuple[Remedy, ...]:
    """Find what would make a task fit, the least change first; none where it fits.

    The cluster as it would be is a copy; what is told was tried on it. New nodes alone are counted
    where capacities and devices are the only rules.

    Parameters
    ----------
    oracle
        Stays as it is.
    task
        As for `Oracle.place`.

    Raises
    ------
    OptallocError
        As for `Oracle.place`.
    """
    oracle.check(task)
    return suggested(oracle.fork(), task)


def suggested(fork: Oracle, task: Task) -> tuple[Remedy, ...]:
    """As `remedies`, for a task that was checked, on a copy that nobody else uses."""
    if _fits(fork, task):
        return ()
    search = _Search(fork, task, fork._kind(task))
    ways = (search.opened(), search.released(), search.lessened(), search.joined())
    return tuple(way for way in ways if way is not None)


def _fits(oracle: Oracle, task: Task) -> bool:
    """Whether a task has a place now; it takes none."""
    try:
        found = oracle._find(task, oracle._kind(task))
    except OptallocError:
        return False
    if found is not None:
        oracle._take_off(task.name)
    return found is not None


@dataclass(frozen=True)
class _Row:
    """Where replicas of a task in one of its rows have room.

    Parameters
    ----------
    row
        Of the kind's problem.
    wanted, step
        Replicas of the task; those that come to a node come in this number.
    now : (nodes,)
        Replicas for which there is room on each node, whether it is open or not.
    empty : (entries,)
        The same on a node on which nothing runs.
    domain : (nodes,)
        All replicas run in one of them; -1 where none can.
    shut : (nodes,)
        Nodes that are closed.
    """

    row: int
    wanted: int
    step: int
    now: IntArray
    empty: IntArray
    domain: IntArray
    shut: BoolArray

    @property
    def sums(self) -> IntArray:
        """Replicas for which there is room in each domain, one by one."""
        there = (self.domain >= 0) & ~self.shut
        size = int(self.domain.max(initial=0)) + 1
        return np.bincount(self.domain[there], self.now[there], size).astype(np.int64)


@dataclass(frozen=True)
class _Choice:
    """Tasks to release, in this order.

    Parameters
    ----------
    number
        Of those whose release makes room; the others are in case that something else is in the way.
    amount
        What they use, in parts of the capacities.
    names
        The tasks.
    """

    number: int
    amount: float
    names: list[str]


def _covering(uses: Mapping[str, IntArray], left: IntArray, capacity: IntArray) -> str:
    """The smallest task that uses all that is short, else the one that uses most of it."""
    enough = [name for name, use in uses.items() if np.all(use >= left)]
    if enough:
        return min(enough, key=lambda name: float((uses[name] / capacity).sum()))
    helps = {n: float((np.minimum(use, left) / capacity).sum()) for n, use in uses.items()}
    name = max(helps, key=helps.__getitem__, default="")
    return name if helps.get(name) else ""


class _Search:
    """Looks for changes after which a task fits, on a copy of the oracle that it may use.

    Parameters
    ----------
    fork
        As it was after every try.
    task
        Which is refused.
    kind
        The task's, on the copy.
    """

    def __init__(self, fork: Oracle, task: Task, kind: Kind) -> None:
        self.fork, self.task, self.kind = fork, task, kind
        self.columns = kind.problem.columns
        self.rows = [self._row(row) for row in range(*self.columns.row_start[-2:].tolist())]

    def _row(self, row: int) -> _Row:
        problem, columns, ground = self.kind.problem, self.columns, self.kind.ground
        wanted, rows = int(columns.row_replicas[row]), np.array([row])
        step, within = max(int(columns.row_per_node[row]), 1), int(columns.row_within[row])
        empty = room(problem, rows, empty_sites(problem), np.array([wanted]))[0]
        if share := self._share(row):
            first = columns.node_start[:-1]
            devices = Devices(ground.instance)
            empty = np.minimum(empty, devices.room_of(share.parts[first], share.memory, first))
        if within >= 0:
            domain = problem.anchors(within).domain
        else:
            domain = np.zeros(columns.nodes, np.int64)
        shaped = int(columns.row_per_node[row]) or wanted
        now = np.minimum(room_now(self.kind, row), shaped)
        empty = np.minimum(empty, shaped)
        return _Row(
            row=row,
            wanted=wanted,
            step=step,
            now=now // step * step,
            empty=empty // step * step,
            domain=domain,
            shut=ground.closed,
        )

    def _share(self, row: int) -> Share | None:
        return self.kind.state.shares[row] if self.kind.state.shares else None

    # -- nodes that are closed -----------------------------------------------------------------

    def opened(self) -> Remedy | None:
        """A closed node that would be enough."""
        most = np.max([row.now for row in self.rows], axis=0)
        closed = np.flatnonzero(self.fork.ground.closed & (most > 0))
        best = closed[np.argsort(-most[closed], kind="stable")][:TRIES]
        for name in [self.columns.node_names[n] for n in best.tolist()]:
            self.fork.reopen(name)
            fits = _fits(self.fork, self.task)
            self.fork.close(name)
            if fits:
                return Remedy(words=f"open node {name}", reopen=(name,))
        return None

    # -- tasks that run ------------------------------------------------------------------------

    def released(self) -> Remedy | None:
        """A few tasks whose release would be enough, none of them in vain."""
        found = [
            choice
            for row in self.rows[:ROWS]
            for choice in (self._one_by_one(row) if row.wanted == 1 else self._over_nodes(row))
        ]
        for choice in sorted(found, key=lambda choice: (choice.number, choice.amount))[:TRIES]:
            if enough := self._least(choice.names):
                return Remedy(words=f"release {', '.join(enough)}", release=tuple(enough))
        return None

    def _short(self, row: _Row) -> tuple[IntArray, IntArray]:
        """What nodes lack for one more step of replicas, (nodes, resources), the closest first."""
        columns, ground = self.columns, self.kind.ground
        every = np.arange(columns.nodes)
        target = row.step if row.wanted == 1 else row.now + row.step
        short = np.zeros((columns.nodes, len(columns.resources)), np.int64)
        free = ground.free()
        for i in sorted(self.kind.problem.hard_resources):
            need = columns.demand[i].at(np.array([row.row]), every)
            short[:, i] = np.where(need > 0, np.maximum(need * target - free[:, i], 0), 0)
        part = (short / np.maximum(ground.capacity, 1)).sum(axis=1)
        helps = ~row.shut & (row.domain >= 0) & (row.empty[columns.node_entry] >= target)
        nodes = np.flatnonzero(helps)
        return short, nodes[np.argsort(part[nodes], kind="stable")]

    def _one_by_one(self, row: _Row) -> Iterator[_Choice]:
        """Tasks to release for a single task, each choice on one node."""
        short, nodes = self._short(row)
        for n in nodes[:NODES].tolist():
            if choice := self._choice(n, short[n]):
                yield choice

    def _over_nodes(self, row: _Row) -> Iterator[_Choice]:
        """Tasks to release for a gang, on several nodes of the domain with most room."""
        short, nodes = self._short(row)
        sums = row.sums
        best = int(sums.argmax())
        missing, names, amount = row.wanted - int(sums[best]), dict[str, None](), 0.0
        for n in nodes[row.domain[nodes] == best][:NODES].tolist():
            if missing <= 0 or len(names) >= RELEASED:
                break
            if choice := self._choice(n, short[n]):
                names |= dict.fromkeys(choice.names[: choice.number])
                amount += choice.amount
                missing -= row.step
        if missing <= 0 and 0 < len(names) <= RELEASED:
            yield _Choice(len(names), amount, [*names])

    def _choice(self, node: int, short: IntArray) -> _Choice | None:
        """Choose tasks of a node that use what it is short of; None where a few do not."""
        capacity = np.maximum(self.kind.ground.capacity[node], 1)
        uses = {name: self._use(name, node) for name in self._on(node)}
        left, chosen, total = short.copy(), list[str](), 0.0
        while left.any():
            name = _covering(uses, left, capacity)
            if not name or len(chosen) == RELEASED:
                return None
            use = uses.pop(name)
            chosen.append(name)
            total += float((use / capacity).sum())
            left = np.maximum(left - use, 0)
        # Where a rule or the devices are in the way others have to go: of the same groups first.
        others = sorted(uses, key=self._stranger)[: RELEASED - len(chosen)]
        return _Choice(len(chosen), total, chosen + others)

    def _on(self, node: int) -> list[str]:
        return [*islice(self.fork._on.of(node), ON_NODE)]

    def _use(self, name: str, node: int) -> IntArray:
        """What a task uses of a node, (resources,)."""
        live, columns = self.fork._live[name], self.columns
        replicas = int(live.run.replicas[live.run.node == node].sum())
        if live.task.configurations or not _plain(live.task):
            problem = self.fork._kind(live.task).problem
            row = problem.choice_row[[live.run.choice]]
            each = [int(d.at(row, np.array([node]))[0]) for d in problem.columns.demand]
            return np.array(each, np.int64) * replicas
        # Many kinds run on a few nodes, and each takes long to formulate.
        use = np.zeros(len(columns.resources), np.int64)
        for resource, stated in live.task.demand.items():
            i = columns.resource_index[resource]
            if isinstance(stated, int | float):
                use[i] = upward(stated, columns.quantum_of_resource[i]) * replicas
        return use

    def _stranger(self, name: str) -> bool:
        """Whether a task shares no group with the one that is refused."""
        return {*self.task.groups}.isdisjoint(self.fork._live[name].task.groups)

    def _least(self, names: list[str]) -> list[str]:
        """Release tasks until it is enough, and keep those that need not go; none if never."""
        gone: list[Live] = []
        fits = False
        for name in names:
            gone.append(self.fork._live[name])
            self.fork._take_off(name)
            if fits := _fits(self.fork, self.task):
                break
        for one in [*gone[:-1]] if fits else ():
            self.fork._return([one])
            if _fits(self.fork, self.task):
                gone.remove(one)
            else:
                self.fork._take_off(one.task.name)
        self.fork._return(gone)
        return [one.task.name for one in gone] if fits else []

    # -- less ----------------------------------------------------------------------------------

    def lessened(self) -> Remedy | None:
        """The most of the task for which there is a place."""
        if self.task.configurations:
            return None
        (row,) = self.rows
        return self._fewer(row) if row.wanted > 1 else self._smaller(row)

    def _fewer(self, row: _Row) -> Remedy | None:
        """Fewer replicas."""
        steps, least, found = min(int(row.sums.max()), row.wanted - 1) // row.step, 0, None
        most = steps
        while least < most:
            # Where replicas have room one by one they mostly have it together.
            tried = most if most == steps else -(-(least + most) // 2)
            made = replace(self.task, replicas=tried * row.step, current=None)
            if _fits(self.fork, made):
                least, found = tried, made
            else:
                most = tried - 1
        if found is None:
            return None
        words = f"ask for {counted(found.replicas, 'replica')} instead of {row.wanted:,}"
        return Remedy(words=words, task=found)

    def _smaller(self, row: _Row) -> Remedy | None:
        """Less of one resource."""
        for name, asked in self.task.demand.items():
            i = self.columns.resource_index[name]
            if (
                isinstance(asked, int | float)
                and asked > 0
                and i in self.kind.problem.hard_resources
            ):
                most = self._most(row, name)
                amounts = most * self.columns.quantum_of_resource[i]
                less = float(amounts)
                if not 0 < less < asked:
                    continue
                demand = {**self.task.demand, name: int(less) if less.is_integer() else less}
                made = replace(self.task, demand=demand)
                if _fits(self.fork, made):
                    asked_for = f"{amount(self.columns, i, most)} {name}"
                    words = f"ask for {asked_for} instead of {number(asked)}"
                    return Remedy(words=words, task=made)
        return None

    def _most(self, row: _Row, name: str) -> int:
        """The most of a resource, in quanta, where there is room for all else of the replica."""
        i, free = self.columns.resource_index[name], self.kind.ground.free()
        limit, share = free[:, i].copy(), self._share(row.row)
        devices = self.kind.ground.devices
        if name == DEVICE and share and devices:
            at_all = devices.free * (devices.memory >= share.memory)
            whole = (at_all == WHOLE).sum(axis=1) * WHOLE
            part = np.minimum(at_all.max(axis=1), WHOLE - 1)
            limit = np.where((share.parts >= WHOLE) & (whole > 0), whole, part)
        free[:, i] = self.kind.ground.capacity[:, i].max() + self.columns.demand[i].at(
            np.array([row.row]), np.arange(self.columns.nodes)
        )
        fits = room_now(self.kind, row.row, free, devices=name != DEVICE) > 0
        fits &= ~row.shut & ~ruled_out(self.kind, row.row)
        return int(limit[fits].max(initial=0))

    # -- more nodes ----------------------------------------------------------------------------

    def joined(self) -> Remedy | None:
        """Fewest nodes like one of the cluster's that would be enough."""
        if NODE in self.task.allow:
            return None
        found: list[tuple[int, float, int, _Row]] = []
        for row in self.rows:
            many = self._joining(row)
            size = self._sizes()
            if (there := np.flatnonzero(many)).size:
                best = int(there[np.lexsort((size[there], many[there]))[0]])
                found.append((int(many[best]), float(size[best]), best, row))
        if not found:
            return None
        many_, _, entry, row = min(found, key=lambda one: one[:3])
        like = self.columns.instance.nodes[entry]
        node = replace(like, name=self._new_name(like.name), count=many_)
        if not self._counts(row, node):
            return None
        return Remedy(words=f"add {counted(many_, 'node')} like {like.name}", add=(node,))

    def _joining(self, row: _Row) -> IntArray:
        """How many nodes like those of each entry are enough, by their room; 0 for none."""
        columns = self.columns
        domain, sums = row.domain[columns.node_start[:-1]], row.sums
        alone = self._within(row) == NODE
        have = np.zeros(domain.size, np.int64) if alone else sums[np.maximum(domain, 0)]
        lacks = np.maximum(row.wanted - have, 1)
        many = -(-lacks // np.maximum(row.empty, 1))
        useful = (row.empty > 0) & (domain >= 0) & ~(alone & (many > 1))
        return np.where(useful, many, 0)

    def _within(self, row: _Row) -> str:
        scope = int(self.columns.row_within[row.row])
        return self.columns.within_scopes[scope] if scope >= 0 else ""

    def _sizes(self) -> IntArray:
        capacity = self.columns.capacity
        return np.asarray((capacity / np.maximum(capacity.max(axis=0), 1)).sum(axis=1))

    def _new_name(self, name: str) -> str:
        taken = {node.name for node in self.columns.instance.nodes}
        index = self.columns.node_index
        names = (f"{name}-{k}" for k in count(1))
        return next(n for n in names if n not in taken | index.keys() and f"{n}/0" not in index)

    def _counts(self, row: _Row, node: Node) -> bool:
        """Whether nodes that join are enough: by their room alone, or by trial."""
        fork = self.fork
        if self._only_room() and row.sums.max() < row.wanted:
            return True
        if self.columns.nodes + fork.running > REBUILT:
            return False
        trial = fork.fork()
        try:
            trial.add_nodes(node)
        except OptallocError:
            return False
        return _fits(trial, self.task)

    def _only_room(self) -> bool:
        """Whether capacities and devices are the only rules, and nothing is stated by node."""
        objective = self.fork.ground.objective
        rooms = all(
            isinstance(p, Capacity | Labels | Gangs)
            or not (p.hard or p.at_most is not None or p.at_least is not None)
            for p in objective.policies
        )
        return rooms and all(_plain(t) for t in (self.task, *self._running()))

    def _running(self) -> Iterator[Task]:
        return (live.task for live in self.fork._live.values())


def _plain(task: Task) -> bool:
    """Whether a task states one number for all nodes wherever it could state several."""
    if isinstance(task.configurations, str):
        return False
    stated = [*task.demand.values(), task.cost, task.delay_s]
    for row in task.configurations:
        stated += row.demand.values()
    return all(isinstance(value, int | float) for value in stated)
