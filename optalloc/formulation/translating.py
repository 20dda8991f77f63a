"""Between placements and column values: expansion of merged classes, and hints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import cut
from optalloc.formulation.encoding import Encoding
from optalloc.formulation.problem import Problem
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]


def to_placement(encoding: Encoding, values: IntArray) -> Placement:
    """Expand column values to a placement of the instance's tasks on its concrete nodes."""
    problem = encoding.problem
    pairs = problem.pairs
    x = values[: encoding.pairs]
    columns = encoding.y_of_choice
    count = problem.task_classes.count[problem.choice_class]
    y = np.where(columns >= 0, values[np.maximum(columns, 0)], count)
    w = values[encoding.w_of_spot]
    if problem.nesting is not None:
        return expand_placement(problem, y, *problem.nesting.deal(problem.replicas_of(y, w)), w)
    used = np.flatnonzero(x)
    return expand_placement(problem, y, pairs.block[used], pairs.node[used], x[used], w)


def expand_placement(
    problem: Problem,
    y: IntArray,
    block: IntArray,
    node: IntArray,
    replicas: IntArray,
    w: IntArray | None = None,
) -> Placement:
    """Deal merged decisions out to single tasks and concrete nodes.

    The tasks of each choice go to the members of its class in order, those of each shape to its
    spots; then the replicas of each block to its tasks, and those on a merged node to its nodes,
    filling one after the other; shares of nodes go round.

    Parameters
    ----------
    y : (choices,)
        Tasks that run in each choice.
    block, node, replicas : (k,)
        Replicas of a block on a node, sorted by block.
    w : (spots,)
        Gangs in each spot; not needed where all may be anywhere.
    """
    row, tasks, of_block = _deal_choices(problem, y, w)
    chosen = np.zeros(problem.columns.rows, np.int64)
    np.add.at(chosen, row, tasks)
    by_block = np.argsort(of_block, kind="stable")
    row, tasks = row[by_block], tasks[by_block]
    row = np.repeat(row, tasks * problem.columns.row_replicas[row])
    single = _in_shares(problem, np.repeat(block, replicas), np.repeat(node, replicas))
    concrete = concrete_nodes(problem, single)
    return Placement.of(chosen, row, concrete, np.ones(row.size, np.int64))


