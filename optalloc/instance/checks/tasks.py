"""Tasks: their numbers, quantities and configurations, and what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from optalloc.instance.checks import bounds, names, tables
from optalloc.instance.checks.view import View
from optalloc.instance.model import Lookup, Quantity, Task
from optalloc.instance.policy import Fault

MOST_TASKS = 10_000_000
"""Counts may not expand to more tasks than this: a solution names each of them."""

NUMBERS = (
    ("count", bounds.WHOLE_POSITIVE),
    ("replicas", bounds.WHOLE_POSITIVE),
    ("per_node", bounds.NOT_NEGATIVE),
    ("device_memory_gib", bounds.NOT_NEGATIVE),
    ("weight", bounds.NOT_NEGATIVE),
    ("reference", bounds.POSITIVE),
    ("work", bounds.NOT_NEGATIVE),
    ("move_cost", bounds.NOT_NEGATIVE),
    ("requests_s", bounds.NOT_NEGATIVE),
    ("response_s", bounds.POSITIVE),
)


def check(view: View) -> Iterator[Fault]:
    """List what is wrong with the tasks themselves."""
    tasks = view.instance.tasks
    yield from names.unique("tasks", view.of_tasks.name, view.of_tasks.count)
    for field, bound in NUMBERS:
        yield from bounds.column(getattr(view.of_tasks, field), _of(field), bound)
    total = sum(view.of_tasks.count)
    if total > MOST_TASKS:
        yield "tasks", f"expected at most {MOST_TASKS} tasks in all, got {total}"
    if not bounds.NOT_NEGATIVE.admits_all(view.plain):
        for i, task in enumerate(tasks):
            for name, quantity in task.demand.items():
                yield from _quantity(f"tasks[{i}].demand.{name}", quantity)
            yield from _quantity(f"tasks[{i}].cost", task.cost)
            yield from _quantity(f"tasks[{i}].delay_s", task.delay_s)
    yield from _requests(view)
    for i in view.with_rows:
        rows, replicas = tasks[i].configurations, tasks[i].replicas
        if replicas != 1:
            expected = "expected 1 (the configurations state it)"
            yield f"tasks[{i}].replicas", f"{expected}, got {replicas}"
        if not isinstance(rows, str):
            yield from tables.configurations(f"tasks[{i}].configurations", rows)
    for i, per_node in enumerate(view.of_tasks.per_node):
        if per_node > 0:
            task = tasks[i]
            rows = view.instance.rows_of(task)
            sizes = [r.replicas for r in rows if not r.per_node]
            sizes = sizes if task.configurations else [task.replicas]
            if any(size % task.per_node for size in sizes):
                path, given = f"tasks[{i}].per_node", task.per_node
                yield path, f"expected a divisor of the replicas, got {given}"


def _requests(view: View) -> Iterator[Fault]:
    """List tasks whose response time is limited although they answer no requests."""
    for i, limit in enumerate(view.of_tasks.response_s):
        requests = view.of_tasks.requests_s[i]
        if limit is not None and not requests:
            expected = "expected a number above 0 for a task with response_s"
            yield f"tasks[{i}].requests_s", f"{expected}, got {requests}"


def _of(field: str) -> Callable[[int], str]:
    return lambda i: f"tasks[{i}].{field}"


def _quantity(path: str, quantity: Quantity) -> Iterator[Fault]:
    """List the numbers of a quantity that are out of bounds."""
    if isinstance(quantity, tuple):
        yield from bounds.column(quantity, lambda k: f"{path}[{k}]", bounds.NOT_NEGATIVE)
    elif isinstance(quantity, Lookup):
        yield from tables.lookup(path, quantity)
    elif not isinstance(quantity, str) and not bounds.NOT_NEGATIVE.admits(quantity):
        yield path, bounds.NOT_NEGATIVE.refuse(quantity)


def resources(view: View) -> Iterator[Fault]:
    """List resources that tasks demand and the instance does not have."""
    tasks, known = view.instance.tasks, view.resources
    unknown = view.demanded - known
    for i, task in enumerate(tasks if unknown else ()):
        for name in task.demand:
            if name in unknown:
                yield f"tasks[{i}].demand.{name}", names.missing(name, "a resource", known)
    for i in view.with_rows:
        rows = tasks[i].configurations
        if not isinstance(rows, str):
            yield from tables.row_resources(f"tasks[{i}].configurations", rows, view)


def shared(view: View) -> Iterator[Fault]:
    """List shared tables that tasks name and the instance does not have."""
    for path, quantity in view.tabled:
        if isinstance(quantity, str) and quantity not in view.instance.tables:
            yield path(), names.missing(quantity, "a number or a table", view.instance.tables)
    known = view.instance.configurations | view.instance.training
    for i in view.with_rows:
        rows = view.instance.tasks[i].configurations
        if isinstance(rows, str) and rows not in known:
            what = "a configuration table"
            yield f"tasks[{i}].configurations", names.missing(rows, what, known)


def by_node(view: View) -> Iterator[Fault]:
    """List tables and lists of tasks that do not fit the nodes."""
    nodes = len(view.instance.nodes)
    for path, quantity in view.tabled:
        if isinstance(quantity, tuple) and len(quantity) != nodes:
            yield path(), f"expected {nodes} numbers (one per node entry), got {len(quantity)}"
        elif isinstance(quantity, Lookup):
            yield from tables.fits(path(), quantity, view)


def scopes(view: View) -> Iterator[Fault]:
    """List scopes within which tasks must stay and that the nodes do not have."""
    stated = view.of_tasks.within
    unknown = set(stated) - view.scopes - {""}
    for i, within in enumerate(stated if unknown else ()):
        if within in unknown:
            yield f"tasks[{i}].within", names.missing(within, "a domain scope", view.scopes)
    for i in view.with_rows:
        rows = view.instance.tasks[i].configurations
        if not isinstance(rows, str):
            yield from tables.row_scopes(f"tasks[{i}].configurations", rows, view)


def groups(view: View) -> Iterator[Fault]:
    """List groups that tasks name and the instance does not have, or that they name twice."""
    known = {group.name for group in view.instance.groups}
    stated = view.of_tasks.groups
    if known.issuperset(chain.from_iterable(stated)) and max(map(len, stated), default=0) < 2:
        return
    wrong = {own for own in set(stated) if not known.issuperset(own) or len(set(own)) != len(own)}
    for i, own in enumerate(stated if wrong else ()):
        for k, name in enumerate(own if own in wrong else ()):
            if name not in known:
                yield f"tasks[{i}].groups[{k}]", names.missing(name, "a group", known)
            elif name in own[:k]:
                yield f"tasks[{i}].groups[{k}]", f"expected each group once, got {name!r} again"


def current(view: View) -> Iterator[Fault]:
    """List current nodes that do not exist, and wrong numbers of them."""
    nodes, tasks, of_tasks = view.instance.nodes, view.instance.tasks, view.of_tasks.current
    if of_tasks.count(None) == len(of_tasks):
        return
    single = {node.name for node in nodes if node.count == 1}
    several = names.Expanded([n.name for n in nodes], [n.count for n in nodes])
    doubtful = set(of_tasks) - single - {None}
    for i in [i for i, stated in enumerate(of_tasks) if stated in doubtful] if doubtful else ():
        stated = of_tasks[i] or ()
        for k, name in enumerate((stated,) if isinstance(stated, str) else stated):
            if name not in single and not several.has(name):
                at = "" if isinstance(stated, str) else f"[{k}]"
                message = names.missing(name, "a node", several.stated(single))
                yield f"tasks[{i}].current{at}", message
        if not isinstance(stated, str):
            yield from _length(f"tasks[{i}].current", tasks[i], len(stated))


def _length(path: str, task: Task, given: int) -> Iterator[Fault]:
    """A list of current nodes has one per replica; with a table, some."""
    wanted = task.count * task.replicas
    if task.configurations:
        if not given:
            yield path, "expected at least one node, got none"
    elif given != wanted:
        yield path, f"expected {wanted} nodes (one per replica), got {given}"
