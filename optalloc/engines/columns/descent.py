"""Dives: replicas fixed on nodes a few at a time, the program priced anew after each step.

Where the linear program over contents agrees on the place of a replica, a good answer has it there
mostly. Once it is fixed, other contents suit what remains, which pricing finds; so the last nodes
are filled as well as the first (Savelsbergh 1997 fixes assignments in this way; Sadykov,
Vanderbeck, Pessoa, Tahiri and Uchoa 2019, Primal heuristics for branch-and-price: the assets of
diving methods). Later dives choose a little at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.columns.master import Master, Solved
from optalloc.engines.columns.packing import WHOLE
from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.protocol import Clock

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

FIXED_SHARE, LEAST_AGREED = 0.1, 0.9
"""Part of the replicas left that a step fixes at most, if so much of each agrees; one at least."""
NOISE = 0.3
"""How much of an agreement chance adds in later dives."""
PRICINGS = 20
"""Most rounds of pricing in a step."""
STEP_SHARE = 0.5
"""Part of the time left that a dive may take, shared among the replicas that are left."""


@dataclass
class Fixed:
    """Where replicas may be and must be, (kinds, blocks)."""

    allowed: BoolArray
    forced: BoolArray

    def fix(self, kind: int, block: int) -> None:
        """Have a block on a node."""
        self.allowed[:, block] = False
        self.allowed[kind, block] = self.forced[kind, block] = True

    def fits(self, kind: IntArray, content: BoolArray) -> BoolArray:
        """Which contents hold all that is forced and only what is allowed."""
        outside = (content & ~self.allowed[kind]).any(axis=1)
        lacking = (self.forced[kind] & ~content).any(axis=1)
        return np.asarray(~outside & ~lacking)


@dataclass
class Descent:
    """Dives from the solution of a program, see `ClassTables.single`.

    Parameters
    ----------
    tables, master
        The problem, and its program, to which contents are added.
    add
        Adds contents that pay in a solution and keep what is fixed; how many.
    hopeful
        Whether a solution of the program may still lead to something better.
    """

    tables: ClassTables
    master: Master
    add: Callable[[Solved, Fixed], int]
    hopeful: Callable[[Solved], bool]
    fixed: Fixed = field(init=False)

    def run(
        self, rng: np.random.Generator | None, clock: Clock, kept: IntArray | None = None
    ) -> Solved | None:
        """Go down once; a solution in whole contents, None if nothing better lies there.

        Parameters
        ----------
        rng
            Source of chance; None for a dive without.
        clock
            The time.
        kept : (B)
            Kind of the node on which each block is to stay, -1 where it is free; nothing else goes
            to those nodes.
        """
        self.fixed = Fixed(self.tables.dealt > 0, np.zeros(self.tables.dealt.shape, bool))
        if kept is None:
            solved = self.master.solve(clock.left)
        else:
            for block in np.flatnonzero(kept >= 0).tolist():
                self.fixed.fix(int(kept[block]), block)
            full = np.unique(kept[kept >= 0])
            self.fixed.allowed[full] = self.fixed.forced[full]
            solved = self._settle(clock)
        while solved is not None and self.hopeful(solved):
            if np.all(np.abs(solved.often - np.rint(solved.often)) < WHOLE):
                return solved
            self._fix_some(solved, rng)
            solved = self._settle(clock)
        return None

    def _fix_some(self, solved: Solved, rng: np.random.Generator | None) -> None:
        """Fix what is whole, and those of the rest on which the contents agree most."""
        placed = np.zeros(self.tables.dealt.shape)
        used = np.flatnonzero(solved.often > WHOLE)
        for i in used.tolist():
            placed[self.master.kind[i]] += solved.often[i] * self.master.content[i]
        placed[self.fixed.forced] = 0.0
        score = placed if rng is None else placed + NOISE * rng.random(placed.shape)
        block = np.arange(self.tables.blocks)
        kind = np.where(placed > WHOLE, score, 0.0).argmax(axis=0)
        agreed, score = placed[kind, block], score[kind, block]
        whole = agreed >= 1 - WHOLE
        left = block[(agreed > WHOLE) & ~whole]
        order = left[np.argsort(-score[left], kind="stable")]
        most = max(int(FIXED_SHARE * order.size), 1)
        some = np.concatenate([order[:1], order[1:most][score[order[1:most]] >= LEAST_AGREED]])
        for b in [*block[whole].tolist(), *some.astype(np.int64).tolist()]:
            self.fixed.fix(int(kind[b]), b)

    def _settle(self, clock: Clock) -> Solved | None:
        """Solve the program with what is fixed, and add what then pays."""
        left = int((~self.fixed.forced.any(axis=0)).sum())
        step, solved = Clock(clock.left * STEP_SHARE / max(left, 1)), None
        kind, content = np.array(self.master.kind), np.array(self.master.content) > 0
        banned = np.flatnonzero(~self.fixed.fits(kind, content)).astype(np.int64)
        for _ in range(PRICINGS):
            latest = self.master.solve(clock.left, banned=banned)
            if latest is None:
                break
            solved = latest
            if step.left <= 0 or not self.add(solved, self.fixed):
                break
        return solved
