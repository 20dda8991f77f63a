"""Least expected fragmentation: where a request takes least from those that are to come."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import View
from optalloc.oracle.answers import Mix as Seen
from optalloc.oracle.counting import Counting
from optalloc.oracle.devices import WHOLE
from optalloc.oracle.policies.protocol import Policy, Ranking
from optalloc.oracle.pricing import Prices

if TYPE_CHECKING:
    from optalloc.instance.model import Task
    from optalloc.oracle.ground import Ground
    from optalloc.oracle.kinds import Kind

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RECENT, FIRST = 10_000, 100
"""How many of the last requests are the mix, and after how many there is one."""
AS_CHEAP = 0.01
"""Devices by which a price may be higher and counts as the same."""
MOST = 400
"""Kinds of requests in a mix; rarer ones are left out."""
SEQUENCES, LENGTH = 32, 20
"""How many sequences of requests are looked at, and how long they are."""


@dataclass(frozen=True)
class Request:
    """What a replica asks for, as on the first node where it may run.

    Parameters
    ----------
    needs
        Of each resource that is a rule, but devices.
    parts
        Of devices.
    nodes
        Where it may run, a byte for each node.
    task
        A task that asks for it.
    """

    needs: tuple[int, ...]
    parts: int
    nodes: bytes
    task: Task = field(compare=False)


@dataclass(frozen=True)
class Mix:
    """Requests that are expected.

    Parameters
    ----------
    needs, parts : (kinds, resources), (kinds,)
        What each kind asks for.
    share, weight : (kinds,), (kinds,)
        How frequent it is, and how much it counts: more for several devices of a node.
    class_of, may : (nodes,), (classes, kinds)
        Where the kinds may run, by classes of nodes.
    sequences : (number, length)
        Kinds of requests in random order.
    prices
        What free capacity is worth to them.
    """

    needs: IntArray
    parts: IntArray
    share: FloatArray
    weight: FloatArray
    class_of: IntArray
    may: BoolArray
    sequences: IntArray
    prices: Prices

    @classmethod
    def of(cls, requests: Counter[Request], devices: IntArray) -> Mix:
        """Count requests; the most frequent ones make the mix, on nodes with so many devices."""
        found = requests.most_common(MOST)
        share = np.array([number for _, number in found], float) / requests.total()
        masks = np.array([np.frombuffer(request.nodes, bool) for request, _ in found])
        may, class_of = np.unique(masks.T, axis=0, return_inverse=True)
        generator = np.random.default_rng(0)
        sequences = generator.choice(
            share.size, size=(SEQUENCES, LENGTH), p=share / share.sum()
        ).astype(np.int64)
        needs = np.array([request.needs for request, _ in found], np.int64)
        needs = needs.reshape(share.size, -1)
        parts = np.array([request.parts for request, _ in found], np.int64)
        class_of = class_of.ravel().astype(np.int64)
        held = np.zeros(may.shape[0])
        np.add.at(held, class_of, devices)
        weight = share * np.sqrt(np.maximum(parts / WHOLE, 1))
        prices = Prices.of(needs, parts, share, may, held)
        return cls(needs, parts, share, weight, class_of, may, sequences, prices)


class Known:
    """What placing a replica of a row on each node would do, as far as it is known.

    Parameters
    ----------
    mix
        With which it was evaluated.
    need, part : (nodes, resources), (nodes,)
        What it needs.

    Attributes
    ----------
    value, price, at : (nodes,)
        What it takes, as `optalloc.oracle.expecting.losses` says, and the device that it gets.
    seen : (nodes,)
        Changes of the node that it knows; -1 for none.
    """

    def __init__(self, mix: Mix, need: IntArray, part: IntArray) -> None:
        self.mix, self.need, self.part = mix, need, part
        self.value, self.price = np.zeros(part.size), np.zeros(part.size)
        self.at = np.full(part.size, -1, np.int64)
        self.seen = np.full(part.size, -1, np.int64)


class Fragmentation(Ranking):
    """Ranks by what a replica adds to the loss of its node: see `optalloc.oracle.expecting`."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.mix: Mix | None = None
        self._counts: Counter[Request] = Counter()
        self.changes = np.zeros(ground.capacity.shape[0], np.int64)
        self._recent: deque[Request] = deque(maxlen=RECENT)
        self._new, self._told = 0, False
        self._request_of: WeakKeyDictionary[Kind, list[Request]] = WeakKeyDictionary()
        device = ground.device_resource
        self._resources = [i for i in ground.hard_resources if i != device]
        held = ground.capacity[:, device] if device is not None else self.changes
        self._devices = held // WHOLE

    def forked(self, ground: Ground) -> Fragmentation:
        """The same, for a copy of what runs."""
        made = Fragmentation(ground)
        made.mix, made._counts, made._recent = self.mix, self._counts, self._recent.copy()
        made._new, made._told = self._new, self._told
        return made

    def asked(self, kind: Kind) -> None:
        """Count a request; the mix is made anew now and then."""
        if self._told:
            return
        self._recent.extend(self._requests(kind))
        self._new += 1
        size = len(self._recent)
        if self._new >= (FIRST if self.mix is None else min(size // 2, RECENT // 2)):
            self._expect(Counter(self._recent))
            self._new = 0

    def expect(self, kinds: Sequence[Kind]) -> None:
        """Take these for the mix."""
        requests = Counter(request for kind in kinds for request in self._requests(kind))
        self._told = bool(requests)
        if requests:
            self._expect(requests)

    def _expect(self, requests: Counter[Request]) -> None:
        self._counts, self.mix = requests, Mix.of(requests, self._devices)

    def seen(self) -> Seen:
        """The last requests, and those of the mix."""
        number: dict[Request, int] = {}
        recent = [number.setdefault(request, len(number)) for request in self._recent]
        counts = [(number.setdefault(r, len(number)), n) for r, n in self._counts.items()]
        return Seen(
            tasks=tuple(request.task for request in number),
            recent=tuple(recent),
            counts=tuple(counts),
            since=self._new,
            told=self._told,
        )

    def resume(self, mix: Seen, kinds: Sequence[Kind]) -> None:
        """Count the same requests again."""
        requests = [self._requests(kind)[0] for kind in kinds]
        self._recent.extend(requests[k] for k in mix.recent)
        self._new, self._told = mix.since, mix.told
        counts: Counter[Request] = Counter()
        for k, number in mix.counts:
            counts[requests[k]] += number
        if counts:
            self._expect(counts)

    def changed(self, nodes: IntArray) -> None:
        """What was known of some nodes is so no longer."""
        self.changes[nodes] += 1

    def rank(self, state: Counting, block: int, view: View) -> NDArray[Any]:
        """What one more replica adds to the loss of each node."""
        if self.mix is None or self.ground.devices is None:
            return np.zeros(view.nodes.size)
        known = self._known(state, block, self.mix)
        stale = view.nodes[known.seen[view.nodes] != self.changes[view.nodes]]
        if stale.size:
            self._evaluate(known, stale)
        return known.value[view.nodes]

    def devices(self, state: Counting, block: int, node: int) -> tuple[int, ...] | None:
        """The device on which a part adds least to the loss."""
        known = state.memo.get((id(self), int(state.problem.block_row[block])))
        if not isinstance(known, Known) or known.seen[node] != self.changes[node]:
            return None
        return (int(known.at[node]),) if known.at[node] >= 0 else None

    def waits(self, kind: Kind, nodes: IntArray | None = None) -> bool:
        """Whether no device in use takes a part at no higher price than a whole one would.

        What needs no device waits too, and several devices do not.
        """
        block = kind.single_block
        if self.mix is None or self.ground.devices is None or block is None:
            return False
        from optalloc.oracle.expecting import STEP

        mix, problem = self.mix, kind.problem
        known = self._known(kind.state, block, mix)
        allowed = problem.node_mask[problem.allowed.row_kind[int(problem.block_row[block])]]
        every = np.arange(allowed.size) if nodes is None else nodes
        found = every[allowed[every] & ~self.ground.closed[every]]
        part = int(known.part[found].max(initial=0))
        if not 0 < part < WHOLE:
            return part == 0
        stale = found[known.seen[found] != self.changes[found]]
        if stale.size:
            self._evaluate(known, stale)
        price = mix.prices.scarcity[mix.class_of[found]] * mix.prices.new(part)
        cheap = known.price[found] <= np.floor((price + AS_CHEAP) / STEP + 0.5)
        used = self.ground.devices.free[found, known.at[found]] < WHOLE
        return not np.any(cheap & used & (known.at[found] >= 0))

    def _known(self, state: Counting, block: int, mix: Mix) -> Known:
        row = int(state.problem.block_row[block])
        known = state.memo.get((id(self), row))
        if not isinstance(known, Known) or known.mix is not mix:
            known = Known(mix, *self._needs(state, row))
            state.memo[id(self), row] = known
        return known

    def _needs(self, state: Counting, row: int) -> tuple[IntArray, IntArray]:
        """What a replica needs on each node: of resources, and parts of devices."""
        columns = state.problem.columns
        every = np.arange(columns.nodes, dtype=np.int64)
        need = [columns.demand[i].at(np.array([row]), every) for i in self._resources]
        need = [np.broadcast_to(demand, every.shape) for demand in need]
        share = state.shares[row] if state.shares else None
        part = share.parts if share else np.zeros_like(every)
        return np.array(need, np.int64).reshape(-1, every.size).T.copy(), part

    def _evaluate(self, known: Known, nodes: IntArray) -> None:
        from optalloc.oracle.expecting import losses

        assert self.ground.devices is not None
        mix, prices = known.mix, known.mix.prices
        free = np.ascontiguousarray(self.ground.free()[:, self._resources])
        losses(
            nodes, free, self.ground.devices.free, mix.class_of, mix.may, known.need, known.part,
            mix.needs, mix.parts, mix.weight, mix.sequences, prices.worth, prices.filling,
            prices.scarcity, known.value, known.price, known.at,
        )  # fmt: skip
        known.seen[nodes] = self.changes[nodes]

    def _requests(self, kind: Kind) -> list[Request]:
        """What the replicas of a kind of requests ask for, in its first row."""
        found = self._request_of.get(kind)
        if found is None:
            problem, state = kind.problem, kind.state
            row = int(problem.columns.row_start[-2])
            mask = problem.node_mask[problem.allowed.row_kind[row]]
            node = int(np.argmax(mask))
            need, part = self._needs(state, row)
            needs = tuple(need[node].tolist())
            request = Request(needs, int(part[node]), mask.tobytes(), kind.task)
            found = [request] * int(problem.columns.row_replicas[row])
            self._request_of[kind] = found
        return found


POLICY = Policy(
    "fragmentation",
    "the node and device where a request takes least from those that are to come",
    Fragmentation,
)
