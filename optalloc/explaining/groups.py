"""Rules on groups that cannot hold wherever their tasks run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.kinds import Kinds
from optalloc.explaining.words import counted, name_entries
from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.dependency import Dependency
from optalloc.formulation.goals.spread import Spread
from optalloc.instance.references import selected_groups
from optalloc.result import Reason

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


class Members:
    """Groups and the kinds of tasks in them."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        columns = kinds.problem.columns
        kind_of = np.full(columns.tasks, -1, np.int64)
        kind_of[kinds.task] = np.arange(kinds.task.size)
        kind = kind_of[columns.membership_task]
        order = np.argsort(columns.membership_group[kind >= 0], kind="stable")
        self._kind = kind[kind >= 0][order]
        self._group = columns.membership_group[kind >= 0][order]
        self._start = np.searchsorted(self._group, np.arange(columns.groups + 1)).tolist()

    def of(self, group: int) -> IntArray:
        """Kinds of tasks in a group."""
        return self._kind[self._start[group] : self._start[group + 1]]

    def total(self, of_kinds: IntArray) -> IntArray:
        """Sum of a number over the tasks of each group."""
        total = np.zeros(self.kinds.problem.columns.groups, np.int64)
        np.add.at(total, self._group, (of_kinds * self.kinds.count)[self._kind])
        return total


class Reach:
    """The domains of a scope that kinds of tasks reach."""

    def __init__(self, kinds: Kinds, scope: str) -> None:
        self.kinds = kinds
        columns = kinds.problem.columns
        self.names, self.domain = columns.scope(scope)
        self.entry = columns.node_entry
        self.entries, line = kinds.reachable
        self._line = line.tolist()
        self._known: dict[frozenset[int], tuple[BoolArray, bool]] = {}

    def lines(self, kinds: IntArray) -> frozenset[int]:
        """Sets of node entries that kinds of tasks may use, as lines of `Kinds.reachable`."""
        return frozenset([self._line[k] for k in kinds.tolist()])

    def of(self, lines: frozenset[int]) -> tuple[BoolArray, bool]:
        """Domains that some sets of node entries reach, and whether they have a node in none."""
        if lines not in self._known:
            entries = np.asarray(self.entries[sorted(lines)].any(axis=0), bool)
            domain = self.domain[entries[self.entry]]
            reached = np.zeros(len(self.names), bool)
            reached[domain[domain >= 0]] = True
            self._known[lines] = reached, bool(np.any(domain < 0))
        return self._known[lines]


def too_many_together(kinds: Kinds, members: Members) -> Iterator[Reason]:
    """Anti-affinity: more required replicas than the domains may take."""
    problem = kinds.problem
    required = members.total(np.where(kinds.required, kinds.replicas, 0))
    for policy in problem.objective.policies:
        if not isinstance(policy, AntiAffinity) or not policy.hard:
            continue
        reach = Reach(kinds, policy.scope)
        for g in selected_groups(problem.instance, policy.groups, policy.kind):
            replicas = int(required[g])
            if replicas <= policy.limit:
                continue
            mine = members.of(g)
            domains, free = reach.of(reach.lines(mine[kinds.required[mine]]))
            most = policy.limit * int(domains.sum())
            if replicas > most and not free:
                yield Reason(
                    "",
                    f"group {problem.instance.groups[g].name}: {counted(replicas, 'replica')} "
                    f"required, anti-affinity allows {policy.limit:,} per {policy.scope} in the "
                    f"{counted(int(domains.sum()), policy.scope)} that its tasks can reach: "
                    f"{replicas - most:,} too many",
                )


def too_few_domains(kinds: Kinds, members: Members) -> Iterator[Reason]:
    """Spread: more domains wanted than the group can reach, or than it has replicas."""
    problem, columns = kinds.problem, kinds.problem.columns
    has_required = members.total(kinds.required.astype(np.int64)) > 0
    largest = members.total(kinds.most_replicas)
    for policy in problem.objective.policies:
        if not isinstance(policy, Spread) or not policy.hard:
            continue
        reach = Reach(kinds, policy.scope)
        for g, wanted in policy.wanted(columns).items():
            if not has_required[g]:
                continue
            replicas = int(largest[g])
            domains = int(reach.of(reach.lines(members.of(g)))[0].sum())
            if wanted <= min(replicas, domains):
                continue
            has = (
                f"its tasks can reach {domains:,}"
                if domains <= replicas
                else f"it has {counted(replicas, 'replica')}"
            )
            yield Reason(
                "",
                f"group {problem.instance.groups[g].name} must run in at least "
                f"{counted(wanted, policy.scope)}, {has}: "
                f"{wanted - min(replicas, domains):,} too few",
            )


def nothing_to_depend_on(kinds: Kinds, members: Members) -> Iterator[Reason]:
    """Dependency: a required task has no domain that its group's dependency can reach, too."""
    problem = kinds.problem
    index = problem.columns.group_index
    for policy in problem.objective.policies:
        if not isinstance(policy, Dependency) or not policy.hard:
            continue
        reach = Reach(kinds, policy.scope)
        met: set[tuple[frozenset[int], frozenset[int]]] = set()
        for first, second in policy.pairs:
            mine, other = members.of(index[first]), members.of(index[second])
            mine = mine[kinds.required[mine]]
            wanted, offered = reach.lines(mine), reach.lines(other)
            if (wanted, offered) in met:
                continue
            hosts, _ = reach.of(offered)
            alone = [k for k in mine.tolist() if not _met(reach, np.array([k]), hosts)]
            if not alone:
                met.add((wanted, offered))
            for k in alone:
                why = "that group has no tasks"
                if other.size and not hosts.any():
                    why = f"none of its tasks fits in any {policy.scope}"
                elif other.size:
                    entries = reach.entries[sorted(reach.lines(np.array([k])))[0]]
                    where = name_entries(problem.columns, entries)
                    why = f"no {policy.scope} that it can reach (on {where}) can host that group"
                name = problem.instance.tasks[int(kinds.task[k])].name
                text = f"group {first} needs group {second} in its {policy.scope}, but {why}"
                yield Reason(name, text)


def _met(reach: Reach, kinds: IntArray, hosts: BoolArray) -> bool:
    """Whether tasks reach a host, or a node where the rule asks for none."""
    domains, free = reach.of(reach.lines(kinds))
    return free or bool(np.any(domains & hosts))


CHECKS = (too_many_together, too_few_domains, nothing_to_depend_on)
