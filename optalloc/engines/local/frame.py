"""What never changes of a problem whose tasks and nodes come and go: its tables, read backwards.

The tables are those of the problem with all tasks and nodes; absent tasks are of one more class,
which has no choices: so no move takes them in, and nothing of them is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.tables import BASE, EXCESS, NO_HOME, OWNER, PARAMETER, Tables
from optalloc.engines.protocol import Unsupported
from optalloc.formulation.problem import Problem
from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Constant:
    """Counters that are something on each node where nothing runs, one a node.

    Parameters
    ----------
    family
        A family that contributes to them.
    counter, value : (nodes,)
        Counter of each node, and its constant.
    """

    family: int
    counter: IntArray
    value: FloatArray


class Frame:
    """Tables with everything there, and what is looked up in them when something comes or goes.

    Parameters
    ----------
    stated
        The instance as it was stated, perhaps with less tasks of some entries.
    problem
        A problem without merging: each task entry has classes of its own, in order.
    tables
        The problem's tables.

    Attributes
    ----------
    tables
        The tables with a class of absent tasks, the last one.
    absent
        That class.
    entry_task : (entries + 1,)
        First task of each entry of the instance.
    class_task : (classes + 2,)
        First task of each class.
    player_start, player : (classes + 2,), (pairs,)
        Owners that play in a fold by the smallest only while a task of a class is there.

    Raises
    ------
    Unsupported
        For a fold that cannot do without those who are absent.
    """

    def __init__(self, stated: Instance, problem: Problem, tables: Tables) -> None:
        classes = problem.task_classes
        copies = np.bincount(classes.task, classes.count, problem.columns.tasks)
        self.stated, self.problem = stated, problem
        self.absent = problem.classes
        self.entry_task = np.concatenate([[0], np.cumsum(copies)]).astype(np.int64)
        self.tables = _with_absent(tables)
        every = np.arange(self.absent + 2)
        self.class_task = np.searchsorted(tables.task_class, every).astype(np.int64)
        self.player_start, self.player = _players(self.tables)
        self._check_folds()
        self._check_base()

    @property
    def entries(self) -> int:
        """Task entries."""
        return self.entry_task.size - 1

    @property
    def nodes(self) -> int:
        """Nodes."""
        return int(self.tables.node_kind.size)

    def entry_of(self, task: int) -> int:
        """The entry of a task."""
        return int(np.searchsorted(self.entry_task, task, "right")) - 1

    def tasks_of(self, k: int) -> range:
        """The tasks of a class, absent or not."""
        return range(int(self.class_task[k]), int(self.class_task[k + 1]))

    def blocks_of(self, k: int) -> IntArray:
        """The blocks of a class."""
        t = self.tables
        return np.unique(t.choice_block[t.class_choice[k] : t.class_choice[k + 1]]).astype(np.int64)

    def homes_of(self, k: int) -> range:
        """Places of the homes of a class in `Tables.home_node`."""
        return range(int(self.tables.home_start[k]), int(self.tables.home_start[k + 1]))

    def obliged_by(self, k: int) -> list[int]:
        """Owners whose limit a task of a class brings about."""
        t = self.tables
        return list(map(int, t.obliged_owner[t.obliged_start[k] : t.obliged_start[k + 1]]))

    def played_by(self, k: int) -> list[int]:
        """Owners that play in a fold by the smallest only while a task of a class is there."""
        return list(map(int, self.player[self.player_start[k] : self.player_start[k + 1]]))

    def family_of(self, owner: int) -> int:
        """A family of the counters of an owner's `Tables.owner_whole`."""
        start = self.tables.family_start
        return int(np.searchsorted(start, self.tables.owner_whole[owner], "right")) - 1

    def classes_at(self, n: int) -> list[int]:
        """Classes that run on a node now."""
        start, classes = self._by_home
        return list(map(int, classes[start[n] : start[n + 1]]))

    @cached_property
    def _by_home(self) -> tuple[IntArray, IntArray]:
        t = self.tables
        of_home = np.repeat(np.arange(self.absent + 1), np.diff(t.home_start))
        order = np.argsort(t.home_node, kind="stable")
        start = np.searchsorted(t.home_node[order], np.arange(self.nodes + 1))
        return start.astype(np.int64), of_home[order].astype(np.int64)

    def runs(self, k: int, h: int) -> int:
        """Replicas of each task of a class that run at one of its homes now."""
        return int(self.tables.home_running[h]) // len(self.tasks_of(k))

    def shares_homes(self, k: int) -> bool:
        """Whether it is not told which of several tasks of a class runs where."""
        t, count = self.tables, len(self.tasks_of(k))
        uneven = any(int(t.home_running[h]) % count for h in self.homes_of(k))
        return count > 1 and bool(self.homes_of(k)) and (t.class_home[k] < 0 or uneven)

    def charged_by_origin(self, k: int) -> bool:
        """Whether what the moves of a class cost depends on where it runs now."""
        t, blocks = self.tables, self.blocks_of(k)
        return bool(np.any(t.part_index[:, 2 * blocks] != t.part_index[:, 2 * blocks + 1]))

    def now(self, k: int, h: int) -> FloatArray:
        """What a task of a class adds to the base of one of its homes, by dense dimension.

        What runs now is in the base of the dimensions to which staying adds nothing.
        """
        t = self.tables
        kind, block = t.node_kind[t.home_node[h]], t.choice_block[t.class_choice[k]]
        arriving = t.size[kind, 2 * block + 1] - t.size[kind, 2 * block]
        return np.asarray(arriving * self.runs(k, h), np.float64)

    @cached_property
    def constants(self) -> list[Constant]:
        """The counters of nodes that are something without any replica.

        Raises
        ------
        Unsupported
            For such counters that are not one for each node.
        """
        t, found = self.tables, []
        for f, start in enumerate(t.family_start.tolist()):
            size = int(t.family_half[f])
            rows = t.rows_of(f)
            if not rows[:, BASE].any() or (f > 0 and t.family_start[f - 1] == start):
                continue
            rows = np.repeat(rows, t.family_width[f], axis=0)[:size]
            domain, base, parameter = (
                t.domain[t.family_domain[f]],
                rows[:, BASE],
                rows[:, PARAMETER],
            )
            excess = t.family_shape[f] == EXCESS and not np.any(parameter < 0)
            if not excess or not np.array_equal(np.sort(domain), np.arange(size)):
                raise Unsupported("a constant that does not go with its node")
            found.append(Constant(f, start + domain.astype(np.int64), base[domain]))
        return found

    def _check_folds(self) -> None:
        """Owners without tasks must not decide a fold, unless a choice says that they are there."""
        t = self.tables
        outer = t.term_outer[t.owner_term[t.counter_row[:, OWNER].astype(np.int64)]]
        of_choices = np.any((outer[t.family_row] < 0) & (t.family_domain >= 0))
        if of_choices or np.any(t.counter_row[outer != 0, BASE]):
            raise Unsupported("a largest or smallest that depends on what is not there")

    def _check_base(self) -> None:
        """What runs now must be all that is in the base of dimensions for arrivals."""
        t = self.tables
        arrivals = np.any(t.size[:, 1:-1:2] != t.size[:, 0:-1:2], axis=(0, 1))
        of_home = np.repeat(np.arange(self.absent + 1), np.diff(t.home_start))
        kind, block = t.node_kind[t.home_node], t.choice_block[t.class_choice[of_home]]
        now = (t.size[kind, 2 * block + 1] - t.size[kind, 2 * block]) * t.home_running[:, None]
        base = t.base.copy()
        np.subtract.at(base, t.home_node, now)
        if base[:, arrivals].any():
            raise Unsupported("a constant that does not go with what runs now")


def _players(t: Tables) -> tuple[IntArray, IntArray]:
    """Owners, by class, that play in folds by the smallest while a task of the class is there."""
    of_class = np.repeat(np.arange(t.chosen_start.size - 1), np.diff(t.chosen_start))
    owner = t.counter_row[t.chosen_row, OWNER].astype(np.int64)
    folded = t.term_outer[t.owner_term[owner]] < 0
    pairs = np.unique(np.stack([of_class[folded], owner[folded]], axis=1), axis=0)
    start = np.searchsorted(pairs[:, 0], np.arange(t.chosen_start.size))
    return start.astype(np.int64), pairs[:, 1].astype(np.int64)


def _with_absent(tables: Tables) -> Tables:
    """Give tables a class of tasks that are not there."""

    def again(start: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.append(start, start[-1])

    return tables._replace(
        class_required=np.append(tables.class_required, False),
        class_choice=again(tables.class_choice),
        home_start=again(tables.home_start),
        class_home=np.append(tables.class_home, np.int32(NO_HOME)),
        chosen_start=again(tables.chosen_start),
        obliged_start=again(tables.obliged_start),
    )
