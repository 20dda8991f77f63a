"""Response times of requests that nodes answer: a limit for each task, and their mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor, log10
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import load
from optalloc.formulation.shapes import Convex, Steps
from optalloc.formulation.terms import (
    Family,
    Limit,
    Linked,
    Membership,
    Metric,
    Placed,
    Term,
    each,
    single,
)
from optalloc.instance import quanta
from optalloc.instance.factored import Factored, by_column, constant, tabulate
from optalloc.instance.policy import Fault, Number, Policy, once
from optalloc.instance.references import unknown_resource
from optalloc.physics.response import chord_loads

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.columns import Columns
    from optalloc.instance.model import Instance

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

LAST = 63 / 64
"""Part of a node's capacity up to which waiting is followed; beyond, it grows as there."""
DIGITS = 3
"""Significant digits of the smallest slope by which waiting grows, at least: the largest is up to
4,096 times as steep, and MILP solvers do not tell quanta of numbers with many more apart."""
MANY = 2**40
"""More replicas than there can be."""
MOST = 2.0**50
"""Quanta of requests under way that no placement should pass."""


class ResponseLimit(Policy, frozen=True, kw_only=True):
    """Requests are answered within the ``response_s`` of their task, on each of its nodes (a rule).

    A node is a queue (M/M/1, or any that shares its time among the requests): a request of task i
    takes ``delay_s[i, n] + work[i] / (capacity[n] - load[n])`` seconds, where ``work`` is the
    task's demand over its ``requests_s``. So the rule is linear in the load and exact:
    ``load[n] + need[n] <= capacity[n]``, where ``need[n]`` is the largest
    ``work[i] / (response_s[i] - delay_s[i, n])`` of the tasks there, rounded up to quanta of the
    resource, and 0 for tasks without ``response_s``. One that can never be met there, as the delay
    alone is too long, counts as one quantum more than the node's capacity, and so does any larger
    one. The value is the sum over nodes of ``max(0, load + need - capacity)`` in quanta.

    Parameters
    ----------
    resource
        The resource of which nodes have the service rate (work/s) as capacity, and tasks demand
        the work/s of their requests.
    """

    resource: str

    is_rule: ClassVar[bool] = True
    summary: ClassVar[str] = "load above what keeps response times"

    def needs(self, columns: Columns) -> Factored:
        """What must be left on a node where a replica runs, (rows, nodes)."""
        return once(columns, (ResponseLimit, self.resource), lambda: self._needs(columns))

    def _needs(self, columns: Columns) -> Factored:
        resource = columns.resource_index[self.resource]
        demand, capacity = columns.demand[resource], columns.capacity[:, resource]
        delay, quantum = columns.delay
        tasks = columns.instance.tasks
        stated = [np.inf if t.response_s is None else t.response_s for t in tasks]
        limit = np.array(stated, np.float64)[columns.row_task]
        rate = columns.request_rate

        def evaluate(row: IntArray, node: IntArray) -> IntArray:
            work = demand.at(row, node) / np.where(rate > 0, rate, 1.0)[row]
            delay_s = delay.at(row, node) * float(quantum)
            left = limit[row] - delay_s
            # What rounding leaves of a delay as long as the limit is nothing.
            left = np.where(np.abs(left) <= quanta.EXACT * delay_s, 0.0, left)
            kept = left > 0
            most = capacity[columns.node_entry[node]] + 1
            with np.errstate(over="ignore"):
                need = np.where(kept, work / np.where(kept, left, 1.0), most)
            need = np.where((left == 0) & (work == 0), 0.0, need)
            return quanta.upward(np.minimum(need, most), Fraction(1))

        own = by_column(columns.rows, *np.unique(capacity[columns.node_entry], return_inverse=True))
        return tabulate(evaluate, (limit, rate), (demand, delay, own), columns.nodes)

    def caps(self, columns: Columns) -> tuple[int, ...]:
        return (columns.resource_index[self.resource],) if self.hard else ()

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (self.needs(columns),)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_resource(instance, ".resource", self.resource)


