"""Where nodes see replicas that are all alike: what sets of nodes can take, not who is on each.

If every replica takes the same of a single resource, nothing else speaks of nodes, and the sets of
nodes on which blocks may place replicas *nest* (two of them are disjoint, or one holds the other),
then replicas of all blocks find room exactly if, for every such set S,
``sum over blocks b within S of replicas[b] <= room[S]``: filling the innermost sets first never
takes what a larger set needs (Hall's theorem on a laminar family). So x is left out of the model,
and dealt out afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import cut
from optalloc.formulation.classes import unit_demand
from optalloc.formulation.goals.capacity import Capacity

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Nesting:
    """Sets of nodes that nest.

    Parameters
    ----------
    of_block : (blocks,)
        The set on which each block may place replicas.
    parent : (sets,)
        The smallest set that holds each one and more; -1 for none.
    room : (sets,)
        Replicas that the nodes of each set can take.
    layers
        The innermost set of each node among those of one depth (-1: none), (nodes,) by depth.
    fits : (nodes,)
        Replicas that each node can take.
    """

    of_block: IntArray
    parent: IntArray
    room: IntArray
    layers: tuple[IntArray, ...]
    fits: IntArray

    @cached_property
    def holders(self) -> tuple[IntArray, IntArray]:
        """All pairs of a block and a set that holds it."""
        block, holder = np.arange(self.of_block.size, dtype=np.int64), self.of_block
        blocks, holders = [block], [holder]
        for _ in self.layers:
            holder = self.parent[holder]
            block, holder = block[holder >= 0], holder[holder >= 0]
            blocks.append(block)
            holders.append(holder)
        return np.concatenate(blocks), np.concatenate(holders)

    def deal(self, replicas: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Deal the replicas of blocks out to nodes, (blocks,).

        Returns
        -------
        block, node, replicas : (k,)
            Sorted by block.
        """
        free = self.fits.copy()
        found = []
        for layer in reversed(self.layers):
            inside = np.unique(layer[layer >= 0])
            block = np.flatnonzero(np.isin(self.of_block, inside) & (replicas > 0))
            block = block[np.argsort(self.of_block[block], kind="stable")]
            node = np.flatnonzero(layer >= 0)
            node = node[np.argsort(layer[node], kind="stable")]
            before = np.concatenate([[0], np.cumsum(free[node])])
            start = before[np.searchsorted(layer[node], self.of_block[block])]
            index, at, taken = cut(start, self.of_block[block], replicas[block], free[node])
            np.subtract.at(free, node[at], taken)
            found.append((block[index], node[at], taken))
        parts = (np.concatenate(part) for part in zip(*found, strict=True))
        of_block, node, taken = parts if found else (np.zeros(0, np.int64),) * 3
        order = np.argsort(of_block, kind="stable")
        return of_block[order], node[order], taken[order]


def find_nesting(problem: Problem) -> Nesting | None:
    """Find the sets of nodes on which blocks may place replicas, if they nest and are all it takes.

    None if something else speaks of nodes, or the sets do not nest.
    """
    unit = unit_demand(problem.columns)
    if unit is None or not problem.joint or not _only_capacity(problem, unit[0]):
        return None
    if problem.columns.row_per_node[problem.block_row].any():
        return None
    kind, anchor = problem.allowed.row_kind[problem.block_row], problem.block_anchor
    scope = np.where(anchor < 0, -1, problem.columns.row_within[problem.block_row])
    kinds, of_kind = np.unique(np.stack([kind, scope]), axis=1, return_inverse=True)
    labels = [_labels(problem, int(k), int(s)) for k, s in kinds.T]
    sets = _Sets(problem.nodes)
    largest = [int(np.bincount(label[label >= 0], minlength=1).max()) for label in labels]
    number: list[IntArray] = [np.zeros(0, np.int64)] * len(labels)
    for k in sorted(range(len(labels)), key=lambda k: -largest[k]):
        found = sets.add(labels[k])
        if found is None:
            return None
        number[k] = found
    of_block = np.zeros(problem.blocks, np.int64)
    for k in range(len(labels)):
        here = np.flatnonzero(of_kind.ravel() == k)
        of_block[here] = number[k][np.maximum(anchor[here], 0)]
    return sets.nesting(of_block, problem.capacity[:, unit[0]] // unit[1])


def _only_capacity(problem: Problem, resource: int) -> bool:
    """Whether one hard capacity is all that speaks of nodes."""
    if resource not in problem.hard_resources:
        return False
    for i, metric in problem.metrics.items():
        policy = problem.objective.policies[i]
        if isinstance(policy, Capacity) and policy.hard:
            continue
        for _, term in metric.terms:
            if term.linked or (term.family.placed and term.factor.any()):
                return False
    return True


def _labels(problem: Problem, kind: int, scope: int) -> IntArray:
    """Domain of each node that a kind of rows may use (0 for all where there is no scope)."""
    domain = problem.everywhere() if scope < 0 else problem.anchors(scope).domain
    return np.where(problem.node_mask[kind], domain, -1)


class _Sets:
    """Collects sets of nodes, larger ones first, as long as they nest."""

    def __init__(self, nodes: int) -> None:
        self.inner = np.full(nodes, -1, np.int64)
        """The smallest set so far of each node."""
        self.parent = np.zeros(0, np.int64)
        self.size = np.zeros(0, np.int64)
        self.depth = np.zeros(0, np.int64)
        self.layers: list[IntArray] = []

    def add(self, label: IntArray) -> IntArray | None:
        """Add disjoint sets; the number of the set of each label, None if some do not nest."""
        node = np.flatnonzero(label >= 0)
        size = np.bincount(label[node], minlength=int(label.max(initial=0)) + 1)
        low = np.full(size.size, self.parent.size, np.int64)
        high = np.full(size.size, -1, np.int64)
        np.minimum.at(low, label[node], self.inner[node])
        np.maximum.at(high, label[node], self.inner[node])
        if np.any((low != high) & (size > 0)):
            return None
        same = (high >= 0) & (np.append(self.size, -1)[high] == size)
        new = np.flatnonzero((size > 0) & ~same)
        number = np.where(same, high, -1)
        number[new] = self.parent.size + np.arange(new.size)
        depth = np.append(self.depth, -1)[high[new]] + 1
        self.parent = np.concatenate([self.parent, high[new]])
        self.size = np.concatenate([self.size, size[new]])
        self.depth = np.concatenate([self.depth, depth])
        self.inner[node] = number[label[node]]
        for level in np.unique(depth).tolist():
            while level >= len(self.layers):
                self.layers.append(np.full(self.inner.size, -1, np.int64))
            here = node[np.isin(label[node], new[depth == level])]
            self.layers[level][here] = number[label[here]]
        return number

    def nesting(self, of_block: IntArray, fits: IntArray) -> Nesting:
        """All sets, with their room."""
        room = np.zeros(self.parent.size, np.int64)
        for layer in self.layers:
            inside = layer >= 0
            np.add.at(room, layer[inside], fits[inside])
        return Nesting(of_block, self.parent, room, tuple(self.layers), fits)
