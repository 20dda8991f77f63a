"""Large-neighbourhood search: free a part of a known solution and let CP-SAT repair it.

Generic over the finished model: decision columns outside the neighbourhood are fixed, rows and
auxiliary columns that no free column reaches are left out, and what remains is a small model.
Sizes adapt to what can be solved, kinds to what pays.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.protocol import Clock, Emit, Incumbent, IntArray, Job, LevelResult
from optalloc.engines.reducing import Reduced, Reducer
from optalloc.formulation.model import INFINITY, Form
from optalloc.formulation.sparse import SparseModel

FloatArray = NDArray[np.float64]

SUBPROBLEM_SECONDS = 1.0
"""Longest repair; one that ends much earlier lets its kind of neighbourhood grow."""
FIRST_SIZE = 250
"""Free decision columns of the first neighbourhoods."""
LARGEST_SIZE = 20_000
GROW, SHRINK = 1.25, 0.75
LEAST_CHANCE = 0.2
"""Chance of the worst kind of neighbourhood against that of the best."""


class Lns:
    """Large-neighbourhood search with CP-SAT as the repair."""

    name = "lns"
    summary = "large-neighbourhood search repaired by CP-SAT; improves a known solution"
    form: Form = "milp"
    needs_start = True

    def available(self) -> bool:
        """Whether ortools is installed."""
        return importlib.util.find_spec("ortools") is not None

    def open(self, model: SparseModel, job: Job) -> LnsSession:
        """Prepare the search."""
        return LnsSession(model, job)


@dataclass
class Kind:
    """A kind of neighbourhood, with the size and reward that adapt."""

    name: str
    size: float = FIRST_SIZE
    reward: float = 0.0


@dataclass
class LnsSession:
    """The search on one model."""

    model: SparseModel
    job: Job
    offered: IntArray | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.job.seed)
        self.kinds = [Kind("nodes"), Kind("tasks"), Kind("mixed")]
        self.offered = self.job.hint
        self.start = self.job.hint
        self.row_of_entry = np.repeat(
            np.arange(self.model.rows, dtype=np.int64), np.diff(self.model.start)
        )
        classes = self.model.decision_class
        self.by_class = np.argsort(classes, kind="stable")
        self.class_start = np.searchsorted(
            classes[self.by_class], np.arange(int(classes.max(initial=-1)) + 2)
        )

        self.node_of_auxiliary = self._find_nodes()

    def _find_nodes(self) -> IntArray:
        """Node that each auxiliary column speaks of: the one of all x in its rows; -1 if several."""
        model = self.model
        node = np.full(model.columns, -1, np.int64)
        node[: model.decisions] = model.decision_node
        lowest = np.full(model.rows, np.iinfo(np.int64).max, np.int64)
        highest = np.full(model.rows, -1, np.int64)
        on_node = node[model.column] >= 0
        np.minimum.at(lowest, self.row_of_entry[on_node], node[model.column[on_node]])
        np.maximum.at(highest, self.row_of_entry[on_node], node[model.column[on_node]])
        of_row = np.where(lowest == highest, lowest, -1)
        auxiliary = model.column >= model.decisions
        found = np.full(model.columns, -1, np.int64)
        found[model.column[auxiliary]] = of_row[self.row_of_entry[auxiliary]]
        return found

    def offer(self, values: IntArray) -> None:
        """Hear of a better solution found elsewhere."""
        with self.lock:
            self.offered = values

    def log(self) -> str:
        """No log: the repairs are too many."""
        return ""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Improve a level while the earlier ones are no worse than `given`."""
        search = _Search(self, level, tuple(given), emit)
        return search.run(Clock(seconds))


