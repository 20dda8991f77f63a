"""Gangs within the tightest domain that takes them."""

from __future__ import annotations

from functools import cached_property

from msgspec.structs import replace

from optalloc.instance.model import NODE, Task
from optalloc.oracle.policies.protocol import Policy, Ranking


class Gang(Ranking):
    """Tries a gang within one node, then within a domain of each scope, smallest domains first."""

    @cached_property
    def scopes(self) -> list[str]:
        """Scopes with more than one domain, those of most domains first."""
        columns = self.ground.problem.columns
        names = {NODE, *(scope for node in columns.instance.nodes for scope in node.domains)}
        count = {name: len(columns.scope(name)[0]) for name in sorted(names)}
        return sorted((name for name in names if count[name] > 1), key=lambda n: (-count[n], n))

    def tries(self, task: Task) -> tuple[Task, ...]:
        """The task within a domain of each scope; itself where it is no gang, or says within."""
        rows = self.ground.instance.rows_of(task)
        sizes = [row.replicas for row in rows] or [task.replicas]
        if task.within or max(sizes) == 1:
            return ()
        return tuple(replace(task, within=scope) for scope in self.scopes)


POLICY = Policy("gang", "gangs within the tightest domain that takes them", Gang)
