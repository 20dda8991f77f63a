"""Fabrics as they are built: fat trees, leaf and spine, rails, tori, dragonflies, NVLink islands.

Bandwidths are bytes/s in each direction, latencies seconds. The defaults are those of current AI
clusters: 400 Gb/s links (48.5 GB/s reached of 50, SimAI calbusbw.cc for CX7), 0.5 us for a network
card's hop (SimAI gen_Topo_Template.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from optalloc.instance.errors import InstanceError
from optalloc.topology.fabric import Fabric, Link, Speed

NIC = 48.5e9
"""Bytes/s of a 400 Gb/s network card."""
HOP_S = 0.5e-6
"""Seconds of a hop."""
NVLINK = {"a100": 240e9, "h100": 370.8e9, "b200": 721.8e9}
"""Bytes/s of each device over NVLink: 12 x 20, 18 x 20.6 and 18 x 40.1 GB/s (NCCL's topo.h)."""
NVLINK_S = 3.4e-6
"""Seconds of a ring step over NVLink (NCCL tuning.cc, Simple protocol)."""


def _positive(**numbers: float) -> None:
    problems = [
        (name, f"expected a whole number of at least 1, got {value}")
        for name, value in numbers.items()
        if value < 1
    ]
    if problems:
        raise InstanceError(problems, "the request for a fabric")


def fat_tree(
    k: int,
    *,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    oversubscription: float = 1.0,
    inside: Speed | None = None,
) -> Fabric:
    """Make a k-ary fat tree (Al-Fares et al., SIGCOMM 2008).

    k pods of k/2 edge and k/2 aggregation switches, (k/2)^2 core switches, k/2 nodes an edge
    switch: k^3/4 nodes. Levels: ``leaf``, ``pod``, ``core``.

    Parameters
    ----------
    k
        Ports of a switch: even, at least 2.
    bandwidth, latency
        Of every link.
    oversubscription
        What the nodes of an edge switch can send over what leaves it.
    inside
        What joins the devices of a node.

    Raises
    ------
    InstanceError
        For an odd or too small k.
    """
    if k < 2 or k % 2:
        problem = ("k", f"expected an even number of at least 2, got {k}")
        raise InstanceError([problem], "the request for a fabric")
    half = k // 2
    up = bandwidth / oversubscription
    nodes, links, names = [], [], {}
    switches = [f"core{c}" for c in range(half * half)]
    for pod, edge in itertools.product(range(k), range(half)):
        switch = f"edge{pod}-{edge}"
        switches.append(switch)
        names[switch] = f"pod{pod}"
        for host in range(half):
            nodes.append(f"n{pod}-{edge}-{host}")
            links.append(Link(nodes[-1], switch, "leaf", bandwidth, latency))
        links += [Link(switch, f"agg{pod}-{a}", "pod", up, latency) for a in range(half)]
    for pod, agg in itertools.product(range(k), range(half)):
        switches.append(f"agg{pod}-{agg}")
        links += [
            Link(switches[-1], f"core{agg * half + c}", "core", up, latency) for c in range(half)
        ]
    levels = ("leaf", "pod", "core")
    return Fabric(nodes, switches, links, levels, inside=inside, names={"pod": names})


def leaf_spine(
    leaves: int,
    nodes_per_leaf: int,
    *,
    spines: int = 2,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    oversubscription: float = 1.0,
    inside: Speed | None = None,
) -> Fabric:
    """Make leaf switches, each joined to all spines. Levels: ``leaf``, ``spine``.

    Parameters
    ----------
    leaves, nodes_per_leaf, spines
        At least 1 each.
    bandwidth, latency
        Of a node's link.
    oversubscription
        What the nodes of a leaf can send over what leaves it.
    inside
        What joins the devices of a node.

    Raises
    ------
    InstanceError
        For numbers below 1.
    """
    _positive(leaves=leaves, nodes_per_leaf=nodes_per_leaf, spines=spines)
    up = bandwidth * nodes_per_leaf / (spines * oversubscription)
    tops = [f"spine{s}" for s in range(spines)]
    nodes, links = [], []
    for leaf in range(leaves):
        for k in range(nodes_per_leaf):
            nodes.append(f"n{leaf}-{k}")
            links.append(Link(nodes[-1], f"leaf{leaf}", "leaf", bandwidth, latency))
        links += [Link(f"leaf{leaf}", top, "spine", up, latency) for top in tops]
    switches = [*tops, *(f"leaf{leaf}" for leaf in range(leaves))]
    return Fabric(nodes, switches, links, ("leaf", "spine"), inside=inside)


def tree(
    arity: Sequence[int],
    *,
    levels: Sequence[str] | None = None,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    oversubscription: float | Sequence[float] = 1.0,
    inside: Speed | None = None,
) -> Fabric:
    """Make a tree of switches.

    Parameters
    ----------
    arity
        Innermost first: nodes of a leaf, leaves of a switch above, and so on; at least 1 each.
    levels
        As many names; by default ``leaf``, ``pod``, ``core``, then ``level4`` and on.
    bandwidth, latency
        Of a node's link; every link has the same latency.
    oversubscription
        What can enter a domain from below over what leaves it upwards: of all levels, or of each.
    inside
        What joins the devices of a node.

    Raises
    ------
    InstanceError
        For numbers below 1 and lists of different lengths.
    """
    _positive(**{f"arity[{k}]": value for k, value in enumerate(arity)})
    usual = ("leaf", "pod", "core", *(f"level{k}" for k in range(4, len(arity) + 1)))
    named = tuple(usual[: len(arity)] if levels is None else levels)
    over = (
        [oversubscription] * len(arity)
        if isinstance(oversubscription, float | int)
        else list(oversubscription)
    )
    if not len(arity) == len(named) == len(over):
        problem = ("levels", f"expected {len(arity)} names and ratios, as arity has numbers")
        raise InstanceError([problem], "the request for a fabric")
    members: list[str] = []
    links: list[Link] = []
    switches: list[str] = []
    total = 1
    for size in arity:
        total *= size
    members = nodes = [f"n{k}" for k in range(total)]
    width = bandwidth
    for size, level, ratio in zip(arity, named, over, strict=True):
        above = [f"{level}{k}" for k in range(len(members) // size)]
        links += [Link(m, above[k // size], level, width, latency) for k, m in enumerate(members)]
        switches += above
        members = above
        width = width * size / ratio
    return Fabric(nodes, switches, links, named, inside=inside)


def rail_optimised(
    groups: int,
    nodes_per_group: int,
    *,
    rails: int = 8,
    spines: int = 8,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    oversubscription: float = 1.0,
    inside: Speed | None = None,
) -> Fabric:
    """Make a rail-optimised fabric: device r of each node of a group shares a leaf, its rail.

    Traffic between devices of different rails first takes the way inside the node, so a node's
    rails count together. Levels: ``rail-group``, ``spine``.

    Parameters
    ----------
    groups, nodes_per_group, rails, spines
        At least 1 each; a node has as many devices and network cards as rails.
    bandwidth, latency
        Of each network card's link.
    oversubscription
        What a rail's nodes can send over what leaves the rail.
    inside
        What joins the devices of a node; by default NVLink of an H100.

    Raises
    ------
    InstanceError
        For numbers below 1.
    """
    _positive(groups=groups, nodes_per_group=nodes_per_group, rails=rails, spines=spines)
    up = bandwidth * nodes_per_group / (spines * oversubscription)
    tops = [f"spine{s}" for s in range(spines)]
    names: dict[str, str] = {}
    nodes, links, switches = [], [], list(tops)
    for group in range(groups):
        leaves = [f"rail{group}-{r}" for r in range(rails)]
        switches += leaves
        names |= dict.fromkeys(leaves, f"rail-group{group}")
        for k in range(nodes_per_group):
            nodes.append(f"n{group}-{k}")
            links += [Link(nodes[-1], leaf, "rail-group", bandwidth, latency) for leaf in leaves]
        links += [Link(leaf, top, "spine", up, latency) for leaf in leaves for top in tops]
    within = inside or Speed(NVLINK["h100"], NVLINK_S)
    levels = ("rail-group", "spine")
    return Fabric(nodes, switches, links, levels, inside=within, names={"rail-group": names})


def nvlink_islands(
    islands: int,
    nodes_per_island: int = 18,
    *,
    devices: int = 4,
    islands_per_leaf: int = 1,
    spines: int = 4,
    nvlink: float = NVLINK["b200"],
    bandwidth: float = NIC,
    latency: float = HOP_S,
    oversubscription: float = 1.0,
) -> Fabric:
    """Make islands of nodes joined by NVLink, under leaves and spines.

    By default NVL72: 18 nodes of 4 devices. Islands of one node are 8-GPU servers (with
    ``devices=8``). Levels: ``island``, ``leaf``, ``spine``.

    Parameters
    ----------
    islands, nodes_per_island, devices, islands_per_leaf, spines
        At least 1 each.
    nvlink
        Bytes/s of a device over NVLink.
    bandwidth, latency
        Of a device's network card.
    oversubscription
        What the nodes of a leaf can send over what leaves it.

    Raises
    ------
    InstanceError
        For numbers below 1.
    """
    _positive(
        islands=islands, nodes_per_island=nodes_per_island, devices=devices,
        islands_per_leaf=islands_per_leaf, spines=spines,
    )  # fmt: skip
    leaves = -(-islands // islands_per_leaf)
    per_leaf = nodes_per_island * islands_per_leaf * devices * bandwidth
    up = per_leaf / (spines * oversubscription)
    tops = [f"spine{s}" for s in range(spines)]
    nodes, links = [], []
    for island, k in itertools.product(range(islands), range(nodes_per_island)):
        nodes.append(f"n{island}-{k}")
        links.append(Link(nodes[-1], f"nvl{island}", "island", nvlink, NVLINK_S / 2, count=devices))
        leaf = f"leaf{island // islands_per_leaf}"
        links.append(Link(nodes[-1], leaf, "leaf", bandwidth, latency, count=devices))
    links += [Link(f"leaf{k}", top, "spine", up, latency) for k in range(leaves) for top in tops]
    switches = [
        *tops, *(f"leaf{k}" for k in range(leaves)), *(f"nvl{k}" for k in range(islands)),
    ]  # fmt: skip
    within = Speed(nvlink, NVLINK_S)
    return Fabric(nodes, switches, links, ("island", "leaf", "spine"), inside=within)


def torus(
    dims: Sequence[int],
    *,
    block: Sequence[int] | None = None,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    inside: Speed | None = None,
) -> Fabric:
    """Make a torus of two or three dimensions (or more): nodes joined to their neighbours.

    The shortest way between two nodes is sum_i min(|a_i - b_i|, d_i - |a_i - b_i|). Levels:
    ``torus``, or ``block`` and ``torus`` where blocks are stated.

    Parameters
    ----------
    dims
        Nodes in each dimension, at least 1 each.
    block
        Nodes of a block in each dimension, which must divide the torus': a domain of its own.
    bandwidth, latency
        Of a link.
    inside
        What joins the devices of a node.

    Raises
    ------
    InstanceError
        For numbers below 1 and blocks that do not divide the torus.
    """
    _positive(**{f"dims[{k}]": value for k, value in enumerate(dims)})
    size = tuple(dims if block is None else block)
    if len(size) != len(dims) or any(b < 1 or d % b for d, b in zip(dims, size, strict=True)):
        problem = ("block", f"expected {len(dims)} numbers that divide {tuple(dims)}, got {size}")
        raise InstanceError([problem], "the request for a fabric")
    places = list(itertools.product(*(range(d) for d in dims)))
    name = {place: "n" + "-".join(map(str, place)) for place in places}
    links = []
    for place, axis in itertools.product(places, range(len(dims))):
        after = (place[axis] + 1) % dims[axis]
        # Two nodes in a ring are joined once, one not at all.
        if after == place[axis] or (dims[axis] == 2 and after == 0):
            continue
        other = (*place[:axis], after, *place[axis + 1 :])
        inner = all(p // b == o // b for p, o, b in zip(place, other, size, strict=True))
        wraps = after == 0 and size[axis] != dims[axis]
        level = "block" if block is not None and inner and not wraps else "torus"
        links.append(Link(name[place], name[other], level, bandwidth, latency))
    names = {
        name[place]: "block" + "-".join(str(p // b) for p, b in zip(place, size, strict=True))
        for place in places
    }
    levels = ("torus",) if block is None else ("block", "torus")
    return Fabric(list(name.values()), [], links, levels, inside=inside, names={"block": names})


def dragonfly(
    groups: int,
    routers: int,
    nodes_per_router: int,
    *,
    global_links: int | None = None,
    bandwidth: float = NIC,
    latency: float = HOP_S,
    inside: Speed | None = None,
) -> Fabric:
    """Make a dragonfly (Kim et al., ISCA 2008): all routers of a group and all groups are joined.

    Levels: ``router``, ``group``, ``dragonfly``.

    Parameters
    ----------
    groups, routers, nodes_per_router
        Groups, routers of a group and nodes of a router, at least 1 each.
    global_links
        Links of a router to other groups, enough that all groups are joined:
        ``routers * global_links >= groups - 1``; by default as few as that takes.
    bandwidth, latency
        Of a link.
    inside
        What joins the devices of a node.

    Raises
    ------
    InstanceError
        For numbers below 1 and too few global links.
    """
    _positive(groups=groups, routers=routers, nodes_per_router=nodes_per_router)
    fewest = -(-(groups - 1) // routers)
    wanted = fewest if global_links is None else global_links
    if wanted < fewest:
        message = f"expected at least {fewest} global links a router to join {groups} groups"
        raise InstanceError(
            [("global_links", f"{message}, got {wanted}")], "the request for a fabric"
        )
    nodes, links, switches, names = [], [], [], {}
    for group, router in itertools.product(range(groups), range(routers)):
        switches.append(f"r{group}-{router}")
        names[switches[-1]] = f"group{group}"
        for k in range(nodes_per_router):
            nodes.append(f"n{group}-{router}-{k}")
            links.append(Link(nodes[-1], switches[-1], "router", bandwidth, latency))
        links += [
            Link(switches[-1], f"r{group}-{other}", "group", bandwidth, latency)
            for other in range(router + 1, routers)
        ]
    ports = [0] * groups
    every = list(itertools.combinations(range(groups), 2))
    rounds = max(routers * wanted // max(groups - 1, 1), 1) if groups > 1 else 0
    for _, (a, b) in itertools.product(range(rounds), every):
        ends = []
        for group in (a, b):
            ends.append(f"r{group}-{ports[group] % routers}")
            ports[group] += 1
        links.append(Link(ends[0], ends[1], "dragonfly", bandwidth, latency))
    levels = ("router", "group", "dragonfly")
    return Fabric(nodes, switches, links, levels, inside=inside, names={"group": names})
