"""One run of the engines on one objective, from a start to what is known in the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from optalloc.engines.auto import Request, Run, first_placements
from optalloc.engines.ledger import Ledger, Listener
from optalloc.engines.protocol import Clock
from optalloc.explaining import explain_infeasible, explain_left_out, obvious_conflicts
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import EngineFailure, OptallocError
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import Objective
from optalloc.result import Reason, Result, Status

SECONDS_PER_TASK = 3e-5
"""Time to formulate a task, from measurements; an upper estimate."""


@dataclass(frozen=True)
class Question:
    """What stays the same in all runs that answer one call.

    Parameters
    ----------
    instance
        What may run where.
    request
        How engines are to run.
    started
        Time (`time.monotonic`) of the call.
    """

    instance: Instance
    request: Request
    started: float

    def ledger(self, objective: Objective, on_progress: Listener | None = None) -> Ledger:
        """An empty ledger for a run of its own."""
        return Ledger(self.instance, objective, on_progress, self.started)


def answer(
    question: Question,
    ledger: Ledger,
    clock: Clock,
    start: Placement | None = None,
    partial: bool = False,
) -> tuple[Run, tuple[Reason, ...]]:
    """Run to the end, or until an interrupt or a lack of memory; what is known then is kept.

    Parameters
    ----------
    question
        What is asked, and how.
    ledger
        For what is found; its objective has no ratio.
    clock
        The time for this run.
    start
        A placement to start from, also one that breaks rules or leaves tasks out.
    partial
        Say why tasks are left out.

    Returns
    -------
    tuple
        The run, and the reasons for what cannot be.
    """
    run = Run(ledger, clock, question.request)
    try:
        for name, placement in first_placements(question.instance, start):
            good = ledger.offer(placement, name, known_good=False)
            if placement is start and not (good and run.complete):
                run.start = start
        return run, _formulate_and_run(run, partial)
    except (KeyboardInterrupt, ImportError) as error:
        if not _interrupts(error):
            raise
        if ledger.placement is None:
            raise KeyboardInterrupt from error
        run.stopped_by = "interrupted"
    except MemoryError:
        run.stopped_by = "memory"
    return run, ()


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


def result_of(question: Question, run: Run, reasons: tuple[Reason, ...]) -> Result:
    """What a run found, as its user reads it.

    Raises
    ------
    EngineFailure
        When engines failed and nothing was found.
    OptallocError
        When there was too little memory to find anything.
    """
    ledger, instance = run.ledger, question.instance
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
        time.monotonic() - question.started,
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
