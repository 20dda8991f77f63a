"""Replicas that need one another change their domain together.

Where groups want others in the domains where they are, whoever leaves alone breaks a rule, and so
does whoever comes alone. So a replica takes along those that it wants where it goes and that are
not there, and those that want it where it was and have nobody else there; and so do these.
"""

from __future__ import annotations

import numpy as np

from optalloc.engines.local.changing import put
from optalloc.engines.local.needs import HERE
from optalloc.engines.local.pricing import put_price
from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import (
    BUNDLE,
    GROUP,
    Walk,
    below,
    energy,
    judge,
    note,
    tolerated,
)
from optalloc.engines.local.whole import some_node

LOOKED_AT = 16
"""Nodes of a domain among which a replica takes the cheapest, at most."""
RETURNS = 3
"""Groups that make room for one, at most."""


@compiled
def try_group(t: Tables, s: State, w: Walk) -> None:
    """Take a group to another domain; if that is too full, others from there come in its place.

    What arrived is then placed once more.
    """
    if t.bound_slot.size == 0:
        return
    p = t.bound_slot[below(w.random, t.bound_slot.size)]
    if s.node[p] < 0:
        return
    scope = _scope(t, s, w, p)
    here, there = t.need_domain[scope, s.node[p]], t.need_domain[scope, some_node(t, w, s.block[p])]
    if there < 0 or there == here:
        return
    w.tried[GROUP] += 1
    most, before, everyone = tolerated(w), energy(t, s, w), below(w.random, 2) == 0
    first = count = _gather(t, s, w, p, scope, here, there, everyone, 0)
    start = count
    for _ in range(1 + RETURNS):
        if count == BUNDLE or not _settle(t, s, w, scope, there, 0, first):
            break
        if not _settle(t, s, w, scope, here, start, count):
            break
        if energy(t, s, w) - before <= most:
            w.taken[GROUP] += 1
            judge(t, s, w)
            return
        p = _in_the_way(t, s, w, first)
        if p < 0 or here < 0 or t.need_domain[scope, s.node[p]] != there:
            break
        start, count = count, _gather(t, s, w, p, scope, there, here, everyone, count)
    for i in range(count - 1, -1, -1):
        _take(t, s, w, w.bundle[i, 0], w.bundle[i, 1])


@compiled
def _scope(t: Tables, s: State, w: Walk, p: int) -> int:
    """A scope in which a replica is bound."""
    first, last = t.member_start[s.block[p]], t.member_start[s.block[p] + 1]
    return t.population_scope[t.member_population[first + below(w.random, last - first)]]


@compiled
def _take(t: Tables, s: State, w: Walk, slot: int, n: int) -> None:
    """Take a replica from where it is, if it is anywhere, to a node; -1 is nowhere."""
    if s.node[slot] >= 0:
        note(s, w, slot, s.node[slot])
        put(t, s, slot, s.node[slot], -1)
    if n >= 0:
        note(s, w, slot, -1)
        put(t, s, slot, n, 1)


# -- who comes along -------------------------------------------------------------------------------


@compiled
def _gather(
    t: Tables,
    s: State,
    w: Walk,
    p: int,
    scope: int,
    here: int,
    there: int,
    everyone: bool,
    start: int,
) -> int:
    """Lift a replica and all who must come along; the end of their list, `BUNDLE` if too many.

    Or, with `everyone`, all replicas in the domain of the populations of those who come.
    """
    end, i = _lift(t, s, w, p, start), start
    while i < end < BUNDLE:
        block = s.block[w.bundle[i, 0]]
        for m in range(t.member_start[block], t.member_start[block + 1]):
            q = t.member_population[m]
            if t.population_scope[q] != scope:
                continue
            if everyone:
                end = _lift_from(t, s, w, q, here, t.bound_slot.size, end)
            if here >= 0 and s.need[t.population_start[q] + here, HERE] == 0:
                for c in range(t.caller_start[q], t.caller_start[q + 1]):
                    end = _lift_from(t, s, w, t.caller[c], here, t.bound_slot.size, end)
            for c in range(t.want_start[q], t.want_start[q + 1]):
                absent = s.need[t.population_start[t.wanted[c]] + there, HERE] == 0
                if absent and not _comes(t, s, w, t.wanted[c], start, end):
                    end = _lift_from(t, s, w, t.wanted[c], here, 1, end)
        i += 1
    return end


