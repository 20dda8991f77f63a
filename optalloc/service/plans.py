"""A plan that was found, and carrying out what still holds of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from optalloc.oracle.answers import Decision, Refusal
from optalloc.oracle.improving import Plan
from optalloc.oracle.oracle import Oracle
from optalloc.oracle.trying import Trial
from optalloc.service import asked as a
from optalloc.service.commands import Change
from optalloc.service.errors import Refused
from optalloc.service.records import Put, Record, State
from optalloc.service.turn import Turn

CHANGED = "it was moved, resized or released since the plan was made"


@dataclass(frozen=True)
class Proposal:
    """A plan, and what it was made from.

    Parameters
    ----------
    plan
        The moves.
    known
        How the tasks ran that are to move.
    found
        When, by `time.monotonic`.
    """

    plan: Plan
    known: dict[str, Put]
    found: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, plan: Plan, records: Iterable[Record]) -> Proposal:
        """Keep of the records what says how the tasks ran."""
        names = {move.task for move in plan.moves}
        puts = (r for r in records if isinstance(r, Put) and r.task.name in names)
        return cls(plan, {put.task.name: put for put in puts})


def apply(
    oracle: Oracle, state: State, proposal: Proposal | None, asked: a.Apply, turn: Turn
) -> Change:
    """Carry out the moves that still hold, one after the other; those of no use are undone.

    Raises
    ------
    Refused
        Where there is no such plan, and where what is left of it makes nothing better.
    """
    if proposal is None:
        raise Refused(409, "expected a plan, and none has been found since the last was applied")
    plan = proposal.plan
    if asked.version not in (None, plan.version):
        raise Refused(409, f"expected the plan's version {plan.version}, got {asked.version}")
    turn.seal()
    trial, moved, dropped = Trial(oracle), dict[str, None](), dict[str, str]()
    for move in plan.moves:
        name = move.task
        if name in dropped:
            continue
        same = name in moved or state.running.get(name) is proposal.known.get(name)
        if said := trial.move(move) if same else CHANGED:
            dropped[name] = said
        else:
            moved[name] = None
    if moved and not trial.better:
        trial.back()
        raise Refused(409, "what is left of the plan makes nothing better")
    decisions = tuple(_now(oracle, name) for name in moved)
    refusals = tuple(
        Refusal(task=name, reason=said, version=oracle.version) for name, said in dropped.items()
    )
    puts = (Put(oracle.task(d.task), d.nodes, d.configuration, d.devices) for d in decisions)
    return Change(a.Applied(version=oracle.version, moved=decisions, dropped=refusals), tuple(puts))


def _now(oracle: Oracle, name: str) -> Decision:
    placed = oracle.where(name)
    return Decision(
        task=name,
        nodes=placed.nodes,
        configuration=placed.configuration,
        devices=oracle.devices(name),
        version=oracle.version,
    )
