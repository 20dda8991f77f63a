"""From rules by which groups want other groups near them to populations and their needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.local.translating_counters import blocks_of
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import Missing
from optalloc.formulation.terms import Membership, Placed, Term

IntArray = NDArray[np.int64]


def are_needs(term: Term) -> bool:
    """Whether a rule says that wherever some classes are, some others must be."""
    family, limit = term.family, term.limit
    if not isinstance(term.shape, Missing) or limit is None or limit.sense != "at_most":
        return False
    if family.chosen or family.constant.any() or len(family.placed) != 1 or limit.bound.any():
        return False
    (placed,) = family.placed
    ones = not placed.coefficient.parts and bool(np.all(placed.coefficient.base == 1))
    counts = ones and placed.scale == 1 and not placed.arrivals_only
    return counts and placed.membership is not None and bool(np.all(term.factor == 1))


def need_tables(problem: Problem, terms: list[Term]) -> dict[str, Any]:
    """Make the tables of all needs."""
    scopes: dict[bytes, int] = {}
    known: dict[tuple[int, bytes], int] = {}
    domain = [np.zeros((0, problem.nodes), np.int64)]
    classes: list[IntArray] = []
    domains: list[int] = []
    wants: list[IntArray] = [np.zeros((0, 2), np.int64)]
    for term in terms:
        (placed,) = term.family.placed
        key = placed.domain.tobytes()
        if key not in scopes:
            scopes[key] = len(scopes)
            domain.append(placed.domain[None, :])
        of_part = np.empty(_parts(placed).parts, np.int64)
        for part, members in enumerate(_by_part(_parts(placed))):
            name = scopes[key], members.tobytes()
            if name not in known:
                known[name] = len(known)
                classes.append(members)
                domains.append(placed.domains)
            of_part[part] = known[name]
        wants.append(of_part.reshape(2, -1).T)
    pairs = np.concatenate(wants)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    scope = np.array([scope for scope, _ in known], np.int64)
    return {
        **_members(problem, classes),
        "population_scope": scope.astype(np.int32),
        "population_start": np.concatenate([[0], np.cumsum(domains)]).astype(np.int32),
        **lists("want_start", "wanted", pairs, len(known)),
        **lists("caller_start", "caller", pairs[:, ::-1], len(known)),
        "need_domain": np.concatenate(domain).astype(np.int32),
    }


def _parts(placed: Placed) -> Membership:
    assert placed.membership is not None
    return placed.membership


def _by_part(membership: Membership) -> list[IntArray]:
    """The classes of each part, in order."""
    order = np.lexsort((membership.task_class, membership.part))
    start = np.searchsorted(membership.part[order], np.arange(1, membership.parts))
    return np.split(membership.task_class[order], start)


def _members(problem: Problem, classes: list[IntArray]) -> dict[str, Any]:
    """The populations of each block."""
    of_class = np.concatenate([np.zeros(0, np.int64), *classes])
    population = np.repeat(np.arange(len(classes)), [line.size for line in classes])
    line, blocks = blocks_of(problem, of_class)
    members = np.stack([blocks, population[line]], axis=1)
    return lists("member_start", "member_population", members, problem.blocks)


def lists(start: str, name: str, pairs: IntArray, firsts: int) -> dict[str, Any]:
    """Second numbers of pairs by the first."""
    order = np.argsort(pairs[:, 0], kind="stable")
    first = np.searchsorted(pairs[order, 0], np.arange(firsts + 1))
    return {start: first.astype(np.int32), name: pairs[order, 1].astype(np.int32)}