@compiled
def _lift(t: Tables, s: State, w: Walk, slot: int, end: int) -> int:
    """Take a replica off its node and list it; the new end of the list, which may be full."""
    if end == BUNDLE:
        return end
    w.bundle[end, 0], w.bundle[end, 1] = slot, s.node[slot]
    _take(t, s, w, slot, -1)
    return end + 1


@compiled
def _lift_from(t: Tables, s: State, w: Walk, q: int, here: int, most: int, end: int) -> int:
    """Lift so many replicas of a population in a domain at most, from a random one on."""
    scope, first, size = t.population_scope[q], t.bound_start[q], t.bound_start[q + 1]
    size -= first
    drawn = below(w.random, size)
    for i in range(size):
        if most == 0 or end == BUNDLE:
            break
        slot = t.bound_slot[first + (drawn + i) % size]
        if s.node[slot] >= 0 and t.need_domain[scope, s.node[slot]] == here:
            end, most = _lift(t, s, w, slot, end), most - 1
    return end


@compiled
def _comes(t: Tables, s: State, w: Walk, q: int, start: int, end: int) -> bool:
    """Whether a replica of a population is in a part of the list."""
    for i in range(start, end):
        block = s.block[w.bundle[i, 0]]
        for m in range(t.member_start[block], t.member_start[block + 1]):
            if t.member_population[m] == q:
                return True
    return False


# -- where they go ---------------------------------------------------------------------------------


@compiled
def _settle(t: Tables, s: State, w: Walk, scope: int, there: int, start: int, end: int) -> bool:
    """Put each of a part of the list where it costs the least; False if one may not go there."""
    for i in range(start, end):
        _take(t, s, w, w.bundle[i, 0], -1)
    for i in range(start, end):
        _bring_forward(t, s, w, i, end)
        slot = w.bundle[i, 0]
        n = _cheapest(t, s, w, slot, t.scope_site[scope] + there)
        if n < 0:
            return False
        _take(t, s, w, slot, n)
    return True


@compiled
def _bring_forward(t: Tables, s: State, w: Walk, i: int, end: int) -> None:
    """Let the largest of the rest of a list be the next."""
    for k in range(i + 1, end):
        mine, other = w.bundle[i, 0], w.bundle[k, 0]
        if t.block_bulk[s.block[other]] > t.block_bulk[s.block[mine]]:
            w.bundle[i, 0], w.bundle[k, 0] = other, mine
            w.bundle[i, 1], w.bundle[k, 1] = w.bundle[k, 1], w.bundle[i, 1]


@compiled
def _cheapest(t: Tables, s: State, w: Walk, slot: int, site: int) -> int:
    """The cheapest of the nodes of a domain, or of some of them; -1 if none is allowed."""
    first, size = t.site_start[site], t.site_start[site + 1] - t.site_start[site]
    drawn, kind = below(w.random, size), t.block_kind[s.block[slot]]
    best, at = np.inf, -1
    for i in range(min(size, LOOKED_AT)):
        n = t.site_node[first + (drawn + i) % size]
        if t.allowed[kind, n]:
            price = put_price(t, s, w, slot, n)
            if price < best or at < 0:
                best, at = price, n
    return at


@compiled
def _in_the_way(t: Tables, s: State, w: Walk, count: int) -> int:
    """A replica on an overloaded node to which one of the list came; -1 if there is none.

    It is the largest of those that were there; those that came last head the list of a node.
    """
    found, drawn = -1, below(w.random, count)
    for i in range(count):
        n = s.node[w.bundle[(drawn + i) % count, 0]]
        if s.over[n] == 0.0:
            continue
        slot = s.first[n]
        for _ in range(LOOKED_AT):
            if slot < 0:
                break
            larger = found < 0 or t.block_bulk[s.block[slot]] > t.block_bulk[s.block[found]]
            if larger and not np.any(w.bundle[:count, 0] == slot):
                found = slot
            slot = s.later[slot]
        if found >= 0:
            break
    return found
