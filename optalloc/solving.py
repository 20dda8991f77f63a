"""`solve`: an instance goes in, a verified placement with a proven bound comes out."""

from __future__ import annotations

import os
import time

from optalloc import arguments, dinkelbach
from optalloc.answering import Question, answer, result_of
from optalloc.engines import AUTO, GREEDY
from optalloc.engines import engine as find_engine
from optalloc.engines.auto import Request
from optalloc.engines.ledger import Listener, Progress
from optalloc.engines.memory import default_limit
from optalloc.engines.protocol import Clock
from optalloc.explaining import relax
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.result import Result
from optalloc.solution import carry_over, name_placement
from optalloc.verify.placement import malformed

__all__ = ["Progress", "solve"]


def solve(  # noqa: PLR0913 (keyword options of the one entry point)
    instance: Instance,
    objective: str | None = None,
    *,
    engine: str = "auto",
    time_limit: float | None = None,
    threads: int | None = None,
    seed: int = 0,
    warm_start: Placement | Result | None = None,
    partial: bool = False,
    on_progress: Listener | None = None,
    deterministic: bool = False,
    log: bool = False,
    memory_limit: int | None = None,
) -> Result:
    """Decide what runs where.

    Parameters
    ----------
    instance
        What may run where and what is wanted.
    objective
        Levels in order of importance joined by ``>``, such as ``"throughput > energy"``; by
        default the instance's own. One of them can be a ratio, ``samples-per-joule`` or
        ``throughput / power``, see `optalloc.dinkelbach`.
    engine
        ``auto``, ``greedy``, or one of `optalloc.engines.engine_names`.
    time_limit
        Seconds, from call to return; None runs until proof.
    threads
        Cores to use, at most 1024; by default all.
    seed
        For everything random; below 2**31.
    warm_start
        A placement of this instance from which to start, or an earlier result, also of an instance
        that has changed since: its tasks are found by name. What breaks rules or is missing is
        placed anew, the rest stays; it is dropped if that does not succeed.
    partial
        Leave out what does not fit: every task becomes optional, the largest weight is placed
        first, and `Result.reasons` says why each task is left out.
    on_progress
        Called with a `Progress` whenever a value or bound improves.
    deterministic
        One engine and no limits that depend on the clock: the same call gives the same placement.
    log
        Keep the solvers' logs in `Result.log`.
    memory_limit
        Bytes that the engines may hold; by default most of what this machine, or the control group
        in which it runs, has available. What would need more is not begun, or is ended.

    Returns
    -------
    Result
        Always verified where there is a placement.

    Raises
    ------
    InstanceError
        For an objective that the instance does not have.
    EngineFailure
        When engines failed and nothing was found.
    OptallocError
        For an engine that is not there, an argument of another type or out of its range, or a warm
        start of another instance.
    """
    arguments.check(locals())
    started = time.monotonic()
    request = make_request(engine, threads, seed, deterministic, log, memory_limit)
    clock = Clock(float("inf") if time_limit is None else float(time_limit), started)
    if partial:
        instance, objective = relax(instance, objective)
    start = read_start(instance, warm_start)
    wanted = read_objective(instance, objective)
    question = Question(instance, request, started)
    if wanted.ratio is not None:
        return dinkelbach.solve(question, wanted, clock, start, on_progress, partial)
    ledger = question.ledger(wanted, on_progress)
    return result_of(question, *answer(question, ledger, clock, start, partial))


def make_request(
    engine: str,
    threads: int | None,
    seed: int,
    deterministic: bool,
    log: bool,
    memory_limit: int | None,
) -> Request:
    """How to run, from the arguments of `solve`."""
    if engine not in (AUTO, GREEDY):
        find_engine(engine)
    cores = int(threads or os.cpu_count() or 1)
    memory = default_limit() if memory_limit is None else int(memory_limit)
    return Request(engine, cores, int(seed), deterministic, log, memory)


def read_start(instance: Instance, warm_start: Placement | Result | None) -> Placement | None:
    """Find the placement from which to start; refuse one that is not of the instance."""
    if isinstance(warm_start, Result):
        placement = warm_start.placement
        if placement is None:
            return None
        return carry_over(instance, name_placement(warm_start.instance, placement))
    fault = None if warm_start is None else next(malformed(instance, warm_start), None)
    if fault is not None:
        expected = "expected a placement of this instance"
        raise OptallocError(f"warm_start: {expected}; {fault.message}")
    return warm_start
