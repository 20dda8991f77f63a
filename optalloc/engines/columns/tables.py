"""A problem in classes: kinds of nodes against blocks of tasks, however many there are of each.

The engine knows what nodes of a kind have in common: dense *dimensions* (a size per block, a
capacity), *groups* of blocks of which a node holds a limited amount, a price for a node in use and
costs of single replicas and choices. Rules that want replicas in several domains are kept apart:
the relaxation does not see them, the answer is made to keep them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


MISSING = 10
"""Price of a replica without a place, in prices of the dearest node, replica or task."""
MOST_CELLS = 20_000_000
"""Largest table of a dynamic program, of items by capacity: one byte each."""
LARGEST_SUM = 2**60
"""Most that the content of a node may be worth, for 64 bits to hold it."""


class ClassTables(NamedTuple):
    """The arrays. T kinds of nodes, N nodes, K classes, C choices, B blocks, D dimensions.

    All costs are in quanta of the level, turned so that less is better.

    Parameters
    ----------
    node_kind : (N)
        Kind of each node.
    class_count, class_required : (K)
        Tasks of each class, and whether all must be placed.
    choice_class, choice_block, choice_replicas, choice_cost : (C)
        Class, block, replicas of a task, and cost of a task, sorted by class.
    price : (T)
        Cost of a node in use.
    unary : (T, B)
        Cost of a replica on a node.
    size : (T, B, D)
        Sizes of a replica, none negative.
    capacity : (T, D)
        What sizes on a node may add up to.
    most : (T, B)
        Most replicas of a block that a node can hold by itself.
    dealt : (T, B)
        Most that an answer puts on a node, so that replicas reach enough nodes.
    group_start, group_block, group_amount, group_limit : (G + 1), (members), (members), (G)
        Blocks of each group, what a replica adds to it on its node, and the limit of every node.
    domain : (scopes, N)
        Domain of each node; -1 for none.
    spread_scope, spread_wanted, spread_start, spread_block : (S), (S), (S + 1), (members)
        Rules of spread: scope, domains wanted, and blocks that count.
    constant : (1)
        What every answer costs at least beside all this.
    """

    node_kind: IntArray
    class_count: IntArray
    class_required: BoolArray
    choice_class: IntArray
    choice_block: IntArray
    choice_replicas: IntArray
    choice_cost: IntArray
    price: IntArray
    unary: IntArray
    size: IntArray
    capacity: IntArray
    most: IntArray
    dealt: IntArray
    group_start: IntArray
    group_block: IntArray
    group_amount: IntArray
    group_limit: IntArray
    domain: IntArray
    spread_scope: IntArray
    spread_wanted: IntArray
    spread_start: IntArray
    spread_block: IntArray
    constant: IntArray

    @property
    def levels(self) -> int:
        """Number of levels."""
        return 1

    @property
    def exact(self) -> bool:
        """Whether the best contents can be found by dynamic programming, see `dynamic`."""
        if self.capacity.shape[1] != 1 or self.group_limit.size:
            return False
        items = np.frexp(self.dealt)[1].sum(axis=1)
        return bool(np.all(items * (self.capacity[:, 0] + 1.0) <= MOST_CELLS))

    @property
    def single(self) -> bool:
        """Whether nodes are single, with exact contents, and replicas of each block single too."""
        needed = self.class_count[self.choice_class] * self.choice_replicas
        return self.exact and bool(np.all(self.kind_nodes == 1) and np.all(needed == 1))

    @property
    def kinds(self) -> int:
        """Number of kinds of nodes."""
        return int(self.price.size)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.most.shape[1])

    @property
    def kind_nodes(self) -> IntArray:
        """Number of nodes of each kind."""
        return np.bincount(self.node_kind, minlength=self.kinds).astype(np.int64)

    @property
    def dearest(self) -> int:
        """Largest cost of a node, a replica or a task."""
        costs = (self.price, self.unary, self.choice_cost)
        return max(int(np.abs(cost).max(initial=0)) for cost in costs)

    @property
    def largest_worth(self) -> int:
        """More than the content of a node can be worth, in quanta."""
        return MISSING * max(self.dearest, 1) * max(int(self.most.sum(axis=1).max(initial=0)), 1)

    def level_value_at(self, level: int, values: IntArray) -> int:
        """Value of the level for the values of an answer, see `Dealt`."""
        dealt = Dealt.of(self, values)
        kind = self.node_kind[dealt.node]
        used = np.unique(dealt.node)
        placed = int((self.unary[kind, dealt.block] * dealt.replicas).sum())
        chosen = int(self.choice_cost @ dealt.tasks)
        return int(self.constant[0] + self.price[self.node_kind[used]].sum()) + placed + chosen

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name."""
        return self._asdict()


class Dealt(NamedTuple):
    """An answer: tasks in each choice, and replicas of blocks on nodes, sorted by block.

    As one vector: the tasks, then blocks, nodes and replicas.
    """

    tasks: IntArray
    block: IntArray
    node: IntArray
    replicas: IntArray

    @classmethod
    def of(cls, tables: ClassTables, values: IntArray) -> Dealt:
        """Take a vector apart."""
        choices = tables.choice_class.size
        block, node, replicas = np.split(values[choices:], 3)
        return cls(values[:choices], block, node, replicas)

    def vector(self) -> IntArray:
        """Join the parts."""
        return np.concatenate(self)
