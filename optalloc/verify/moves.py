"""Moves: their cost per task, for the worst group and per pair of nodes; their number."""

from __future__ import annotations

import numpy as np

from optalloc.formulation.goals.moves import GroupMoveCost, Moves, PairMoveCost, TaskMoveCost
from optalloc.verify.facts import Facts, join, sums, total
from optalloc.verify.finding import Finding, checks


@checks(Moves)
def moves(_policy: Moves, facts: Facts) -> Finding:
    """Count the replicas moved."""
    return Finding(int(facts.moved.sum()))


@checks(TaskMoveCost)
def task_move_cost(_policy: TaskMoveCost, facts: Facts) -> Finding:
    """Sum over moved replicas of their task's cost."""
    return Finding(total(facts.columns.move_cost[facts.task], facts.moved))


@checks(GroupMoveCost)
def group_move_cost(policy: GroupMoveCost, facts: Facts) -> Finding:
    """Count the replicas moved in the group that moves most."""
    pair, group = facts.groups_of_pairs()
    by_group = sums(len(facts.instance.groups), group, facts.moved[pair])
    chosen = by_group[facts.select_groups(policy.groups, policy.kind)]
    return Finding(int(chosen.max(initial=0)))


@checks(PairMoveCost)
def pair_move_cost(policy: PairMoveCost, facts: Facts) -> Finding:
    """Sum over moved replicas of the cost from the cheapest of their task's current nodes."""
    columns = facts.columns
    costs, value = policy.matrix(columns)
    arriving = np.flatnonzero(facts.moved)
    order = np.argsort(columns.current_task, kind="stable")
    pair, origin = join(facts.task[arriving], columns.current_task[order])
    source = value[columns.current_node[order][origin]]
    target = value[facts.placement.node[arriving][pair]]
    cheapest = np.full(arriving.size, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(cheapest, pair, costs[source, target])
    return Finding(total(cheapest, facts.moved[arriving]))
