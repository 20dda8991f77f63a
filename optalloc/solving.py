"""`solve`: an instance goes in, a verified placement with a proven bound comes out."""

from __future__ import annotations

import os
import time

from optalloc import arguments
from optalloc.engines import AUTO, GREEDY
from optalloc.engines import engine as find_engine
from optalloc.engines.auto import Request, Run, first_placements
from optalloc.engines.ledger import Ledger, Listener, Progress
from optalloc.engines.memory import default_limit
from optalloc.engines.protocol import Clock
from optalloc.explaining import (
    explain_infeasible,
    explain_left_out,
    obvious_conflicts,
    relax,
)
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import EngineFailure, OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.result import Reason, Result, Status
from optalloc.solution import carry_over, name_placement
from optalloc.verify.placement import malformed

__all__ = ["Progress", "solve"]

SECONDS_PER_TASK = 3e-5
"""Time to formulate a task, from measurements; an upper estimate."""


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
        default the instance's own.
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
    if engine not in (AUTO, GREEDY):
        find_engine(engine)
    clock = Clock(float("inf") if time_limit is None else float(time_limit), started)
    if partial:
        instance, objective = relax(instance, objective)
    start = _read_start(instance, warm_start)
    ledger = Ledger(instance, read_objective(instance, objective), on_progress, started)
    cores = int(threads or os.cpu_count() or 1)
    memory = default_limit() if memory_limit is None else int(memory_limit)
    request = Request(engine, cores, int(seed), deterministic, log, memory)
    run = Run(ledger, clock, request)
    reasons = _run_unless_interrupted(run, start, partial)
    return _result(instance, run, reasons, started)


def _run_unless_interrupted(run: Run, start: Placement | None, partial: bool) -> tuple[Reason, ...]:
    """Run to the end, or until an interrupt or a lack of memory; what is known then is kept."""
    ledger = run.ledger
    try:
        for name, placement in first_placements(ledger.instance, start):
            good = ledger.offer(placement, name, known_good=False)
            if placement is start and not (good and run.complete):
                run.start = start
        return _formulate_and_run(run, partial)
    except (KeyboardInterrupt, ImportError) as error:
        if not _interrupts(error):
            raise
        if ledger.placement is None:
            raise KeyboardInterrupt from error
        run.stopped_by = "interrupted"
    except MemoryError:
        run.stopped_by = "memory"
    return ()


def _interrupts(error: BaseException) -> bool:
    """Whether an error is an interrupt, or what an extension module made of one while imported."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _formulate_and_run(run: Run, partial: bool) -> tuple[Reason, ...]:
    """Do all that the time allows; the reasons for what cannot be."""
    ledger = run.ledger
    if len(ledger.instance.tasks) * SECONDS_PER_TASK > run.clock.left:
        return ()
    problem = Problem(ledger.instance, ledger.objective)
    reasons = obvious_conflicts(problem) if ledger.placement is None else ()
    if reasons:
        run.infeasible, run.stopped_by = True, "proof"
        return reasons
    run.solve(problem)
    if run.infeasible:
        return explain_infeasible(problem, run.clock)
    if partial and ledger.placement is not None:
        return explain_left_out(problem, ledger.placement, run.clock)
    return ()


def _read_start(instance: Instance, warm_start: Placement | Result | None) -> Placement | None:
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


def _result(instance: Instance, run: Run, reasons: tuple[Reason, ...], started: float) -> Result:
    ledger = run.ledger
    if ledger.placement is None and not run.infeasible and (run.failures or ledger.rejections):
        # A model that does not fit is the user's to mend.
        kind = OptallocError if run.stopped_by == "memory" else EngineFailure
        raise kind("; ".join([*run.failures, *ledger.rejections[:3]]))
    policies, columns = ledger.objective.policies, instance.columns
    terms = {
        label: float(value * policy.quantum(columns))
        for label, value, policy in zip(
            ledger.objective.labels, ledger.terms, policies, strict=False
        )
    }
    return Result(
        instance,
        _status(run),
        run.stopped_by,
        ledger.placement,
        ledger.levels(),
        terms,
        ledger.engine or run.request.engine,
        time.monotonic() - started,
        ledger.rejected,
        reasons,
        tuple(run.failures),
        "\n".join(run.logs),
        ledger.effort,
    )


def _status(run: Run) -> Status:
    if run.ledger.placement is None:
        return "infeasible" if run.infeasible else "unknown"
    return "optimal" if run.ledger.proven else "feasible"
