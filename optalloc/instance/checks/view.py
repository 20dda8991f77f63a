"""What several checks need to know of an instance, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from itertools import chain

from optalloc.instance.checks.bounds import FloatArray, floats
from optalloc.instance.columns import resource_names
from optalloc.instance.model import DEVICE, NODE, Instance, Lookup, Quantity, Task
from optalloc.instance.references import attributes

Path = Callable[[], str]
"""Makes a path only when a message needs it."""
TABLED = (str, tuple, Lookup)


class Fields:
    """The fields of all tasks that are checked, each as a list.

    Comprehensions that name their field take half the time of a general getter.
    """

    def __init__(self, tasks: tuple[Task, ...]) -> None:
        self.name = [task.name for task in tasks]
        self.demand = [task.demand for task in tasks]
        self.device_memory_gib = [task.device_memory_gib for task in tasks]
        self.cost = [task.cost for task in tasks]
        self.replicas = [task.replicas for task in tasks]
        self.within = [task.within for task in tasks]
        self.per_node = [task.per_node for task in tasks]
        self.configurations = [task.configurations for task in tasks]
        self.weight = [task.weight for task in tasks]
        self.reference = [task.reference for task in tasks]
        self.work = [task.work for task in tasks]
        self.current = [task.current for task in tasks]
        self.move_cost = [task.move_cost for task in tasks]
        self.requests_s = [task.requests_s for task in tasks]
        self.delay_s = [task.delay_s for task in tasks]
        self.response_s = [task.response_s for task in tasks]
        self.groups = [task.groups for task in tasks]
        self.count = [task.count for task in tasks]


class View:
    """An instance, and what is looked up in it again and again."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def with_tasks(self, instance: Instance) -> View:
        """The view of an instance that differs in its tasks alone: what is known stays known."""
        made = View(instance)
        for name in ("resources", "attributes", "scopes", "incomplete"):
            made.__dict__[name] = getattr(self, name)
        return made

    @cached_property
    def of_tasks(self) -> Fields:
        """The fields of the tasks."""
        return Fields(self.instance.tasks)

    @cached_property
    def demanded(self) -> frozenset[str]:
        """What tasks demand, whether it is a resource or not."""
        return frozenset(chain.from_iterable(self.of_tasks.demand))

    @cached_property
    def resources(self) -> frozenset[str]:
        """Names of the resources."""
        return frozenset(resource_names(self.instance, self.demanded))

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Every quantity of the tasks."""
        demands = map(dict.values, self.of_tasks.demand)
        return [*chain.from_iterable(demands), *self.of_tasks.cost, *self.of_tasks.delay_s]

    @cached_property
    def plain(self) -> FloatArray | None:
        """The quantities where all are plain numbers (that a float can be)."""
        return floats(self.quantities)

    @cached_property
    def tabled(self) -> list[tuple[Path, Quantity]]:
        """Quantities of the tasks that are not plain numbers."""
        found: list[tuple[Path, Quantity]] = []
        for i, task in enumerate(self.instance.tasks if self.plain is None else ()):
            for name, quantity in task.demand.items():
                if isinstance(quantity, TABLED):
                    found.append((partial("tasks[{}].demand.{}".format, i, name), quantity))
            if isinstance(task.cost, TABLED):
                found.append((partial("tasks[{}].cost".format, i), task.cost))
            if isinstance(task.delay_s, TABLED):
                found.append((partial("tasks[{}].delay_s".format, i), task.delay_s))
        return found

    @cached_property
    def with_rows(self) -> list[int]:
        """Tasks with configurations (an empty name is one that no table has)."""
        stated = self.of_tasks.configurations
        if stated.count(()) == len(stated):
            return []
        return [i for i, rows in enumerate(stated) if rows != ()]

    @cached_property
    def attributes(self) -> dict[str, set[str]]:
        """What a table can go by, and the values that each attribute takes on the nodes."""
        return attributes(self.instance)

    @cached_property
    def scopes(self) -> frozenset[str]:
        """Domain scopes of the nodes, and the built-in one."""
        return frozenset(s for node in self.instance.nodes for s in node.domains) | {NODE}

    @cached_property
    def incomplete(self) -> set[str]:
        """Attributes that some node lacks."""
        lacking = set()
        for name in self.attributes.keys() - {NODE, DEVICE}:
            if not all(name in n.labels or name in n.domains for n in self.instance.nodes):
                lacking.add(name)
        if not all(node.device for node in self.instance.nodes):
            lacking.add(DEVICE)
        return lacking
