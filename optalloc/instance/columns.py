"""The instance as integer arrays: the one place where stated numbers become integers.

Both the formulation and the independent checker read these columns, so they speak of the same
integers; they share nothing else.

Three indices run through the code: a node *entry* (as stated) against a concrete *node*
(expanded), a *task* entry, and a *row*: one way of running a task entry (its configurations, or a
single row where it has none).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optalloc.instance import quanta
from optalloc.instance.factored import Factored, Part
from optalloc.instance.model import DEVICE, NODE, Configuration, Instance, Lookup, Quantity
from optalloc.instance.scale import Scale
from optalloc.instance.stated import cost_quantum, delay_quantum, resource_quantum

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

OF_NODES = (
    "_attributes",
    "capacity",
    "node_entry",
    "node_index",
    "node_names",
    "node_start",
    "nodes",
    "quantum_of_resource",
    "resource_index",
    "resources",
    "safety",
    "stated_power",
)
"""What follows from the nodes alone, once the resources have their quanta."""


@dataclass(frozen=True)
class Attribute:
    """The value of one attribute (device type, label, domain scope) on every node entry.

    Parameters
    ----------
    values
        The distinct values, in order of first appearance.
    index : (entries,)
        Index into `values`; -1 where the node has no such attribute.
    """

    values: tuple[str, ...]
    index: IntArray


@dataclass(frozen=True)
class Draw:
    """What a placement draws of one quantity (watts, joules, money), in quanta.

    The total is ``sum of on[n] over nodes in use + sum of row[r] over chosen rows +
    sum of share(r, n) over placed replicas``.

    Parameters
    ----------
    quantum
        Size of one quantum, in the quantity's unit.
    on : (nodes,)
        Drawn by a node in use.
    row : (rows,)
        Drawn by a task that runs in this row.
    share
        Drawn by each replica, (rows, nodes): of a task without configurations, or of any task
        where the draw of a row is shared among its replicas.
    """

    quantum: Fraction
    on: IntArray
    row: IntArray
    share: Factored


class Columns:
    """Integer arrays of an instance; `Instance.columns` keeps one.

    Attributes
    ----------
    resources : tuple of str
        Names, in order; `quantum_of_resource` has their quanta.
    node_entry : (nodes,)
        Entry of each concrete node; the nodes of entry e are ``node_start[e]:node_start[e + 1]``.
    capacity, safety : (entries, resources)
        In quanta, rounded down.
    row_start : (tasks + 1,)
        Rows of task t are ``row_start[t]:row_start[t + 1]``.
    row_task, row_replicas, row_number : (rows,)
        Task entry, replicas of one task, and number of the configuration (-1 without a table).
    row_within, row_per_node : (rows,)
        Scope (an index into `within_scopes`; -1 anywhere) in one domain of which all replicas of a
        task run, and replicas on each node that it uses (0: any number).
    task_count, required, weight : (tasks,)
        Number of identical tasks; whether they must be placed; weight in `weight_quantum`.
    move_cost : (tasks,)
        Cost of moving a replica, in `move_quantum`.
    current_task, current_node, current_replicas : (k,)
        Replicas that run now, summed over the identical tasks of an entry.
    group_kind : tuple of str
        Kind of each group; `membership_task`, `membership_group` are the pairs.
    memo : dict
        What policies make of the columns, kept with them (see `policy.once`).
    """

    @classmethod
    def of(cls, instance: Instance, scale: Scale | None = None) -> Columns:
        """Build the columns of an instance; its resources have quanta of their own."""
        return cls(instance, scale or Scale())

    def with_tasks(self, instance: Instance) -> Columns:
        """Build the columns of an instance with other tasks and all else the same, in these quanta.

        Demands are rounded up to quanta that may be coarser than those they would ask for.
        """
        return Columns(instance, self.scale, self)

    def __init__(self, instance: Instance, scale: Scale, like: Columns | None = None) -> None:
        self.instance = instance
        self.scale = scale
        self._attributes: dict[str, Attribute] = {}
        self.memo: dict[Hashable, Any] = {}
        if like is None:
            self._read_nodes(instance)
        else:
            for name in OF_NODES:
                setattr(self, name, getattr(like, name))
        self._read_rows(instance)
        self._read_tasks(instance)

    # -- nodes ---------------------------------------------------------------------------------

    def _read_nodes(self, instance: Instance) -> None:
        nodes = instance.nodes
        count = np.array([n.count for n in nodes], np.int64)
        self.node_start = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
        self.node_entry = np.repeat(np.arange(len(nodes), dtype=np.int64), count)
        self.nodes = int(self.node_start[-1])
        self.resources = resource_names(instance)
        self.resource_index = {name: i for i, name in enumerate(self.resources)}

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """Names of the concrete nodes."""
        return tuple(
            name
            for node in self.instance.nodes
            for name in (
                [node.name] if node.count == 1 else [f"{node.name}/{i}" for i in range(node.count)]
            )
        )

    @cached_property
    def node_index(self) -> dict[str, int]:
        """Index of each concrete node's name."""
        return {name: i for i, name in enumerate(self.node_names)}

    @cached_property
    def quantum_of_resource(self) -> tuple[Fraction, ...]:
        """Quantum of each resource, in its unit."""
        return tuple(resource_quantum(self.instance, name) for name in self.resources)

    @cached_property
    def capacity(self) -> IntArray:
        """Capacity of each node entry and resource, (entries, resources)."""
        nodes = self.instance.nodes
        table = np.zeros((len(nodes), len(self.resources)), np.int64)
        for i, name in enumerate(self.resources):
            stated = [n.devices if name == DEVICE else n.capacity.get(name, 0) for n in nodes]
            table[:, i] = quanta.downward(stated, self.quantum_of_resource[i])
        return table

    @cached_property
    def safety(self) -> IntArray:
        """Soft threshold of each node entry and resource, (entries, resources)."""
        nodes = self.instance.nodes
        table = self.capacity.copy()
        for i, name in enumerate(self.resources):
            stated = [n.safety.get(name, -1) for n in nodes]
            given = np.array(stated) >= 0
            rounded = quanta.downward(stated, self.quantum_of_resource[i])
            table[given, i] = rounded[given]
        return table

    def attribute(self, by: str) -> Attribute:
        """Look up an attribute of the node entries: ``node``, ``device``, a label or a scope."""
        if by not in self._attributes:
            self._attributes[by] = self._read_attribute(by)
        return self._attributes[by]

    def _read_attribute(self, by: str) -> Attribute:
        nodes = self.instance.nodes
        if by == NODE:
            names = tuple(n.name for n in nodes)
            return Attribute(names, np.arange(len(nodes), dtype=np.int64))
        stated = [n.device or None if by == DEVICE else n.labels.get(by) for n in nodes]
        if None in stated:
            pairs = zip(stated, nodes, strict=True)
            stated = [n.domains.get(by) if value is None else value for value, n in pairs]
        names = tuple(dict.fromkeys(value for value in stated if value is not None))
        number = {name: i for i, name in enumerate(names)}
        return Attribute(names, np.array([number.get(v, -1) for v in stated], np.int64))  # type: ignore[arg-type]

    def scope(self, name: str) -> tuple[tuple[str, ...], IntArray]:
        """Domains of a scope: their names and the domain of each concrete node (-1: in none)."""
        if name == NODE:
            return self.node_names, np.arange(self.nodes, dtype=np.int64)
        attribute = self.attribute(name)
        return attribute.values, attribute.index[self.node_entry]

    # -- rows ----------------------------------------------------------------------------------

    def _read_rows(self, instance: Instance) -> None:
        tables = [self.configurations_of(t) for t in range(len(instance.tasks))]
        lengths = np.array([max(len(table), 1) for table in tables], np.int64)
        self.row_start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.rows = int(self.row_start[-1])
        self.row_task = np.repeat(np.arange(len(tables), dtype=np.int64), lengths)
        self.row_number = np.arange(self.rows, dtype=np.int64) - self.row_start[self.row_task]
        without = np.array([not table for table in tables], bool)
        self.row_number[without[self.row_task]] = -1
        self.row_configuration: tuple[Configuration | None, ...] = tuple(
            row for table in tables for row in (table or (None,))
        )
        replicas = [t.replicas for t in instance.tasks]
        self.row_replicas = np.array(
            [
                replicas[t] if row is None else row.replicas
                for t, row in zip(self.row_task, self.row_configuration, strict=True)
            ],
            np.int64,
        )

    @cached_property
    def within_scopes(self) -> tuple[str, ...]:
        """Scopes within which some row's replicas must stay, in order of first appearance."""
        return tuple(dict.fromkeys(scope for scope, _ in self._row_shapes if scope))

    @cached_property
    def row_within(self) -> IntArray:
        """Scope of each row: an index into `within_scopes`, -1 anywhere, (rows,)."""
        number = {scope: k for k, scope in enumerate(self.within_scopes)}
        return np.array([number.get(scope, -1) for scope, _ in self._row_shapes], np.int64)

    @cached_property
    def row_per_node(self) -> IntArray:
        """Replicas on each node that a task uses in this row, 0 for any number, (rows,)."""
        return np.array([number for _, number in self._row_shapes], np.int64)

    @cached_property
    def shaped(self) -> bool:
        """Whether some row says where its replicas lie to one another."""
        return shapes_gangs(self.instance)

    @cached_property
    def _row_shapes(self) -> list[tuple[str, int]]:
        if not self.shaped:
            return [("", 0)] * self.rows
        tasks = self.instance.tasks
        stated = [(tasks[t].within, tasks[t].per_node) for t in self.row_task.tolist()]
        return [
            own if row is None else (row.within or own[0], row.per_node or own[1])
            for own, row in zip(stated, self.row_configuration, strict=True)
        ]

    def configurations_of(self, task: int) -> tuple[Configuration, ...]:
        """The configuration table of a task entry; empty if it has none."""
        return self.instance.rows_of(self.instance.tasks[task])

    def row_name(self, row: int) -> str:
        """Name of a row in solutions and reports; empty for a task without a table."""
        configuration = self.row_configuration[row]
        return "" if configuration is None else row_label(configuration)

    @cached_property
    def demand(self) -> tuple[Factored, ...]:
        """Demand of one replica per resource, (rows, nodes)."""
        return tuple(self._demand(i) for i in range(len(self.resources)))

    def _demand(self, resource: int) -> Factored:
        name = self.resources[resource]
        stated = [t.demand.get(name, 0) for t in self.instance.tasks]
        by_task = self._factored(stated, self.quantum_of_resource[resource], up=True)
        by_row = by_task.take(self.row_task)
        overridden, numbers = [], []
        for r, row in enumerate(self.row_configuration):
            if row is None:
                continue
            if name in row.demand:
                overridden.append(r)
                numbers.append(row.demand[name])
            elif name == DEVICE and row.device:
                task = self.instance.tasks[int(self.row_task[r])]
                if name not in task.demand:
                    overridden.append(r)
                    numbers.append(1)
        if not overridden:
            return by_row
        rows = np.array(overridden, np.int64)
        by_row.base[rows] = quanta.upward(numbers, self.quantum_of_resource[resource])
        for part in by_row.parts:
            part.index[rows] = -1
        return by_row

    def _factored(self, stated: Sequence[Quantity], quantum: Fraction, up: bool) -> Factored:
        """Turn stated quantities (one per task) into integers, tables kept as tables."""
        integers = quanta.upward if up else quanta.nearest
        numbers = [q if isinstance(q, int | float) else 0 for q in stated]
        base = integers(numbers, quantum)
        special = [i for i, q in enumerate(stated) if not isinstance(q, int | float)]
        lists = [i for i in special if isinstance(stated[i], tuple)]
        parts = []
        if lists:
            index = np.full(len(stated), -1, np.int64)
            index[lists] = np.arange(len(lists))
            values = integers(np.array([stated[i] for i in lists], np.float64), quantum)
            parts.append(Part(index, self.node_entry, values))
        lookups: dict[str, dict[Lookup | str, list[int]]] = {}
        for i in special:
            quantity = stated[i]
            if isinstance(quantity, str | Lookup):
                table = self.instance.tables[quantity] if isinstance(quantity, str) else quantity
                key = quantity if isinstance(quantity, str) else repr(quantity)
                lookups.setdefault(table.by, {}).setdefault(key, []).append(i)
        for by, tables in lookups.items():
            parts.append(self._part(by, tables, stated, quantum, up))
        return Factored(base, tuple(parts))

    def _part(
        self,
        by: str,
        tables: dict[Lookup | str, list[int]],
        stated: Sequence[Quantity],
        quantum: Fraction,
        up: bool,
    ) -> Part:
        attribute = self.attribute(by)
        index = np.full(len(stated), -1, np.int64)
        lines = []
        for line, members in enumerate(tables.values()):
            quantity = stated[members[0]]
            table = self.instance.tables[quantity] if isinstance(quantity, str) else quantity
            assert isinstance(table, Lookup)
            default = 0 if table.default is None else table.default
            listed = [table.values.get(value, default) for value in attribute.values]
            lines.append([*listed, default])
            index[members] = line
        integers = quanta.upward if up else quanta.nearest
        column = attribute.index[self.node_entry]
        column = np.where(column < 0, len(attribute.values), column)
        return Part(index, column, integers(np.array(lines, np.float64), quantum))

    # -- tasks ---------------------------------------------------------------------------------

    def _read_tasks(self, instance: Instance) -> None:
        tasks = instance.tasks
        self.tasks = len(tasks)
        self.task_count = np.array([t.count for t in tasks], np.int64)
        self.required = np.array([t.required for t in tasks], bool)
        weights = [t.weight for t in tasks]
        self.weight_quantum = self.scale.quantum("weight", lambda: quanta.choose(weights))
        self.weight = quanta.nearest(weights, self.weight_quantum)
        costs = [t.move_cost for t in tasks]
        self.move_quantum = self.scale.quantum("move", lambda: quanta.choose(costs))
        self.move_cost = quanta.nearest(costs, self.move_quantum)
        self._read_current(instance)
        self._read_groups(instance)

    def _read_current(self, instance: Instance) -> None:
        task, node, replicas = [], [], []
        for t, stated in enumerate(instance.tasks):
            if stated.current is None:
                continue
            if isinstance(stated.current, str):
                task.append(t)
                node.append(self.node_index[stated.current])
                running = 1 if self.row_number[self.row_start[t]] >= 0 else stated.replicas
                replicas.append(stated.count * running)
            else:
                at: dict[str, int] = {}
                for name in stated.current:
                    at[name] = at.get(name, 0) + 1
                for name, number in at.items():
                    task.append(t)
                    node.append(self.node_index[name])
                    replicas.append(number)
        self.current_task = np.array(task, np.int64)
        self.current_node = np.array(node, np.int64)
        self.current_replicas = np.array(replicas, np.int64)

    def _read_groups(self, instance: Instance) -> None:
        self.groups = len(instance.groups)
        self.group_kind = tuple(g.kind for g in instance.groups)
        self.group_index = {g.name: i for i, g in enumerate(instance.groups)}
        pairs = [(t, self.group_index[g]) for t, s in enumerate(instance.tasks) for g in s.groups]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        self.membership_task, self.membership_group = table[:, 0].copy(), table[:, 1].copy()

    @cached_property
    def cost_quantum(self) -> Fraction:
        """Quantum of the tasks' placement costs."""
        return self.scale.quantum("cost", lambda: cost_quantum(self.instance))

    @cached_property
    def cost(self) -> Factored:
        """Placement cost of one replica, (rows, nodes)."""
        by_task = self._factored([t.cost for t in self.instance.tasks], self.cost_quantum, up=False)
        return by_task.take(self.row_task)

    @cached_property
    def delay(self) -> tuple[Factored, Fraction]:
        """Delay of a request of each row on each node, in quanta, and the quantum in seconds."""
        stated = [t.delay_s for t in self.instance.tasks]
        quantum = self.scale.quantum("delay", lambda: delay_quantum(self.instance))
        return self._factored(stated, quantum, up=False).take(self.row_task), quantum

    # -- rates ---------------------------------------------------------------------------------

    @cached_property
    def row_throughput(self) -> FloatArray:
        """Samples/s of each row; 0 without a table."""
        return np.array([row.throughput if row else 0 for row in self.row_configuration], float)

    @cached_property
    def reference(self) -> FloatArray:
        """Throughput that counts as 1, per task: stated, or that of the best row (else 1)."""
        best = np.zeros(self.tasks)
        np.maximum.at(best, self.row_task, self.row_throughput)
        stated = [t.reference for t in self.instance.tasks]
        chosen = [b if s is None else s for s, b in zip(stated, best, strict=True)]
        return np.array([value or 1.0 for value in chosen], float)

    @cached_property
    def stated_weight(self) -> FloatArray:
        """Weight of each task as stated."""
        return np.array([t.weight for t in self.instance.tasks], float)

    @cached_property
    def request_rate(self) -> FloatArray:
        """Requests/s of each replica of a row."""
        stated = np.array([task.requests_s for task in self.instance.tasks], float)
        return np.asarray(stated[self.row_task] / self.row_replicas, float)

    @cached_property
    def power(self) -> Draw:
        """Watts."""
        return self._draw("power", np.ones(self.rows), 1.0, 1.0)

    @cached_property
    def power_of_replicas(self) -> Draw:
        """Watts, where each replica of a row draws the same share of the row's."""
        return self._draw("power of replicas", np.ones(self.rows), 1.0, 1.0, shared=True)

    @cached_property
    def energy(self) -> Draw:
        """Joules over the horizon (or for the stated work)."""
        return self._draw("energy", self._seconds, float(self.instance.energy.horizon_s), 1.0)

    @cached_property
    def money(self) -> Draw:
        """Price of the nodes in use over the horizon, and of the energy."""
        energy = self.instance.energy
        per_joule = float(energy.price_kwh) * float(energy.pue) / 3.6e6
        return self._draw("money", self._seconds, float(energy.horizon_s), per_joule, price=True)

    @cached_property
    def _seconds(self) -> FloatArray:
        """Seconds for which a row draws its watts: the horizon, or work / rate."""
        horizon = float(self.instance.energy.horizon_s)
        work = np.array([np.nan if t.work is None else t.work for t in self.instance.tasks], float)
        work = work[self.row_task]
        rate = self.row_throughput
        timed = ~np.isnan(work) & (rate > 0)
        return np.where(timed, np.nan_to_num(work) / np.where(rate > 0, rate, 1.0), horizon)

    @cached_property
    def stated_power(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Watts of each node entry when idle, what it draws more at full load, price of an hour."""
        nodes = self.instance.nodes
        idle = np.array([n.idle_w for n in nodes], float)
        dynamic = np.array([max(n.full_w - n.idle_w, 0) for n in nodes], float)
        return idle, dynamic, np.array([n.price_h for n in nodes], float)

    def _draw(
        self,
        of: str,
        seconds: FloatArray,
        horizon: float,
        scale: float,
        price: bool = False,
        shared: bool = False,
    ) -> Draw:
        idle, _, price_h = self.stated_power
        on = idle * horizon * scale
        if price:
            on = on + price_h * horizon / 3600
        watts = np.array([row.watts if row else 0 for row in self.row_configuration], float)
        row = watts * seconds * scale
        each = row / self.row_replicas if shared else np.zeros(self.rows)
        row = np.zeros(self.rows) if shared else row
        share, sample = self._share(self.instance.energy.share, horizon * scale)
        stated = np.concatenate([on, row, each, sample])
        quantum = self.scale.quantum(of, lambda: quanta.choose(stated))
        return Draw(
            quantum,
            quanta.nearest(on, quantum)[self.node_entry],
            quanta.nearest(row, quantum),
            Factored(
                quanta.nearest(each, quantum),
                tuple(Part(i, c, quanta.nearest(v, quantum)) for i, c, v in share),
            ),
        )

    def _share(
        self, resource: str, scale: float
    ) -> tuple[list[tuple[IntArray, IntArray, FloatArray]], FloatArray]:
        """Part of (full - idle) that a replica draws: (index, column, values), and a sample."""
        rows = np.flatnonzero(self.row_number < 0)
        if not resource or not rows.size:
            return [], np.zeros(0)
        i = self.resource_index[resource]
        dynamic, capacity = self.stated_power[1], self.capacity[:, i]
        rate = np.where(capacity > 0, dynamic / np.maximum(capacity, 1), 0.0) * scale
        lines, index = np.unique(self.demand[i].signature(rows), axis=0, return_inverse=True)
        first = np.zeros(len(lines), np.int64)
        first[index.ravel()[::-1]] = rows[::-1]
        entries = np.unique(rate, return_index=True)[1] if not self.demand[i].parts else None
        if entries is None:
            column = self.node_entry
            entry_node = self.node_start[:-1]
        else:
            kinds, column_of_entry = np.unique(rate, return_inverse=True)
            rate, column = kinds, column_of_entry.ravel()[self.node_entry]
            entry_node = self.node_start[entries]
        demand = self.demand[i].at(first[:, None], entry_node[None, :])
        values = demand * rate[None, :]
        full = np.full(self.rows, -1, np.int64)
        full[rows] = index.ravel()
        return [(full, column, values)], values.ravel()


def row_label(configuration: Configuration) -> str:
    """How solutions and reports name a row: its name, else device, replicas and shape."""
    shape = f", {configuration.per_node} a node" if configuration.per_node else ""
    within = f" in a {configuration.within}" if configuration.within else ""
    name = f"{configuration.device or 'any'} x {configuration.replicas}{shape}{within}"
    return configuration.name or name


def shapes_gangs(instance: Instance) -> bool:
    """Whether some task or row says where its replicas lie to one another."""
    tables = [*instance.shared_rows.values()]
    tables += [t.configurations for t in instance.tasks if not isinstance(t.configurations, str)]
    rows = (row for table in tables for row in table)
    return any(task.within or task.per_node for task in instance.tasks) or any(
        row.within or row.per_node for row in rows
    )


def resource_names(instance: Instance, demanded: Set[str] | None = None) -> tuple[str, ...]:
    """Names of the resources: the stated ones, or all that nodes have; devices if any has some.

    What tasks demand is collected unless it is given.
    """
    if instance.resources:
        names = dict.fromkeys(instance.resources)
    else:
        names = dict.fromkeys(name for node in instance.nodes for name in node.capacity)
    if demanded is None:
        demanded = set(chain.from_iterable([task.demand for task in instance.tasks]))
    if DEVICE in demanded or any(node.devices for node in instance.nodes):
        names[DEVICE] = None
    return tuple(names)
