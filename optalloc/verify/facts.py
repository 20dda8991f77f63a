"""What a placement amounts to: loads, nodes in use, moves, groups in domains.

Everything is computed from the instance and the placed pairs, on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.instance.columns import Columns
from optalloc.instance.model import NODE, Instance
from optalloc.instance.placement import Placement
from optalloc.instance.quanta import LARGEST, QuantityOverflow

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Scope:
    """The domains of a scope.

    Parameters
    ----------
    names
        Names of the domains.
    domain : (nodes,)
        Domain of each concrete node; -1 for none.
    """

    names: tuple[str, ...]
    domain: IntArray


@dataclass(frozen=True)
class GroupCounts:
    """Replicas of groups by domain, where there are any; sorted by group, then domain.

    Parameters
    ----------
    group, domain, replicas : (found,)
        Index of the group, index of the domain, number of replicas (at least 1).
    """

    group: IntArray
    domain: IntArray
    replicas: IntArray


@dataclass(frozen=True)
class Facts:
    """An instance, a well-formed placement and what follows from them.

    "Pairs" below are the placed (row, node) pairs of the placement, in its order.
    """

    instance: Instance
    placement: Placement

    @property
    def columns(self) -> Columns:
        """The instance as integers."""
        return self.instance.columns

    @cached_property
    def task(self) -> IntArray:
        """Task entry of each pair."""
        return np.asarray(self.columns.row_task[self.placement.row], np.int64)

    @cached_property
    def tasks_placed(self) -> IntArray:
        """Number of tasks of each entry that are placed."""
        return sums(self.columns.tasks, self.columns.row_task, self.placement.chosen)

    @cached_property
    def nodes_in_use(self) -> IntArray:
        """Nodes that host at least one replica."""
        return np.unique(self.placement.node)

    @cached_property
    def capacity(self) -> IntArray:
        """Capacity of each concrete node, (nodes, resources)."""
        return self.columns.capacity[self.columns.node_entry]

    @cached_property
    def load(self) -> IntArray:
        """Sum of demand * replicas on each concrete node, (nodes, resources)."""
        placed = self.placement
        load = np.zeros((self.columns.nodes, len(self.columns.resources)), np.int64)
        for r, demand in enumerate(self.columns.demand):
            amounts = products(demand.at(placed.row, placed.node), placed.replicas)
            load[:, r] = sums(self.columns.nodes, placed.node, amounts)
        return load

    @cached_property
    def arrivals(self) -> IntArray:
        """Replicas of each pair beyond those of its task that run on the node now.

        Where an entry has several rows on one node, replicas stay in the order of its rows.
        """
        width, placed, columns = self.columns.nodes, self.placement, self.columns
        key = self.task * width + placed.node
        order = np.argsort(key, kind="stable")
        key, replicas = key[order], placed.replicas[order]
        upto = np.cumsum(replicas)
        start = np.searchsorted(key, key)
        upto -= (upto - replicas)[start]
        running_key, inverse = np.unique(
            columns.current_task * width + columns.current_node, return_inverse=True
        )
        running = sums(running_key.size, inverse, columns.current_replicas)
        pair, found = join(key, running_key)
        stays = np.zeros(key.size, np.int64)
        stays[pair] = running[found]
        excess = np.maximum(upto - stays, 0) - np.maximum(upto - replicas - stays, 0)
        arrivals: IntArray = np.empty_like(excess)
        arrivals[order] = excess
        return arrivals

    @cached_property
    def moved(self) -> IntArray:
        """Replicas of each pair that have moved: arrivals of tasks that run somewhere now."""
        runs_now = np.zeros(self.columns.tasks, bool)
        runs_now[self.columns.current_task] = True
        return np.where(runs_now[self.task], self.arrivals, np.int64(0))

    @cached_property
    def _memberships(self) -> tuple[IntArray, IntArray]:
        """Task entry and group of every membership, each once, sorted by task."""
        columns = self.columns
        width = max(columns.groups, 1)
        key = np.unique(columns.membership_task * width + columns.membership_group)
        return key // width, key % width

    def groups_of_pairs(self) -> tuple[IntArray, IntArray]:
        """All (pair, group) whose task is a member of the group."""
        member, group = self._memberships
        pair, membership = join(self.task, member)
        return pair, group[membership]

    def members(self) -> tuple[IntArray, IntArray]:
        """All (task entry, group) memberships."""
        return self._memberships

    def select_groups(self, names: tuple[str, ...], kind: str) -> NDArray[np.bool_]:
        """Which groups have one of the names (any without names) and the kind (if any)."""
        return np.array(
            [
                (not names or group.name in names) and kind in ("", group.kind)
                for group in self.instance.groups
            ],
            bool,
        )

    def scope(self, name: str) -> Scope:
        """Domains of a scope, from what the nodes state."""
        if name == NODE:
            return Scope(self.columns.node_names, np.arange(self.columns.nodes, dtype=np.int64))
        known: dict[str, int] = {}
        stated = [node.domains.get(name) for node in self.instance.nodes]
        index = [-1 if d is None else known.setdefault(d, len(known)) for d in stated]
        return Scope(tuple(known), np.array(index, np.int64)[self.columns.node_entry])

    def count_groups(self, scope: Scope) -> GroupCounts:
        """Count the replicas of each group in each domain; nodes in no domain are left out."""
        pair, group = self.groups_of_pairs()
        domain = scope.domain[self.placement.node[pair]]
        inside = domain >= 0
        pair, group, domain = pair[inside], group[inside], domain[inside]
        width = max(len(scope.names), 1)
        key, inverse = np.unique(group * width + domain, return_inverse=True)
        replicas = sums(key.size, inverse, self.placement.replicas[pair])
        return GroupCounts(key // width, key % width, replicas)


def products(numbers: IntArray, counts: IntArray) -> IntArray:
    """Multiply two arrays that broadcast, so that any sum of the products is exact.

    Raises
    ------
    QuantityOverflow
        If the absolute products sum to more than 2**62.
    """
    size = float(np.abs(numbers.astype(np.float64) * counts).sum())
    if size > LARGEST:
        raise QuantityOverflow(f"a total of {size:.3g} quanta, more than 2**62")
    return np.asarray(numbers * counts, np.int64)


def total(numbers: IntArray, counts: IntArray) -> int:
    """Sum ``numbers * counts`` exactly."""
    return int(products(numbers, counts).sum())


def sums(size: int, index: IntArray, amounts: IntArray) -> IntArray:
    """Sum amounts by index, (size,)."""
    answer = np.zeros(size, np.int64)
    np.add.at(answer, index, amounts)
    return answer


def join(left: IntArray, right: IntArray) -> tuple[IntArray, IntArray]:
    """All positions (i, j) with ``left[i] == right[j]``, sorted by i; `right` is sorted."""
    first = np.searchsorted(right, left, side="left")
    matches = np.searchsorted(right, left, side="right") - first
    i = np.repeat(np.arange(left.size, dtype=np.int64), matches)
    before = np.cumsum(matches) - matches
    return i, first[i] + np.arange(i.size, dtype=np.int64) - before[i]
