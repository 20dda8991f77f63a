"""Column generation: better contents and a better bound in turns, then whole nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns import knapsack, pricing
from optalloc.engines.columns.dealing import deal
from optalloc.engines.columns.descent import Descent, Fixed
from optalloc.engines.columns.master import Master, Solved
from optalloc.engines.columns.packing import WHOLE, Packing, leave_out, needed, whole_tasks
from optalloc.engines.columns.subgradient import ascend
from optalloc.engines.columns.tables import LARGEST_SUM, ClassTables, Dealt
from optalloc.engines.local.structs import by_reference
from optalloc.engines.protocol import Bound, Clock, Emit, Incumbent, Job, LevelResult

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

LARGEST = 2**34
"""About what the dearest node costs, in the units in which bounds are computed."""
SMOOTHING = 0.5
"""Weight of the prices with the best bound against the latest ones of the linear program."""
CLOSE, CLOSER = 2e-4, 1e-5
"""Distance between linear program and bound, as a part of it, at which there is nothing to gain;
and before dives with pricing."""
BETTER = 0.004
"""Improvement of the linear program, as a part of it, that is worth another answer meanwhile."""
DIVES, DIVE_SHARE = 24, 0.2
"""Rounds in which a solution is rounded up, and the part of the fractions in each."""
ROOT_SHARE, ASCENT_SHARE = 0.4, 0.5
"""Parts of the time for what comes before such dives, and of that for the subgradient method."""
DIVES_WITHOUT_CLOCK = 20
"""Such dives of a deterministic run."""
MOST_KEPT = 5000
"""Contents, those of the smallest reduced costs, with which such a dive begins."""
ROUNDS = 2000
TRIES, MOST_CONTENTS = 60, 20_000
"""Tries to improve a content, and most contents of a cover."""


@dataclass
class ColumnsSession:
    """The engine on one problem's classes."""

    tables: ClassTables
    job: Job

    def __post_init__(self) -> None:
        tables = self.tables
        self.unit = max(LARGEST // max(tables.dearest, 1), 1)
        self.unit = min(self.unit, LARGEST_SUM // tables.largest_worth)
        self.kinds = knapsack.kinds_of(tables, self.unit)
        self.node = pricing.new_node(tables, self.job.seed)
        self.nodes: list[int] = tables.kind_nodes.tolist()
        self.diving, self.exact = tables.single, tables.exact
        self._offered = self.job.hint

    def offer(self, values: IntArray) -> None:
        """Hear of a better solution found elsewhere."""
        self._offered = values

    def offered(self) -> IntArray | None:
        """Take the last solution that was offered, once."""
        values, self._offered = self._offered, None
        return values

    def log(self) -> str:
        """No log so far."""
        return ""

    def minimise(self, level: int, given: Sequence[int], seconds: float, emit: Emit) -> LevelResult:
        """Minimise the only level."""
        search = _Search(self, Clock(seconds), emit)
        search.run()
        return LevelResult("stopped", search.best)

    def values(self, worth: IntArray) -> IntArray:
        """Worth of a replica on each kind of node, less what it costs there, (kinds, blocks)."""
        value = worth[None, :] - self.unit * self.tables.unary
        return np.where(self.tables.most > 0, value, 0)

    def bound(self, worth: IntArray, gain: IntArray) -> int:
        """What every answer costs at least, in units, if blocks are worth so much.

        ``sum over classes of count * min over choices of (cost + replicas * worth) - sum over kinds
        of nodes * max(0, most that a content is worth - price)``: weak duality, in whole numbers.
        """
        tables = self.tables
        cost = self.unit * tables.choice_cost
        cost = cost + tables.choice_replicas * worth[tables.choice_block]
        least = np.full(tables.class_count.size, np.iinfo(np.int64).max)
        np.minimum.at(least, tables.choice_class, cost)
        least = np.where(tables.class_required, least, np.minimum(least, 0))
        # Sums of Python's own integers never overflow.
        paid = zip(tables.class_count.tolist(), least.tolist(), strict=True)
        gained = zip(self.nodes, np.maximum(gain, 0).tolist(), strict=True)
        total: int = sum(count * each for count, each in paid)
        return total - sum(count * each for count, each in gained)


class _Search:
    """One run."""

    def __init__(self, session: ColumnsSession, clock: Clock, emit: Emit) -> None:
        self.session, self.clock, self.emit = session, clock, emit
        self.tables = session.tables
        self.master = Master(self.tables)
        self.best: IntArray | None = None
        self.value: int | None = None
        self.told = np.inf
        self.bound: int | None = None
        self.centre, self.rent = self._first_worth(), np.zeros(self.tables.kinds)
        shape = self.tables.most.shape
        self.priced = pricing.Priced(
            np.zeros(shape, np.int64), np.zeros(shape[0], np.int64), np.zeros(shape[0], np.int64)
        )

    def run(self) -> None:
        """Add contents until the bound is close; tell answers on the way and at the end."""
        self._start()
        root = Clock(self.clock.left * ROOT_SHARE) if self.session.diving else self.clock
        if self.session.diving:
            self._ascend(Clock(root.left * ASCENT_SHARE))
        solved = None
        for number in range(ROUNDS):
            latest = self.master.solve(self.clock.left)
            if latest is None:
                break
            solved = latest
            if solved.missing < WHOLE and solved.value < (1 - BETTER) * self.told:
                self._tell(solved)
            if root.left <= 0 or not self._add_contents(solved, number):
                break
        if solved is not None:
            self._tell(solved)
            if self.session.diving:
                self._dive_again()
            else:
                self._tell(solved, dive=True)

    def _ascend(self, clock: Clock) -> None:
        """Find good prices, and contents to begin with."""

        def price(worth: FloatArray) -> tuple[float, IntArray]:
            return self._price(worth) / self.session.unit, self.priced.content.copy()

        ascent = ascend(self.tables, price, self.centre, clock)
        kinds = np.arange(self.tables.kinds)
        for content in ascent.contents:
            some = content.any(axis=1)
            self.master.add(kinds[some], content[some])

    def _dive_again(self) -> None:
        """Dive with pricing while there is time, each time for a better answer."""
        descent = Descent(self.tables, self.master, self._add_fitting, self._hopeful)
        rng, dives = np.random.default_rng(self.session.job.seed), 0
        while self.clock.left > 0 and not self._proven:
            if self.session.job.deterministic and dives == DIVES_WITHOUT_CLOCK:
                break
            self._take_offer()
            self._keep_cheap()
            kept = self._kept(rng) if dives % 2 and self.best is not None else None
            solved = descent.run(rng if dives else None, self.clock, kept)
            if solved is not None:
                self._round(solved)
            dives += 1

    def _take_offer(self) -> None:
        """Go on from a better answer found elsewhere."""
        values = self.session.offered()
        if values is not None:
            value = self.tables.level_value_at(0, values)
            if self.value is None or value < self.value:
                self.best, self.value = values, value

    def _kept(self, rng: np.random.Generator) -> IntArray:
        """Have all but some nodes as in the best answer."""
        assert self.best is not None
        dealt = Dealt.of(self.tables, self.best)
        place = np.full(self.tables.blocks, -1, np.int64)
        place[dealt.block] = self.tables.node_kind[dealt.node]
        kinds = self.tables.kinds
        free = rng.permutation(kinds)[: int(rng.integers(-(-kinds // 2), kinds + 1))]
        return np.where(np.isin(place, free), -1, place)

    @property
    def _proven(self) -> bool:
        """Whether the best answer is at the bound."""
        return self.value is not None and self.bound is not None and self.value <= self._least

    @property
    def _least(self) -> int:
        """The bound in quanta."""
        assert self.bound is not None
        return -(-self.bound // self.session.unit) + int(self.tables.constant[0])

    def _hopeful(self, solved: Solved) -> bool:
        """Whether a solution of the program is below the best answer by a quantum or more."""
        if self.value is None:
            return True
        return solved.value + float(self.tables.constant[0]) <= self.value - 1 + WHOLE

    def _keep_cheap(self) -> None:
        """Forget contents of which the reduced costs are largest."""
        if len(self.master.kind) > MOST_KEPT:
            kind, content = np.array(self.master.kind), np.array(self.master.content)
            cost = self.tables.price[kind] + (self.tables.unary[kind] * content).sum(axis=1)
            reduced = cost - content @ self.centre + self.rent[kind]
            self.master.keep(reduced <= np.partition(reduced, MOST_KEPT - 1)[MOST_KEPT - 1])

    def _add_fitting(self, solved: Solved, fixed: Fixed) -> int:
        """Add contents that pay in a solution and hold what is fixed."""
        whole = (solved.worth * self.session.unit).astype(np.int64)
        value = np.where(fixed.allowed, self.session.values(whole), 0)
        # What is forced is worth more than all the rest together.
        value = np.maximum(value, np.where(fixed.forced, value.sum(axis=1, keepdims=True) + 1, 0))
        self._fill(value)
        return self._add_found(
            solved, fixed.fits(np.arange(self.tables.kinds), self.priced.content > 0)
        )

    def _first_worth(self) -> FloatArray:
        """A share of the price of the cheapest node, by the dimension that is demanded most."""
        tables = self.tables
        capacity = np.maximum(tables.capacity[:, None, :], 1)
        share = (tables.size / capacity).max(axis=2, initial=1e-6)
        cost = share * np.maximum(tables.price, 1)[:, None] + tables.unary
        cost = np.where(tables.most > 0, np.maximum(cost, 0), np.inf).min(axis=0)
        return np.where(np.isfinite(cost), cost, 0.0)

    def _start(self) -> None:
        """Begin with a cover of what is required."""
        tables = self.tables
        first = np.searchsorted(tables.choice_class, np.arange(tables.class_count.size))
        tasks = np.zeros(tables.choice_class.size, np.int64)
        tasks[first] = np.where(tables.class_required, tables.class_count, 0)
        packing = Packing(tables)
        self._cover(packing, needed(tables, tasks), self.centre)
        if packing.kind:
            self.master.add(np.array(packing.kind), np.array(packing.content))
        if tables.class_required.all():
            self._offer(packing, tasks)

    def _cover(self, packing: Packing, need: IntArray, worth: FloatArray) -> None:
        """Add contents for what is needed."""
        session, blocks = self.session, self.tables.blocks
        value = session.values((worth * session.unit).astype(np.int64))
        usable = (self.tables.dealt > 0) & (need > 0)[None, :]
        value = np.where(usable, np.maximum(value, 1), 0)
        most = min(MOST_CONTENTS, int(packing.nodes_left.sum()))
        goal = pricing.Cover(
            need.copy(),
            packing.nodes_left,
            np.zeros(most, np.int64),
            np.zeros(most, np.int64),
            np.zeros((most, blocks), np.int64),
        )
        found = pricing.cover(session.kinds, session.node, value, by_reference(goal))
        for kind, times, content in zip(
            goal.kind[:found].tolist(), goal.times[:found].tolist(), goal.content, strict=False
        ):
            packing.add(kind, times, content)

    def _add_contents(self, solved: Solved, number: int) -> bool:
        """Find contents that pay, at smoothed prices first; False if the end is reached."""
        smoothed = SMOOTHING * self.centre + (1 - SMOOTHING) * solved.worth
        for worth in (smoothed, solved.worth) if number else (solved.worth,):
            self._price(worth)
            if self.bound is not None and solved.missing < WHOLE:
                distance = solved.value - self.bound / self.session.unit
                close = CLOSER if self.session.diving else CLOSE
                if distance <= close * abs(solved.value):
                    return False
            if self._add_found(solved):
                return True
        return False

    def _add_found(self, solved: Solved, fits: NDArray[np.bool_] | bool = True) -> int:
        """Add those of the contents found last that pay in a solution and fit; how many."""
        content = self.priced.content
        cost = self.tables.price + (self.tables.unary * content).sum(axis=1) + solved.rent
        pays = fits & (content @ solved.worth - cost > WHOLE * np.maximum(cost, 1))
        return self.master.add(np.flatnonzero(pays), content[pays])

    def _fill(self, value: IntArray) -> None:
        """Find a content of each kind for the worth of replicas, (kinds, blocks)."""
        session, priced = self.session, by_reference(self.priced)
        pricing.price(session.kinds, session.node, value, session.exact, TRIES, priced)

    def _price(self, worth: FloatArray) -> int:
        """Find a content of each kind, and what bound the prices give."""
        session = self.session
        whole = (worth * session.unit).astype(np.int64)
        self._fill(session.values(whole))
        gain = self.priced.bound - self.tables.price * session.unit
        bound = session.bound(whole, gain)
        if self.bound is None or bound > self.bound:
            self.bound, self.centre, self.rent = bound, worth, np.maximum(gain, 0) / session.unit
            self.emit(Bound(0, self._least))
        return bound

    # -- answers -------------------------------------------------------------------------------

    def _tell(self, solved: Solved, dive: bool = False) -> None:
        """Round a solution; where whole nodes do not suffice, leave the program fewer of them."""
        self.told = solved.value
        reserve = np.zeros(self.tables.kinds, np.int64)
        latest: Solved | None = solved
        while latest is not None and np.all(reserve <= self.tables.kind_nodes):
            missing = self._round(self._dive(latest, reserve) if dive else latest)
            needy = (self.tables.dealt[:, missing > 0] > 0).any(axis=1)
            if not needy.any():
                break
            reserve = np.where(needy, 2 * reserve + 1, reserve)
            latest = self.master.solve(self.clock.left, reserve)

    def _dive(self, solved: Solved, reserve: IntArray) -> Solved:
        """Round up what is nearest to one more, a part at a time, and solve the program again."""
        kind, nodes = np.array(self.master.kind, np.int64), self.tables.kind_nodes - reserve
        least = np.zeros(kind.size, np.int64)
        for _ in range(DIVES):
            least = np.maximum(least, np.floor(solved.often + WHOLE).astype(np.int64))
            part = solved.often - least
            order = np.argsort(-part, kind="stable")[: int((part > WHOLE).sum())]
            for index in order[: max(int(DIVE_SHARE * order.size), 1)].tolist():
                if least[kind == kind[index]].sum() < nodes[kind[index]]:
                    least[index] += 1
            latest = self.master.solve(self.clock.left, reserve, least)
            if not order.size or latest is None or latest.missing > WHOLE:
                break
            solved = latest
        return solved

    def _round(self, solved: Solved) -> IntArray:
        """Round a solution down and cover the rest; what has no place."""
        tasks = whole_tasks(self.tables, solved.tasks)
        need = needed(self.tables, tasks)
        packing = Packing(self.tables)
        often = np.floor(solved.often + WHOLE).astype(np.int64)
        for index in np.flatnonzero(often).tolist():
            packing.add(self.master.kind[index], int(often[index]), self.master.content[index])
        packing.trim(need)
        self._cover(packing, np.maximum(need - packing.placed, 0), solved.worth)
        return self._offer(packing, tasks)

    def _offer(self, packing: Packing, tasks: IntArray) -> IntArray:
        """Tell an answer if everything required has a place; what has none."""
        tables = self.tables
        packing.settle(needed(tables, tasks))
        left = leave_out(tables, tasks, packing.placed)
        missing = np.maximum(needed(tables, left) - packing.placed, 0)
        if not missing.any():
            packing.trim(needed(tables, left))
            dealt = deal(packing, left)
            if dealt is not None:
                self._emit(dealt.vector())
        return missing

    def _emit(self, values: IntArray) -> None:
        """Tell an answer if it is the best."""
        value = self.tables.level_value_at(0, values)
        if self.value is None or value < self.value:
            self.best, self.value = values, value
            self.emit(Incumbent(values))
