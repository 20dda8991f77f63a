"""A first answer: tasks in order of size, each on the node where it costs least.

Generic over the terms: for one block, the change of every rule and level is evaluated on all nodes
at once. Rules of the form "at least" and implications guide but do not block, so an answer can
fail the check; it is then dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import Clock
from optalloc.formulation.encoding import whole
from optalloc.formulation.problem import Problem
from optalloc.formulation.terms import Limit, Placed, Term
from optalloc.formulation.translating import expand_placement
from optalloc.instance.placement import Placement
from optalloc.instance.quanta import exact

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass
class _Tracked:
    """A term with the current value of its aggregates.

    Parameters
    ----------
    term
        A term of one-place shapes, summed (or folded by outer) over j.
    y
        Its aggregates now.
    reduced
        Its j now.
    weight
        Per level: what one unit adds to it (turned so that less is better).
    rule
        Whether its limit is hard.
    limited, factor
        Which of the hard limits on goals it adds to (-1: none), and what one unit adds.
    """

    term: Term
    y: IntArray
    reduced: IntArray
    weight: IntArray
    rule: bool
    limited: int
    factor: int


class Greedy:
    """Places one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.entries = problem.columns.node_entry[problem.node_classes.node]
        self.most = _limits(problem)
        self.spent = np.zeros(len(self.most), np.int64)
        self.tracked = _track(problem, list(self.most))
        self.placed = [(t, p) for t in self.tracked for p in t.term.family.placed]
        self.steps: tuple[int, dict[int, IntArray]] = -1, {}
        self.x: dict[tuple[int, int], int] = {}
        self.y = np.zeros(problem.choices, np.int64)
        homes = zip(*(part.tolist() for part in problem.home), strict=True)
        self.stays: dict[int, dict[int, int]] = {}
        for k, n, replicas in homes:
            self.stays.setdefault(k, {})[n] = replicas

    def run(self, clock: Clock) -> bool:
        """Place all classes; False when time runs out or a required task finds no place."""
        problem = self.problem
        first = np.searchsorted(problem.choice_class, np.arange(problem.classes + 1))
        for k in self._order():
            if clock.left <= 0:
                return not problem.class_required[k]
            choices = np.arange(first[k], first[k + 1])
            left = int(problem.task_classes.count[k])
            for c in sorted(choices.tolist(), key=self._gain):
                left -= self._place(int(c), self._within_limits(int(c), left), clock)
                if not left:
                    break
            if left and problem.class_required[k]:
                return False
        return True

    def placement(self) -> Placement:
        """What was placed, expanded to the instance's tasks and nodes."""
        placed = sorted((b, n, k) for (b, n), k in self.x.items() if k)
        block, node, replicas = (
            (np.array(column, np.int64) for column in zip(*placed, strict=True))
            if placed
            else (np.zeros(0, np.int64),) * 3
        )
        return expand_placement(self.problem, self.y, block, node, replicas)

    def _order(self) -> IntArray:
        """What runs first, then required classes, large ones first; optional ones by density."""
        problem, columns = self.problem, self.problem.columns
        size = np.zeros(problem.classes)
        total = np.maximum(problem.capacity.sum(axis=0), 1).astype(float)
        node = np.zeros(1, np.int64)
        row = columns.row_start[problem.task_classes.task]
        for i in range(len(columns.resources)):
            demand = columns.demand[i].at(row, node).astype(float)
            size = np.maximum(size, demand * columns.row_replicas[row] / total[i])
        weight = columns.stated_weight[problem.task_classes.task]
        value = np.where(problem.class_required, np.inf, weight / np.maximum(size, 1e-12))
        arrives = np.array([k not in self.stays for k in range(problem.classes)])
        return np.lexsort((-size, arrives, -value)).astype(np.int64)

    def _gain(self, choice: int) -> tuple[int, ...]:
        """What choosing a row changes at each level by itself."""
        problem = self.problem
        row = problem.choice_row[choice]
        change = np.zeros(len(problem.objective.levels), np.int64)
        for tracked in self.tracked:
            for chosen in tracked.term.family.chosen:
                change += tracked.weight * int(chosen.coefficient[row])
        return tuple(change.tolist())

    def _within_limits(self, choice: int, tasks: int) -> int:
        """How many tasks of a row the limits allow by what the row itself draws."""
        row = self.problem.choice_row[choice]
        drawn = np.zeros(len(self.most), np.int64)
        for tracked in self.tracked:
            for chosen in tracked.term.family.chosen:
                if tracked.limited >= 0:
                    drawn[tracked.limited] += tracked.factor * int(chosen.coefficient[row])
        for limit, amount in enumerate(drawn.tolist()):
            if amount > 0:
                left = list(self.most.values())[limit] - int(self.spent[limit])
                tasks = min(tasks, max(left // amount, 0))
        return tasks

    def _place(self, choice: int, tasks: int, clock: Clock) -> int:
        """Place up to so many tasks in a row; how many found a place."""
        problem = self.problem
        replicas = int(problem.choice_replicas[choice])
        placed = 0
        while placed < tasks and clock.left > 0:
            # Single-replica tasks are placed in bulk: as many as the best node takes.
            wanted = tasks - placed if replicas == 1 else replicas
            done: list[tuple[int, int]] = []
            while wanted:
                at = self._best(choice, wanted)
                if at is None:
                    break
                self._move(choice, *at)
                done.append(at)
                wanted -= at[1]
            if replicas > 1 and wanted:
                for node, number in done:
                    self._move(choice, node, -number)
                return placed
            if not done:
                return placed
            count = sum(number for _, number in done) if replicas == 1 else 1
            self._choose(choice, count)
            placed += count
        return placed

    def _best(self, choice: int, wanted: int) -> tuple[int, int] | None:
        """The best node for replicas of a choice, and how many it takes."""
        problem = self.problem
        block = int(problem.choice_block[choice])
        row = problem.block_row[block]
        allowed = problem.allowed.mask[problem.allowed.row_kind[row], self.entries]
        room = np.where(allowed, wanted, 0).astype(np.int64)
        keys = [np.zeros(problem.nodes, np.int64)] * (len(problem.objective.levels) + 1)
        home = self._home_left(block)
        draws = np.zeros((len(self.most), problem.nodes), np.int64)
        for number, (tracked, placed) in enumerate(self.placed):
            if tracked.term.shape.arity == 1:
                step = self._step(number, placed, block, home)
                self._weigh(tracked, placed, block, step, room, keys, draws)
        for most, spent, draw in zip(self.most.values(), self.spent, draws, strict=True):
            fits = np.maximum(most - spent, 0) // np.maximum(draw, 1)
            room = np.where(draw > 0, np.minimum(room, fits), room)
        # What runs stays where it is if it can: a first answer, not the last word.
        staying = np.zeros(0, np.int64) if home is None else np.flatnonzero((room > 0) & (home > 0))
        usable = staying if staying.size else np.flatnonzero(room > 0)
        if not usable.size:
            return None
        order = np.lexsort([key[usable] for key in reversed(keys)])
        node = int(usable[order[0]])
        # A new domain is worth something to the first replica only.
        number = 1 if keys[0][node] < 0 else int(room[node])
        if home is not None and home[node]:
            number = min(number, int(home[node]))
        return node, number

    def _home_left(self, block: int) -> IntArray | None:
        """Replicas that could still stay on each node."""
        k = int(self.problem.block_class[block])
        if k not in self.stays:
            return None
        left = np.zeros(self.problem.nodes, np.int64)
        for node, replicas in self.stays[k].items():
            left[node] = max(replicas - self.x.get((block, node), 0), 0)
        return left

    def _weigh(
        self,
        tracked: _Tracked,
        placed: Placed,
        block: int,
        step_at: IntArray,
        room: IntArray,
        keys: list[IntArray],
        draws: IntArray,
    ) -> None:
        """Add what one replica changes in a term to the keys, and lower the room by rules."""
        term = tracked.term
        inside = step_at.nonzero()[0]
        if not inside.size:
            return
        step, domain = step_at[inside], placed.domain[inside]
        for part in _parts(placed, int(self.problem.block_class[block])):
            index = part * placed.domains + domain
            shape = term.shape.at(index)
            y = tracked.y[index]
            change = (shape.value(y + step) - shape.value(y)) * term.factor[index]
            owner = term.owner[index]
            effect = _effect(term, tracked.reduced[owner], change, owner)
            if tracked.rule and term.limit is not None:
                if term.limit.sense == "at_most":
                    free = (term.limit.bound[owner] - tracked.reduced[owner]) // np.maximum(
                        change, 1
                    )
                    full = np.where(change > 0, np.maximum(free, 0), room[inside])
                    room[inside] = np.minimum(room[inside], full)
                else:
                    keys[0] = _added(keys[0], inside, effect)
            if tracked.limited >= 0:
                draws[tracked.limited, inside] += tracked.factor * effect
            for level, weight in enumerate(tracked.weight.tolist()):
                if weight:
                    keys[level + 1] = _added(keys[level + 1], inside, weight * effect)

    def _step(self, number: int, placed: Placed, block: int, home: IntArray | None) -> IntArray:
        """What one more replica on each node adds to the aggregates."""
        if self.steps[0] != block:
            self.steps = block, {}
        step = self.steps[1].get(number)
        if step is None:
            row = self.problem.block_row[[block]]
            step = placed.coefficient.at(row, self.problem.node_classes.node) * placed.scale
            step = self.steps[1][number] = np.where(placed.domain >= 0, step, 0)
        if placed.arrivals_only and home is not None:
            step = np.where(home > 0, 0, step)
        return step

    def _move(self, choice: int, node: int, number: int) -> None:
        """Put replicas on a node, or take them off again."""
        block = int(self.problem.choice_block[choice])
        k = int(self.problem.block_class[block])
        here = self.x.get((block, node), 0)
        most_staying = self.stays.get(k, {}).get(node, 0)
        arriving = max(here + number - most_staying, 0) - max(here - most_staying, 0)
        self.x[block, node] = here + number
        for index, (tracked, placed) in enumerate(self.placed):
            each = int(self._step(index, placed, block, None)[node])
            total = each * (arriving if placed.arrivals_only else number)
            for part in _parts(placed, k) if total else ():
                self._add(tracked, part * placed.domains + int(placed.domain[node]), total)

    def _choose(self, choice: int, count: int) -> None:
        """Count tasks that run in a row."""
        self.y[choice] += count
        row = self.problem.choice_row[choice]
        for tracked in self.tracked:
            for chosen in tracked.term.family.chosen:
                amount = int(chosen.coefficient[row]) * count
                for part in _parts(chosen, int(self.problem.choice_class[choice])):
                    self._add(tracked, part, amount)

    def _add(self, tracked: _Tracked, index: int, amount: int) -> None:
        term = tracked.term
        if term.shape.arity > 1 or not amount:
            return
        at = np.array([index])
        shape = term.shape.at(at)
        before = int(shape.value(tracked.y[at])[0])
        tracked.y[index] += amount
        after = int(shape.value(tracked.y[at])[0])
        change = (after - before) * int(term.factor[index])
        tracked.reduced[term.owner[index]] += change
        if tracked.limited >= 0:
            self.spent[tracked.limited] += tracked.factor * change


def _limits(problem: Problem) -> dict[int, int]:
    """The hard upper limits on goals, in quanta, by policy."""
    policies = problem.objective.policies
    return {
        i: whole(exact(most) / policies[i].quantum(problem.columns), down=True)
        for i in problem.metrics
        if (most := policies[i].at_most) is not None
    }


def _track(problem: Problem, limited: list[int]) -> list[_Tracked]:
    """Every term of a rule, level or limit with its start values."""
    levels = problem.objective.levels
    weights: dict[int, IntArray] = {}
    for k, level in enumerate(levels):
        for factor, i in level.factors:
            line = weights.setdefault(i, np.zeros(len(levels), np.int64))
            line[k] += factor if level.sense == "min" else -factor
    tracked = []
    for i, metric in problem.metrics.items():
        rule = problem.objective.policies[i].hard
        weight = weights.get(i, np.zeros(len(levels), np.int64))
        for factor, term in metric.terms:
            if not rule and not weight.any() and i not in limited:
                continue
            y = term.family.constant.copy()
            reduced = np.zeros(term.owners, np.int64)
            if term.shape.arity == 1:
                np.add.at(reduced, term.owner, term.shape.value(y) * term.factor)
            limit = limited.index(i) if i in limited else -1
            tracked.append(_Tracked(term, y, reduced, weight * factor, rule, limit, factor))
    return tracked


def _parts(contribution: object, task_class: int) -> list[int]:
    membership = getattr(contribution, "membership", None)
    if membership is None:
        return [0]
    low, high = np.searchsorted(membership.task_class, [task_class, task_class + 1])
    return [int(part) for part in membership.part[low:high]]


def _effect(term: Term, reduced: IntArray, change: IntArray, owner: IntArray) -> IntArray:
    """What changes of a term's j change in its value, or in the violation of its limit."""
    if term.limit is None:
        return change
    return _violation(term.limit, reduced + change, owner) - _violation(term.limit, reduced, owner)


def _violation(limit: Limit, reduced: IntArray, owner: IntArray) -> IntArray:
    over = reduced - limit.bound[owner]
    return np.asarray(np.maximum(over if limit.sense == "at_most" else -over, 0), np.int64)


def _added(key: IntArray, inside: IntArray, amount: IntArray) -> IntArray:
    total = key.copy()
    total[inside] += amount
    return total
