"""Everything that makes an instance valid, and the one place that decides it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any

import msgspec

from optalloc.instance.checks import goals, nodes, rest, tables, tasks, training, units
from optalloc.instance.checks.view import View
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Document, Instance, Task
from optalloc.instance.policy import Fault
from optalloc.instance.schema import document_type
from optalloc.instance.schema_walk import Walk, plain

Check = Callable[[Instance], Iterator[Fault]]
_checks: ContextVar[Check | None] = ContextVar("checks", default=None)
"""What checks the instance under construction where its types are right; else they are not yet."""

MANY_OBJECTS = 100_000
"""New objects by which a reading counts as large for the garbage collector."""

OWN: tuple[Callable[[View], Iterator[Fault]], ...] = (
    rest.version,
    nodes.resources,
    nodes.check,
    tasks.check,
    rest.groups,
    tables.shared,
    rest.energy,
    rest.policies,
    rest.policy_names,
)
"""Checks of what each section states by itself."""

REFERENCES: tuple[tuple[Set[str], Callable[[View], Iterator[Fault]]], ...] = (
    ({"nodes", "resources"}, nodes.references),
    ({"nodes", "resources"}, tables.references),
    ({"nodes", "resources", "training", "parameters"}, training.check),
    ({"nodes", "resources"}, tasks.resources),
    ({"nodes"}, tasks.by_node),
    ({"nodes"}, tasks.current),
    ({"nodes", "resources"}, rest.energy_share),
    ({"tables", "configurations", "training"}, tasks.shared),
    ({"groups"}, tasks.groups),
    ({"nodes"}, tasks.scopes),
    ({"nodes", "resources", "groups", "policies"}, rest.policy_references),
    ({"policies"}, rest.objective),
)
"""Checks that look things up, with the sections in which they do so."""


TASKS = (
    tasks.check,
    *(look_up for _, look_up in REFERENCES if look_up.__module__ == tasks.__name__),
)
"""Those of the checks that are about tasks."""


def complete(instance: Instance) -> None:
    """Bring a new instance into normal form (tuples, plain numbers) and check it.

    Raises
    ------
    InstanceError
        Lists every problem with its path and what was expected.
    """
    checks = _checks.get()
    if checks is None:
        document = from_objects(instance)
        for field in Document.__struct_fields__:
            msgspec.structs.force_setattr(instance, field, getattr(document, field))
    faults = list((checks or check)(instance))
    if faults:
        raise InstanceError(faults)


def from_document(document: Document) -> Instance:
    """Make an instance of a document whose types are right."""
    return _checked_by(
        check, {name: getattr(document, name) for name in Document.__struct_fields__}
    )


def with_tasks(instance: Instance, tasks: Sequence[Task]) -> Instance:
    """Make an instance with other tasks and all else the same, in the same quanta.

    O(tasks), beside what the arrays of the nodes take that are not made yet; for tasks whose types
    are right.

    Raises
    ------
    InstanceError
        For tasks that do not go with the nodes, resources, tables and groups, and such as do not
        fit the quanta.
    """
    fields = {name: getattr(instance, name) for name in Document.__struct_fields__}
    known = view_of(instance)
    made = _checked_by(lambda new: _task_faults(new, known), fields | {"tasks": tuple(tasks)})
    made.__dict__["columns"] = instance.columns.with_tasks(made)
    made.__dict__["shared_rows"] = instance.shared_rows
    return made


def typed_tasks(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Read tasks whose types may be wrong.

    Raises
    ------
    InstanceError
        Where types are wrong: lists every problem.
    """
    try:
        objects = msgspec.to_builtins(tasks, enc_hook=plain)
        return msgspec.convert(objects, tuple[Task, ...])
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
        walk = Walk({"nodes": [], "tasks": tasks}, document_type())
        faults = walk.faults or [("tasks", str(error))]
    raise InstanceError(faults)


def _checked_by(checks: Check, fields: dict[str, Any]) -> Instance:
    token = _checks.set(checks)
    try:
        return Instance(**fields)
    finally:
        _checks.reset(token)


def view_of(instance: Instance) -> View:
    """The view of an instance, kept with it."""
    found: View = instance.__dict__.setdefault("_view", View(instance))
    return found


def _task_faults(instance: Instance, known: View) -> Iterator[Fault]:
    """List problems of tasks, with what is known of all else."""
    view = known.with_tasks(instance)
    found = False
    for check_tasks in TASKS:
        for fault in check_tasks(view):
            found = True
            yield fault
    if not found:
        yield from units.check_tasks(view, known.instance.columns)


def from_objects(instance: Instance) -> Document:
    """Read the objects of which an instance is made, where types may be wrong.

    Raises
    ------
    InstanceError
        Where types are wrong: lists every problem, those of other kinds too.
    """
    with collector_paused():
        try:
            objects = msgspec.to_builtins(instance, enc_hook=plain)
            return msgspec.convert(objects, document_type())
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
            stated = {name: getattr(instance, name) for name in Document.__struct_fields__}
            faults = [*all_faults(stated)] or [("", str(error))]
    raise InstanceError(faults)


def all_faults(value: Any) -> Iterator[Fault]:
    """List every problem of a value (plain JSON or objects) that should be an instance."""
    walk = Walk(value, document_type())
    yield from walk.faults
    if "" not in walk.broken:
        try:
            document = msgspec.convert(walk.mended, document_type())
        except msgspec.ValidationError as error:
            # Only what no type in words explains, such as text that is no Unicode.
            yield "", str(error)
            return
        yield from _others(document, walk)


def _others(document: Document, walk: Walk) -> Iterator[Fault]:
    """Problems of a mended document that are not consequences of its mending."""
    fields = {name: getattr(document, name) for name in Document.__struct_fields__}
    unchecked = _Unchecked(**fields)
    for path, message in check(unchecked, walk.broken):
        if not walk.covers(path):
            yield path, message


# As frozen as `Instance`, which says why it does not say so.
class _Unchecked(Instance, dict=True):  # type: ignore[misc]
    """An instance with problems, for the checks alone."""

    def __post_init__(self) -> None:
        """Check nothing."""


def check(instance: Instance, broken: Set[str] = frozenset()) -> Iterator[Fault]:
    """List every problem of an instance whose types are right.

    Parameters
    ----------
    instance
        What to check.
    broken
        Sections whose content is not as stated; nothing is looked up in them.
    """
    view = View(instance)
    found = False
    for fault in chain(*(own(view) for own in OWN), _references(view, broken)):
        found = True
        yield fault
    for check_sizes in (units.check, goals.check):
        if found or broken:
            return
        for fault in check_sizes(view):
            found = True
            yield fault


def _references(view: View, broken: Set[str]) -> Iterator[Fault]:
    """List what refers to things that are not there."""
    for sections, look_up in REFERENCES:
        if not broken & sections:
            yield from look_up(view)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Spare the many new objects of a large instance the garbage collector's repeated scans."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Many objects that stay belong to the oldest generation, where freezing and thawing puts
        # them; otherwise the next collection would scan them all at once.
        if gc.get_count()[0] > MANY_OBJECTS and not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        if enabled:
            gc.enable()
