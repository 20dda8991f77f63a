"""The record of a problem whose tasks and nodes come and go.

What is there is a part of the record. All of it lies in one block of memory, with those tables that
depend on what is there: a fork is a copy of the block, and the compiled search knows of nothing. It
follows lists of nodes in which closed ones are not, and takes absent tasks for tasks of a class
that has no choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local import changing, counters, dense, walk, whole
from optalloc.engines.local.frame import Frame
from optalloc.engines.local.packing import Bytes, lay_out, pack
from optalloc.engines.local.placed import HISTORY, Placed
from optalloc.engines.local.rows import least_unary
from optalloc.engines.local.scene import Scene
from optalloc.engines.local.state import NOWHERE, State, new_state
from optalloc.engines.local.tables import NO_HOME
from optalloc.engines.local.walk import LIMIT, VIOLATION, Walk, energy, new_walk

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]

OPEN, CLOSED, GONE = range(3)
"""States of a node: any replica may come, none may, it is not there."""
CHANGING = (
    "task_class",
    "allowed",
    "allow_end",
    "allow_node",
    "class_home",
    "base",
    "unary",
    "part_index",
    "entry_arrive",
)
"""Tables that depend on what is there."""
PENALTY = 2.0**40
"""Of a unit of violation, and of a unit above a limit: more than any quantity is worth."""


class Presence(NamedTuple):
    """What is there.

    Parameters
    ----------
    node : (N)
        State of each node.
    allow_at : (kinds, N)
        Place of each node in the list of nodes of a kind.
    free, following : (entries), (tasks)
        First absent task of each entry, and the one that follows each; -1 at the end.
    preceding : (tasks)
        The one before each, likewise.
    obliged, players : (owners), (owners)
        Tasks that bring about an owner's limit, or for which it plays in its fold.
    homes : (K)
        How many homes of each class are there.
    """

    node: Int32
    allow_at: Int32
    free: Int32
    following: Int32
    preceding: Int32
    obliged: Int32
    players: Int32
    homes: Int32


class Record:
    """A placement's record, and what is there.

    Every change costs what it touches: the replicas that it takes off, the rows of their nodes, and
    the terms of their classes. A fork copies the block: O(its size), which is that of the state.
    """

    def __init__(self, frame: Frame, like: dict[str, NDArray[Any]], block: Bytes) -> None:
        self.frame, self.block = frame, block
        self.arrays = views = lay_out(like, block)
        tables = frame.tables._replace(**_of("tables", views))
        state, walked = State(**_of("state", views)), Walk(**_of("walk", views))
        self.placed = Placed.of(tables, state, walked)
        self.presence = Presence(**_of("presence", views))

    @classmethod
    def new(cls, frame: Frame, seed: int) -> Record:
        """Make the record in which everything is there, and nothing is placed."""
        tables = frame.tables
        changing_ = {name: getattr(tables, name) for name in CHANGING}
        arrays = {
            **_named("tables", changing_),
            **_named("state", new_state(tables)._asdict()),
            **_named("walk", new_walk(tables, seed)._asdict()),
            **_named("presence", _everything(frame)._asdict()),
        }
        made = cls(frame, arrays, pack(arrays))
        made.placed.walk.setting[[VIOLATION, LIMIT]] = PENALTY
        made.placed.go(None)
        return made

    def fork(self) -> Record:
        """Copy what changes, and share what does not."""
        return Record(self.frame, self.arrays, self.block.copy())

    # -- nodes ---------------------------------------------------------------------------------

    def tasks_on(self, n: int) -> list[int]:
        """Tasks with a replica on a node."""
        found, slot = {}, int(self.placed.state.first[n])
        while slot >= 0:
            found[int(self.placed.tables.slot_task[slot])] = True
            slot = int(self.placed.state.later[slot])
        return list(found)

    def set_node(self, n: int, wanted: int) -> None:
        """Open or close a node, or take it away; none may be on it then."""
        now = self.presence.node[n]
        if now == GONE:
            self._there(n, True)
        if wanted == GONE:
            assert self.placed.state.first[n] < 0
            self._there(n, False)
        if (now == OPEN) != (wanted == OPEN):
            self._list(n, wanted == OPEN)
        self.presence.node[n] = wanted

    def _list(self, n: int, listed: bool) -> None:
        """Put a node into the lists of the kinds that labels allow it, or take it out."""
        tables, at = self.placed.tables, self.presence.allow_at
        for kind in np.flatnonzero(self.frame.tables.allowed[:, n]).tolist():
            # Behind the end of a list lie the nodes that are not in it: it changes by an exchange.
            end = int(tables.allow_end[kind]) - (0 if listed else 1)
            place, other = int(at[kind, n]), int(tables.allow_node[end])
            tables.allow_node[place], tables.allow_node[end] = other, n
            at[kind, other], at[kind, n] = place, end
            tables.allowed[kind, n] = listed
            tables.allow_end[kind] += 1 if listed else -1

    def _there(self, n: int, there: bool) -> None:
        """Bring back a node that was taken away, or take it away."""
        records = self.placed.compiled[:2]
        for constant in self.frame.constants:
            change = float(constant.value[n]) * (1 if there else -1)
            if change:
                counters.count_constant(*records, constant.family, int(constant.counter[n]), change)
        dense.empty_node(*records, n, there)
        for k in self.frame.classes_at(n):
            self.presence.homes[k] += 1 if there else -1
            if self.presence.homes[k] == (1 if there else 0):
                self._set_home(k, there)

    def _set_home(self, k: int, runs: bool) -> None:
        """Let a class run somewhere now, or nowhere: nothing of it moves then, wherever it goes."""
        frame, tables, state = self.frame, self.placed.tables, self.placed.state
        first, last = (int(tables.task_slot[task]) for task in frame.class_task[k : k + 2])
        placed = [(q, int(state.node[q])) for q in range(first, last) if state.node[q] >= 0]
        for slot, n in placed:
            changing.put(*self.placed.compiled[:2], slot, n, -1)
        stated, blocks = frame.tables, frame.blocks_of(k)
        for name in ("unary", "part_index"):
            mine, like = getattr(tables, name), getattr(stated, name)
            mine[:, 2 * blocks + 1] = like[:, 2 * blocks + runs]
        for block in blocks.tolist():
            entries = slice(stated.entry_start[block], stated.entry_start[block + 1])
            like = stated.entry_arrive if runs else stated.entry_stay
            tables.entry_arrive[entries] = like[entries]
        tables.class_home[k] = stated.class_home[k] if runs else NO_HOME
        for slot, n in placed:
            changing.put(*self.placed.compiled[:2], slot, n, 1)
        if "rows" in self.placed.__dict__:
            self.placed.rows.unary[blocks] = least_unary(tables, blocks)
            self.placed.rows.slot_home[first:last] = tables.class_home[k]

    # -- tasks ---------------------------------------------------------------------------------

    def is_there(self, task: int) -> bool:
        """Whether a task is there."""
        return bool(self.placed.tables.task_class[task] != self.frame.absent)

    def take_off(self, task: int) -> None:
        """Leave a task out."""
        if self.placed.state.choice[task] >= 0:
            whole.rechoose(*self.placed.compiled, task, -1)

    def put(self, task: int, choice: int, nodes: Sequence[int]) -> None:
        """Place a task that is left out; -1 stands for no replica."""
        records, first = self.placed.compiled[:2], int(self.placed.tables.task_slot[task])
        changing.choose(*records, task, choice)
        for i, n in enumerate(nodes):
            if n >= 0:
                changing.put(*records, first + i, n, 1)

    def remove(self, task: int) -> None:
        """Take a task away."""
        self.take_off(task)
        k = int(self.frame.tables.task_class[task])
        self._weigh(k, -1)
        self.placed.tables.task_class[task] = self.frame.absent
        free = self.presence
        entry = self.frame.entry_of(task)
        head = int(free.free[entry])
        free.free[entry], free.following[task], free.preceding[task] = task, head, -1
        if head >= 0:
            free.preceding[head] = task

    def add(self, task: int) -> None:
        """Bring an absent task back."""
        free, entry = self.presence, self.frame.entry_of(task)
        before, behind = int(free.preceding[task]), int(free.following[task])
        if behind >= 0:
            free.preceding[behind] = before
        if before >= 0:
            free.following[before] = behind
        else:
            free.free[entry] = behind
        k = int(self.frame.tables.task_class[task])
        self.placed.tables.task_class[task] = k
        self._weigh(k, 1)

    def _weigh(self, k: int, change: int) -> None:
        """Adjust what depends on how many tasks of a class there are, placed or not."""
        frame, tables, records = self.frame, self.placed.tables, self.placed.compiled[:2]
        self.placed.state.missing[0] += change * int(tables.class_required[k])
        # A number becomes 1 by the first that comes, and 0 by the last that goes.
        turned = 1 if change > 0 else 0
        for o in frame.obliged_by(k):
            self.presence.obliged[o] += change
            if self.presence.obliged[o] == turned:
                number = float(tables.owner_number[o])
                counters.oblige(*records, frame.family_of(o), o, number, change > 0)
        for o in frame.played_by(k):
            self.presence.players[o] += change
            if self.presence.players[o] == turned:
                counters.play(*records, o, change > 0)
        for h in frame.homes_of(k):
            now = change * frame.now(k, h)
            if now.any():
                dense.rebase_node(*records, int(tables.home_node[h]), now)

    def settle(self) -> None:
        """Forget the best placement, which may be none any more."""
        walk.forget(*self.placed.compiled)

    def place(self, task: int) -> bool:
        """Let a task run where, and in the choice in which, it costs the least; whether it does.

        One that need not be placed stays out where that is cheaper.
        """
        tables, records = self.placed.tables, self.placed.compiled
        k = int(tables.task_class[task])
        best, chosen = energy(*records), -1
        if tables.class_required[k]:
            best = np.inf
        for c in range(int(tables.class_choice[k]), int(tables.class_choice[k + 1])):
            if whole.may_run(records[0], c):
                self._run(task, c)
                if energy(*records) < best:
                    best, chosen = energy(*records), c
        if chosen != self.placed.state.choice[task]:
            self.take_off(task)
            if chosen >= 0:
                self._run(task, chosen)
        return chosen >= 0

    def _run(self, task: int, c: int) -> None:
        whole.rechoose(*self.placed.compiled, task, c)
        whole.place(*self.placed.compiled, task)

    # -- afresh --------------------------------------------------------------------------------

    def scene(self) -> Scene:
        """What is there and where. O(tasks, replicas and nodes), a few bytes each."""
        tables, state = self.placed.tables, self.placed.state
        there = tables.task_class != self.frame.absent
        copies = (array.copy() for array in (self.presence.node, state.choice, state.node))
        return Scene(self.frame, there, *copies)

    def go(self, scene: Scene) -> None:
        """Take what is not there away from a record of everything, and go to the placement."""
        # The first of an entry to be absent is the first to come.
        for task in np.flatnonzero(~scene.there)[::-1].tolist():
            self.remove(task)
        for n in np.flatnonzero(scene.node != OPEN).tolist():
            self.set_node(n, int(scene.node[n]))
        whole.load(*self.placed.compiled, scene.choice, scene.place)

    def back(self, scene: Scene) -> None:
        """Undo all that differs. O(what has changed), beside a look at all tasks and replicas."""
        now, slot_task = self.scene(), self.placed.tables.slot_task
        changed = (now.there != scene.there) | (now.choice != scene.choice)
        changed[slot_task[now.place != scene.place]] = True
        tasks = np.flatnonzero(changed).tolist()
        for task in tasks:
            self.take_off(task)
        for n in np.flatnonzero(now.node != scene.node).tolist():
            self.set_node(n, int(scene.node[n]))
        first = self.placed.tables.task_slot
        for task in tasks:
            if now.there[task] and not scene.there[task]:
                self.remove(task)
            if scene.there[task] and not now.there[task]:
                self.add(task)
            if scene.choice[task] >= 0:
                nodes = scene.place[first[task] : first[task + 1]]
                self.put(task, int(scene.choice[task]), nodes.tolist())
        self.settle()

    def recheck(self) -> None:
        """Make the record afresh and compare.

        Raises
        ------
        AssertionError
            When a part of the record is not what it says is there and placed; the message names it.
        """
        afresh = Record.new(self.frame, 0)
        afresh.go(self.scene())
        pairs = {
            **_both(self.placed.state, afresh.placed.state, HISTORY),
            **_both(self.placed.tables, afresh.placed.tables, ("allow_node",)),
            **_both(self.presence, afresh.presence, ("free", "following", "preceding", "allow_at")),
            "away": tuple(np.sort(r.placed.state.away[: r._away]) for r in (self, afresh)),
            "allow_node": tuple(r._listed() for r in (self, afresh)),
            "free": tuple(r._free() for r in (self, afresh)),
        }
        for name, (mine, new) in pairs.items():
            assert np.array_equal(mine, new), f"{name} is not what is there and placed"

    @property
    def _away(self) -> int:
        return int(self.placed.state.away_size[0])

    def _listed(self) -> NDArray[np.bool_]:
        """Which nodes are in the list of each kind."""
        tables = self.placed.tables
        listed = np.zeros_like(tables.allowed)
        for kind, (start, end) in enumerate(zip(tables.allow_start, tables.allow_end, strict=True)):
            listed[kind, tables.allow_node[start:end]] = True
        return listed

    def _free(self) -> IntArray:
        """Which tasks are in lists of absent ones."""
        found = []
        for head in self.presence.free.tolist():
            task = head
            while task >= 0:
                found.append(task)
                task = int(self.presence.following[task])
        return np.sort(np.array(found, np.int64))


def _everything(frame: Frame) -> Presence:
    tables = frame.tables
    tasks = tables.task_class.size
    kinds, nodes = tables.allowed.shape
    at = np.full((kinds, nodes), NOWHERE, np.int32)
    for kind, (start, end) in enumerate(zip(tables.allow_start, tables.allow_end, strict=True)):
        at[kind, tables.allow_node[start:end]] = np.arange(start, end)
    return Presence(
        np.full(nodes, OPEN, np.int32),
        at,
        np.full(frame.entries, -1, np.int32),
        np.full(tasks, -1, np.int32),
        np.full(tasks, -1, np.int32),
        _tasks_by_owner(frame, tables.obliged_start, tables.obliged_owner),
        _tasks_by_owner(frame, frame.player_start, frame.player),
        np.diff(tables.home_start).astype(np.int32),
    )


def _tasks_by_owner(frame: Frame, start: NDArray[Any], owner: NDArray[Any]) -> Int32:
    """Count the tasks of the classes for which owners are listed."""
    total = np.zeros(frame.tables.owner_bound.size, np.int32)
    np.add.at(total, owner, np.repeat(np.diff(frame.class_task), np.diff(start)))
    return total


def _named(record: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{record}.{name}": array for name, array in arrays.items()}


def _of(record: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    head = f"{record}."
    return {name[len(head) :]: array for name, array in arrays.items() if name.startswith(head)}


def _both(mine: NamedTuple, new: NamedTuple, but: tuple[str, ...]) -> dict[str, tuple[Any, Any]]:
    names = [name for name in mine._fields if name not in but]
    return {name: (getattr(mine, name), getattr(new, name)) for name in names}
