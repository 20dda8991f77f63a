"""Time of an all-reduce by latency-bandwidth models.

With n ranks, S bytes a rank, alpha seconds a step and B bytes/s:

* ring: ``2 (n - 1) alpha + 2 (n - 1)/n S / B``,
* double binary tree: ``2 ceil(log2 n) alpha + 2 S / B`` (pipelined),
* hierarchical: a reduce-scatter among the m ranks of each inner group, an all-reduce of S/m between
  groups, an all-gather inside: ``2 (m - 1)(alpha + S/m / B)`` and then the outer level with S/m.

The cheapest one is taken. Sources: Thakur, Rabenseifner and Gropp, IJHPCA 2005; Sanders, Speck and
Traeff, Parallel Computing 2009 (two trees); NCCL's tuning.cc uses the same terms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optalloc.instance.errors import InstanceError


@dataclass(frozen=True)
class Tier:
    """One level of a group: as many members talk to one another there.

    Parameters
    ----------
    members
        Parts that meet at this level: devices of a node, nodes of a rack, racks ...
    latency
        Seconds a step.
    bandwidth
        Bytes/s that each of them can send.

    Raises
    ------
    InstanceError
        For less than 1 member, a negative latency or a bandwidth that is not above 0.
    """

    members: int
    latency: float
    bandwidth: float

    def __post_init__(self) -> None:
        wrong = []
        if self.members < 1:
            wrong.append(("members", f"expected at least 1, got {self.members}"))
        if not self.latency >= 0:
            wrong.append(("latency", f"expected at least 0 s, got {self.latency}"))
        if not self.bandwidth > 0:
            wrong.append(("bandwidth", f"expected above 0 bytes/s, got {self.bandwidth}"))
        if wrong:
            raise InstanceError(wrong, "the tier")


def crossing_bytes(ranks: int, size: float) -> float:
    """Bytes that an all-reduce of `size` bytes a rank sends over any uplink, at most.

    ``2 (n - 1)/n S``, as in a ring of single ranks, wherever these are; a hierarchical one sends
    ``2 (N - 1)/N S`` between N groups.
    """
    return 2 * (ranks - 1) / ranks * size if ranks > 1 else 0.0


def ring(ranks: int, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a ring all-reduce of `size` bytes a rank."""
    return 2 * (ranks - 1) * (latency + size / ranks / bandwidth) if ranks > 1 else 0.0


def tree(ranks: int, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a pipelined all-reduce over two binary trees."""
    if ranks < 2:
        return 0.0
    return 2 * math.ceil(math.log2(ranks)) * latency + 2 * size / bandwidth


def hierarchical(tiers: Sequence[Tier], size: float) -> float:
    """Seconds of a reduce-scatter inwards, an all-reduce on top and an all-gather back.

    Parameters
    ----------
    tiers
        Innermost first.
    size
        Bytes a rank.
    """
    total, left = 0.0, size
    for tier in tiers[:-1]:
        total += ring(tier.members, left, tier.latency, tier.bandwidth)
        left /= tier.members
    top = tiers[-1]
    return total + min(form(top.members, left, top.latency, top.bandwidth) for form in (ring, tree))


def flat(tiers: Sequence[Tier], size: float) -> dict[str, float]:
    """Seconds of each form over all ranks at once, at the pace of the slowest tier in use."""
    used = [tier for tier in tiers if tier.members > 1]
    if not used:
        return {"ring": 0.0, "tree": 0.0}
    ranks = math.prod(tier.members for tier in used)
    bandwidth = min(tier.bandwidth for tier in used)
    outer = used[-1].latency
    # A ring crosses the outermost tier once for each of its members, else it stays within.
    inner = used[0].latency
    crossing = used[-1].members
    ring_latency = (crossing * outer + (ranks - crossing) * inner) / ranks
    steps = sum(math.ceil(math.log2(tier.members)) * tier.latency for tier in used)
    depth = sum(math.ceil(math.log2(tier.members)) for tier in used)
    return {
        "ring": ring(ranks, size, ring_latency, bandwidth),
        "tree": tree(2**depth, size, steps / depth, bandwidth),
    }


def all_reduce(tiers: Sequence[Tier], size: float) -> tuple[float, str]:
    """Seconds of the cheapest all-reduce, and its form.

    Parameters
    ----------
    tiers
        Innermost first; tiers of one member cost nothing.
    size
        Bytes a rank, at least 0.

    Returns
    -------
    tuple
        Seconds, and ``ring``, ``tree`` or ``hierarchical``.

    Raises
    ------
    InstanceError
        For a negative size.
    """
    if not size >= 0:
        raise InstanceError([("size", f"expected at least 0 bytes, got {size}")], "the all-reduce")
    forms = flat(tiers, size)
    used = [tier for tier in tiers if tier.members > 1]
    if len(used) > 1:
        forms["hierarchical"] = hierarchical(used, size)
    best = min(forms, key=lambda name: forms[name])
    return forms[best], best


def bus_bandwidth(seconds: float, size: float, ranks: int) -> float:
    """Bytes/s as nccl-tests state them: ``S/t * 2 (n - 1)/n`` (doc/PERFORMANCE.md)."""
    return size / seconds * 2 * (ranks - 1) / ranks