class _Search:
    """The search at one level."""

    def __init__(self, session: LnsSession, level: int, given: tuple[int, ...], emit: Emit) -> None:
        self.session, self.model = session, session.model
        self.level, self.given, self.emit = level, given, emit
        self.values: IntArray | None = None
        self.best = 0
        column, value, _ = self.model.objective(level)
        self.cost = np.zeros(self.model.columns, np.int64)
        self.cost[column] = value
        self.reducer = Reducer(self.model, given)

    def run(self, clock: Clock) -> LevelResult:
        while clock.left > 0:
            self._take_offer(clock)
            if self.values is None:
                return LevelResult("stopped", None)
            self._step(clock)
        return LevelResult("stopped", self.values)

    def _take_offer(self, clock: Clock) -> None:
        """Start from a solution found elsewhere if it is better; complete it first."""
        with self.session.lock:
            offered, self.session.offered = self.session.offered, None
        if offered is None:
            return
        free = np.arange(self.model.decisions, self.model.columns)
        base = np.zeros(self.model.columns, np.int64)
        base[: offered.size] = offered
        solved = self._repair(base, free, None, max(clock.left, 0.1))
        if solved is not None:
            cost = int(self.cost @ solved[0])
            if self.values is None or cost < self.best:
                self.values, self.best = solved[0], cost

    def _step(self, clock: Clock) -> None:
        session = self.session
        weights = np.array([kind.reward for kind in session.kinds])
        weights = np.maximum(weights, max(weights.max() * LEAST_CHANCE, 1e-12))
        kind = session.kinds[int(session.rng.choice(len(weights), p=weights / weights.sum()))]
        free = self._neighbourhood(kind)
        before, clock_before = self.best, clock.left
        assert self.values is not None
        solved = self._repair(self.values, free, self.values, min(SUBPROBLEM_SECONDS, clock.left))
        took_all = True
        if solved is not None:
            values, took_all, spent = solved
            cost = int(self.cost @ values)
            if cost <= self.best:
                self.values, self.best = values, cost
            if cost < before:
                self.emit(Incumbent(values[: self.model.decisions]))
            easy = took_all and spent < SUBPROBLEM_SECONDS / 4
        else:
            easy = False
        gain = (before - self.best) / max(abs(before), 1) / max(clock_before - clock.left, 1e-3)
        kind.reward = 0.8 * kind.reward + 0.2 * gain
        if easy:
            kind.size = min(kind.size * GROW, LARGEST_SIZE)
        elif not took_all or solved is None:
            kind.size = max(kind.size * SHRINK, 20)

    # -- neighbourhoods ------------------------------------------------------------------------

    def _neighbourhood(self, kind: Kind) -> IntArray:
        """Choose free decision columns, about ``kind.size`` of them."""
        chooser = {"nodes": self._by_nodes, "tasks": self._by_tasks, "mixed": self._mixed}
        return chooser[kind.name](int(kind.size))

    def _by_nodes(self, size: int) -> IntArray:
        """All that runs on a few nodes may be dealt anew among them (or go back home)."""
        node = self.model.decision_node
        placed = self._placed_columns()
        nodes = np.unique(node[placed])
        if not nodes.size:
            return self._by_tasks(size)
        per_node = max(placed.size / nodes.size, 1.0)
        count = int(np.clip(round((size / per_node) ** 0.5), 2, nodes.size))
        chosen = self._near(nodes, count)
        classes = np.unique(self.model.decision_class[placed[np.isin(node[placed], chosen)]])
        classes = self._with_left_out(classes)
        return self._columns_of(classes, chosen)

    def _by_tasks(self, size: int) -> IntArray:
        """A few tasks may go anywhere."""
        classes = self.session.class_start.size - 1
        per_class = max(self.model.decisions / max(classes, 1), 1.0)
        count = int(np.clip(round(size / per_class), 2, classes)) if classes > 1 else classes
        return self._columns_of(self.session.rng.choice(classes, count, replace=False), None)

    def _mixed(self, size: int) -> IntArray:
        """Many tasks may go to any of several nodes."""
        rng, node = self.session.rng, self.model.decision_node
        nodes = np.unique(node[node >= 0])
        chosen = rng.choice(nodes, min(max(nodes.size // 3, 2), nodes.size), replace=False)
        placed = self._placed_columns()
        classes = np.unique(self.model.decision_class[placed[np.isin(node[placed], chosen)]])
        count = int(np.clip(size // max(chosen.size, 1), 2, max(classes.size, 2)))
        classes = rng.permutation(classes)[:count]
        return self._columns_of(self._with_left_out(classes), chosen)

    def _near(self, nodes: IntArray, count: int) -> IntArray:
        """Some nodes: half of them at random, half by what they cost."""
        rng = self.session.rng
        cost = self._node_cost()[nodes]
        hot = nodes[np.argsort(-cost * rng.random(nodes.size) ** 2)][: count // 2]
        rest = rng.permutation(np.setdiff1d(nodes, hot))
        return np.concatenate([hot, rest])[:count]

    def _node_cost(self) -> FloatArray:
        """What each node costs: its placements and the auxiliary columns that speak of it."""
        assert self.values is not None
        node = np.concatenate(
            [self.model.decision_node, self.session.node_of_auxiliary[self.model.decisions :]]
        )
        paid = (self.cost * self.values).astype(np.float64)
        total = np.zeros(int(node.max(initial=0)) + 1)
        np.add.at(total, node[node >= 0], paid[node >= 0])
        return np.maximum(total, 0.0)

    def _placed_columns(self) -> IntArray:
        assert self.values is not None
        decisions = self.model.decisions
        return np.flatnonzero((self.values[:decisions] > 0) & (self.model.decision_node >= 0))

    def _with_left_out(self, classes: IntArray) -> IntArray:
        """Add some tasks that are not placed."""
        total = self.session.class_start.size - 1
        placed = np.zeros(total, bool)
        placed[self.model.decision_class[self._placed_columns()]] = True
        out = np.flatnonzero(~placed)
        some = self.session.rng.permutation(out)[: max(classes.size // 2, 3)]
        return np.concatenate([classes, some])

    def _columns_of(self, classes: IntArray, nodes: IntArray | None) -> IntArray:
        """Columns of some classes on some nodes, where they run and began, and their choices."""
        session, model = self.session, self.model
        assert self.values is not None
        assert session.start is not None
        spans = [
            session.by_class[session.class_start[c] : session.class_start[c + 1]] for c in classes
        ]
        columns = np.concatenate([np.zeros(0, np.int64), *spans])
        if nodes is None:
            return columns
        node = model.decision_node[columns]
        kept = (node < 0) | np.isin(node, nodes)
        kept |= (self.values[columns] > 0) | (session.start[columns] > 0)
        return np.asarray(columns[kept], np.int64)

    # -- repair --------------------------------------------------------------------------------

    def _repair(
        self, base: IntArray, free: IntArray, hint: IntArray | None, seconds: float
    ) -> tuple[IntArray, bool, float] | None:
        """Minimise over the free columns; the new values, whether proven, and the seconds."""
        from ortools.sat.python import cp_model

        sub = self.reducer.cut(base, free)
        if not sub.columns.size:
            return None
        model = _load(sub, self.model, self.cost, hint)
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.num_workers = 1
        parameters.catch_sigint_signal = False
        parameters.random_seed = int(self.session.rng.integers(2**30))
        if self.session.job.deterministic:
            parameters.max_deterministic_time = seconds
        else:
            parameters.max_time_in_seconds = seconds
        status = solver.solve(model)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        values = base.copy()
        values[sub.columns] = list(solver.response_proto.solution)
        return values, status == cp_model.OPTIMAL, solver.wall_time


def _load(sub: Reduced, model: SparseModel, cost: IntArray, hint: IntArray | None) -> Any:
    from ortools.sat.python import cp_model

    loaded = cp_model.CpModel()
    proto = loaded.proto
    lower, upper = model.lower[sub.columns].tolist(), model.upper[sub.columns].tolist()
    for bounds in zip(lower, upper, strict=True):
        proto.variables.add().domain.extend(bounds)
    columns, values, starts = sub.column.tolist(), sub.value.tolist(), sub.start.tolist()
    for i, (low, high) in enumerate(zip(sub.low.tolist(), sub.high.tolist(), strict=True)):
        linear = proto.constraints.add().linear
        linear.vars.extend(columns[starts[i] : starts[i + 1]])
        linear.coeffs.extend(values[starts[i] : starts[i + 1]])
        linear.domain.extend((low, high))
    weight = cost[sub.columns]
    used = np.flatnonzero(weight)
    proto.objective.vars.extend(used.tolist())
    proto.objective.coeffs.extend(weight[used].tolist())
    if hint is not None:
        proto.solution_hint.vars.extend(range(sub.columns.size))
        proto.solution_hint.values.extend(hint[sub.columns].tolist())
        # No worse than now: what is as good may be another place to go on from.
        proto.objective.domain.extend((-INFINITY, int(weight @ hint[sub.columns])))
    return loaded


ENGINES = (Lns(),)
