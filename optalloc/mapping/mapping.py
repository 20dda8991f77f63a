"""`map_ranks`: which rank goes to which slot, verified, with what is proven about it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from optalloc.arguments import LARGEST_SEED, MOST_THREADS
from optalloc.instance.errors import EngineFailure, InstanceError, OptallocError
from optalloc.mapping.board import Board
from optalloc.mapping.layout import Layout
from optalloc.mapping.machine import Machine
from optalloc.mapping.traffic import Traffic

IntArray = NDArray[np.int64]
TIME_LIMIT = 10.0
GRACE = 0.3
"""Seconds that searches get to end after the time limit, before they are left alone."""
DENSE = 512
"""Slots up to which matrices are searched densely."""
ANNEALED = 2000
"""Ranks up to which half the searches anneal the whole graph."""
SPARSE = 0.2
"""Share of all pairs below which traffic is searched as a graph too."""
Search = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Mapping:
    """The answer of `map_ranks`.

    Parameters
    ----------
    assignment : (ranks,)
        Slot of each rank.
    cost
        ``sum over ordered pairs (i, j) of volume[i, j] * distance[slot i, slot j]``, computed by
        an evaluator that shares no code with the searches.
    bound
        Proven: no assignment costs less.
    status
        ``optimal`` where the bound meets the cost, else ``feasible``.
    stopped_by
        ``proof``, ``time`` or ``interrupted``.
    method
        The search that found it.
    wall_s
        Seconds from call to return.
    """

    assignment: IntArray
    cost: float
    bound: float
    status: Literal["optimal", "feasible"]
    stopped_by: Literal["proof", "time", "interrupted"]
    method: str
    wall_s: float

    @property
    def gap(self) -> float:
        """``(cost - bound) / cost``; 0 where it is proven."""
        return 0.0 if self.status == "optimal" else (self.cost - self.bound) / abs(self.cost)


def map_ranks(
    traffic: Traffic,
    machine: Machine,
    *,
    time_limit: float = TIME_LIMIT,
    threads: int | None = None,
    seed: int = 0,
    start: IntArray | None = None,
    on_progress: Callable[[float, float], None] | None = None,
) -> Mapping:
    """Put ranks on slots so that traffic times distance is least.

    Parameters
    ----------
    traffic
        Who sends how much to whom.
    machine
        Slots, capacities and distances.
    time_limit
        Seconds, everything included.
    threads
        Searches side by side; by default one a core.
    seed
        Of the random numbers.
    start : (ranks,)
        An assignment to begin with; the answer is never worse.
    on_progress
        Called with cost and bound whenever one of them is better; from any thread.

    Raises
    ------
    InstanceError
        If the ranks do not fit on the slots, or `start` is no assignment.
    OptallocError
        For arguments out of range.
    """
    began = time.monotonic()
    _check(time_limit, threads, seed)
    board = Board(traffic, machine, began + time_limit)
    board.listener = on_progress
    begin(board, start)
    interrupted = False
    if not board.ended.is_set():
        many = threads or min(MOST_THREADS, os.cpu_count() or 1)
        interrupted = _run(searches(traffic, machine, board, many, seed), board)
    assert board.assignment is not None, "there is one from the beginning"
    return Mapping(
        board.assignment,
        board.cost,
        min(board.bound, board.cost),
        "optimal" if board.proven else "feasible",
        "proof" if board.proven else "interrupted" if interrupted else "time",
        board.method,
        time.monotonic() - began,
    )


def searches(
    traffic: Traffic, machine: Machine, board: Board, many: int, seed: int
) -> list[Search]:
    """The searches to run side by side."""
    from optalloc.mapping import exact, searching

    single = machine.single and bool(np.all(traffic.size == 1))
    dense = single and machine.slots <= DENSE
    layout = Layout.of(traffic, machine) if machine.symmetric else None
    found: list[Search] = []
    k = 0
    while len(found) < many:
        if layout is None and not dense:
            raise InstanceError(
                [("distance", "expected the same both ways, as slots take several ranks")],
                "the machine",
            )
        if layout is None or (dense and _densely(traffic, machine, k)):
            found.append(partial(searching.tabu, traffic, machine, board, seed + k))
        else:
            small = traffic.ranks < ANNEALED and k % 2 == 1
            search = searching.annealing if small else searching.multilevel
            found.append(partial(search, layout, board, seed + k))
        k += 1
    proof = exact.proof(traffic, machine, layout, board, many, seed)
    if proof is not None:
        # What proves often ends soon; then its thread searches like the others.
        last = partial(_one_by_one, board, proof, found[-1])
        # One search alone would wait for it: proofs need good answers to begin with.
        found = [*found[:-1], last] if many > 1 else [*found, proof]
    return found


def _one_by_one(board: Board, *searches: Search) -> None:
    for search in searches:
        if not board.stop():
            search()


def _densely(traffic: Traffic, machine: Machine, k: int) -> bool:
    """Whether the k-th search of a small problem works on matrices rather than on the graph."""
    sparse = traffic.source.size < SPARSE * traffic.ranks**2
    return not (sparse and machine.levels) and (k % 2 == 0 or not sparse)


def _check(time_limit: float, threads: int | None, seed: int) -> None:
    if not 0 < time_limit < np.inf:
        raise OptallocError(f"time_limit: expected a positive number of seconds, got {time_limit}")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise OptallocError(f"threads: expected 1 to {MOST_THREADS}, got {threads}")
    if not 0 <= seed <= LARGEST_SEED:
        raise OptallocError(f"seed: expected 0 to {LARGEST_SEED}, got {seed}")


def begin(board: Board, start: IntArray | None) -> None:
    """Offer a first assignment: ranks in order, or the largest first where that does not fit."""
    from optalloc.mapping.evaluating import faults

    traffic, machine = board.traffic, board.machine
    if start is not None:
        given = np.asarray(start, np.int64)
        wrong = faults(traffic, machine, given)
        if wrong:
            raise InstanceError([("start", text) for text in wrong], "the mapping")
        board.offer(given, "start")
    needed, room = int(traffic.size.sum()), int(machine.capacity.sum())
    if needed > room:
        message = f"expected room for {needed} units of ranks, got {room}"
        raise InstanceError([("capacity", message)], "the machine")
    for order in (np.arange(traffic.ranks), np.argsort(-traffic.size, kind="stable")):
        dealt = _dealt(traffic.size, machine.capacity, order)
        if dealt is not None:
            board.offer(dealt, "in order")
            break
    if board.assignment is None:
        message = "expected room for every rank: the slots hold all of them only if they are split"
        raise InstanceError([("capacity", message)], "the machine")
    if not traffic.source.size:
        board.prove(0.0)


def _dealt(size: IntArray, capacity: IntArray, order: IntArray) -> IntArray | None:
    """Put ranks on the first slot with room."""
    free, found, first = capacity.tolist(), np.full(size.size, -1, np.int64), 0
    for rank in order.tolist():
        while first < len(free) and free[first] <= 0:
            first += 1
        needed = int(size[rank])
        slot = next((s for s in range(first, len(free)) if free[s] >= needed), -1)
        if slot < 0 and needed == 0:
            slot = 0
        if slot < 0:
            return None
        free[slot] -= needed
        found[rank] = slot
    return found


def _run(wanted: list[Search], board: Board) -> bool:
    """Run searches until the time is over or the answer is proven; True if interrupted."""
    failed: list[BaseException] = []

    def run(search: Search) -> None:
        try:
            search()
        except Exception as error:  # noqa: BLE001  (handed on below)
            failed.append(error)

    # Compilation cannot be stopped; a daemon does not keep the process from ending.
    started: list[Any] = [threading.Thread(target=run, args=(s,), daemon=True) for s in wanted]
    for thread in started:
        thread.start()
    interrupted = False
    try:
        while not board.stop() and any(thread.is_alive() for thread in started):
            board.ended.wait(min(0.05, max(0.0, board.deadline - time.monotonic())))
    except KeyboardInterrupt:
        interrupted = True
    board.finish()
    end = time.monotonic() + GRACE
    for thread in started:
        thread.join(max(0.0, end - time.monotonic()))
    if len(failed) == len(wanted):
        raise EngineFailure(f"every search failed: {failed[0]!r}") from failed[0]
    return interrupted
