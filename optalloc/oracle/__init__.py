"""The allocation oracle: a cluster kept alive that is asked, again and again, where tasks go."""

from __future__ import annotations

from optalloc.oracle.answers import Decision, Refusal, Remedy, Snapshot
from optalloc.oracle.improving import Plan
from optalloc.oracle.oracle import Oracle
from optalloc.oracle.waiting import Queue

__all__ = ["Decision", "Oracle", "Plan", "Queue", "Refusal", "Remedy", "Snapshot"]
