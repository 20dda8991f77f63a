"""What several checks need to know of an instance, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from optalloc.instance.columns import resource_names
from optalloc.instance.model import DEVICE, NODE, Instance, Lookup, Quantity
from optalloc.instance.references import attributes

Path = Callable[[], str]
"""Makes a path only when a message needs it."""
TABLED = (str, tuple, Lookup)


class View:
    """An instance, and what is looked up in it again and again."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @cached_property
    def resources(self) -> frozenset[str]:
        """Names of the resources."""
        return frozenset(resource_names(self.instance))

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Every quantity of the tasks."""
        tasks = self.instance.tasks
        return [q for t in tasks for q in t.demand.values()] + [t.cost for t in tasks]

    @cached_property
    def has_tables(self) -> bool:
        """Whether some quantity is not a plain number."""
        return not set(map(type, self.quantities)) <= {int, float}

    @cached_property
    def tabled(self) -> list[tuple[Path, Quantity]]:
        """Quantities of the tasks that are not plain numbers."""
        found: list[tuple[Path, Quantity]] = []
        for i, task in enumerate(self.instance.tasks if self.has_tables else ()):
            for name, quantity in task.demand.items():
                if isinstance(quantity, TABLED):
                    found.append((lambda i=i, n=name: f"tasks[{i}].demand.{n}", quantity))
            if isinstance(task.cost, TABLED):
                found.append((lambda i=i: f"tasks[{i}].cost", task.cost))
        return found

    @cached_property
    def with_rows(self) -> list[int]:
        """Tasks with configurations (an empty name is one that no table has)."""
        return [i for i, task in enumerate(self.instance.tasks) if task.configurations != ()]

    @cached_property
    def attributes(self) -> dict[str, set[str]]:
        """What a table can go by, and the values that each attribute takes on the nodes."""
        return attributes(self.instance)

    @cached_property
    def partial(self) -> set[str]:
        """Attributes that some node lacks."""
        lacking = set()
        for name in self.attributes.keys() - {NODE, DEVICE}:
            if not all(name in n.labels or name in n.domains for n in self.instance.nodes):
                lacking.add(name)
        if not all(node.device for node in self.instance.nodes):
            lacking.add(DEVICE)
        return lacking
