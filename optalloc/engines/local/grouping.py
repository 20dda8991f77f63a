"""Replicas that need one another change their domain together.

Where groups want others in the domains where they are, whoever leaves alone breaks a rule, and so
does whoever comes alone. So a replica takes along those that it wants where it goes and that are
not there, and those that want it where it was and have nobody else there; and so do these.
"""

from __future__ import annotations

import numpy as np

from optalloc.engines.local.changing import move
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
BACK = -1
"""Instead of a domain: where each was."""


@compiled
def try_group(t: Tables, s: State, w: Walk) -> None:
    """Take a group to another domain; if that is too full, others from there come in its place.

    What arrived is then placed once more. There is one call of each large function, because each
    is compiled into this one.
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
    everyone = below(w.random, 2) == 0
    arrived = count = _gather(t, s, w, p, scope, here, there, everyone, 0)
    if count == BUNDLE:
        return
    most, before, rounds = tolerated(w), energy(t, s, w), 0
    first, last, target = 0, count, there
    while True:
        settled = _send(t, s, w, first, last, scope, target)
        if target == BACK:
            return
        if settled and first > 0:
            first, last, target = 0, arrived, there
            continue
        if settled and energy(t, s, w) - before <= most:
            w.taken[GROUP] += 1
            judge(t, s, w)
            return
        first, last, target = 0, count, BACK
        p = _in_the_way(t, s, w, arrived) if settled and rounds < RETURNS and here >= 0 else -1
        if p >= 0:
            end = _gather(t, s, w, p, scope, there, here, everyone, count)
            if end < BUNDLE:
                first, last, target, count = count, end, here, end
        rounds += 1


@compiled
def _scope(t: Tables, s: State, w: Walk, p: int) -> int:
    """A scope in which a replica is bound."""
    first, last = t.member_start[s.block[p]], t.member_start[s.block[p] + 1]
    return t.population_scope[t.member_population[first + below(w.random, last - first)]]


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
    """List a replica and all who must come along; the end of the list, `BUNDLE` if too many.

    Or, with `everyone`, all replicas in the domain of the populations of those who come.
    """
    w.bundle[start, 0], w.bundle[start, 1] = p, s.node[p]
    end, i = start + 1, start
    while i < end < BUNDLE:
        block = s.block[w.bundle[i, 0]]
        for m in range(t.member_start[block], t.member_start[block + 1]):
            q = t.member_population[m]
            if t.population_scope[q] != scope:
                continue
            if everyone:
                end = _list_some(t, s, w, q, here, start, end, BUNDLE)
            staying = s.need[t.population_start[q] + here, HERE] if here >= 0 else BUNDLE
            if staying <= _listed(t, s, w, q, start, end):
                for c in range(t.caller_start[q], t.caller_start[q + 1]):
                    end = _list_some(t, s, w, t.caller[c], here, start, end, BUNDLE)
            for c in range(t.want_start[q], t.want_start[q + 1]):
                other = t.wanted[c]
                absent = s.need[t.population_start[other] + there, HERE] == 0
                if absent and _listed(t, s, w, other, start, end) == 0:
                    end = _list_some(t, s, w, other, here, start, end, 1)
        i += 1
    return end


@compiled
def _list_some(
    t: Tables, s: State, w: Walk, q: int, here: int, start: int, end: int, most: int
) -> int:
    """List so many more replicas of a population in a domain at most, from a random one on."""
    scope, first, size = t.population_scope[q], t.bound_start[q], t.bound_start[q + 1]
    size -= first
    drawn = below(w.random, size)
    for i in range(size):
        if most == 0 or end == BUNDLE:
            break
        slot = t.bound_slot[first + (drawn + i) % size]
        n = s.node[slot]
        if n >= 0 and t.need_domain[scope, n] == here and not _has(w, slot, start, end):
            w.bundle[end, 0], w.bundle[end, 1] = slot, n
            end, most = end + 1, most - 1
    return end


@compiled
def _has(w: Walk, slot: int, start: int, end: int) -> bool:
    """Whether a replica is in a part of the list."""
    # Not `np.any`: what numba knows of it takes SciPy's linear algebra, which is long to import.
    found = False
    for i in range(start, end):
        found = found or w.bundle[i, 0] == slot
    return found


@compiled
def _listed(t: Tables, s: State, w: Walk, q: int, start: int, end: int) -> int:
    """How many replicas of a population are in a part of the list."""
    count = 0
    for i in range(start, end):
        block = s.block[w.bundle[i, 0]]
        for m in range(t.member_start[block], t.member_start[block + 1]):
            count += t.member_population[m] == q
    return count


# -- where they go ---------------------------------------------------------------------------------


@compiled
def _send(t: Tables, s: State, w: Walk, first: int, last: int, scope: int, target: int) -> bool:
    """Move each of a part of the list to where it costs the least in a domain, or `BACK`.

    False if one of them may not go there.
    """
    for i in range(first, last):
        if target == BACK:
            slot, n = w.bundle[first + last - 1 - i, 0], w.bundle[first + last - 1 - i, 1]
        else:
            _bring_forward(t, s, w, i, last)
            slot = w.bundle[i, 0]
            n = _cheapest(t, s, w, slot, t.scope_site[scope] + target)
        if n < 0:
            return False
        if n != s.node[slot]:
            note(s, w, slot, s.node[slot])
            move(t, s, slot, n)
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
            if larger and not _has(w, slot, 0, count):
                found = slot
            slot = s.later[slot]
        if found >= 0:
            break
    return found
