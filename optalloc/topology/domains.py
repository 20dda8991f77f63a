"""The tree of domains of a fabric, and what each level costs a message.

The domains of a level are the connected components of the fabric with the links of that level and
of those below. For each level l there are

* ``latency``: the longest shortest way between nodes that meet in a domain of level l first,
* ``bandwidth``: what a node can send there while all others do, the smallest over its levels k < l
  of ``uplink(domain of level k) / nodes of the domain`` (oversubscription divides it),
* ``uplink`` of a domain: the bandwidth of all links that leave it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.instance.model import NODE

if TYPE_CHECKING:
    from optalloc.topology.fabric import Fabric

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """One level: what joins nodes whose smallest common domain is of it.

    Parameters
    ----------
    name
        Such as ``leaf``; the innermost one is ``node``, the devices of one node.
    names : (domains,)
        Names of its domains.
    of_node : (nodes,)
        The domain of each node.
    uplink : (domains,)
        Bytes/s that can leave each domain; infinite where nothing is above, NaN where unknown.
    latency
        Seconds.
    bandwidth
        Bytes/s for each node; None where unknown.
    """

    name: str
    names: tuple[str, ...]
    of_node: IntArray
    uplink: FloatArray
    latency: float = 0.0
    bandwidth: float | None = None

    @cached_property
    def sizes(self) -> IntArray:
        """Number of nodes of each domain."""
        return np.bincount(self.of_node, minlength=len(self.names))


@dataclass(frozen=True)
class Domains:
    """A tree (or forest) of domains over some nodes.

    Parameters
    ----------
    nodes
        Names.
    levels
        Innermost first; the first one is that of the single nodes.

    Raises
    ------
    InstanceError
        For levels that do not nest: names the domain that lies in two others.
    """

    nodes: tuple[str, ...]
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        problems = []
        for lower, upper in pairwise(self.levels):
            for name, parents in _torn(lower, upper):
                message = f"expected all its nodes in one {upper.name}, got {' and '.join(parents)}"
                problems.append((f"{lower.name} {name}", message))
        if problems:
            raise InstanceError(problems, "the domains")

    @cached_property
    def parents(self) -> tuple[IntArray, ...]:
        """For each level but the last: the domain above each domain."""
        found = []
        for lower, upper in pairwise(self.levels):
            above = np.zeros(len(lower.names), np.int64)
            above[lower.of_node] = upper.of_node
            found.append(above)
        return tuple(found)

    def level(self, name: str) -> int:
        """Index of a level.

        Raises
        ------
        InstanceError
            Says which levels there are.
        """
        names = [level.name for level in self.levels]
        if name not in names:
            message = f"expected a level ({', '.join(names)}), got {name!r}"
            raise InstanceError([("level", message)], "the domains")
        return names.index(name)

    def span(self, nodes: Sequence[int] | IntArray) -> int:
        """Index of the innermost level at which some nodes share a domain.

        Raises
        ------
        InstanceError
            If none holds them all: they lie in different trees of a forest.
        """
        at = np.asarray(nodes, np.int64)
        for k, level in enumerate(self.levels):
            if np.unique(level.of_node[at]).size <= 1:
                return k
        apart = ", ".join(self.nodes[n] for n in at[:3].tolist())
        raise InstanceError([(apart, "expected nodes that the fabric joins")], "the domains")

    def of(self, node: int) -> dict[str, str]:
        """The domain of a node at each level but its own, as `Node.domains` states it."""
        return {level.name: level.names[level.of_node[node]] for level in self.levels[1:]}

    def uplinks(self, level: str) -> dict[str, float]:
        """Bytes/s that can leave each domain of a level, by name, as `UplinkLoad` takes them.

        Domains that nothing leaves, or of whose links no bandwidth is stated, are left out.
        """
        at = self.levels[self.level(level)]
        pairs = zip(at.names, at.uplink.tolist(), strict=True)
        return {name: uplink for name, uplink in pairs if isfinite(uplink)}

    def oversubscription(self, level: str) -> FloatArray:
        """What the nodes of each domain can send over what can leave it, (domains,)."""
        at = self.level(level)
        inner = np.bincount(
            self.levels[at].of_node,
            weights=self.levels[0].uplink,
            minlength=len(self.levels[at].names),
        )
        return inner / self.levels[at].uplink


def _torn(lower: Level, upper: Level) -> Iterator[tuple[str, list[str]]]:
    """Domains of a level that lie in several of the next, with those."""
    pairs = np.unique(np.stack([lower.of_node, upper.of_node]), axis=1)
    child, count = np.unique(pairs[0], return_counts=True)
    for torn in child[count > 1].tolist():
        above = pairs[1][pairs[0] == torn].tolist()
        yield lower.names[torn], [upper.names[k] for k in above]


def derive(fabric: Fabric) -> Domains:
    """Derive the domains of a fabric from the levels of its links."""
    return _Deriver(fabric).domains()


class _Deriver:
    """The fabric in arrays: its members (nodes, then switches) and its links."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.members = (*fabric.nodes, *fabric.switches)
        self.nodes = len(fabric.nodes)
        at = {name: k for k, name in enumerate(self.members)}
        rank = {name: k for k, name in enumerate(fabric.levels)}
        links = list(fabric.graph.edges(data=True))
        self.ends = np.array([(at[a], at[b]) for a, b, _ in links], np.int64).reshape(-1, 2)
        self.rank = np.array([rank[link["level"]] for _, _, link in links], np.int64)
        self.width = np.array(
            [np.nan if link["bandwidth"] is None else link["bandwidth"] for _, _, link in links],
            np.float64,
        )
        self.latency = [link["latency"] for _, _, link in links]

    def domains(self) -> Domains:
        fabric, inside = self.fabric, self.fabric.inside
        label = np.where(
            np.arange(len(self.members)) < self.nodes, np.arange(len(self.members)), -1
        )
        labels = [label]
        first = Level(
            NODE,
            fabric.nodes,
            label[: self.nodes],
            self._leaving(label, self.nodes, len(fabric.levels)),
            inside.latency,
            inside.bandwidth,
        )
        levels = [first]
        joined = nx.Graph()
        joined.add_nodes_from(range(len(self.members)))
        for k, name in enumerate(fabric.levels):
            for e in np.flatnonzero(self.rank == k).tolist():
                a, b = self.ends[e].tolist()
                joined.add_edge(a, b, latency=self.latency[e])
            parts = [part for part in nx.connected_components(joined) if min(part) < self.nodes]
            parts.sort(key=min)
            label = np.full(len(self.members), -1, np.int64)
            for number, part in enumerate(parts):
                label[list(part)] = number
            level = Level(
                name,
                self._names(name, k, parts),
                label[: self.nodes],
                self._leaving(label, len(parts), len(fabric.levels)),
                self._latency(joined, label[: self.nodes], levels[-1]),
                self._share(labels, levels, k),
            )
            labels.append(label)
            levels.append(level)
        return Domains(fabric.nodes, tuple(levels))

    def _leaving(self, label: IntArray, size: int, below: int) -> FloatArray:
        """Bandwidth of the links of the first levels that leave each part; NaN where unknown."""
        of_end = label[self.ends]
        leaves = (of_end[:, 0] != of_end[:, 1]) & (self.rank < below)
        total, any_ = np.zeros(size), np.zeros(size, bool)
        for side in (0, 1):
            here = leaves & (of_end[:, side] >= 0)
            np.add.at(total, of_end[here, side], self.width[here])
            any_[of_end[here, side]] = True
        total[~any_] = np.inf
        return total

    def _share(self, labels: Sequence[IntArray], levels: Sequence[Level], k: int) -> float | None:
        """What each node can send to others of its domain at link level k, while all nodes do."""
        shares = [
            float(np.min(self._leaving(label, len(level.names), k + 1) / level.sizes))
            for label, level in zip(labels, levels, strict=True)
        ]
        # No level is faster than those within it.
        within = [level.bandwidth for level in levels[1:] if level.bandwidth is not None]
        least = float(np.min([*shares, *within]))
        return None if np.isnan(least) else least

    def _latency(self, joined: nx.Graph, of_node: IntArray, lower: Level) -> float:
        """The longest shortest way between the first nodes of the domains that meet in a domain."""
        _, first = np.unique(lower.of_node, return_index=True)
        order = np.argsort(of_node[first], kind="stable")
        pieces = np.split(first[order], np.flatnonzero(np.diff(of_node[first[order]])) + 1)
        longest = 0.0
        for ends in pieces:
            if ends.size > 1:
                start = int(ends[0])
                ways = nx.single_source_dijkstra_path_length(joined, start, weight="latency")
                longest = max(longest, *(ways[end] for end in ends[1:].tolist()))
        return longest

    def _names(self, level: str, k: int, parts: Sequence[set[int]]) -> tuple[str, ...]:
        """Name domains: as stated, after the only switch on top, or by their numbers."""
        lowest = np.full(len(self.members), len(self.fabric.levels), np.int64)
        np.minimum.at(lowest, self.ends.ravel(), np.repeat(self.rank, 2))
        stated = self.fabric.names.get(level, {})
        found = []
        for number, part in enumerate(parts):
            named = [
                stated[name] for name in (self.members[m] for m in sorted(part)) if name in stated
            ]
            tops = [m for m in part if m >= self.nodes and lowest[m] == k]
            numbered = level if len(parts) == 1 else f"{level}{number}"
            only = self.members[tops[0]] if len(tops) == 1 else numbered
            found.append(named[0] if named else only)
        return tuple(found)
