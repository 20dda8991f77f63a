"""A fabric: nodes, switches and the links between them, a networkx graph with levels.

Every link belongs to a *level* of the topology (``leaf``, ``pod``, ``core`` ...). The domains of a
level are the sets of nodes that links of that level and of those below join, so they nest: see
`optalloc.topology.domains`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError

if TYPE_CHECKING:
    from optalloc.topology.domains import Domains

FloatArray = NDArray[np.float64]
Measure = Literal["hops", "latency", "energy"]


@dataclass(frozen=True)
class Link:
    """A link, or ``count`` parallel ones; both directions are alike.

    Parameters
    ----------
    a, b
        Names of the nodes or switches that it joins.
    level
        The level of the topology to which it belongs.
    bandwidth
        Bytes/s in each direction, of one of them; None where nobody knows.
    latency
        Seconds.
    energy_per_bit
        Joules to carry a bit.
    count
        Number of parallel links.
    """

    a: str
    b: str
    level: str
    bandwidth: float | None = None
    latency: float = 0.0
    energy_per_bit: float = 0.0
    count: int = 1


@dataclass(frozen=True)
class Speed:
    """What a connection can do: the links of a level, or what joins the devices of a node.

    Parameters
    ----------
    bandwidth
        Bytes/s in each direction (of each device, inside a node); None where nobody knows.
    latency
        Seconds.
    energy_per_bit
        Joules to carry a bit.
    """

    bandwidth: float | None = None
    latency: float = 0.0
    energy_per_bit: float = 0.0


class Fabric:
    """Nodes joined by switches and links.

    Parameters
    ----------
    nodes, switches
        Names, all different.
    links
        What joins them.
    levels
        The levels of the links, innermost first.
    inside
        What joins the devices of a node.
    names
        Names for domains of a level, by the switch or node that lies in them.
    forest
        Accept parts that no links join; a group then lies in one of them.

    Attributes
    ----------
    graph
        The networkx graph: nodes with ``kind`` (``"node"`` or ``"switch"``), edges with ``level``,
        ``bandwidth`` (all parallel links together), ``latency`` and ``energy``.

    Raises
    ------
    InstanceError
        For names that repeat, links with unknown ends or levels, numbers out of range, nodes
        without a link and parts that nothing joins; lists all of them.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        switches: Sequence[str],
        links: Iterable[Link],
        levels: Sequence[str],
        *,
        inside: Speed | None = None,
        names: Mapping[str, Mapping[str, str]] | None = None,
        forest: bool = False,
        source: str = "the fabric",
    ) -> None:
        self.nodes = tuple(nodes)
        self.switches = tuple(switches)
        self.links = tuple(links)
        self.levels = tuple(levels)
        self.inside = inside or Speed()
        self.names = {level: dict(by) for level, by in (names or {}).items()}
        self.source = source
        problems = list(self._problems())
        if not problems:
            self.graph = self._join()
            problems = [] if forest else list(self._apart())
        if problems:
            raise InstanceError(problems, source)

    def _problems(self) -> Iterator[tuple[str, str]]:
        if not self.nodes:
            yield "nodes", "expected at least one node"
        seen: set[str] = set()
        for name in (*self.nodes, *self.switches):
            if name in seen:
                yield name, "expected a name that no other node or switch has"
            seen.add(name)
        if len(set(self.levels)) < len(self.levels):
            yield "levels", f"expected different levels, got {', '.join(self.levels)}"
        for link in self.links:
            yield from self._wrong(link, seen)

    def _wrong(self, link: Link, known: set[str]) -> Iterator[tuple[str, str]]:
        where = f"link {link.a} - {link.b}"
        for end in (link.a, link.b):
            if end not in known:
                yield where, f"expected the name of a node or switch, got {end!r}"
        if link.a == link.b:
            yield where, "expected two different ends"
        if link.level not in self.levels:
            yield where, f"expected a level ({', '.join(self.levels)}), got {link.level!r}"
        if link.bandwidth is not None and not 0 < link.bandwidth < np.inf:
            yield where, f"expected a bandwidth above 0 bytes/s, got {link.bandwidth:g}"
        if not 0 <= link.latency < np.inf:
            yield where, f"expected a latency of at least 0 s, got {link.latency:g}"
        if not 0 <= link.energy_per_bit < np.inf:
            yield where, f"expected at least 0 J a bit, got {link.energy_per_bit:g}"
        if link.count < 1:
            yield where, f"expected at least 1 parallel link, got {link.count}"

    def _join(self) -> nx.Graph:
        graph = nx.Graph()
        graph.add_nodes_from(self.nodes, kind="node")
        graph.add_nodes_from(self.switches, kind="switch")
        for link in self.links:
            width = None if link.bandwidth is None else link.bandwidth * link.count
            before = graph.get_edge_data(link.a, link.b)
            if before is not None and None not in (width, before["bandwidth"]):
                width = (width or 0.0) + before["bandwidth"]
            graph.add_edge(
                link.a,
                link.b,
                level=link.level,
                bandwidth=width,
                latency=link.latency,
                energy=link.energy_per_bit,
            )
        return graph

    def _apart(self) -> Iterator[tuple[str, str]]:
        """Name the parts that hold nodes and are not joined with the first node's."""
        joined = nx.node_connected_component(self.graph, self.nodes[0])
        left = [name for name in self.nodes if name not in joined]
        while left:
            part = nx.node_connected_component(self.graph, left[0])
            others = sum(name in part for name in left) - 1
            more = f" and {others} more" if others else ""
            message = f"expected a link to the rest of the fabric, as {self.nodes[0]!r} has"
            yield f"{left[0]}{more}", message
            left = [name for name in left if name not in part]

    @cached_property
    def domains(self) -> Domains:
        """The tree (or forest) of domains, one layer a level."""
        from optalloc.topology.domains import derive

        return derive(self)

    def distances(
        self, nodes: Sequence[str] | None = None, measure: Measure = "hops"
    ) -> FloatArray:
        """The shortest way between any two nodes.

        Parameters
        ----------
        nodes
            By default all of them.
        measure
            ``hops`` (links), ``latency`` (seconds) or ``energy`` (joules a bit).

        Returns
        -------
        array, (nodes, nodes)
            Infinite where there is no way.

        Raises
        ------
        InstanceError
            For names of no node.
        """
        wanted = self.nodes if nodes is None else tuple(nodes)
        at = {name: k for k, name in enumerate(wanted)}
        unknown = sorted(at.keys() - set(self.nodes))
        if unknown:
            raise InstanceError([(n, "expected the name of a node") for n in unknown], self.source)
        found = np.full((len(wanted), len(wanted)), np.inf)
        for name, row in at.items():
            for end, way in self._ways(name, measure).items():
                if end in at:
                    found[row, at[end]] = way
        return found

    def _ways(self, start: str, measure: Measure) -> dict[str, float]:
        if measure == "hops":
            return dict(nx.single_source_shortest_path_length(self.graph, start))
        return dict(nx.single_source_dijkstra_path_length(self.graph, start, weight=measure))
