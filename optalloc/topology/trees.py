"""From switches and what hangs below each to a `Fabric`: what every importer has read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from optalloc.instance.errors import InstanceError
from optalloc.topology.fabric import Fabric, Link, Speed

USUAL = ("leaf", "pod", "core")
"""Names of the levels of switches, from the nodes up; those above are ``level4`` and so on."""
ISLAND = "island"
"""The level of accelerator domains (NVLink)."""


@dataclass
class SwitchTree:
    """Switches as a topology file states them.

    Parameters
    ----------
    switches, nodes
        The switches and nodes below each switch, in the order of the file.
    islands
        The accelerator domain of each node that is in one.
    source
        Where it comes from, for errors.
    """

    switches: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, list[str]] = field(default_factory=dict)
    islands: dict[str, str] = field(default_factory=dict)
    source: str = "the topology"

    @property
    def every_node(self) -> list[str]:
        """All nodes, in the order of the file."""
        listed = [name for names in self.nodes.values() for name in names]
        return list(dict.fromkeys([*listed, *self.islands]))

    def fabric(
        self,
        *,
        speeds: Mapping[str, Speed] | None = None,
        inside: Speed | None = None,
        known: Iterable[str] | None = None,
        forest: bool = False,
    ) -> Fabric:
        """Make the fabric.

        Parameters
        ----------
        speeds
            Of the links of each level (``island``, ``leaf``, ``pod``, ``core``, ``level4`` ...);
            those of other levels are not known.
        inside
            What joins the devices of a node.
        known
            The nodes that there are: the file must state these and no others.
        forest
            Accept trees that nothing joins.

        Raises
        ------
        InstanceError
            For switches that are not stated, hang below themselves or below two others, nodes
            below two switches, unknown or missing nodes, and speeds of unknown levels.
        """
        problems = [*self._torn(), *self._unknown(known)]
        height = self._heights(problems)
        if problems:
            raise InstanceError(problems, self.source)
        levels = _named(max(height.values(), default=0))
        tree = self._links(height, levels, speeds or {})
        order = self._with_islands(levels, tree)
        unknown = sorted((speeds or {}).keys() - set(order))
        if unknown:
            message = f"expected a level of the topology ({', '.join(order)})"
            raise InstanceError([(f"speed of {n}", message) for n in unknown], self.source)
        islands = list(dict.fromkeys(self.islands.values()))
        taken = {*self.every_node, *height}
        switch = {name: name if name not in taken else f"{name} (island)" for name in islands}
        speed = (speeds or {}).get(ISLAND, Speed())
        tree += [_link(n, switch[i], ISLAND, speed) for n, i in self.islands.items()]
        return Fabric(
            self.every_node,
            [*height, *switch.values()],
            tree,
            order,
            inside=inside,
            names={ISLAND: {switch[i]: i for i in islands}},
            forest=forest,
            source=self.source,
        )

    def _torn(self) -> Iterator[tuple[str, str]]:
        """What hangs below two switches or below none that is stated."""
        above: dict[str, str] = {}
        for name in sorted({*self.switches, *self.nodes} & set(self.every_node)):
            yield name, "expected different names for a switch and a node"
        for switch, below in self.nodes.items():
            for node in below:
                if above.setdefault(node, switch) != switch:
                    yield f"node {node}", f"expected one switch, got {above[node]} and {switch}"
        for switch, below in self.switches.items():
            for child in below:
                if child not in self.switches and child not in self.nodes:
                    yield f"switch {switch}", f"expected switches that are stated, got {child!r}"
                if above.setdefault(child, switch) != switch:
                    message = f"expected one switch above, got {above[child]} and {switch}"
                    yield f"switch {child}", message

    def _unknown(self, known: Iterable[str] | None) -> Iterator[tuple[str, str]]:
        if known is not None:
            there, stated = set(known), set(self.every_node)
            for name in sorted(stated - there):
                yield f"node {name}", "expected a node of the cluster"
            for name in sorted(there - stated):
                yield f"node {name}", "expected in the topology, as the cluster has it"

    def _heights(self, problems: list[tuple[str, str]]) -> dict[str, int]:
        """Levels of switches below each, itself included; reports what hangs below itself."""
        height: dict[str, int] = {}
        for start in dict.fromkeys([*self.switches, *self.nodes]):
            # Each entry of the way down: a switch and what is left to look at below it.
            way = [(start, iter(self.switches.get(start, ())))]
            while way:
                switch, below = way[-1]
                child = next((c for c in below if c not in height), None)
                if child is None:
                    deepest = (height.get(c, 0) for c in self.switches.get(switch, ()))
                    height[switch] = 1 + max(deepest, default=0)
                    way.pop()
                elif child in (names := [name for name, _ in way]):
                    loop = " -> ".join([*names[names.index(child) :], child])
                    message = f"expected no switch below itself: {loop}"
                    if (f"switch {child}", message) not in problems:
                        problems.append((f"switch {child}", message))
                    height[child] = 0
                elif child in self.switches or child in self.nodes:
                    way.append((child, iter(self.switches.get(child, ()))))
        return height

    def _links(
        self, height: Mapping[str, int], levels: Sequence[str], speeds: Mapping[str, Speed]
    ) -> list[Link]:
        links = []
        for below in (self.nodes, self.switches):
            for switch, names in below.items():
                level = levels[height[switch] - 1]
                speed = speeds.get(level, Speed())
                links += [_link(name, switch, level, speed) for name in dict.fromkeys(names)]
        return links

    def _with_islands(self, levels: tuple[str, ...], tree: Sequence[Link]) -> tuple[str, ...]:
        """The levels with that of the islands where these nest: as far in as possible."""
        if not self.islands:
            return levels
        if not levels:
            return (ISLAND,)
        domains = Fabric(
            self.every_node,
            sorted({link.b for link in tree} | {link.a for link in tree} - set(self.every_node)),
            tree,
            levels,
            forest=True,
        ).domains
        label = [self.islands.get(name, "") for name in domains.nodes]
        for at in range(len(levels) + 1):
            inner, outer = domains.levels[at].of_node.tolist(), None
            if at < len(levels):
                outer = domains.levels[at + 1].of_node.tolist()
            # A domain below lies in one island or meets none; an island lies in one above.
            below = all(len(found) == 1 for found in _groups(inner, label).values())
            within = outer is None or all(
                len(found) == 1 for island, found in _groups(label, outer).items() if island
            )
            if below and within:
                return (*levels[:at], ISLAND, *levels[at:])
        message = "expected accelerator domains that nest with the switches' domains"
        raise InstanceError([(ISLAND, message)], self.source)


def _groups(keys: Sequence[object], values: Sequence[object]) -> dict[object, set[object]]:
    found: dict[object, set[object]] = {}
    for key, value in zip(keys, values, strict=True):
        found.setdefault(key, set()).add(value)
    return found


def _link(a: str, b: str, level: str, speed: Speed) -> Link:
    return Link(a, b, level, speed.bandwidth, speed.latency, speed.energy_per_bit)


def _named(levels: int) -> tuple[str, ...]:
    return (*USUAL, *(f"level{k}" for k in range(len(USUAL) + 1, levels + 1)))[:levels]
