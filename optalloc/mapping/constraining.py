"""CP-SAT on groups of ranks: which leaf each rank is in, and which edges are cut.

The model has a boolean for each rank and leaf and one for each edge ("the ends differ"). Leaves of
one size are interchangeable: rank i may only open the next unused leaf. Heavy groups (components of
the edges of the largest weight, such as tensor-parallel groups) get what the relaxation does not
see: a leaf of c holds at most ``c // t`` whole groups of t, one that is not whole in a leaf is cut
at least as much as its smallest cut, and one larger than a leaf at least as its best parts are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """How long CP-SAT may look, with how many workers, and what else ends it, also from outside."""

    seconds: float
    workers: int
    seed: int
    stop: Callable[[], bool]
    at_end: list[Callable[[], object]]


def prove_cut(
    weight: IntArray,
    groups: int,
    most: int,
    known: IntArray,
    at_least: float,
    run: Run,
    bounded: Callable[[float], None],
    better: Callable[[IntArray], object],
) -> None:
    """Look for a division that is cut less than `known`, until none is left.

    Parameters
    ----------
    weight : (n, n)
        Symmetric, small whole numbers.
    groups, most
        Number of leaves, and ranks that each takes.
    at_least
        A bound that is known already.
    run
        Its limits.
    bounded, better
        Called with each bound on the cut and each better division.
    """
    from ortools.sat.python import cp_model

    model, place, differ = _model(cp_model, weight, groups, most)
    cut = sum(d * int(weight[e]) for e, d in differ.items())
    model.minimize(cut)
    model.add(cut >= int(np.ceil(at_least - 1e-6)))
    label = _in_order(known)
    for (i, leaf), x in place.items():
        model.add_hint(x, int(label[i] == leaf))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = max(run.seconds, 0.01)
    solver.parameters.num_workers = run.workers
    solver.parameters.random_seed = run.seed
    solver.parameters.catch_sigint_signal = False
    solver.parameters.symmetry_level = 2

    class Listener(cp_model.CpSolverSolutionCallback):
        def on_solution_callback(self) -> None:
            at = np.zeros(len(weight), np.int64)
            for (i, leaf), x in place.items():
                if self.value(x):
                    at[i] = leaf
            better(at)
            if run.stop():
                self.stop_search()

    def bound(value: float) -> None:
        bounded(int(np.ceil(value - 1e-6)))
        if run.stop():
            solver.stop_search()

    solver.best_bound_callback = bound
    run.at_end.append(solver.stop_search)
    status = solver.solve(model, Listener())
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.UNKNOWN):
        bound(solver.best_objective_bound)


def _model(
    cp_model: Any, weight: IntArray, groups: int, most: int
) -> tuple[Any, dict[tuple[int, int], Any], dict[tuple[int, int], Any]]:
    n = len(weight)
    model = cp_model.CpModel()
    place = {
        (i, leaf): model.new_bool_var("") for i in range(n) for leaf in range(min(groups, i + 1))
    }
    for i in range(n):
        model.add_exactly_one(place[i, leaf] for leaf in range(min(groups, i + 1)))
    for leaf in range(groups):
        model.add(sum(place[i, leaf] for i in range(leaf, n)) <= most)
        for i in range(max(leaf, 1), n if leaf else 0):
            opened = [place[j, leaf - 1] for j in range(leaf - 1, i)]
            model.add_bool_or([*opened, place[i, leaf].negated()])
    differ = {}
    for i, j in np.argwhere(np.triu(weight) > 0).tolist():
        apart = differ[i, j] = model.new_bool_var("")
        for leaf in range(groups):
            a, b = place.get((i, leaf)), place.get((j, leaf))
            if a is not None and b is not None:
                model.add_bool_or([a.negated(), b, apart])
                model.add_bool_or([b.negated(), a, apart])
                model.add_bool_or([a.negated(), b.negated(), apart.negated()])
            elif b is not None:
                model.add_implication(b, apart)
    _heavy_groups(model, weight, place, differ, groups, most)
    return model, place, differ


def _heavy_groups(
    model: Any, weight: IntArray, place: Any, differ: Any, groups: int, most: int
) -> None:
    """Add what holds for the components of each weight, heaviest first."""
    for value in np.unique(weight[weight > 0])[::-1][:3].tolist():
        members = components(weight == value)
        if not members or len(members[0]) > 2 * most + 8 or len(members[0]) == len(weight):
            continue
        size = min(map(len, members))
        whole_in: dict[int, list[Any]] = {leaf: [] for leaf in range(groups)}
        for group in members:
            inside = weight[np.ix_(group, group)] == value
            apart = [
                differ[i, j]
                for i in group
                for j in group
                if (i, j) in differ and weight[i, j] == value
            ]
            least = parts_cut(inside, most)
            if len(group) > most:
                model.add(sum(apart) >= least)
                continue
            wholes = []
            for leaf in range(groups):
                if all((i, leaf) in place for i in group):
                    whole = model.new_bool_var("")
                    for i in group:
                        model.add_implication(whole, place[i, leaf])
                    wholes.append(whole)
                    whole_in[leaf].append(whole)
            smallest = smallest_cut(inside)
            model.add(sum(apart) + smallest * sum(wholes) >= smallest)
        for wholes in whole_in.values():
            if wholes:
                model.add(sum(wholes) <= most // size)


def components(joined: NDArray[np.bool_]) -> list[list[int]]:
    """Components with at least two members."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    many, label = connected_components(csr_array(joined), directed=False)
    found = [np.flatnonzero(label == k).tolist() for k in range(many)]
    return [group for group in found if len(group) > 1]


def smallest_cut(joined: NDArray[np.bool_]) -> int:
    """Fewest edges that part a connected group."""
    import networkx as nx

    return int(nx.edge_connectivity(nx.from_numpy_array(joined.astype(int))))


def parts_cut(joined: NDArray[np.bool_], most: int) -> int:
    """Fewest edges cut where a clique or a ring is divided in parts of limited size; else 0."""
    n, edges = len(joined), int(joined.sum()) // 2
    if n <= most:
        return 0
    if edges == n * (n - 1) // 2:
        whole, rest = divmod(n, most)
        return edges - whole * (most * (most - 1) // 2) - rest * (rest - 1) // 2
    if edges == n and np.all(joined.sum(axis=1) == 2):
        return -(-n // most)
    return 0


def _in_order(label: IntArray) -> IntArray:
    """Number groups by their first members."""
    first: dict[int, int] = {}
    for value in label.tolist():
        first.setdefault(value, len(first))
    return np.array([first[value] for value in label.tolist()], np.int64)