@dataclass(frozen=True)
class Waiting:
    """Requests at a node, waiting or served, by its load: a line that bends at some loads.

    Parameters
    ----------
    load : (kinds, bends)
        Loads at which the lines of each kind of node bend, in quanta: from 0 on, not falling.
    slope : (kinds, bends)
        How steep each is from there on, in quanta of the value: not falling.
    of_node : (nodes,)
        Kind of each concrete node.
    """

    load: IntArray
    slope: IntArray
    of_node: IntArray


class ResponseTime(Policy, frozen=True, kw_only=True):
    """Requests under way at any time, on their ways or at a node: requests/s times response time.

    ``sum over placed replicas of requests_s * delay_s + sum over nodes of waiting(load)``; over
    the requests/s of what is placed, it is the mean response time in seconds (Little's law).
    ``waiting(load) = load / (capacity - load)`` is the mean number of requests at a node (M/M/1, or
    any queue that shares its time). It is read from a line through points of that curve at whole
    quanta, in no place more than `error` above it up to 63/64 of the capacity, beside 3
    significant digits for its slopes; beyond, the line goes straight on.

    Parameters
    ----------
    resource
        As in `ResponseLimit`. All load of it counts as work on requests.
    error
        Largest relative error of ``waiting``.
    """

    resource: str
    error: Number = 0.02

    summary: ClassVar[str] = "requests under way: mean response time times requests/s"

    def unit(self, columns: Columns) -> str:
        return "requests"

    def quantum(self, columns: Columns) -> Fraction:
        key = ResponseTime, self.resource
        return columns.scale.quantum(key, lambda: self._quantum(columns))

    def _quantum(self, columns: Columns) -> Fraction:
        capacity = int(self._capacity(columns).max(initial=1))
        delay, quantum = columns.delay
        rate = columns.request_rate
        stated = np.concatenate([delay.base, *(part.values.ravel() for part in delay.parts)])
        seconds = stated[stated > 0] * float(quantum)
        copies = columns.task_count[columns.row_task] * columns.row_replicas
        most = float(copies @ rate) * seconds.max(initial=0.0) + columns.nodes / (1 - LAST)
        smallest = min(rate[rate > 0].min() * seconds.min(initial=1.0), 1 / capacity)
        digits = DIGITS - 1 - floor(log10(smallest))
        return Fraction(10) ** -min(digits, floor(log10(MOST / most)))

    def _capacity(self, columns: Columns) -> IntArray:
        return np.maximum(columns.capacity[:, columns.resource_index[self.resource]], 1)

    def delays(self, columns: Columns) -> Factored:
        """Requests of a replica that are under way to a node or back, in quanta, (rows, nodes)."""
        return once(columns, (ResponseTime, self.resource), lambda: self._delays(columns))

    def _delays(self, columns: Columns) -> Factored:
        delay, quantum = columns.delay
        rate, own = columns.request_rate, self.quantum(columns)

        def evaluate(row: IntArray, node: IntArray) -> IntArray:
            return quanta.nearest(rate[row] * (delay.at(row, node) * float(quantum)), own)

        return tabulate(evaluate, (rate,), (delay,), columns.nodes)

    def waiting(self, columns: Columns) -> Waiting:
        """Requests at each node by its load."""
        key = Waiting, self.resource, self.error
        return once(columns, key, lambda: self._waiting(columns))

    def _waiting(self, columns: Columns) -> Waiting:
        capacity, kind = np.unique(self._capacity(columns), return_inverse=True)
        bends = [chord_loads(int(c), float(self.error), LAST) for c in capacity]
        width = max(len(loads) for loads in bends)
        load = np.array([loads + loads[-1:] * (width - len(loads)) for loads in bends], np.int64)
        most = capacity[:, None].astype(np.float64)
        free = most - load
        # Between two points of the curve, and along it from the last one on.
        slope = most / (free * np.append(free[:, 1:], free[:, -1:], axis=1))
        digit = 10.0 ** (np.floor(np.log10(slope)) - DIGITS + 1)
        slopes = quanta.nearest(np.rint(slope / digit) * digit, self.quantum(columns))
        return Waiting(load, slopes, kind.ravel()[columns.node_entry])

    def contributions(self, columns: Columns) -> tuple[Factored, ...]:
        return (self.delays(columns),)

    def problems(self, instance: Instance) -> Iterator[Fault]:
        yield from unknown_resource(instance, ".resource", self.resource)
        if not any(task.requests_s for task in instance.tasks):
            yield "", "expected some task with requests_s, got none"
        if not 1e-4 <= self.error < 1:
            yield ".error", f"expected a number from 0.0001 on and below 1, got {self.error}"


