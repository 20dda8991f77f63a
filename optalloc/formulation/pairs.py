"""The columns x: on which nodes each block may place replicas, staying or arriving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import join

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """The columns x: where each block may place replicas.

    Parameters
    ----------
    block, node : (pairs,)
        Sorted by block, then node; a home node can appear twice (staying, arriving).
    stays : (pairs,)
        Replicas that run there now and stay: they do not arrive.
    upper : (pairs,)
        Largest number of replicas.
    """

    block: IntArray
    node: IntArray
    stays: BoolArray
    upper: IntArray


_NONE = np.zeros(0, np.int64)
NO_PAIRS = Pairs(_NONE, _NONE, np.zeros(0, np.bool_), _NONE)


def make_pairs(problem: Problem) -> Pairs:
    """List the columns x: where labels and capacities allow a replica."""
    nodes_of_kind = [np.flatnonzero(line) for line in problem.node_mask]
    kind = problem.allowed.row_kind[problem.block_row]
    pieces = [
        nodes_of_kind[k] if anchor < 0 else problem.nodes_of(b)
        for b, (k, anchor) in enumerate(zip(kind, problem.block_anchor, strict=True))
    ]
    sizes = np.array([piece.size for piece in pieces], np.int64)
    block = np.repeat(np.arange(problem.blocks, dtype=np.int64), sizes)
    node = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
    upper = _fitting(problem, block, node)
    kept = upper > 0
    return _with_stays(problem, block[kept], node[kept], upper[kept])


def _fitting(problem: Problem, block: IntArray, node: IntArray) -> IntArray:
    """Most replicas of each block that fit on a node alone."""
    row, most = problem.block_row, problem.block_most
    node_kind, like = _node_kinds(problem)
    if problem.blocks * like.size > block.size:
        return problem.fitting(row[block], node, most[block])
    fits = problem.fitting(row[:, None], like[None, :], most[:, None])
    return fits[block, node_kind[node]]


def _node_kinds(problem: Problem) -> tuple[IntArray, IntArray]:
    """Kind of each node in what fits on it, and a node of each kind."""
    hard, at = sorted(problem.hard_resources), problem.node_classes.node
    demands = [problem.columns.demand[i] for i in hard]
    parts = [part.column[at] for demand in demands for part in demand.parts]
    lines = np.column_stack([np.zeros(problem.nodes, np.int64), problem.capacity[:, hard], *parts])
    _, like, kind = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    return kind.ravel(), like


def _with_stays(problem: Problem, block: IntArray, node: IntArray, upper: IntArray) -> Pairs:
    """Split the pairs at home nodes into staying and arriving replicas."""
    home_class, home_node, home_replicas = problem.home
    stays = np.zeros(block.size, bool)
    # Homes are few: they are looked up among the pairs.
    home, home_block = join(home_class, problem.block_class)
    wanted, key = home_block * problem.nodes + home_node[home], block * problem.nodes + node
    at = np.searchsorted(key, wanted)
    found = np.append(key, -1)[at] == wanted
    at, running = at[found], home_replicas[home[found]]
    contested = problem.contested[problem.block_class[block[at]]]
    again = np.sort(at[(upper[at] > running) | contested])
    stays[at] = True
    most = upper.copy()
    most[at] = np.minimum(upper[at], running)
    return Pairs(
        np.insert(block, again + 1, block[again]),
        np.insert(node, again + 1, node[again]),
        np.insert(stays, again + 1, False),
        np.insert(most, again + 1, upper[again]),
    )
