"""Needs: populations of replicas that want another population in each domain where they are.

A population is a set of blocks counted in the domains of a scope. Where one wants another that is
absent, the rule is broken once for each of its replicas there: the more there are, the more is to
be gained, which shows the way to a search that moves one after the other. Three numbers for each
population and domain make a price a matter of two places, however many needs there are.
"""

from __future__ import annotations

from optalloc.engines.local.state import State
from optalloc.engines.local.structs import compiled
from optalloc.engines.local.tables import Tables

HERE, LACKING, CALLING = range(3)
"""Columns of `State.need`."""


@compiled
def start_needs(t: Tables, s: State) -> None:
    """Count nothing: all that is wanted lacks everywhere."""
    s.need[:] = 0
    for p in range(t.population_scope.size):
        for at in range(t.population_start[p], t.population_start[p + 1]):
            s.need[at, LACKING] = t.want_start[p + 1] - t.want_start[p]


@compiled
def _place(t: Tables, p: int, n: int) -> int:
    """Line of a population and the domain of a node in `State.need`; -1 where there is none."""
    domain = t.need_domain[t.population_scope[p], n]
    return t.population_start[p] + domain if domain >= 0 else -1


@compiled
def need_delta(t: Tables, s: State, block: int, n1: int, n2: int) -> float:
    """How much more is wanted and absent if a replica goes from one node to another.

    Nodes may be -1. Exact unless a block is in several populations that want one another.
    """
    more = 0
    for m in range(t.member_start[block], t.member_start[block + 1]):
        p = t.member_population[m]
        at1 = _place(t, p, n1) if n1 >= 0 else -1
        at2 = _place(t, p, n2) if n2 >= 0 else -1
        if at1 == at2:
            continue
        if at1 >= 0:
            more -= s.need[at1, LACKING]
            if s.need[at1, HERE] == 1:
                more += s.need[at1, CALLING]
        if at2 >= 0:
            more += s.need[at2, LACKING]
            if s.need[at2, HERE] == 0:
                more -= s.need[at2, CALLING]
    return float(more)


@compiled
def need_move(t: Tables, s: State, block: int, n1: int, n2: int) -> None:
    """Count a replica on another node than before; either may be -1."""
    for m in range(t.member_start[block], t.member_start[block + 1]):
        p = t.member_population[m]
        at1 = _place(t, p, n1) if n1 >= 0 else -1
        at2 = _place(t, p, n2) if n2 >= 0 else -1
        if at1 != at2:
            if at1 >= 0:
                _count(t, s, p, at1, -1)
            if at2 >= 0:
                _count(t, s, p, at2, 1)


@compiled
def _count(t: Tables, s: State, p: int, at: int, change: int) -> None:
    """Count one replica more (1) or less (-1) of a population in a domain."""
    domain, before = at - t.population_start[p], s.need[at, HERE]
    s.need[at, HERE] = before + change
    more = change * s.need[at, LACKING]
    for i in range(t.want_start[p], t.want_start[p + 1]):
        s.need[t.population_start[t.wanted[i]] + domain, CALLING] += change
    if max(before, before + change) == 1:
        more -= change * s.need[at, CALLING]
        for i in range(t.caller_start[p], t.caller_start[p + 1]):
            s.need[t.population_start[t.caller[i]] + domain, LACKING] -= change
    s.violation[0] += more
