"""The placement rules of production schedulers for one group after the other.

Nodes with free devices lie in racks under zones. A group goes into the lowest domain that can take
all of it, else it is spread over the whole cluster; down from there each domain's share is dealt to
its children by a rule, written from its description: Kueue's topology-aware scheduling (KEP-2724,
"Computing the assignment") with its algorithms BestFit, LeastFreeCapacity and balanced placement,
and KAI's packing of domains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Rule = Callable[[Sequence[int], int, int], list[int]]
"""Free devices of some domains, devices wanted in all, size of a slice: devices taken of each."""


def best_fit(free: Sequence[int], wanted: int, piece: int = 1) -> list[int]:
    """Fill the fullest capacities first; the last domain is the tightest that takes the rest.

    Capacities count in whole slices; of equal ones the domain with fewer free devices comes first.
    """
    taken = [0] * len(free)
    left = wanted // piece
    rest = sorted(range(len(free)), key=lambda i: (-(free[i] // piece), free[i]))
    while left and rest:
        enough = [i for i in rest if free[i] // piece >= left]
        chosen = min(enough, key=lambda i: (free[i] // piece, free[i])) if enough else rest[0]
        rest.remove(chosen)
        number = min(left, free[chosen] // piece)
        taken[chosen] = number * piece
        left -= number
    return taken


def least_free(free: Sequence[int], wanted: int, piece: int = 1) -> list[int]:
    """Fill the domains with the least capacity first."""
    taken = [0] * len(free)
    left = wanted // piece
    for i in sorted(range(len(free)), key=lambda i: (free[i] // piece, free[i])):
        number = min(left, free[i] // piece)
        taken[i] = number * piece
        left -= number
    return taken


def balanced(free: Sequence[int], wanted: int, piece: int = 1) -> list[int]:
    """Fewest domains, of these the least capacity in all, and what is wanted dealt evenly."""
    rooms = [f // piece for f in free]
    need = wanted // piece
    chosen = _fewest(rooms, need)
    taken = [0] * len(free)
    for left_domains, i in zip(
        range(len(chosen), 0, -1), sorted(chosen, key=lambda i: rooms[i]), strict=True
    ):
        number = min(rooms[i], -(-need // left_domains))
        number = max(number, need - sum(rooms[j] for j in chosen if not taken[j] and j != i))
        taken[i] = number * piece
        need -= number
    return taken


def _fewest(rooms: Sequence[int], need: int) -> list[int]:
    """The fewest domains with room enough, of these the least room in all (by dynamic program)."""
    reached: dict[int, dict[int, list[int]]] = {0: {0: []}}
    for i, room in enumerate(rooms):
        for number in sorted(reached, reverse=True):
            for total, members in list(reached[number].items()) if room else ():
                reached.setdefault(number + 1, {}).setdefault(total + room, [*members, i])
    for number in sorted(reached):
        enough = [total for total in reached[number] if total >= need]
        if enough:
            return reached[number][min(enough)]
    return [i for i, room in enumerate(rooms) if room]


RULES: Mapping[str, Rule] = {
    "Kueue BestFit": best_fit,
    "Kueue LeastFreeCapacity": least_free,
    "Kueue balanced": balanced,
    "KAI": least_free,
}
"""What deals a domain's share to its children; each takes the tightest single domain that fits."""
SPREADS_BY_ROOM = {"KAI"}
"""Rules that spread over several domains from the roomiest on, and pack inside them."""


@dataclass(frozen=True)
class Cluster:
    """Nodes in racks in zones.

    Parameters
    ----------
    racks
        Nodes of each rack.
    zones
        Racks of each zone.
    """

    racks: tuple[tuple[int, ...], ...]
    zones: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Placed:
    """Where a group went: its devices by node, and the lowest level that holds all of them."""

    nodes: dict[int, int]
    level: str


def place(cluster: Cluster, free: Sequence[int], wanted: int, name: str) -> Placed | None:
    """Place one group by a rule; None if the cluster has no room for it."""
    deal = RULES[name]
    spread = best_fit if name in SPREADS_BY_ROOM else deal
    of_rack = [sum(free[n] for n in nodes) for nodes in cluster.racks]
    of_zone = [sum(of_rack[r] for r in racks) for racks in cluster.zones]
    if sum(free) < wanted:
        return None
    shares = dict.fromkeys(_tightest(of_zone, wanted), wanted)
    racks = dict.fromkeys(_tightest(of_rack, wanted), wanted)
    level = "rack" if racks else "zone" if shares else ""
    if not racks:
        zones = shares or dict(enumerate(spread(of_zone, wanted, 1)))
        for zone, share in zones.items():
            members = cluster.zones[zone]
            dealt = spread([of_rack[r] for r in members], share, 1)
            racks.update(zip(members, dealt, strict=True))
    nodes: dict[int, int] = {}
    for rack, share in racks.items():
        members = cluster.racks[rack]
        dealt = deal([free[n] for n in members], share, 1)
        nodes.update((n, k) for n, k in zip(members, dealt, strict=True) if k)
    return Placed(nodes, level)


def _tightest(rooms: Sequence[int], wanted: int) -> list[int]:
    enough = [i for i, room in enumerate(rooms) if room >= wanted]
    return [min(enough, key=lambda i: rooms[i])] if enough else []
