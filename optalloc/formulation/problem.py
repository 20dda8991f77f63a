"""A problem: the decisions and terms that an instance and an objective ask for, solver-free.

Decisions are ``x[block, node]``, replicas of a block on a node, and ``y[choice]``, tasks of a
class that run in a row. A block holds the choices of a class that look alike from every node
(equal demands, cost and allowed nodes), so that which of them is chosen does not matter to the
nodes (each choice has its own where it matters which replicas stay first, see `contested`). A row
whose replicas stay within one domain of a scope has a choice for each domain, its *anchor*:
``sum over nodes of x[b, n] = sum over choices c of b of replicas[c] * y[c]``, and
``sum over choices of a class of y = count`` (at most, for optional tasks).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.choices import Anchors, make_choices
from optalloc.formulation.classes import (
    NodeClasses,
    TaskClasses,
    merge_nodes,
    merge_tasks,
    sees_no_tasks,
    unit_demand,
)
from optalloc.formulation.placing import allowed_entries
from optalloc.formulation.terms import Membership, Metric
from optalloc.instance.columns import Columns
from optalloc.instance.model import Instance
from optalloc.objective import Objective

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """The columns x: where each block may place replicas.

    Parameters
    ----------
    block, node : (pairs,)
        Sorted by block, then node; a home node can appear twice (staying, arriving).
    stays : (pairs,)
        Replicas that run there now and stay: they do not arrive.
    upper : (pairs,)
        Largest number of replicas.
    """

    block: IntArray
    node: IntArray
    stays: BoolArray
    upper: IntArray


class Problem:
    """The formulation of an instance under an objective.

    Parameters
    ----------
    instance, objective
        What to formulate.
    merge
        Merge identical tasks and nodes where that is exact.

    Attributes
    ----------
    task_classes, node_classes
        What was merged.
    choice_class, choice_row, choice_block, choice_replicas : (choices,)
        Class, representative row, block and replicas of each y.
    choice_anchor : (choices,)
        The domain, of its row's scope, in which all replicas run; -1 anywhere.
    class_required : (classes,)
        Whether every task of the class must be placed.
    block_class, block_row, block_anchor : (blocks,)
        Class (one of them, where classes share blocks), representative row and anchor.
    """

    def __init__(self, instance: Instance, objective: Objective, merge: bool = True) -> None:
        self.instance = instance
        self.objective = objective
        self.columns: Columns = instance.columns
        active = [objective.policies[i] for i in self.active]
        self.allowed = allowed_entries(self.columns)
        self.task_classes: TaskClasses = merge_tasks(self.columns, self.allowed, active, merge)
        self.node_classes: NodeClasses = merge_nodes(self.columns, self.allowed, active, merge)
        self.joint = merge and self.columns.shaped and sees_no_tasks(self.columns, active)
        """Whether classes share blocks: nothing but the choices tells them apart."""
        self._anchors: dict[int, Anchors] = {}
        self._make_choices()

    @cached_property
    def active(self) -> tuple[int, ...]:
        """Policies that the engines must know: hard rules, limits and those in a level."""
        in_levels = {i for level in self.objective.levels for _, i in level.factors}
        return tuple(
            i
            for i, policy in enumerate(self.objective.policies)
            if i in in_levels
            or policy.hard
            or policy.at_most is not None
            or policy.at_least is not None
        )

    @property
    def classes(self) -> int:
        """Number of task classes."""
        return int(self.task_classes.task.size)

    @property
    def nodes(self) -> int:
        """Number of nodes of the problem (classes where identical nodes are merged)."""
        return int(self.node_classes.node.size)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.block_row.size)

    @property
    def choices(self) -> int:
        """Number of choices."""
        return int(self.choice_row.size)

    def _make_choices(self) -> None:
        columns, classes = self.columns, self.task_classes
        made = make_choices(self)
        self.choice_class, self.choice_row, self.choice_anchor = made
        self.choice_replicas = columns.row_replicas[self.choice_row]
        signature = [d.signature(self.choice_row) for d in (*columns.demand, columns.cost)]
        signature.append(self.allowed.row_kind[self.choice_row, None])
        offset = self.choice_row - columns.row_start[classes.task[self.choice_class]]
        number = np.where(self.contested[self.choice_class], offset, 0)
        scope = np.where(self.choice_anchor >= 0, columns.row_within[self.choice_row], -1)
        share = columns.row_per_node[self.choice_row]
        # Shares of tasks of different sizes could not always be dealt out.
        size = np.where(share > 0, self.choice_replicas, 0)
        of_class = np.zeros_like(self.choice_class) if self.joint else self.choice_class
        keys = [of_class, number, scope, self.choice_anchor, share, size]
        kinds = np.concatenate([np.stack(keys, axis=1), *signature], axis=1)
        _, first, block = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        self.choice_block = block.ravel().astype(np.int64)
        self.block_row = self.choice_row[first]
        self.block_class = self.choice_class[first]
        self.block_anchor = self.choice_anchor[first]
        self.class_required = columns.required[classes.task]
        choices = np.bincount(self.choice_class, minlength=self.classes)
        self.fixed = self.class_required & (choices == 1)
        """Classes whose only choice is made: no y is needed."""

    @cached_property
    def choice_of_row(self) -> IntArray:
        """The only choice of each representative row; -1 for others and for anchored rows."""
        found = np.full(self.columns.rows, -1, np.int64)
        loose = np.flatnonzero(self.columns.row_within[self.choice_row] < 0)
        # Classes split from one entry share its rows: none of their choices is the only one.
        rows, first, count = np.unique(
            self.choice_row[loose], return_index=True, return_counts=True
        )
        found[rows[count == 1]] = loose[first[count == 1]]
        return found

    def anchored_choice(self, row: IntArray, domain: IntArray) -> IntArray:
        """The choice of representative rows that is anchored at some domains; -1 for none."""
        anchored = np.flatnonzero(self.choice_anchor >= 0)
        width = int(self.choice_anchor.max(initial=0)) + 2
        key = self.choice_row[anchored] * width + self.choice_anchor[anchored]
        order = np.argsort(key, kind="stable")
        wanted = row * width + domain
        at = np.minimum(np.searchsorted(key[order], wanted), max(key.size - 1, 0))
        matches = (domain >= 0) & (key[order][at] == wanted) & (domain < width)
        return np.where(matches, anchored[order][at], -1)

    @property
    def shaped(self) -> bool:
        """Whether some row says where its replicas lie to one another."""
        return self.columns.shaped

    def nodes_of(self, block: int) -> IntArray:
        """Nodes on which a block may place replicas: by labels, and within its anchor."""
        row, anchor = self.block_row[block], self.block_anchor[block]
        mask = self._node_mask[self.allowed.row_kind[row]]
        if anchor < 0:
            return np.flatnonzero(mask)
        inside = self.anchors(int(self.columns.row_within[row])).nodes_of(int(anchor))
        return np.asarray(inside[mask[inside]], np.int64)

    @cached_property
    def _node_mask(self) -> BoolArray:
        """Whether rows of each kind of labels may use each node, (kinds, nodes)."""
        return self.allowed.mask[:, self.columns.node_entry[self.node_classes.node]]

    def anchors(self, scope: int) -> Anchors:
        """The domains of one of `Columns.within_scopes`."""
        if scope not in self._anchors:
            count, domain = self.domains(self.columns.within_scopes[scope])
            self._anchors[scope] = Anchors(count, domain)
        return self._anchors[scope]

    @cached_property
    def pool(self) -> IntArray:
        """The first class of each class's entry: classes split from an entry share its homes."""
        _, first, pool = np.unique(self.task_classes.task, return_index=True, return_inverse=True)
        return np.asarray(first[pool.ravel()], np.int64)

    @cached_property
    def contested(self) -> BoolArray:
        """Classes with a home where replicas of different rows can meet.

        As many of them stay as run there now; those of earlier rows stay first.
        """
        columns, tasks = self.columns, self.task_classes.task
        rows = columns.row_start[tasks + 1] - columns.row_start[tasks]
        split = np.bincount(self.pool, minlength=self.classes)[self.pool] > 1
        several = (self.task_classes.count > 1) & (rows > 1) | split
        return np.asarray(several & np.isin(tasks, columns.current_task), bool)

    # -- what goals ask ------------------------------------------------------------------------

    def domains(self, scope: str) -> tuple[int, IntArray]:
        """Number of domains of a scope and the domain of each node (-1: none)."""
        names, of_node = self.columns.scope(scope)
        if scope == "node":
            return self.nodes, np.arange(self.nodes, dtype=np.int64)
        return len(names), of_node[self.node_classes.node]

    def everywhere(self) -> IntArray:
        """All nodes in one domain."""
        return np.zeros(self.nodes, np.int64)

    def membership(self, groups: Iterable[int]) -> Membership:
        """Find the classes of some groups; part i is the i-th of them (repeats are allowed)."""
        columns = self.columns
        chosen = np.array(list(groups), np.int64)
        by_group = np.argsort(chosen, kind="stable")
        member, part = _join(columns.membership_group, chosen[by_group])
        task, part = columns.membership_task[member], by_group[part]
        order = np.argsort(task, kind="stable")
        task, part = task[order], part[order]
        classes, index = _join(self.task_classes.task, task)
        return Membership(int(chosen.size), classes, part[index])

    def each_class(self) -> Membership:
        """Every class a part of its own."""
        every = np.arange(self.classes, dtype=np.int64)
        return Membership(self.classes, every, every)

    def count_per_group(self, groups: Iterable[int]) -> IntArray:
        """Most replicas that each of some groups can have."""
        member = self.membership(groups)
        total = np.zeros(member.parts, np.int64)
        np.add.at(total, member.part, self.most_replicas[member.task_class])
        return total

    @cached_property
    def most_replicas(self) -> IntArray:
        """Most replicas that each class can have."""
        most = np.zeros(self.classes, np.int64)
        np.maximum.at(most, self.choice_class, self.choice_replicas)
        return most * self.task_classes.count

    @cached_property
    def block_tasks(self) -> IntArray:
        """Most tasks that each block can have: all of its classes."""
        pairs = np.unique(np.stack([self.choice_block, self.choice_class]), axis=1)
        most = np.zeros(self.blocks, np.int64)
        np.add.at(most, pairs[0], self.task_classes.count[pairs[1]])
        return most

    @cached_property
    def block_most(self) -> IntArray:
        """Most replicas that each block can have."""
        if not self.joint:
            return self.most_replicas[self.block_class]
        pairs = np.unique(np.stack([self.choice_block, self.choice_class]), axis=1)
        most = np.zeros(self.blocks, np.int64)
        np.add.at(most, pairs[0], self.most_replicas[pairs[1]])
        return most

    @cached_property
    def capacity(self) -> IntArray:
        """Capacity of each node (all nodes of a merged one together), (nodes, resources)."""
        capacity = self.columns.capacity[self.columns.node_entry[self.node_classes.node]]
        merged = self.node_classes.count[:, None]
        if np.all(merged == 1):
            return capacity
        demand = np.array([max(int(d.base.max()), 1) for d in self.columns.demand], np.int64)
        return capacity // demand * demand * merged

    @cached_property
    def replicas_per_node(self) -> IntArray:
        """How many replicas fill one node of each class of identical ones (at least 1)."""
        unit = unit_demand(self.columns)
        assert unit is not None, "identical nodes are merged where all replicas demand the same"
        resource, amount = unit
        fits = self.capacity[:, resource] // amount // self.node_classes.count
        return np.asarray(np.maximum(fits, 1), np.int64)

    @cached_property
    def hard_resources(self) -> frozenset[int]:
        """Resources whose capacity is a hard rule."""
        return frozenset(i for policy in self.objective.policies for i in policy.caps(self.columns))

    @cached_property
    def home(self) -> tuple[IntArray, IntArray, IntArray]:
        """Class, node and replicas of what runs now, sorted by class and node.

        Classes split from one entry all have its replicas, see `pool`.
        """
        columns, classes = self.columns, self.task_classes
        order = np.argsort(columns.current_task, kind="stable")
        member, index = _join(classes.of_task, columns.current_task[order])
        index = order[index]
        node = self.node_classes.of_node[columns.current_node[index]]
        key = classes.of_class[member] * self.nodes + node
        keys, inverse = np.unique(key, return_inverse=True)
        replicas = np.zeros(keys.size, np.int64)
        np.add.at(replicas, inverse.ravel(), columns.current_replicas[index])
        return keys // self.nodes, keys % self.nodes, replicas

    @cached_property
    def home_key(self) -> IntArray:
        """The homes as ``class * nodes + node``, sorted."""
        home_class, home_node, _ = self.home
        return home_class * self.nodes + home_node

    # -- decisions -----------------------------------------------------------------------------

    @property
    def most_pairs(self) -> int:
        """Number of pairs by labels alone: no less than there are, and cheap to have."""
        loose = self.block_anchor < 0
        allowed = self._node_mask.sum(axis=1)[self.allowed.row_kind[self.block_row]]
        total = int(allowed[loose].sum())
        scope = self.columns.row_within[self.block_row]
        for k in np.unique(scope[~loose]).tolist():
            total += int(self.anchors(k).size[self.block_anchor[~loose & (scope == k)]].sum())
        return total

    @cached_property
    def pairs(self) -> Pairs:
        """The columns x."""
        nodes_of_kind = [np.flatnonzero(line) for line in self._node_mask]
        kind = self.allowed.row_kind[self.block_row]
        pieces = [
            nodes_of_kind[k] if anchor < 0 else self.nodes_of(b)
            for b, (k, anchor) in enumerate(zip(kind, self.block_anchor, strict=True))
        ]
        sizes = np.array([piece.size for piece in pieces], np.int64)
        block = np.repeat(np.arange(self.blocks, dtype=np.int64), sizes)
        node = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
        upper = self._fitting(block, node)
        kept = upper > 0
        return self._with_stays(block[kept], node[kept], upper[kept])

    def _fitting(self, block: IntArray, node: IntArray) -> IntArray:
        """Most replicas of each block that fit on a node alone."""
        node_kind, like = self._node_kinds
        if self.blocks * like.size > block.size:
            return self._fits(block, node)
        every = np.arange(self.blocks, dtype=np.int64)
        return self._fits(every[:, None], like[None, :])[block, node_kind[node]]

    @cached_property
    def _node_kinds(self) -> tuple[IntArray, IntArray]:
        """Kind of each node in what fits on it, and a node of each kind."""
        hard, at = sorted(self.hard_resources), self.node_classes.node
        demands = [self.columns.demand[i] for i in hard]
        parts = [part.column[at] for demand in demands for part in demand.parts]
        lines = np.column_stack([np.zeros(self.nodes, np.int64), self.capacity[:, hard], *parts])
        _, like, kind = np.unique(lines, axis=0, return_index=True, return_inverse=True)
        return kind.ravel(), like

    def _fits(self, block: IntArray, node: IntArray) -> IntArray:
        """Evaluate what fits at pairs (arrays that broadcast)."""
        return self.fitting(self.block_row[block], node, self.block_most[block])

    def fitting(self, row: IntArray, node: IntArray, most: IntArray) -> IntArray:
        """Replicas of rows, at most so many, that fit on nodes alone (arrays that broadcast)."""
        at = self.node_classes.node[node]
        for i in sorted(self.hard_resources):
            if not self.columns.demand[i].is_zero:
                demand = self.columns.demand[i].at(row, at)
                fits = self.capacity[node, i] // np.maximum(demand, 1)
                most = np.where(demand > 0, np.minimum(most, fits), most)
        return np.broadcast_to(most, np.broadcast_shapes(row.shape, node.shape))

    def _with_stays(self, block: IntArray, node: IntArray, upper: IntArray) -> Pairs:
        """Split the pairs at home nodes into staying and arriving replicas."""
        home_class, home_node, home_replicas = self.home
        stays = np.zeros(block.size, bool)
        # Homes are few: they are looked up among the pairs.
        home, home_block = _join(home_class, self.block_class)
        wanted, key = home_block * self.nodes + home_node[home], block * self.nodes + node
        at = np.searchsorted(key, wanted)
        found = np.append(key, -1)[at] == wanted
        at, running = at[found], home_replicas[home[found]]
        contested = self.contested[self.block_class[block[at]]]
        again = np.sort(at[(upper[at] > running) | contested])
        stays[at] = True
        most = upper.copy()
        most[at] = np.minimum(upper[at], running)
        return Pairs(
            np.insert(block, again + 1, block[again]),
            np.insert(node, again + 1, node[again]),
            np.insert(stays, again + 1, False),
            np.insert(most, again + 1, upper[again]),
        )

    @cached_property
    def metrics(self) -> dict[int, Metric]:
        """The terms of every active policy, by its index in the objective."""
        from optalloc.formulation.building import build

        return {i: build(self.objective.policies[i], self) for i in self.active}


def _join(wanted: IntArray, keys: IntArray) -> tuple[IntArray, IntArray]:
    """Match numbers with a sorted array: indices (into `wanted`, into `keys`) of equal ones."""
    low = np.searchsorted(keys, wanted, "left")
    size = np.searchsorted(keys, wanted, "right") - low
    left = np.repeat(np.arange(wanted.size, dtype=np.int64), size)
    within = np.arange(left.size) - np.repeat(np.cumsum(size) - size, size)
    return left, low[left] + within
