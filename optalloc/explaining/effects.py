"""What one more task would change: every rule and goal, on all nodes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.formulation.terms import Chosen, Family, Placed, Term
from optalloc.instance.placement import Placement
from optalloc.verify.facts import Facts

FOLLOWED = ("sum", "max")
"""Folds that are followed."""
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass
class _Tracked:
    """A term with the values of its aggregates and of its j."""

    policy: int
    factor: int
    term: Term
    y: IntArray
    folded: IntArray
    beside: _Tracked | None

    @property
    def reduced(self) -> IntArray:
        """The j, with what lies beside."""
        return self.folded if self.beside is None else self.folded + self.beside.folded


class Effects:
    """A placement and what would change if a replica of a row ran on a node as well.

    Parameters
    ----------
    problem
        The rules and goals; terms that fold otherwise than by sums or, of what grows, the largest
        are left out.
    placement
        What is placed.
    """

    def __init__(self, problem: Problem, placement: Placement) -> None:
        self.problem, self.placement = problem, placement
        self._arrivals = Facts(problem.instance, placement).arrivals
        columns, classes = problem.columns, problem.task_classes
        self.class_of_task = np.zeros(columns.tasks, np.int64)
        self.class_of_task[classes.of_task] = classes.of_class
        self._every = np.arange(problem.nodes, dtype=np.int64)
        self._tracked = [
            self._track(i, factor, term)
            for i, metric in problem.metrics.items()
            for factor, term in metric.terms
            if term.reduce in FOLLOWED
        ]

    def known(self, policy: int) -> bool:
        """Whether `change` says all that changes in a policy's value."""
        terms = [term for _, term in self.problem.metrics[policy].terms]
        return all(term.reduce in FOLLOWED and term.outer == "sum" for term in terms)

    def change(self, policy: int, row: int, task: int) -> IntArray:
        """Change of a policy's value (for a rule: of the violation) if a task ran in a row.

        Returns
        -------
        (nodes,)
            By the concrete node that the replica joins.
        """
        total = np.zeros(self.problem.nodes, np.int64)
        for tracked in self._tracked:
            if tracked.policy == policy:
                total += tracked.factor * self._of_term(tracked, row, task)
        return total[self.problem.node_classes.of_node]

    # -- the placement -------------------------------------------------------------------------

    def _track(self, policy: int, factor: int, term: Term) -> _Tracked:
        y = self._aggregates(term.family)
        value = term.shape.value(y) * term.factor
        folded = np.zeros(term.owners, np.int64)
        if term.reduce == "sum":
            np.add.at(folded, term.owner, value)
        else:
            folded[term.owner] = value
            np.maximum.at(folded, term.owner, value)
        beside = self._track(policy, factor, term.beside) if term.beside else None
        return _Tracked(policy, factor, term, y, folded, beside)

    def _aggregates(self, family: Family) -> IntArray:
        """Values of a family's aggregates."""
        y = family.constant.copy()
        columns, placement = self.problem.columns, self.placement
        node = self.problem.node_classes.of_node[placement.node]
        for placed in family.placed:
            replicas = self._arrivals if placed.arrivals_only else placement.replicas
            value = placed.coefficient.at(placement.row, placement.node) * placed.scale * replicas
            pair, part = self._parts(placed, columns.row_task[placement.row])
            domain = placed.domain[node[pair]]
            inside = domain >= 0
            np.add.at(y, (part * placed.domains + domain)[inside], value[pair][inside])
        used = np.flatnonzero(placement.chosen)
        for chosen in family.chosen:
            value = chosen.coefficient[used] * placement.chosen[used]
            pair, part = self._parts(chosen, columns.row_task[used])
            np.add.at(y, part, value[pair])
        return y

    def _parts(self, contribution: Placed | Chosen, task: IntArray) -> tuple[IntArray, IntArray]:
        """Pairs of (index into tasks, part of the contribution)."""
        member = contribution.membership
        if member is None:
            return np.arange(task.size), np.zeros(task.size, np.int64)
        of_class = self.class_of_task[task]
        low = np.searchsorted(member.task_class, of_class, "left")
        times = np.searchsorted(member.task_class, of_class, "right") - low
        index = np.repeat(np.arange(task.size), times)
        within = numbered(times)
        return index, member.part[low[index] + within]

    # -- one more ------------------------------------------------------------------------------

    def _of_term(self, tracked: _Tracked, row: int, task: int) -> IntArray:
        """Change of a term's value by node."""
        term = tracked.term
        keys, change = self._of_family(tracked, row, task)
        if tracked.beside is not None:
            others, delta = self._of_family(tracked.beside, row, task)
            keys, which = np.unique(np.append(keys, others), return_inverse=True)
            together = np.zeros(keys.size, np.int64)
            np.add.at(together, which.ravel(), np.append(change, delta))
            change = together
        owner = keys % term.owners
        if term.limit is not None:
            reduced, bound = tracked.reduced[owner], term.limit.bound[owner]
            sign = 1 if term.limit.sense == "at_most" else -1
            change = np.maximum(sign * (reduced + change - bound), 0) - np.maximum(
                sign * (reduced - bound), 0
            )
        total = np.zeros(self.problem.nodes, np.int64)
        np.add.at(total, keys // term.owners, change)
        return total

    def _of_family(self, tracked: _Tracked, row: int, task: int) -> tuple[IntArray, IntArray]:
        """What changes in the fold of a term's family, by ``node * owners + owner``."""
        term = tracked.term
        node, index, delta = self._steps(term.family, row, task)
        size = term.family.size // term.shape.arity
        if not index.size:
            return index, delta
        # One place of a shape after the other, as shapes take them.
        keys, which = np.unique(node * size + index % size, return_inverse=True)
        node, k = keys // size, keys % size
        step = np.zeros((term.shape.arity, keys.size), np.int64)
        np.add.at(step, (index // size, which.ravel()), delta)
        before = np.stack([tracked.y[k + size * place] for place in range(term.shape.arity)])
        shape = term.shape.at(k)
        shaped = shape.value((before + step).ravel()) * term.factor[k]
        keys, which = np.unique(node * term.owners + term.owner[k], return_inverse=True)
        change = np.zeros(keys.size, np.int64)
        if term.reduce == "sum":
            np.add.at(change, which.ravel(), shaped - shape.value(before.ravel()) * term.factor[k])
        else:
            above = shaped - tracked.folded[term.owner[k]]
            np.maximum.at(change, which.ravel(), above)
        return keys, change

    def _steps(self, family: Family, row: int, task: int) -> tuple[IntArray, IntArray, IntArray]:
        """What the task adds to each aggregate: triples of (node, aggregate, amount)."""
        nodes: list[IntArray] = [np.zeros(0, np.int64)]
        indices, amounts = list(nodes), list(nodes)
        rows, tasks = np.array([row]), np.array([task])
        for placed in family.placed:
            delta = placed.coefficient.at(rows, self.problem.node_classes.node) * placed.scale
            if placed.arrivals_only:
                delta = np.where(self._home(task), 0, delta)
            inside = np.flatnonzero((placed.domain >= 0) & (delta != 0))
            for part in self._parts(placed, tasks)[1].tolist():
                nodes.append(inside)
                indices.append(part * placed.domains + placed.domain[inside])
                amounts.append(delta[inside])
        for chosen in family.chosen:
            amount = int(chosen.coefficient[row])
            for part in self._parts(chosen, tasks)[1].tolist() if amount else ():
                nodes.append(self._every)
                indices.append(np.full(self._every.size, part, np.int64))
                amounts.append(np.full(self._every.size, amount, np.int64))
        return np.concatenate(nodes), np.concatenate(indices), np.concatenate(amounts)

    def _home(self, task: int) -> BoolArray:
        """Nodes on which a task runs now, where it might stay."""
        columns = self.problem.columns
        home = np.zeros(self.problem.nodes, bool)
        mine = columns.current_task == task
        home[self.problem.node_classes.of_node[columns.current_node[mine]]] = True
        return home
