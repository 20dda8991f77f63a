"""Proofs of infeasibility that need no engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.kinds import Kinds
from optalloc.explaining.sites import Obstacle, Sites, empty_sites, listed, obstacles, room
from optalloc.explaining.words import amount_of, counted, name_entries, names, task_name
from optalloc.formulation.goals.capacity import TransientCapacity
from optalloc.formulation.problem import Problem
from optalloc.result import Reason

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MOST_REASONS = 20
"""More tasks that fit nowhere are summed up."""
MOST_CONFIGURATIONS = 4
"""More rows of a table are not explained one by one."""
WORK = 50_000_000
"""Pairs of row and node entry that are looked at; what is left then is up to the engines."""
MOST_SETS = 256
"""Sets of nodes whose total demand is compared with their capacity."""


# -- tasks that fit nowhere --------------------------------------------------------------------


def unplaceable(kinds: Kinds) -> Iterator[Reason]:
    """Required tasks that do not fit even if nothing else ran."""
    problem = kinds.problem
    columns = problem.columns
    wanted = columns.row_replicas[kinds.row]
    # Identical tasks with one way to run are counted together; rows of a table can be mixed.
    alone = kinds.length[kinds.of_row] == 1
    wanted = np.where(alone, wanted * kinds.count[kinds.of_row], wanted)
    rows = np.flatnonzero(kinds.required[kinds.of_row])
    found = np.array(wanted)
    found[rows] = _places(problem, kinds.row[rows], wanted[rows])
    fails = np.ones(kinds.task.size, bool)
    fails[kinds.of_row[found >= wanted]] = False
    failing = np.flatnonzero(fails & kinds.required)
    one_fits = np.zeros(kinds.task.size, bool)
    one_fits[kinds.of_row[found >= columns.row_replicas[kinds.row]]] = True
    for k in failing[one_fits[failing]].tolist():
        yield Reason(*_not_all(kinds, k, int(found[kinds.start[k]])))
    pairs = [(k, int(t)) for k in failing[~one_fits[failing]] for t in kinds.entries[k]]
    messages: dict[int, str] = {}
    for k, task in pairs[:MOST_REASONS]:
        if k not in messages:
            messages[k] = _why_nowhere(kinds, k, found)
        yield Reason(task_name(columns, task), messages[k])
    rest = [columns.instance.tasks[task].name for _, task in pairs[MOST_REASONS:]]
    if rest:
        yield Reason("", f"fitting no node either: {counted(len(rest), 'task')} ({names(rest)})")


def _places(problem: Problem, rows: IntArray, wanted: IntArray) -> IntArray:
    """Replicas of each row that the empty nodes take, counted until there are enough.

    Node entries are looked at from the largest down, for rows that still lack some. What is not
    looked at counts as enough.
    """
    columns = problem.columns
    sites = empty_sites(problem)
    total = np.maximum(sites.free.max(axis=0, initial=0), 1)
    largest_first = np.argsort(-(sites.free / total).sum(axis=1), kind="stable")
    kind = problem.allowed.row_kind[rows]
    lines = np.concatenate(
        [d.signature(rows) for d in columns.demand] + [kind[:, None], wanted[:, None]], axis=1
    )
    _, first, same = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    found = np.zeros(first.size, np.int64)
    work = 0
    order = np.argsort(kind[first], kind="stable")
    sorted_kind = kind[first][order]
    for k in np.unique(sorted_kind):
        low, high = np.searchsorted(sorted_kind, [k, k + 1])
        left = order[low:high]
        entries = largest_first[problem.allowed.mask[k][largest_first]]
        at, width = 0, 8
        while left.size and at < entries.size:
            chunk = entries[at : at + width]
            work += left.size * chunk.size
            if work > WORK:
                found[left] = wanted[first[left]]
                break
            part = Sites(sites.node[chunk], sites.count[chunk], sites.free[chunk])
            need = wanted[first[left]]
            fits = room(problem, rows[first[left]], part, need)
            found[left] += np.minimum(fits * part.count, need[:, None]).sum(axis=1)
            left = left[found[left] < need]
            at += width
            width *= 4
    return np.minimum(found[same.ravel()], wanted)


def _why_nowhere(kinds: Kinds, kind: int, found: IntArray) -> str:
    """Say why one task of a kind does not fit in any of its rows."""
    problem = kinds.problem
    rows = np.arange(kinds.start[kind], kinds.start[kind] + kinds.length[kind])
    texts = []
    for r in rows[:MOST_CONFIGURATIONS].tolist():
        row = int(kinds.row[r])
        said = why_not(problem, row, int(found[r]))
        texts.append(f"{problem.columns.row_name(row)}: {said}" if rows.size > 1 else said)
    more = int(rows.size) - len(texts)
    if more:
        texts.append(f"{counted(more, 'other')} likewise")
    head = "no configuration fits: " if rows.size > 1 else ""
    return head + " | ".join(texts)


def why_not(problem: Problem, row: int, found: int) -> str:
    """Say why the empty nodes do not take a task in a row, but only `found` replicas of it."""
    sites = empty_sites(problem)
    total = counted(sites.nodes, "node")
    if not found:
        return f"fits none of {total}: {listed(obstacles(problem, row, sites), sites)}"
    replicas = int(problem.columns.row_replicas[row])
    return f"fits {found:,} of its {replicas:,} replicas: {_spread_of(problem, row, found, sites)}"


def _not_all(kinds: Kinds, kind: int, found: int) -> tuple[str, str]:
    """Say which tasks fit one by one, but not all of them even without any others."""
    problem, columns = kinds.problem, kinds.problem.columns
    row, sites = int(kinds.row[kinds.start[kind]]), empty_sites(problem)
    replicas, count = int(columns.row_replicas[row]), int(kinds.count[kind])
    where = _spread_of(problem, row, found, sites)
    what = f"{found:,} of {count:,} tasks fit"
    if replicas > 1:
        what = f"{found:,} of {replicas * count:,} replicas fit"
    entries = kinds.entries[kind]
    if entries.size == 1:
        return task_name(columns, int(entries[0])), f"{what}: {where}"
    known = names([columns.instance.tasks[t].name for t in entries.tolist()])
    return "", f"tasks alike ({known}): {what}: {where}"


def _spread_of(problem: Problem, row: int, found: int, sites: Sites) -> str:
    """Say which nodes take the replicas found and no more, and why the others take none."""
    shut = obstacles(problem, row, sites)
    closed = np.zeros(sites.node.size, bool)
    for obstacle in shut:
        closed[obstacle.sites] = True
    takes = np.flatnonzero(~closed)
    fits = room(problem, np.array([row]), sites, np.array([found]))[0]
    demand = [d.at(np.array([row]), sites.node) for d in problem.columns.demand]
    full = Sites(
        sites.node[takes],
        sites.count[takes],
        sites.free[takes] - (np.stack(demand, axis=1) * fits[:, None])[takes],
        "left",
    )
    filled = [
        Obstacle(
            takes[o.sites],
            f"{int((fits * sites.count)[takes[o.sites]].sum()):,} fit, one more is {o.message}",
        )
        for o in obstacles(problem, row, full)
    ]
    return listed([*(filled or [Obstacle(takes, f"{found:,} fit")]), *shut], sites)


# -- total demand ------------------------------------------------------------------------------


def overdemand(kinds: Kinds) -> Iterator[Reason]:
    """Resources of which a set of nodes has less than the tasks restricted to it need."""
    problem = kinds.problem
    columns = problem.columns
    lines, line_of = kinds.lines
    required = np.flatnonzero(kinds.required)
    if not required.size:
        return
    used = np.unique(line_of[required])
    if used.size > MOST_SETS:
        used = used[:0]
    sets = np.unique(np.concatenate([np.ones((1, lines.shape[1]), bool), lines[used]]), axis=0)
    # A product of floats, as that of booleans is not done by a fast library.
    outside = lines.astype(np.float32) @ (~sets).T.astype(np.float32)
    nodes = np.diff(columns.node_start)
    for i in sorted(problem.hard_resources):
        if columns.demand[i].is_zero:
            continue
        need = kinds.smallest(kinds.least(columns.demand[i]) * columns.row_replicas[kinds.row])
        short = []
        for s in np.flatnonzero(sets.any(axis=1)).tolist():
            members = required[outside[line_of[required], s] == 0]
            has = _total(columns.capacity[sets[s], i], nodes[sets[s]])
            lacking = _total(need[members], kinds.count[members]) - has
            if lacking > 0:
                short.append((s, members, lacking, has))
        for s, members, lacking, has in short:
            if not any(o != s and not (sets[o] & ~sets[s]).any() for o, *_ in short):
                who = members[need[members] > 0]
                yield Reason("", _overdemand(kinds, i, sets[s], who, lacking, has))


def _total(values: IntArray, counts: IntArray) -> int:
    """Sum of products, exact however large."""
    if not values.size:
        return 0
    if float(np.abs(values.astype(float)) @ counts.astype(float)) < 2.0**62:
        return int(values @ counts)
    return sum(int(v) * int(c) for v, c in zip(values, counts, strict=True))


def _overdemand(
    kinds: Kinds, resource: int, nodes: BoolArray, members: IntArray, lacking: int, has: int
) -> str:
    columns = kinds.problem.columns
    total = int(np.diff(columns.node_start)[nodes].sum())
    every = bool(nodes.all())
    who = _who(kinds, members, "" if every else f" restricted to {name_entries(columns, nodes)}")
    where = f"the {counted(total, 'node')} {'has' if total == 1 else 'have'}"
    need = "needs" if int(kinds.count[members].sum()) == 1 else "need"
    return (
        f"{who} {need} at least {amount_of(columns, resource, has + lacking)}, "
        f"{where} {amount_of(columns, resource, has)}: "
        f"{amount_of(columns, resource, lacking)} short"
    )


def _who(kinds: Kinds, members: IntArray, restricted: str) -> str:
    columns = kinds.problem.columns
    entries = [int(t) for k in members.tolist() for t in kinds.entries[k]]
    known = [columns.instance.tasks[t].name for t in sorted(entries)]
    total = int(kinds.count[members].sum())
    return f"{counted(total, 'required task')}{restricted} ({names(known)})"


# -- moves -------------------------------------------------------------------------------------


def overfull_now(kinds: Kinds) -> Iterator[Reason]:
    """Nodes on which what runs now already takes more than may be taken while tasks move."""
    problem, columns = kinds.problem, kinds.problem.columns
    row = columns.row_start[columns.current_task]
    for policy in problem.objective.policies:
        if not isinstance(policy, TransientCapacity) or not policy.hard:
            continue
        for i in policy.indices(columns):
            now = np.zeros(columns.nodes, np.int64)
            demand = columns.demand[i].at(row, columns.current_node) * columns.current_replicas
            np.add.at(now, columns.current_node, demand)
            over = now - columns.capacity[columns.node_entry, i]
            for n in np.flatnonzero(over > 0)[:MOST_REASONS].tolist():
                yield Reason(
                    "",
                    f"node {columns.node_names[n]}: what runs there now takes "
                    f"{amount_of(columns, i, int(now[n]))}, which stays taken while tasks move: "
                    f"{amount_of(columns, i, int(over[n]))} above capacity",
                )
