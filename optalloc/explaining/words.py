"""How reasons speak: amounts, names, rules and sets of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.anti_affinity import AntiAffinity
from optalloc.formulation.goals.capacity import TransientCapacity
from optalloc.formulation.goals.dependency import Dependency
from optalloc.formulation.goals.portion import Portion
from optalloc.formulation.goals.span import Span
from optalloc.formulation.goals.spread import Spread
from optalloc.instance.columns import Columns
from optalloc.instance.model import DEVICE, NODE
from optalloc.instance.policy import Number, Policy

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MOST_NAMES = 4
"""More names are counted."""
MOST_VALUES = 3
"""A set of nodes is called by the values of a label if it needs no more than so many."""


def number(value: float | Fraction) -> str:
    """Write a number without a trailing ``.0``."""
    return f"{float(value):.12g}"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun in the right number."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def names(of: Sequence[str]) -> str:
    """Join names, the last of many as a count."""
    more = f" and {len(of) - MOST_NAMES:,} more" if len(of) > MOST_NAMES else ""
    return ", ".join(of[:MOST_NAMES]) + more


def amount(columns: Columns, resource: int, quanta: int) -> str:
    """Write an amount of a resource without its name: ``64 GiB``."""
    stated = columns.instance.resources.get(columns.resources[resource])
    text = number(quanta * columns.quantum_of_resource[resource])
    return f"{text} {stated.unit}" if stated and stated.unit else text


def amount_of(columns: Columns, resource: int, quanta: int) -> str:
    """Write an amount of a resource with its name: ``64 GiB memory``."""
    return f"{amount(columns, resource, quanta)} {columns.resources[resource]}"


def measured(columns: Columns, policy: Policy, value: Number | Fraction) -> str:
    """Write a policy's value, given in its unit."""
    unit = policy.unit(columns)
    return f"{number(value)} {unit}" if unit else number(value)


def task_name(columns: Columns, task: int, tasks: int | None = None) -> str:
    """Name a task entry, or so many of its tasks: ``train (3 of 5 tasks)``."""
    name, count = columns.instance.tasks[task].name, int(columns.task_count[task])
    if count == 1:
        return name
    if tasks is None or tasks == count:
        return f"{name} ({count:,} tasks)"
    return f"{name} ({tasks:,} of {count:,} tasks)"


def describe(columns: Columns, policy: Policy, label: str) -> str:
    """Say what a hard rule or a limit demands."""
    said = _demand(policy)
    limits = [
        f"{word} {measured(columns, policy, bound)}"
        for word, bound in (("at most", policy.at_most), ("at least", policy.at_least))
        if bound is not None
    ]
    if limits:
        return f"{label} {' and '.join(limits)}"
    return f"{label}: {said}" if said else f"{label} ({policy.summary})"


def _demand(policy: Policy) -> str:
    if isinstance(policy, AntiAffinity):
        return f"at most {counted(policy.limit, 'replica')} of {_whom(policy)} per {policy.scope}"
    if isinstance(policy, Portion | Span):
        tasks = f"each task of {names(policy.groups)}" if policy.groups else "each task"
        return f"{tasks} {_shape(policy)}"
    if isinstance(policy, Spread):
        least = policy.domains if isinstance(policy.domains, int) else None
        wanted = f"at least {counted(least, policy.scope)}" if least else f"enough {policy.scope}s"
        return f"{wanted} for {_whom(policy)}"
    if isinstance(policy, Dependency):
        pairs = [f"{a} needs {b}" for a, b in policy.pairs]
        return f"{names(pairs)} in its {policy.scope}"
    if isinstance(policy, TransientCapacity):
        which = f" of {names(policy.resources)}" if policy.resources else ""
        return f"capacity{which} while tasks move, which still take their old nodes then"
    return ""


def _shape(policy: Portion | Span) -> str:
    if isinstance(policy, Span):
        return f"in at most {counted(policy.domains, policy.scope)}"
    if policy.most is None:
        number = f"at least {counted(policy.least, 'replica')}"
    elif policy.least == 1:
        number = f"at most {counted(policy.most, 'replica')}"
    else:
        fewest = "" if policy.least == policy.most else f"{policy.least:,} to "
        number = f"{fewest}{counted(policy.most, 'replica')}"
    return f"with {number} in each {policy.scope} that it uses"


def _whom(policy: AntiAffinity | Spread) -> str:
    if policy.groups:
        return ("group " if len(policy.groups) == 1 else "each of ") + names(policy.groups)
    return f"each {policy.kind or 'group'}"


def name_entries(columns: Columns, inside: BoolArray) -> str:
    """Name a set of node entries by a label that tells them from the others, else by name."""
    nodes = columns.instance.nodes
    others = dict.fromkeys(name for node in nodes for name in (*node.labels, *node.domains))
    for label in (DEVICE, *others):
        attribute = columns.attribute(label)
        mine = set(attribute.index[inside].tolist())
        if -1 in mine or mine & set(attribute.index[~inside].tolist()) or len(mine) > MOST_VALUES:
            continue
        return f"{label} {', '.join(attribute.values[v] for v in sorted(mine))}"
    return f"{NODE} {names([nodes[e].name for e in np.flatnonzero(inside)])}"
