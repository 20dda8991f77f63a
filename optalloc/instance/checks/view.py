"""What several checks need to know of an instance, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, cast

from optalloc.instance.columns import resource_names
from optalloc.instance.model import DEVICE, NODE, Instance, Lookup, Quantity
from optalloc.instance.policy import Number
from optalloc.instance.references import attributes

Path = Callable[[], str]
"""Makes a path only when a message needs it."""
TABLED = (str, tuple, Lookup)


class View:
    """An instance, and what is looked up in it again and again."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    def of_tasks(self, field: str) -> list[Any]:
        """A field of every task."""
        return list(map(attrgetter(field), self.instance.tasks))

    @cached_property
    def resources(self) -> frozenset[str]:
        """Names of the resources."""
        return frozenset(resource_names(self.instance))

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Every quantity of the tasks."""
        demands = [q for demand in self.of_tasks("demand") for q in demand.values()]
        return demands + self.of_tasks("cost")

    @cached_property
    def has_tables(self) -> bool:
        """Whether some quantity is not a plain number."""
        return not set(map(type, self.quantities)) <= {int, float}

    @cached_property
    def plain(self) -> list[Number]:
        """The quantities that are plain numbers."""
        if not self.has_tables:
            return cast(list[Number], self.quantities)
        return [q for q in self.quantities if isinstance(q, int | float)]

    @cached_property
    def tabled(self) -> list[tuple[Path, Quantity]]:
        """Quantities of the tasks that are not plain numbers."""
        found: list[tuple[Path, Quantity]] = []
        for i, task in enumerate(self.instance.tasks if self.has_tables else ()):
            for name, quantity in task.demand.items():
                if isinstance(quantity, TABLED):
                    found.append((partial("tasks[{}].demand.{}".format, i, name), quantity))
            if isinstance(task.cost, TABLED):
                found.append((partial("tasks[{}].cost".format, i), task.cost))
        return found

    @cached_property
    def with_rows(self) -> list[int]:
        """Tasks with configurations (an empty name is one that no table has)."""
        stated = self.of_tasks("configurations")
        if stated.count(()) == len(stated):
            return []
        return [i for i, rows in enumerate(stated) if rows != ()]

    @cached_property
    def attributes(self) -> dict[str, set[str]]:
        """What a table can go by, and the values that each attribute takes on the nodes."""
        return attributes(self.instance)

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
