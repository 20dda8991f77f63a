"""Every path of the service, once: the application and its published description follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from optalloc.oracle.answers import Snapshot
from optalloc.oracle.improving import Plan
from optalloc.service import asked as a
from optalloc.service import commands, views
from optalloc.service import shown as s
from optalloc.service.tokens import Role
from optalloc.service.watching import Watch

How = Literal["change", "ask", "fork", "view", "watch", "improve", "service"]


@dataclass(frozen=True)
class Path:
    """One thing that can be asked.

    Parameters
    ----------
    method, path
        Of the request; a part in braces is a parameter.
    role
        That it takes.
    summary
        What it does, in one line.
    how
        ``change``: changes the oracle. ``ask``: reads it, between two changes. ``fork``: works on
        a copy, while changes go on. ``view``: copies arrays between two changes, and puts them
        into words while changes go on, once a version. ``watch``: what the service remembers.
        ``improve``: asks the improver. ``service``: the service answers it itself.
    answer
        Type of the answer's body; None for text.
    asked
        Type of the request's body; None where there is none.
    run
        Function of the oracle and the request (or of what is remembered and the number of
        requests that wait) that carries it out; None where the service or the improver does.
    """

    method: Literal["GET", "POST"]
    path: str
    role: Role
    summary: str
    how: How
    answer: type[Any] | None
    asked: type[Any] | None = None
    run: Callable[..., Any] | None = None

    @property
    def tagged(self) -> bool:
        """Whether who has the answer already is told so (``If-None-Match``)."""
        return self.how in ("view", "watch")

    @property
    def bodiless(self) -> bool:
        """Whether a request without a body is one that states nothing."""
        return self.asked in (a.Nothing, a.Apply)

    @cached_property
    def name(self) -> str:
        """What metrics and the published description call it."""
        return self.path.removeprefix("/v1").strip("/").replace("/", "-").partition("-{")[0]


def _change(name: str, role: Role, summary: str, run: Any, asked: Any, answer: Any) -> Path:
    return Path("POST", f"/v1/{name}", role, summary, "change", answer, asked, run)


ROUTES = (
    _change("place", Role.PLACE, "Place tasks.", commands.place, a.Place, a.Answers),
    _change("release", Role.PLACE, "Take tasks away.", commands.release, a.Names, a.Done),
    _change(
        "resize", Role.PLACE, "Give a task another size.", commands.resize, a.Resize, a.Answers
    ),
    _change("move", Role.PLACE, "Move tasks, all or none.", commands.move, a.Moves, a.Done),
    _change(
        "nodes", Role.ADMIN, "Let nodes join the cluster.", commands.add_nodes, a.NewNodes, a.Done
    ),
    _change(
        "nodes/remove",
        Role.ADMIN,
        "Take empty nodes out of the cluster.",
        commands.remove_nodes,
        a.Nodes,
        a.Done,
    ),
    _change(
        "nodes/close", Role.ADMIN, "Let nothing come to nodes.", commands.close, a.Nodes, a.Done
    ),
    _change("restore", Role.ADMIN, "Go back to a snapshot.", commands.restore, a.Restore, a.Done),
    _change("nodes/reopen", Role.ADMIN, "Let tasks come again.", commands.reopen, a.Nodes, a.Done),
    _change(
        "nodes/drain",
        Role.ADMIN,
        "Close a node and propose moves for what runs on it.",
        commands.drain,
        a.OneNode,
        a.Answers,
    ),
    _change(
        "nodes/down",
        Role.ADMIN,
        "A node and all on it is lost; propose where that could run again.",
        commands.down,
        a.OneNode,
        a.Answers,
    ),
    Path(
        "GET",
        "/v1/tasks/{name}",
        Role.READ,
        "Where a task runs.",
        "ask",
        a.Running,
        run=commands.where,
    ),
    Path(
        "GET",
        "/v1/state",
        Role.READ,
        "What is in use.",
        "ask",
        a.Standing,
        run=commands.standing,
    ),
    Path(
        "GET",
        "/v1/node/{name}",
        Role.READ,
        "A node and what runs on it.",
        "ask",
        s.ShownNode,
        run=views.node,
    ),
    Path(
        "GET",
        "/v1/cluster",
        Role.READ,
        "The nodes as they are stated, a column each.",
        "view",
        s.Cluster,
        run=views.cluster,
    ),
    Path(
        "GET",
        "/v1/overview",
        Role.READ,
        "What is in use on every node.",
        "view",
        s.Overview,
        run=views.overview,
    ),
    Path(
        "GET",
        "/v1/history",
        Role.READ,
        "Figures over time.",
        "watch",
        s.History,
        run=lambda watch, _: watch.history(),
    ),
    Path(
        "GET",
        "/v1/activity",
        Role.READ,
        "The queue and the last decisions.",
        "watch",
        s.Activity,
        run=Watch.activity,
    ),
    Path(
        "POST",
        "/v1/why-not",
        Role.READ,
        "Where a task would run, or why nowhere and what would make it fit.",
        "fork",
        s.WhyNot,
        s.Question,
        views.why_not,
    ),
    Path(
        "POST",
        "/v1/what-if",
        Role.READ,
        "Try changes without making them.",
        "fork",
        a.Answers,
        a.WhatIf,
        commands.what_if,
    ),
    Path(
        "GET",
        "/v1/snapshot",
        Role.READ,
        "All that is known.",
        "fork",
        Snapshot,
        run=commands.snapshot,
    ),
    Path(
        "POST",
        "/v1/verify",
        Role.READ,
        "Have all that runs checked independently.",
        "fork",
        a.Verdict,
        a.Nothing,
        commands.check,
    ),
    Path(
        "POST",
        "/v1/improve",
        Role.READ,
        "Look for better places of what runs, and for moves that lead there.",
        "improve",
        Plan,
        a.Improve,
    ),
    Path("GET", "/v1/plan", Role.READ, "The plan found last.", "service", a.Planned),
    _change(
        "plan/apply",
        Role.PLACE,
        "Carry out what still holds of the plan found last.",
        None,
        a.Apply,
        a.Applied,
    ),
    Path("GET", "/healthz", Role.NOBODY, "Whether the process lives.", "service", a.Health),
    Path("GET", "/readyz", Role.NOBODY, "Whether it can decide.", "service", a.Health),
    Path("GET", "/metrics", Role.READ, "Metrics for Prometheus.", "service", None),
    Path("GET", "/openapi.json", Role.NOBODY, "This description.", "service", dict[str, Any]),
)