def _in_shares(problem: Problem, block: IntArray, node: IntArray) -> IntArray:
    """Order the replicas of each block so that each task's lie together, a share of a node once.

    The tasks of a block with shares are all of one size. Neighbouring shares go to different tasks:
    no node has more of them than there are tasks.
    """
    columns = problem.columns
    node = node.copy()
    for b in np.unique(block[columns.row_per_node[problem.block_row[block]] > 0]).tolist():
        row = int(problem.block_row[b])
        share, size = int(columns.row_per_node[row]), int(columns.row_replicas[row])
        here = slice(*np.searchsorted(block, [b, b + 1]).tolist())
        shares = node[here][::share].reshape(size // share, -1)
        node[here] = np.repeat(shares.T.ravel(), share)
    return node


def _deal_choices(
    problem: Problem, y: IntArray, w: IntArray | None
) -> tuple[IntArray, IntArray, IntArray]:
    """Rows, numbers of tasks and blocks: each class's tasks cut at its members, and at spots."""
    classes, shape = problem.task_classes, problem.spots.of_choice
    order = np.argsort(problem.choice_class, kind="stable")
    used = order[y[order] > 0]
    start = (np.cumsum(classes.count) - classes.count)[problem.choice_class[used]]
    index, member, taken = cut(start, problem.choice_class[used], y[used], classes.of_count)
    choice = used[index]
    task = classes.task[problem.choice_class[choice]]
    number = problem.choice_row[choice] - problem.columns.row_start[task]
    row = problem.columns.row_start[classes.of_task[member]] + number
    block = problem.choice_block[choice]
    if w is None or not w.size:
        return row, taken, block
    gang = np.flatnonzero(shape[choice] >= 0)
    gang = gang[np.argsort(shape[choice[gang]], kind="stable")]
    begun = np.bincount(problem.spots.shape, w, problem.spots.shapes).astype(np.int64)
    start = (np.cumsum(begun) - begun)[shape[choice[gang]]]
    index, spot, number = cut(start, shape[choice[gang]], taken[gang], w)
    loose = np.flatnonzero(shape[choice] < 0)
    return (
        np.concatenate([row[loose], row[gang[index]]]),
        np.concatenate([taken[loose], number]),
        np.concatenate([block[loose], problem.spot_block[spot]]),
    )


def concrete_nodes(problem: Problem, node: IntArray) -> IntArray:
    """Deal replicas on merged nodes out to concrete ones."""
    classes = problem.node_classes
    if np.all(classes.count == 1):
        return classes.node[node]
    fits = problem.replicas_per_node
    order = np.argsort(classes.of_node, kind="stable")
    start = np.searchsorted(classes.of_node[order], np.arange(problem.nodes))
    by_node = np.argsort(node, kind="stable")
    sorted_node = node[by_node]
    rank = np.arange(node.size) - np.searchsorted(sorted_node, sorted_node)
    concrete = np.zeros(node.size, np.int64)
    concrete[by_node] = order[start[sorted_node] + rank // fits[sorted_node]]
    return concrete


def from_placement(encoding: Encoding, placement: Placement) -> IntArray | None:
    """Find x, y and w (others 0) of a placement; None if it uses what no column allows."""
    problem = encoding.problem
    values = np.zeros(encoding.model.columns, np.int64)
    choice = choice_of_row(problem)[placement.row]
    spot = problem.spot_of(choice, problem.node_classes.of_node[placement.node])
    block = problem.block_of(choice, spot)
    if np.any(choice < 0) or np.any(block < 0):
        return None
    # Gangs of a choice in several domains are counted domain by domain.
    width = problem.spot_block.size + 1
    units, unit = np.unique(choice * width + spot + 1, return_inverse=True)
    replicas = np.zeros(units.size, np.int64)
    np.add.at(replicas, unit.ravel(), placement.replicas)
    size = problem.choice_replicas[units // width]
    tasks = replicas // size
    if np.any(replicas % size) or _torn(problem, placement, unit.ravel(), tasks):
        return None
    y, w = np.zeros(problem.choices, np.int64), np.zeros(width, np.int64)
    np.add.at(y, units // width, tasks)
    np.add.at(w, units % width, tasks)
    free = np.flatnonzero(encoding.y_of_choice >= 0)
    values[encoding.y_of_choice[free]] = y[free]
    values[encoding.w_of_spot] = w[1:]
    if problem.nesting is not None:
        return values
    return _place(encoding, values, block, placement)


def _torn(problem: Problem, placement: Placement, unit: IntArray, tasks: IntArray) -> bool:
    """Whether some node has no whole shares of its tasks, or several of one task.

    Parameters
    ----------
    unit
        Of each placed pair: the choice, and the domain where it has one.
    tasks : (units,)
        Tasks of each.
    """
    share = problem.columns.row_per_node[placement.row]
    here, share = np.flatnonzero(share), share[share > 0]
    node = problem.node_classes.of_node[placement.node[here]]
    # Rows of a class that look alike, and entries merged into one, share their nodes.
    places, at = np.unique(unit[here] * problem.nodes + node, return_inverse=True)
    total = np.bincount(at.ravel(), placement.replicas[here], places.size).astype(np.int64)
    shares = np.zeros(places.size, np.int64)
    shares[at.ravel()] = share
    most = tasks[places // problem.nodes] * shares
    return bool(np.any(total % shares) or np.any(total > most))


def choice_of_row(problem: Problem) -> IntArray:
    """Choice of each row of the instance; -1 for entries whose tasks are in several classes."""
    columns, classes = problem.columns, problem.task_classes
    several = np.bincount(classes.of_task, minlength=columns.tasks) > 1
    class_of_task = np.full(columns.tasks, -1, np.int64)
    class_of_task[classes.of_task] = classes.of_class
    number = np.arange(columns.rows) - columns.row_start[columns.row_task]
    row = columns.row_start[classes.task[class_of_task]][columns.row_task] + number
    return np.where(several[columns.row_task], -1, problem.choice_of_row[row])


def _place(
    encoding: Encoding, values: IntArray, block: IntArray, placement: Placement
) -> IntArray | None:
    """Fill in x: replicas stay first, the rest arrive."""
    problem = encoding.problem
    pairs = problem.pairs
    node = problem.node_classes.of_node[placement.node]
    key, inverse = np.unique(block * problem.nodes + node, return_inverse=True)
    total = np.zeros(key.size, np.int64)
    np.add.at(total, inverse.ravel(), placement.replicas)
    most = _staying(problem, key, total)
    pair_key = pairs.block * problem.nodes + pairs.node
    at = np.asarray(np.searchsorted(pair_key, key), np.int64)
    if key.size and (at.max() >= pair_key.size or np.any(pair_key[at] != key)):
        return None
    here = np.where(pairs.stays[at], np.minimum(total, most), total)
    if np.any(pairs.stays[at] & (here > pairs.upper[at])):
        return None
    here = np.minimum(here, pairs.upper[at])
    values[at] = here
    rest = total - here
    more = np.flatnonzero(rest)
    again = np.asarray(at[more] + 1, np.int64)
    if more.size and (again.max() >= pair_key.size or np.any(pair_key[again] != key[more])):
        return None
    values[again] = rest[more]
    return values if np.all(values[again] <= pairs.upper[again]) else None


def _staying(problem: Problem, key: IntArray, total: IntArray) -> IntArray:
    """How many replicas may stay, given ``block * nodes + node`` and all replicas placed there."""
    none = np.zeros(key.size, np.int64)
    if not problem.home_key.size:
        return none
    home = problem.block_class[key // problem.nodes] * problem.nodes + key % problem.nodes
    order = np.argsort(home, kind="stable")
    upto = np.cumsum(total[order])
    upto -= (upto - total[order])[np.searchsorted(home[order], home[order])]
    before = none.copy()
    before[order] = upto - total[order]
    at = np.minimum(np.searchsorted(problem.home_key, home), problem.home_key.size - 1)
    running = np.where(problem.home_key[at] == home, problem.home[2][at], 0)
    return np.asarray(np.maximum(running - before, 0), np.int64)
