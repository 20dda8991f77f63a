"""What is placed of one kind of requests, counted with all that runs: capacities and devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import State, View
from optalloc.oracle.devices import Devices, Share

if TYPE_CHECKING:
    from optalloc.oracle.policies.protocol import Ranking

IntArray = NDArray[np.int64]


@dataclass
class Counting(State):
    """As `State`, with devices one by one, and policies that rank places that cost the same.

    Parameters
    ----------
    devices
        Those of the nodes, shared with other requests; None where no node has any.
    rankings
        Break ties, in order.
    held
        Devices of each replica, by block and node.
    wanted
        Devices that replicas put next are to have, by block and node; any where not said.
    lacks
        Whether a replica was put where it found no devices.
    memo
        What policies keep of it.
    """

    devices: Devices | None = None
    rankings: tuple[Ranking, ...] = ()
    held: dict[tuple[int, int], list[tuple[int, ...]]] = field(default_factory=dict)
    wanted: dict[tuple[int, int], list[tuple[int, ...]]] = field(default_factory=dict)
    lacks: bool = False
    memo: dict[Any, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        columns = self.problem.columns
        rows = range(columns.rows) if self.devices is not None else ()
        self.shares = [Share.of(columns, row) for row in rows]

    def share_of(self, block: int) -> Share | None:
        """What replicas of a block need of devices; None where they need none."""
        return self.shares[int(self.problem.block_row[block])] if self.shares else None

    @property
    def broken(self) -> bool:
        """Whether some rule does not hold, or devices are missing."""
        return self.lacks or super().broken

    def view(
        self, block: int, nodes: IntArray, wanted: int, thrifty: bool = False, forced: bool = False
    ) -> View:
        """As `State.view`, on nodes with free devices; what policies say comes last."""
        view = super().view(block, nodes, wanted, thrifty, forced)
        share = self.share_of(block)
        if self.devices is not None and share is not None:
            view.room = np.minimum(view.room, self.devices.room(share, view.nodes))
            view.only(view.room > 0)
        view.keys += [ranking.rank(self, block, view) for ranking in self.rankings]
        return view

    def move(self, block: int, nodes: IntArray, number: IntArray) -> None:
        """As `State.move`; replicas get devices, those that go give back theirs."""
        for node, more in zip(nodes.tolist(), number.tolist(), strict=True):
            self.deal(block, node, more)
        super().move(block, nodes, number)
        for ranking in self.rankings:
            ranking.changed(nodes)

    def deal(self, block: int, node: int, number: int) -> None:
        """Give replicas on a node their devices, or (negative) take them back."""
        share = self.share_of(block)
        if share is not None:
            for _ in range(number):
                self._give(share, block, node)
            for _ in range(-number):
                self._return(share, block, node)

    def forget(self) -> None:
        """Forget who has devices of what was placed last; it keeps them."""
        self.held.clear()
        self.wanted.clear()
        self.lacks = False

    def _give(self, share: Share, block: int, node: int) -> None:
        assert self.devices is not None
        wanted = self.wanted.get((block, node))
        found = wanted.pop(0) if wanted else self._chosen(share, block, node)
        if found is None or not self.devices.takes(share, node, found):
            self.lacks = True
            return
        self.devices.use(share, node, found)
        self.held.setdefault((block, node), []).append(found)

    def _chosen(self, share: Share, block: int, node: int) -> tuple[int, ...] | None:
        assert self.devices is not None
        for ranking in self.rankings:
            found = ranking.devices(self, block, node)
            if found and self.devices.takes(share, node, found):
                return found
        return self.devices.choose(share, node)

    def _return(self, share: Share, block: int, node: int) -> None:
        assert self.devices is not None
        if held := self.held.get((block, node)):
            self.devices.use(share, node, held.pop(), -1)
