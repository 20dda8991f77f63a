"""Where a task may run at all: labels, device types and the memory of devices.

Read straight from what tasks and nodes state, label by label.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.goals.labels import Labels
from optalloc.instance import quanta
from optalloc.instance.model import DEVICE, NODE, Configuration, Node, Task
from optalloc.instance.policy import Number
from optalloc.verify.facts import Facts, total
from optalloc.verify.finding import Breach, Finding, checks
from optalloc.verify.words import counted, listed

MEMORY = Fraction(1, 1000)
"""GiB to which memory of devices is rounded."""
Speakers = dict[str, list[tuple[int, tuple[str, ...]]]]
"""By label: the index of whatever restricts it (a task, a row), and the values it lists."""


@checks(Labels)
def labels(_policy: Labels, facts: Facts) -> Finding:
    """Count the replicas on nodes that their task or its configuration rules out."""
    allowed, forbidden, by_row = _restrictions(facts)
    wrong = np.zeros(facts.task.size, bool)
    for speakers, speaker, must in (
        (allowed, facts.task, True),
        (forbidden, facts.task, False),
        (by_row, facts.placement.row, True),
    ):
        for label, lists in speakers.items():
            wrong |= _mismatches(facts, label, lists, speaker, must)
    wrong |= _too_small(facts)
    breaches = tuple(_breach(facts, int(k)) for k in np.flatnonzero(wrong))
    return Finding(total(wrong.astype(np.int64), facts.placement.replicas), breaches)


def _restrictions(facts: Facts) -> tuple[Speakers, Speakers, Speakers]:
    """What tasks allow, what they forbid, and the device types that rows name."""
    allowed: Speakers = {}
    forbidden: Speakers = {}
    by_row: Speakers = {}
    for t, task in enumerate(facts.instance.tasks):
        for label, values in task.allow.items():
            allowed.setdefault(label, []).append((t, values))
        for label, values in task.forbid.items():
            forbidden.setdefault(label, []).append((t, values))
    for r in np.flatnonzero(facts.columns.row_number >= 0):
        configuration = facts.columns.row_configuration[r]
        if configuration is not None and configuration.device:
            by_row.setdefault(DEVICE, []).append((int(r), (configuration.device,)))
    return allowed, forbidden, by_row


def _too_small(facts: Facts) -> NDArray[np.bool_]:
    """Which pairs have devices with less memory than the replica needs on each."""
    columns, tasks = facts.columns, facts.instance.tasks
    if not (
        any(task.device_memory_gib for task in tasks)
        or any(row.device_memory_gib for row in columns.row_configuration if row)
    ):
        return np.zeros(facts.task.size, bool)
    pairs = zip(columns.row_task.tolist(), columns.row_configuration, strict=True)
    needs = [memory_of(tasks[t], row) for t, row in pairs]
    need = quanta.upward(needs, MEMORY)[facts.placement.row]
    has = quanta.downward([node.memory_gib or 0 for node in facts.instance.nodes], MEMORY)
    return need > has[columns.node_entry[facts.placement.node]]


def memory_of(task: Task, row: Configuration | None) -> Number:
    """GiB on each device: what the row states, else the task."""
    if row is not None and row.device_memory_gib is not None:
        return row.device_memory_gib
    return task.device_memory_gib


def _mismatches(
    facts: Facts,
    label: str,
    lists: list[tuple[int, tuple[str, ...]]],
    speaker: NDArray[np.int64],
    must: bool,
) -> NDArray[np.bool_]:
    """Which pairs have a listed value although they must not, or none although they must.

    Every distinct (list, value of a node) is looked at once.
    """
    line_of: dict[tuple[str, ...], int] = {}
    line = np.full(int(speaker.max(initial=-1)) + 1, -1, np.int64)
    for index, values in lists:
        if index < line.size:
            line[index] = line_of.setdefault(values, len(line_of))
    entry_value = [value_of(node, label) for node in facts.instance.nodes]
    code_of = {value: code for code, value in enumerate(dict.fromkeys(entry_value))}
    code = np.array([code_of[value] for value in entry_value], np.int64)
    pairs = np.flatnonzero(line[speaker] >= 0)
    at = code[facts.columns.node_entry[facts.placement.node[pairs]]]
    keys, inverse = np.unique(line[speaker[pairs]] * len(code_of) + at, return_inverse=True)
    values_of_line, value_of_code = list(line_of), list(code_of)
    has = [value_of_code[k % len(code_of)] in values_of_line[k // len(code_of)] for k in keys]
    wrong = np.zeros(speaker.size, bool)
    wrong[pairs] = np.array(has, bool)[inverse] != must
    return wrong


def value_of(node: Node, label: str) -> str | None:
    """A node's value of a label: its name, its device type, a label or its domain at a scope."""
    if label == NODE:
        return node.name
    if label == DEVICE and node.device:
        return node.device
    return node.labels.get(label, node.domains.get(label))


def _breach(facts: Facts, pair: int) -> Breach:
    columns, placed = facts.columns, facts.placement
    task = facts.instance.tasks[facts.task[pair]]
    node = facts.instance.nodes[columns.node_entry[placed.node[pair]]]
    name, replicas = columns.node_names[placed.node[pair]], int(placed.replicas[pair])
    configuration = columns.row_configuration[placed.row[pair]]
    why = "; ".join(reasons(task, node, configuration))
    message = f"task {task.name}: {counted(replicas, 'replica')} on node {name}, "
    return Breach(task.name, name, float(replicas), message + why)


def reasons(task: Task, node: Node, row: Configuration | None) -> Iterator[str]:
    """Why a node is ruled out, one reason a label."""
    for label, values in task.allow.items():
        value = value_of(node, label)
        if value not in values:
            yield f"whose {_said(label, value)}; allowed: {listed(values)}"
    for label, values in task.forbid.items():
        value = value_of(node, label)
        if value in values:
            yield f"whose {_said(label, value)}; forbidden: {listed(values)}"
    if row and row.device and value_of(node, DEVICE) != row.device:
        said = _said(DEVICE, value_of(node, DEVICE))
        yield f"whose {said}; its configuration needs {row.device!r}"
    need, has = memory_of(task, row), node.memory_gib or 0
    if quanta.upward([need], MEMORY)[0] > quanta.downward([has], MEMORY)[0]:
        yield f"whose devices have {has:g} GiB each; needed: {need:g}"


def _said(label: str, value: str | None) -> str:
    return f"{label} is not stated" if value is None else f"{label} is {value!r}"
