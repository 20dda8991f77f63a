"""Limits on goals that even the cheapest way to run every required task breaks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.kinds import Kinds
from optalloc.explaining.moving import Leaving
from optalloc.explaining.words import measured
from optalloc.formulation.encoding import whole
from optalloc.formulation.goals.draw import Cost, Energy, Power
from optalloc.formulation.goals.moves import Moves
from optalloc.formulation.goals.nodes import Nodes
from optalloc.formulation.shapes import Identity
from optalloc.formulation.terms import Metric, Term
from optalloc.instance.policy import Policy
from optalloc.instance.quanta import exact
from optalloc.result import Reason

IntArray = NDArray[np.int64]


def broken_limits(kinds: Kinds) -> Iterator[Reason]:
    """Limits that no placement of the required tasks keeps."""
    problem, columns = kinds.problem, kinds.problem.columns
    objective = problem.objective
    for i, (policy, label) in enumerate(zip(objective.policies, objective.labels, strict=True)):
        if policy.is_rule or (policy.at_most is None and policy.at_least is None):
            continue
        quantum = policy.quantum(columns)
        metric = problem.metrics[i]
        if policy.at_most is not None:
            least = floor_of(kinds, policy, metric, 1)
            why = "for what must run"
            if isinstance(policy, Moves):
                leaving = Leaving(problem)
                least, why = leaving.replicas, f"({leaving.said()})"
            if least is not None and least > whole(exact(policy.at_most) / quantum, down=True):
                text = f"at least {measured(columns, policy, least * quantum)} {why}"
                limit = measured(columns, policy, policy.at_most)
                over = measured(columns, policy, least * quantum - exact(policy.at_most))
                yield Reason("", f"{label}: {text}, at most {limit} allowed: {over} over")
        if policy.at_least is not None:
            most = floor_of(kinds, policy, metric, -1)
            if most is not None and -most < whole(exact(policy.at_least) / quantum, down=False):
                text = f"at most {measured(columns, policy, -most * quantum)} can be reached"
                limit = measured(columns, policy, policy.at_least)
                short = measured(columns, policy, exact(policy.at_least) + most * quantum)
                yield Reason("", f"{label}: {text}, at least {limit} wanted: {short} short")


def floor_of(kinds: Kinds, policy: Policy, metric: Metric, sign: int) -> int | None:
    """Bound ``sign * value`` from below, task by task; None if that says nothing."""
    total = sign * metric.constant
    for factor, term in metric.terms:
        turned = sign * factor
        linear = isinstance(term.shape, Identity) and term.reduce == "sum" and term.outer == "sum"
        linear = linear and term.beside is None
        if linear and term.limit is None and term.owners == 1 and not _parted(term):
            total += _linear(kinds, term, turned)
        elif turned > 0 and isinstance(policy, Power | Energy | Cost | Nodes):
            total += turned * _idle(kinds, policy)
        else:
            return None
    return total


def _linear(kinds: Kinds, term: Term, sign: int) -> int:
    """Least of a linear term: every task in its cheapest row on its cheapest nodes."""
    columns = kinds.problem.columns
    factor = sign * int(term.factor[0])
    cost = np.zeros(kinds.row.size, np.int64)
    for placed in term.family.placed:
        turned = 1 if factor * placed.scale > 0 else -1
        each = kinds.least(placed.coefficient, turned) * abs(factor * placed.scale)
        if placed.arrivals_only or bool(np.any(placed.domain < 0)):
            each = np.minimum(each, 0)
        cost += each * columns.row_replicas[kinds.row]
    for chosen in term.family.chosen:
        cost += factor * chosen.coefficient[kinds.row]
    of_kind = kinds.smallest(cost)
    of_kind = np.where(kinds.required, of_kind, np.minimum(of_kind, 0))
    return factor * int(term.family.constant[0]) + _dot(of_kind, kinds.count)


def _parted(term: Term) -> bool:
    family = term.family
    return any(p.membership for p in family.placed) or any(c.membership for c in family.chosen)


def _idle(kinds: Kinds, policy: Policy) -> int:
    """Least that the nodes in use draw: as many as the required tasks fill, the cheapest ones."""
    problem, columns = kinds.problem, kinds.problem.columns
    if not kinds.required.any():
        return 0
    on = policy.draw(columns).on if isinstance(policy, Power | Energy | Cost) else None
    drawn = np.sort(np.ones(columns.nodes, np.int64) if on is None else on)
    fewest = 1
    for i in problem.hard_resources:
        each = kinds.smallest(kinds.least(columns.demand[i]) * columns.row_replicas[kinds.row])
        need = _dot(np.where(kinds.required, each, 0), kinds.count)
        largest = np.sort(columns.capacity[columns.node_entry, i])[::-1].astype(float)
        # A part in 10**9 less than needed, so that rounding does not ask for a node too many.
        fewest = max(fewest, int(np.searchsorted(np.cumsum(largest), need * (1 - 1e-9))) + 1)
    return int(drawn[: min(fewest, drawn.size)].sum())


def _dot(values: IntArray, counts: IntArray) -> int:
    return sum(v * c for v, c in zip(values.tolist(), counts.tolist(), strict=True) if v)
