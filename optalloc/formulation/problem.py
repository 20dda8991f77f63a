"""A problem: the decisions and terms that an instance and an objective ask for, solver-free.

Decisions are ``x[block, node]``, replicas of a block on a node, and ``y[choice]``, tasks of a
class that run in a row. A block holds the choices of a class that look alike from every node
(equal demands, cost and allowed nodes), so that which of them is chosen does not matter to the
nodes (each choice has its own where it matters which replicas stay first, see `contested`):
``sum over nodes of x[b, n] = sum over choices c of b of replicas[c] * y[c]``, and
``sum over choices of a class of y = count`` (at most, for optional tasks).

Gangs that stay within one domain of a scope are told apart by where they are: ``w[spot]`` of a
shape are in a domain, and a block is *anchored* there, ``sum over nodes of x[b, n] =
sum over spots s of b of size[s] * w[s]``, see `Spots`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import join
from optalloc.formulation.choices import Anchors, Spots, find_spots, list_choices
from optalloc.formulation.classes import (
    NodeClasses,
    TaskClasses,
    merge_nodes,
    merge_tasks,
    sees_no_tasks,
    unit_demand,
)
from optalloc.formulation.pairs import NO_PAIRS, Pairs, make_pairs
from optalloc.formulation.placing import allowed_entries
from optalloc.formulation.terms import Membership, Metric
from optalloc.instance.columns import Columns
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.objective import Objective

if TYPE_CHECKING:
    from optalloc.formulation.nesting import Nesting

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Problem:
    """The formulation of an instance under an objective.

    Parameters
    ----------
    instance, objective
        What to formulate.
    merge
        Merge identical tasks and nodes where that is exact.

    Raises
    ------
    OptallocError
        For an objective with a ratio, which no sum of terms states.

    Attributes
    ----------
    task_classes, node_classes
        What was merged.
    choice_class, choice_row, choice_block, choice_replicas : (choices,)
        Class, representative row, block (-1 for gangs that stay within a domain) and replicas of
        each y.
    spots, spot_block : (spots,)
        Where gangs that stay within a domain may be, and the block of each w.
    class_required : (classes,)
        Whether every task of the class must be placed.
    block_class, block_row, block_anchor : (blocks,)
        Class (one of them, where classes share blocks), representative row and anchor.
    """

    def __init__(self, instance: Instance, objective: Objective, merge: bool = True) -> None:
        if objective.ratio is not None:
            name = objective.levels[objective.ratio].name
            raise OptallocError(f"objective: expected sums; {name!r} is a ratio, for `solve` alone")
        self.instance = instance
        self.objective = objective
        self.columns: Columns = instance.columns
        active = [objective.policies[i] for i in self.active]
        self.allowed = allowed_entries(self.columns)
        self.task_classes: TaskClasses = merge_tasks(self.columns, self.allowed, active, merge)
        self.node_classes: NodeClasses = merge_nodes(self.columns, self.allowed, active, merge)
        self.joint = merge and self.columns.shaped and sees_no_tasks(self.columns, active)
        """Whether classes share blocks: nothing but the choices tells them apart."""
        self._seen = [factored for p in active for factored in p.contributions(self.columns)]
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
        self.choice_class, self.choice_row = list_choices(self)
        self.choice_replicas = columns.row_replicas[self.choice_row]
        self.class_required = columns.required[classes.task]
        choices = np.bincount(self.choice_class, minlength=self.classes)
        self.fixed = self.class_required & (choices == 1)
        """Classes whose only choice is made: no y is needed."""
        self._make_blocks(self._kinds())

    def _kinds(self) -> IntArray:
        """Describe choices by integers, equal where nodes see no difference between replicas."""
        columns, row = self.columns, self.choice_row
        offset = row - columns.row_start[self.task_classes.task[self.choice_class]]
        number = np.where(self.contested[self.choice_class], offset, 0)
        share = columns.row_per_node[row]
        # Shares of tasks of different sizes could not always be dealt out.
        size = np.where(share > 0, self.choice_replicas, 0)
        of_class = np.zeros_like(self.choice_class) if self.joint else self.choice_class
        lines = [of_class, number, columns.row_within[row], share, size]
        signature = [d.signature(row) for d in (*columns.demand, columns.cost, *self._seen)]
        signature.append(self.allowed.row_kind[row, None])
        return np.concatenate([np.stack(lines, axis=1), *signature], axis=1)

    def _make_blocks(self, kind: IntArray) -> None:
        """Blocks of the choices that may be anywhere, and of the spots of the others."""
        self.spots: Spots = find_spots(self, kind)
        loose = np.flatnonzero(self.spots.of_choice < 0)
        _, like = np.unique(self.spots.of_choice, return_index=True)
        gang = like[self.spots.of_choice[like] >= 0][self.spots.shape]
        of_choice = np.concatenate([loose, gang])
        anchor = np.concatenate([np.full(loose.size, -1, np.int64), self.spots.domain])
        lines = np.column_stack([kind[of_choice, :3], anchor, kind[of_choice, 3:]])
        _, first, block = np.unique(lines, axis=0, return_index=True, return_inverse=True)
        block = block.ravel().astype(np.int64)
        self.choice_block = np.full(self.choice_row.size, -1, np.int64)
        self.choice_block[loose] = block[: loose.size]
        self.spot_block = block[loose.size :]
        self.block_row = self.choice_row[of_choice[first]]
        self.block_class = self.choice_class[of_choice[first]]
        self.block_anchor = anchor[first]

    @cached_property
    def choice_of_row(self) -> IntArray:
        """The only choice of each representative row; -1 for others."""
        found = np.full(self.columns.rows, -1, np.int64)
        # Classes split from one entry share its rows: none of their choices is the only one.
        rows, first, count = np.unique(self.choice_row, return_index=True, return_counts=True)
        found[rows[count == 1]] = first[count == 1]
        return found

    def spot_of(self, choice: IntArray, node: IntArray) -> IntArray:
        """The spots of gangs of some choices on nodes; -1 for none, and where they need none."""
        spot = np.full(choice.size, -1, np.int64)
        scope = np.where(choice >= 0, self.columns.row_within[self.choice_row[choice]], -1)
        for k in np.unique(scope[scope >= 0]).tolist():
            here = np.flatnonzero(scope == k)
            domain = self.anchors(k).domain[node[here]]
            spot[here] = self.spots.at(self.spots.of_choice[choice[here]], domain)
        return spot

    def block_of(self, choice: IntArray, spot: IntArray) -> IntArray:
        """Blocks of choices, or of their spots where they have one (-1: none of both)."""
        of_spot = np.append(self.spot_block, -1)[spot]
        return np.where(spot >= 0, of_spot, self.choice_block[choice])

    @property
    def shaped(self) -> bool:
        """Whether some row says where its replicas lie to one another."""
        return self.columns.shaped

    def nodes_of(self, block: int) -> IntArray:
        """Nodes on which a block may place replicas: by labels, and within its anchor."""
        row, anchor = self.block_row[block], self.block_anchor[block]
        mask = self.node_mask[self.allowed.row_kind[row]]
        if anchor < 0:
            return np.flatnonzero(mask)
        inside = self.anchors(int(self.columns.row_within[row])).nodes_of(int(anchor))
        return np.asarray(inside[mask[inside]], np.int64)

    def all_nodes_of(self, shape: int) -> tuple[int, IntArray]:
        """A block of a shape of gangs, and the nodes of all its spots and others, by labels."""
        kind = self.allowed.row_kind[self.spots.row[shape]]
        return int(self.spot_block[self.spots.first[shape]]), np.flatnonzero(self.node_mask[kind])

    @cached_property
    def node_mask(self) -> BoolArray:
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
        member, part = join(columns.membership_group, chosen[by_group])
        task, part = columns.membership_task[member], by_group[part]
        order = np.argsort(task, kind="stable")
        task, part = task[order], part[order]
        classes, index = join(self.task_classes.task, task)
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
        return self._in_blocks(self.task_classes.count, self.spot_most)

    @cached_property
    def block_most(self) -> IntArray:
        """Most replicas that each block can have."""
        size = self.spots.size[self.spots.shape]
        return self._in_blocks(self.most_replicas, self.spot_most * size)

    @cached_property
    def spot_most(self) -> IntArray:
        """Most gangs that each spot can have: all of its shape's classes that fit there."""
        spots, gang = self.spots, np.flatnonzero(self.spots.of_choice >= 0)
        pairs = np.unique(np.stack([spots.of_choice[gang], self.choice_class[gang]]), axis=1)
        total = np.zeros(spots.shapes, np.int64)
        np.add.at(total, pairs[0], self.task_classes.count[pairs[1]])
        return np.minimum(total[spots.shape], spots.most)

    def _in_blocks(self, of_class: IntArray, of_spot: IntArray) -> IntArray:
        """Sum over the classes with a choice in each block, and over its spots."""
        loose = np.flatnonzero(self.choice_block >= 0)
        pairs = np.stack([self.choice_block[loose], self.choice_class[loose]])
        pairs = np.unique(pairs, axis=1)
        most = np.zeros(self.blocks, np.int64)
        np.add.at(most, pairs[0], of_class[pairs[1]])
        np.add.at(most, self.spot_block, of_spot)
        return most if self.joint else np.minimum(most, of_class[self.block_class])

    def least(self, of_block: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least over the blocks in which the replicas of each choice may be, (choices,)."""
        spots = self.spots
        least = np.full(spots.shapes, np.inf)
        np.minimum.at(least, spots.shape, of_block[self.spot_block])
        loose = self.choice_block >= 0
        return np.where(loose, of_block[self.choice_block], np.append(least, 0)[spots.of_choice])

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
        member, index = join(classes.of_task, columns.current_task[order])
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
        """Number of pairs by labels alone: no less than there are, and cheap to have.

        Where sets of nodes nest it is the spots that count, once for each set that holds another.
        """
        if self.nesting is not None:
            return (self.choices + self.spot_block.size) * len(self.nesting.layers)
        loose = self.block_anchor < 0
        allowed = self.node_mask.sum(axis=1)[self.allowed.row_kind[self.block_row]]
        total = int(allowed[loose].sum())
        scope = self.columns.row_within[self.block_row]
        for k in np.unique(scope[~loose]).tolist():
            total += int(self.anchors(k).size[self.block_anchor[~loose & (scope == k)]].sum())
        return total

    @cached_property
    def pairs(self) -> Pairs:
        """The columns x; none where it is enough that they can be dealt out."""
        return make_pairs(self) if self.nesting is None else NO_PAIRS

    @cached_property
    def nesting(self) -> Nesting | None:
        """The sets of nodes that take the replicas of the blocks, where they are all it takes."""
        from optalloc.formulation.nesting import find_nesting

        return find_nesting(self)

    def replicas_of(self, y: IntArray, w: IntArray) -> IntArray:
        """Replicas of each block, (blocks,), of tasks by choice and gangs by spot."""
        replicas = np.zeros(self.blocks, np.int64)
        loose = np.flatnonzero(self.choice_block >= 0)
        np.add.at(replicas, self.choice_block[loose], (self.choice_replicas * y)[loose])
        np.add.at(replicas, self.spot_block, self.spots.size[self.spots.shape] * w)
        return replicas

    def fitting(self, row: IntArray, node: IntArray, most: IntArray) -> IntArray:
        """Replicas of rows, at most so many, that fit on nodes alone (arrays that broadcast)."""
        at = self.node_classes.node[node]
        for i in sorted(self.hard_resources):
            if not self.columns.demand[i].is_zero:
                demand = self.columns.demand[i].at(row, at)
                fits = self.capacity[node, i] // np.maximum(demand, 1)
                most = np.where(demand > 0, np.minimum(most, fits), most)
        return np.broadcast_to(most, np.broadcast_shapes(row.shape, node.shape))

    @cached_property
    def metrics(self) -> dict[int, Metric]:
        """The terms of every active policy, by its index in the objective."""
        from optalloc.formulation.building import build

        return {i: build(self.objective.policies[i], self) for i in self.active}
