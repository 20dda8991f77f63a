"""What the oracle answers."""

from __future__ import annotations

import msgspec


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a task runs from now on.

    Parameters
    ----------
    task
        Its name.
    nodes
        Replicas by node name.
    configuration
        Name of the row chosen, for a task with a table.
    version
        Version of the state that the decision made.
    """

    task: str
    nodes: dict[str, int]
    configuration: str = ""
    version: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a task runs nowhere.

    Parameters
    ----------
    task
        Its name.
    reason
        Which rule or resource keeps it off how many nodes.
    version
        Version of the state that was asked, which has not changed.
    """

    task: str
    reason: str
    version: int = 0


Answer = Decision | Refusal
