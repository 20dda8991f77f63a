"""What keeps a row off each node: its labels and device type, and the capacity that is free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optalloc.explaining.words import amount, amount_of, counted, names
from optalloc.formulation.goals.response import ResponseLimit
from optalloc.formulation.problem import Problem
from optalloc.instance import device_memory
from optalloc.instance.columns import Columns
from optalloc.instance.model import DEVICE

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MOST_OBSTACLES = 8
"""More kinds of obstacles are summed up."""


@dataclass(frozen=True)
class Sites:
    """Places for replicas: concrete nodes, or node entries that stand for several.

    Parameters
    ----------
    node : (sites,)
        A concrete node of each.
    count : (sites,)
        Nodes in it.
    free : (sites, resources)
        Capacity that is free on each of its nodes.
    said
        What to call it.
    """

    node: IntArray
    count: IntArray
    free: IntArray
    said: str = "capacity"

    @property
    def nodes(self) -> int:
        """Number of nodes in all."""
        return int(self.count.sum())


@dataclass(frozen=True)
class Obstacle:
    """What keeps replicas off some sites, in words."""

    sites: IntArray
    message: str


def empty_sites(problem: Problem) -> Sites:
    """Every node entry with nothing on it."""
    columns = problem.columns
    return Sites(columns.node_start[:-1], np.diff(columns.node_start), columns.capacity)


def room(problem: Problem, rows: IntArray, sites: Sites, most: IntArray) -> IntArray:
    """Count the replicas of each row that fit on one node of each site, up to `most` of the row.

    Returns
    -------
    (rows, sites)
        Only labels, device types and hard capacities count.
    """
    columns = problem.columns
    entry = columns.node_entry[sites.node]
    allowed = problem.allowed.mask[problem.allowed.row_kind[rows][:, None], entry[None, :]]
    fits = np.where(allowed, most[:, None], 0).astype(np.int64)
    for i in sorted(problem.hard_resources):
        if columns.demand[i].is_zero:
            continue
        demand = columns.demand[i].at(rows[:, None], sites.node[None, :])
        free = np.maximum(sites.free[None, :, i], 0) // np.maximum(demand, 1)
        fits = np.where(demand > 0, np.minimum(fits, free), fits)
    for policy in _response_limits(problem):
        i = columns.resource_index[policy.resource]
        at = rows[:, None], sites.node[None, :]
        free = sites.free[None, :, i] - policy.needs(columns).at(*at)
        demand = columns.demand[i].at(*at)
        few = np.where(demand > 0, np.minimum(fits, free // np.maximum(demand, 1)), fits)
        fits = np.where(free < 0, 0, few)
    return fits


def obstacles(problem: Problem, row: int, sites: Sites) -> list[Obstacle]:
    """Say for each site on which no replica of a row fits why: the first reason that holds."""
    columns = problem.columns
    open_sites = np.ones(sites.node.size, bool)
    found: list[Obstacle] = []
    for ruled_out, message in _label_faults(columns, row, columns.node_entry[sites.node]):
        here = np.flatnonzero(ruled_out & open_sites)
        open_sites &= ~ruled_out
        if here.size:
            found.append(Obstacle(here, message(here)))
    for here, why in _too_slow(problem, row, sites):
        slow = here[open_sites[here]]
        open_sites[slow] = False
        if slow.size:
            found.append(Obstacle(slow, why))
    return found + _shortages(problem, row, sites, np.flatnonzero(open_sites))


def _response_limits(problem: Problem) -> list[ResponseLimit]:
    """The hard limits on response times."""
    policies = problem.objective.policies
    return [p for p in policies if isinstance(p, ResponseLimit) and p.hard]


def _too_slow(problem: Problem, row: int, sites: Sites) -> Iterator[tuple[IntArray, str]]:
    """Sites where requests of a row are too long under way, and those too slow for it."""
    columns, rows = problem.columns, np.array([row])
    limit = columns.instance.tasks[columns.row_task[row]].response_s
    delay, quantum = columns.delay
    for policy in _response_limits(problem) if limit is not None else ():
        i = columns.resource_index[policy.resource]
        free = sites.free[:, i] - columns.demand[i].at(rows, sites.node)
        slow = policy.needs(columns).at(rows, sites.node) > free
        far = slow & (delay.at(rows, sites.node) * float(quantum) >= limit)
        within = f"within {limit:g} s"
        yield np.flatnonzero(far), f"too far away to answer {within}, however fast it is"
        yield np.flatnonzero(slow & ~far), f"too slow in {policy.resource} to answer {within}"


def listed(found: list[Obstacle], sites: Sites) -> str:
    """Join obstacles with the number of nodes of each, those of most nodes first."""
    sizes = [int(sites.count[o.sites].sum()) for o in found]
    order = sorted(range(len(found)), key=lambda k: -sizes[k])
    parts = [f"{counted(sizes[k], 'node')}: {found[k].message}" for k in order[:MOST_OBSTACLES]]
    rest = sum(sizes[k] for k in order[MOST_OBSTACLES:])
    return "; ".join(parts + ([f"{counted(rest, 'node')}: other reasons"] if rest else []))


class _Said:
    """A message that names what the sites have instead."""

    def __init__(self, text: str, columns: Columns, entry: IntArray, label: str = "") -> None:
        self.text, self.columns, self.entry, self.label = text, columns, entry, label

    def __call__(self, sites: IntArray) -> str:
        if not self.label:
            return self.text
        attribute = self.columns.attribute(self.label)
        found = sorted({int(v) for v in attribute.index[self.entry[sites]]})
        has = names([attribute.values[v] if v >= 0 else "none" for v in found])
        return f"{self.label} type is {has}, {self.text}"


def _label_faults(columns: Columns, row: int, entry: IntArray) -> Iterator[tuple[BoolArray, _Said]]:
    """Where a label or the device type rules a row out, one reason at a time."""
    task = columns.instance.tasks[int(columns.row_task[row])]
    configuration = columns.row_configuration[row]
    if configuration is not None and configuration.device:
        wanted = configuration.device
        said = _Said(f"need {wanted}", columns, entry, DEVICE)
        yield ~_matches(columns, DEVICE, (wanted,))[entry], said
    memory = device_memory.stated(task, configuration)
    if memory:
        small = device_memory.offered(columns.instance.nodes) < device_memory.needed(memory)
        yield small[entry], _Said(f"devices of less than {memory:g} GiB", columns, entry)
    for label, values in task.allow.items():
        said = _Said(f"{label} not in ({names(values)})", columns, entry)
        yield ~_matches(columns, label, values)[entry], said
    for label, values in task.forbid.items():
        said = _Said(f"{label} in ({names(values)}), which is forbidden", columns, entry)
        yield _matches(columns, label, values)[entry], said


def _matches(columns: Columns, label: str, values: tuple[str, ...]) -> BoolArray:
    attribute = columns.attribute(label)
    wanted = np.array([name in values for name in attribute.values] + [False], bool)
    return np.asarray(wanted[attribute.index], bool)


def _shortages(problem: Problem, row: int, sites: Sites, where: IntArray) -> list[Obstacle]:
    """Group the sites that are short of something by what they are short of."""
    columns = problem.columns
    hard = [i for i in sorted(problem.hard_resources) if not columns.demand[i].is_zero]
    rows = np.array([row])
    need = np.zeros((where.size, len(hard)), np.int64)
    for j, i in enumerate(hard):
        need[:, j] = columns.demand[i].at(rows, sites.node[where])
    free = sites.free[where][:, hard]
    # Replicas without demand fit a node that is overfull.
    short = np.where(need > 0, np.maximum(need - free, 0), 0)
    lacking, alike = _alike(short > 0)
    found = []
    for k, line in enumerate(lacking):
        if line.any():
            here = np.flatnonzero(alike == k)
            parts = [
                _shortage(columns, hard[j], need[here, j], free[here, j], sites.said)
                for j in np.flatnonzero(line)
            ]
            found.append(Obstacle(where[here], " and ".join(parts)))
    return found


def _alike(flags: BoolArray) -> tuple[BoolArray, IntArray]:
    """List the different lines of flags in order, and which of them each line is."""
    if not 1 <= flags.shape[1] <= 8:
        lines, index = np.unique(flags, axis=0, return_inverse=True)
        return lines, index.ravel()
    # Up to eight flags are a byte: nothing needs to be sorted.
    byte = np.packbits(flags, axis=1)[:, 0]
    there = np.flatnonzero(np.bincount(byte, minlength=256))
    position = np.zeros(256, np.int64)
    position[there] = np.arange(there.size)
    bits = np.unpackbits(there.astype(np.uint8)[:, None], axis=1, count=flags.shape[1])
    return bits.astype(bool), position[byte]


def _shortage(columns: Columns, resource: int, need: IntArray, free: IntArray, said: str) -> str:
    """Say by how much the site that comes closest is short."""
    least = int(np.argmin(need - free))
    wanted, found = int(need[least]), int(free[least])
    what = f"largest {said}" if np.all(need == wanted) else said
    return (
        f"{amount_of(columns, resource, wanted - found)} short "
        f"(need {amount(columns, resource, wanted)}, {what} {amount(columns, resource, found)})"
    )