@formulates(ResponseLimit)
def build_response_limit(policy: ResponseLimit, problem: Problem) -> Metric:
    """The largest need of the tasks on a node beside its load.

    Tasks are counted by what they need, on each node.
    """
    columns, nodes = problem.columns, problem.nodes
    resource = columns.resource_index[policy.resource]
    capacity, own = problem.capacity[:, resource], load(problem, resource)
    needs = policy.needs(columns)
    rows, kind = _alike(problem, needs)
    need = needs.at(rows[:, None], problem.node_classes.node[None, :]).ravel()
    counts = _by_kind(problem, constant(columns.rows), kind, rows.size)
    loads = _by_kind(problem, columns.demand[resource], kind, rows.size)
    room = np.maximum(np.tile(capacity, rows.size) - need, 0)
    term = Term(
        counts,
        Steps(np.full_like(need, MANY)),
        need,
        np.tile(np.arange(nodes, dtype=np.int64), rows.size),
        nodes,
        reduce="max",
        limit=Limit("at_most", capacity),
        linked=(Linked(loads, room),) if policy.hard else (),
        beside=each(own),
    )
    return Metric(((1, term),))


def _alike(problem: Problem, needs: Factored) -> tuple[IntArray, IntArray]:
    """A row of each kind that is limited (or any if none is), and the kind of each row.

    That is -1 for the others.
    """
    columns = problem.columns
    stated = np.array([task.response_s is not None for task in columns.instance.tasks], bool)
    limited = np.flatnonzero((stated | ~stated.any())[columns.row_task])
    kind = np.full(columns.rows, -1, np.int64)
    lines = needs.signature(limited)
    _, first, of_row = np.unique(lines, axis=0, return_index=True, return_inverse=True)
    kind[limited] = of_row.ravel()
    return limited[first], kind


def _by_kind(problem: Problem, number: Factored, kind: IntArray, kinds: int) -> Family:
    """Sum a number over the replicas of each kind on each node.

    The rows of a task may be of different kinds: the first of all tasks are summed, then the second
    ones, and so on.
    """
    columns, every = problem.columns, np.arange(problem.nodes, dtype=np.int64)
    position = np.arange(columns.rows) - columns.row_start[columns.row_task]
    row = columns.row_start[problem.task_classes.task]
    last = columns.row_start[problem.task_classes.task + 1]
    placed = []
    for k in np.unique(position).tolist():
        has = np.flatnonzero(row + k < last)
        has = has[kind[row[has] + k] >= 0]
        members = Membership(kinds, has, kind[row[has] + k])
        own = number.only(position == k)
        placed.append(Placed(own, every, problem.nodes, members))
    return Family(np.zeros(kinds * problem.nodes, np.int64), tuple(placed))


@formulates(ResponseTime)
def build_response_time(policy: ResponseTime, problem: Problem) -> Metric:
    """Requests under way, a linear function of x, and at each node, a convex one of its load."""
    columns = problem.columns
    under_way = single(placed=(Placed(policy.delays(columns), problem.everywhere(), 1),))
    waiting = policy.waiting(columns)
    kind = waiting.of_node[problem.node_classes.node]
    steeper = np.diff(waiting.slope, axis=1, prepend=0)
    shape = Convex(waiting.load[kind], steeper[kind])
    at_nodes = each(load(problem, columns.resource_index[policy.resource]), shape)
    return Metric(((1, under_way), (1, at_nodes)))
