"""Bounds on the traffic that leaves groups of limited size, from the best single groups.

Dividing n vertices among at most L groups of at most c each is a choice of sets S that cover every
vertex once, at ``cut(S) / 2`` each. For any prices y of vertices,

    cut >= sum_v y_v + L * min(0, min over |S| <= c of cut(S)/2 - sum of y over S),

and the linear relaxation of the covering finds the best y by column generation. Vertices that look
alike to everything (the classes of colour refinement) get one price, which loses nothing where
they are images of one another, as the ranks of a parallel group mostly are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optalloc.mapping.traffic import Graph

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
ROUNDS = 200
LIMIT, TOLERANCE = 2.0**51, 1e-9
"""Sums of whole numbers below this are exact; bounds from others are lowered by this share."""
NODES = 300_000
"""Nodes of the search for one set, after which there is no bound from its prices."""


def classes(weight: FloatArray) -> IntArray:
    """Colour refinement: vertices with the same weights to the same classes share a class."""
    color = np.zeros(len(weight), np.int64)
    while True:
        seen = [
            (
                int(color[v]),
                *sorted(zip(color[row > 0].tolist(), row[row > 0].tolist(), strict=True)),
            )
            for v, row in enumerate(weight)
        ]
        names = {key: k for k, key in enumerate(sorted(set(seen)))}
        finer = np.array([names[key] for key in seen], np.int64)
        if len(names) == color.max() + 1:
            return finer
        color = finer


def matrix_of(graph: Graph) -> FloatArray:
    """The weights as a symmetric matrix."""
    weight = np.zeros((graph.vertices, graph.vertices))
    weight[np.repeat(np.arange(graph.vertices), np.diff(graph.start)), graph.end] = graph.weight
    return weight


def cut_bound(
    weight: FloatArray,
    groups: int,
    most: int,
    known: IntArray,
    stop: Callable[[], bool],
    found: Callable[[float], None],
    flag: IntArray,
) -> float:
    """Bound the weight of edges between groups from below.

    Parameters
    ----------
    weight : (n, n)
        Symmetric.
    groups, most
        Number of groups, and vertices that one takes.
    known : (n,)
        The group of each vertex in some answer, where columns begin.
    found
        Called with each better bound.
    flag : (1,)
        Ends a search that is under way when it is not 0.
    """
    from scipy.optimize import linprog

    from optalloc.mapping.compiled.subsets import dearest

    n, color = len(weight), classes(weight)
    many = np.bincount(color)
    degree = weight.sum(axis=1)
    unit = max(float(weight.max()), 1e-300)
    whole = bool(np.all(weight == np.rint(weight))) and 4 * degree.sum() < LIMIT
    # A power of two, so that all numbers of the search stay whole and small enough to be exact.
    scale = 2.0 ** np.floor(np.log2(LIMIT / degree.sum())) if whole and degree.any() else 1 / unit

    def column(members: IntArray) -> tuple[float, IntArray]:
        inside = weight[np.ix_(members, members)].sum()
        cut = float(degree[members].sum() - inside) / 2
        return cut / unit, np.bincount(color[members], minlength=many.size)

    columns = [column(np.flatnonzero(known == g)) for g in np.unique(known)]
    columns += [column(np.array([v])) for v in range(n)]
    best = 0.0
    for _ in range(ROUNDS):
        if stop():
            break
        cost = np.array([c for c, _ in columns])
        cover = np.array([counts for _, counts in columns]).T
        solved = linprog(
            cost, A_ub=np.ones((1, cost.size)), b_ub=[groups], A_eq=cover, b_eq=many,
            method="highs",
        )  # fmt: skip
        if solved.status != 0:
            break
        y = solved.eqlin.marginals
        y = np.rint(y * unit * scale) if whole else y * unit * scale
        price = degree / 2 * scale - y[color]
        slack = max(0.0, np.floor(-float(solved.ineqlin.marginals[0]) * unit * scale))
        worth, members, exact = dearest(weight * scale, price, most, slack, NODES, flag)
        if not exact:
            break
        bound = (float(many @ y) - groups * worth) / scale
        bound = float(np.ceil(bound)) if whole else bound * (1 - TOLERANCE)
        if bound > best:
            best = bound
            found(best)
        if not members.size or bound >= solved.fun * unit * (1 - TOLERANCE):
            break
        columns.append(column(members))
    return best
