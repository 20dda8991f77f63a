"""The improver's process: reads what runs where, looks for better places, and says what it found.

Standard input holds pieces, each after its length: an `Order`, the instance, records in any number,
and an empty one. The `Outcome` goes to standard output. When standard input is closed, or the
parent is gone, it ends, with whatever it started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import threading
from contextlib import suppress

import msgspec

from optalloc.batch.processes import own_peak_mib
from optalloc.batch.worker import end_with_parent
from optalloc.oracle.improving import Plan

LENGTH = struct.Struct("<Q")
MIB = 2**20
PR_SET_PDEATHSIG = 1
LOWEST = 19
"""Niceness."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for.

    Parameters
    ----------
    seconds, max_moves
        As for `Oracle.improve`.
    objective
        Of the oracle.
    version
        Of the state that follows.
    memory_mib
        That the process may hold; None for no limit.
    niceness
        Its priority: 0 is that of all processes, 19 the lowest.
    threads
        Of the search.
    """

    seconds: float
    max_moves: int
    objective: str
    version: int
    memory_mib: float | None
    niceness: int = 19
    threads: int = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Parameters
    ----------
    plan
        The moves found; None where it failed.
    lacks_memory
        Whether it failed for want of memory.
    peak_mib
        Memory that this process held.
    """

    plan: Plan | None = None
    lacks_memory: bool = False
    peak_mib: float = 0.0


def main() -> None:
    """Carry out the order on standard input."""
    answer = os.dup(1)
    os.dup2(2, 1)
    _die_with_parent()
    order = msgspec.json.decode(_piece(), type=Order)
    _give_way(order.niceness)
    _limit(order.memory_mib)
    try:
        outcome = Outcome(plan=_improved(order), peak_mib=own_peak_mib())
    except MemoryError:
        outcome = Outcome(lacks_memory=True, peak_mib=own_peak_mib())
    with os.fdopen(answer, "wb") as file:
        file.write(msgspec.json.encode(outcome))
    # Everything is said: nothing that ends slowly or badly matters any more.
    os._exit(0)


def _improved(order: Order) -> Plan:
    from optalloc.instance.files import loads_instance
    from optalloc.oracle.oracle import Oracle
    from optalloc.service.records import Entry, Record, State

    stated, state = _piece(), State()
    decoder = msgspec.json.Decoder(tuple[Record, ...])
    while piece := _piece():
        state.follow(Entry(order.version, decoder.decode(piece)))
    threading.Thread(target=end_with_parent, daemon=True).start()
    instance = loads_instance(stated)
    oracle = Oracle.restore(state.snapshot(instance, order.objective))
    plan = oracle.improve(order.seconds, order.max_moves, order.threads)
    return msgspec.structs.replace(plan, version=order.version)


def _piece() -> bytes:
    """The next piece; from the descriptor itself, as a buffer would be locked by a thread."""
    (size,) = LENGTH.unpack(_bytes(LENGTH.size))
    return _bytes(size)


def _bytes(size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        more = os.read(0, min(size - len(found), 1 << 20))
        if not more:
            sys.exit("standard input ended early")
        found += more
    return bytes(found)


def _die_with_parent() -> None:
    """Have the system end this process with its parent, be it busy or not, where it can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        sys.exit("the parent is gone")


def _give_way(niceness: int) -> None:
    """Take a low priority; at the lowest one, run only while nobody else wants the processor."""
    os.nice(niceness)
    if niceness >= LOWEST:
        with suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _limit(memory_mib: float | None) -> None:
    """Let allocations fail beyond a limit, here and in the processes of engines."""
    import resource

    if memory_mib is None:
        return
    with suppress(OSError, ValueError):
        size = int(memory_mib * MIB)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


if __name__ == "__main__":
    main()
