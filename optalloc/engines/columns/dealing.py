"""From contents to nodes: which node of its kind holds which content, with groups spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.packing import Packing
from optalloc.engines.columns.tables import ClassTables, Dealt

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TRIES = 16
"""Nodes tried in place of another."""


def deal(packing: Packing, tasks: IntArray) -> Dealt | None:
    """Give every content its nodes, groups moved apart; None if some lack domains in the end."""
    tables = packing.tables
    held = np.full(tables.node_kind.size, -1, np.int64)
    order = _rotating(tables)
    start = np.searchsorted(tables.node_kind[order], np.arange(tables.kinds))
    kind, times = np.array(packing.kind, np.int64), np.array(packing.times, np.int64)
    by_kind = np.argsort(kind, kind="stable")
    sequence = np.repeat(by_kind, times[by_kind])
    of_kind = kind[sequence]
    position = np.arange(sequence.size) - np.searchsorted(of_kind, of_kind)
    held[order[start[of_kind] + position]] = sequence
    spreading = _Spreading(packing, held)
    for rule in range(tables.spread_wanted.size):
        spreading.mend(rule)
    if any(spreading.missing(rule) for rule in range(tables.spread_wanted.size)):
        return None
    return _expand(packing, held, tasks)


def _rotating(tables: ClassTables) -> IntArray:
    """Nodes by kind, such that those next to each other lie in different domains."""
    nodes = np.arange(tables.node_kind.size)
    keys = [nodes]
    for domain in tables.domain:
        order = np.lexsort((nodes, domain, tables.node_kind))
        group = domain[order] + (domain.max(initial=0) + 2) * tables.node_kind[order]
        first = np.concatenate([[True], group[1:] != group[:-1]])
        rank = np.empty_like(nodes)
        start = np.maximum.accumulate(np.where(first, nodes, 0))
        rank[order] = nodes - start
        keys.append(rank)
    return np.lexsort((*keys, tables.node_kind)).astype(np.int64)


@dataclass
class _Spreading:
    """Contents on nodes (-1: none), and the rules that want groups in several domains."""

    packing: Packing
    held: IntArray

    def __post_init__(self) -> None:
        tables = self.packing.tables
        start = tables.spread_start
        self.blocks = [
            tables.spread_block[start[rule] : start[rule + 1]]
            for rule in range(tables.spread_wanted.size)
        ]
        contents = self.packing.contents
        self.has: list[BoolArray] = [np.any(contents[:, b], axis=1) for b in self.blocks]
        """Whether contents hold something of a rule's group."""

    def mend(self, rule: int) -> None:
        """Exchange contents and move replicas until a group is in enough domains, if it can be."""
        while self.missing(rule):
            sources, elsewhere = self._apart(rule)
            if not self._exchange_one(sources, elsewhere) and not self._move_one(rule, elsewhere):
                return

    def missing(self, rule: int) -> int:
        """Domains that a rule's group lacks."""
        domain = self._domain(rule)[self._nodes(rule)]
        wanted = int(self.packing.tables.spread_wanted[rule])
        return max(wanted - np.unique(domain[domain >= 0]).size, 0)

    def _domain(self, rule: int) -> IntArray:
        tables = self.packing.tables
        return tables.domain[tables.spread_scope[rule]]

    def _nodes(self, rule: int) -> IntArray:
        """Nodes that hold something of a rule's group."""
        return np.flatnonzero((self.held >= 0) & self.has[rule][self.held]).astype(np.int64)

    def _apart(self, rule: int) -> tuple[IntArray, BoolArray]:
        """Nodes of the group that its domains can spare, and nodes in other domains."""
        domain, nodes = self._domain(rule), self._nodes(rule)
        found, count = np.unique(domain[nodes], return_counts=True)
        shared: BoolArray = count[np.searchsorted(found, domain[nodes])] > 1
        shared = np.asarray(shared | (domain[nodes] < 0))
        return nodes[shared][:TRIES], (domain >= 0) & ~np.isin(domain, found)

    def _exchange_one(self, sources: IntArray, elsewhere: BoolArray) -> bool:
        """Exchange a node's content with another's of its kind; whether that was possible."""
        kind = self.packing.tables.node_kind
        for node in sources.tolist():
            other = np.flatnonzero(elsewhere & (kind == kind[node]))
            for at in other[:: max(other.size // TRIES, 1)].tolist():
                pair = np.array([node, at])
                if self._try(pair, self.held[pair[::-1]]):
                    return True
        return False

    def _move_one(self, rule: int, elsewhere: BoolArray) -> bool:
        """Move a replica of a group to a node elsewhere, one in use if that can be."""
        tables, packing = self.packing.tables, self.packing
        for block in self.blocks[rule].tolist():
            room = packing.room(block)
            fits = np.where(self.held >= 0, room[self.held], tables.dealt[tables.node_kind, block])
            targets = np.flatnonzero(elsewhere & (fits > 0))
            targets = targets[np.argsort(self.held[targets] < 0, kind="stable")][:TRIES]
            sources = self._nodes(rule)
            sources = sources[packing.contents[self.held[sources], block] > 0][:TRIES]
            for node in sources.tolist():
                for at in targets.tolist():
                    changed = [self._changed(node, block, -1), self._changed(at, block, 1)]
                    if self._try(np.array([node, at]), np.array(changed)):
                        return True
        return False

    def _changed(self, node: int, block: int, replicas: int) -> int:
        """A new content: that of a node with some replicas more."""
        packing, held = self.packing, int(self.held[node])
        content = packing.content[held].copy() if held >= 0 else np.zeros_like(packing.content[0])
        content[block] += replicas
        packing.add(int(packing.tables.node_kind[node]), 1, content)
        self.has = [
            np.append(has, content[inside].any())
            for has, inside in zip(self.has, self.blocks, strict=True)
        ]
        return len(packing.content) - 1

    def _try(self, nodes: IntArray, contents: IntArray) -> bool:
        """Give nodes other contents unless that breaks a rule more than it mends others."""
        held = self.held
        involved = [c for c in (*held[nodes].tolist(), *contents.tolist()) if c >= 0]
        rules = [rule for rule, has in enumerate(self.has) if has[involved].any()]
        before, kept = [self.missing(rule) for rule in rules], held[nodes].copy()
        held[nodes] = contents
        after = [self.missing(rule) for rule in rules]
        if all(a <= b for a, b in zip(after, before, strict=True)) and sum(after) < sum(before):
            return True
        held[nodes] = kept
        return False


def _expand(packing: Packing, held: IntArray, tasks: IntArray) -> Dealt:
    """List the replicas of blocks on nodes."""
    content = packing.contents
    line, block = np.nonzero(content)
    start = np.searchsorted(line, np.arange(len(content) + 1))
    nodes = np.flatnonzero(held >= 0)
    size = np.diff(start)[held[nodes]]
    index = np.repeat(start[held[nodes]] - (np.cumsum(size) - size), size) + np.arange(size.sum())
    node = np.repeat(nodes, size)
    blocks = block[index]
    order = np.lexsort((node, blocks))
    replicas = content[line[index], blocks]
    return Dealt(tasks, blocks[order], node[order], replicas[order])
