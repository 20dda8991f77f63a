"""Nodes that come and go: the instance with others, in quanta that state all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from msgspec.structs import replace

from optalloc.explaining.relaxing import replaced
from optalloc.instance import quanta
from optalloc.instance.columns import Columns
from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.instance.model import DEVICE, Instance, Node, Resource, Task
from optalloc.instance.policy import Number
from optalloc.instance.scale import FINER, Scale
from optalloc.oracle.devices import WHOLE


def fixed(instance: Instance) -> Instance:
    """State the quanta of all resources, so that they no longer follow from what is stated."""
    columns = instance.columns
    stated = zip(columns.resources, columns.quantum_of_resource, strict=True)
    # Any request may ask for a part of a device.
    resources = {
        name: replace(
            instance.resources.get(name, Resource()),
            quantum=1 / WHOLE if name == DEVICE else float(quantum),
        )
        for name, quantum in stated
    }
    made = replaced(instance, resources=resources)
    made.__dict__["columns"] = Columns.of(made, Scale(FINER))
    return made


def chosen_quanta(instance: Instance) -> tuple[str, ...]:
    """Resources whose quantum nobody stated, so that it may become finer."""
    stated = instance.resources
    names = (name for name in instance.columns.resources if name != DEVICE)
    return tuple(n for n in names if n not in stated or stated[n].quantum is None)


def grown(instance: Instance, chosen: Sequence[str], nodes: Sequence[Node]) -> Instance:
    """Add nodes to an instance whose quanta are stated.

    A quantum that was chosen becomes as fine as the new numbers ask for, and all old ones stay
    whole multiples of it. To one that the user stated capacities are rounded down, as ever.

    Parameters
    ----------
    instance
        From `fixed`.
    chosen
        Resources whose quanta may become finer.
    nodes
        With new names.

    Raises
    ------
    InstanceError
        For nodes that do not go with the instance, and numbers that no quantum states beside the
        old ones; ``nodes[0]`` is the first of the new ones.
    """
    old = len(instance.nodes)
    try:
        made = replaced(instance, nodes=(*instance.nodes, *nodes))
        finer = _finer(made, chosen, made.nodes[old:])
        return replaced(made, resources=made.resources | finer) if finer else made
    except InstanceError as error:
        said = [(_renumbered(path, old), what) for path, what in error.problems]
        raise InstanceError(said, "the new nodes") from None


def shrunk(instance: Instance, names: Iterable[str]) -> Instance:
    """Leave out nodes of an instance.

    Raises
    ------
    OptallocError
        As `without`; for all nodes, and where something refers to what would be gone.
    """
    return replaced(instance, nodes=without(instance.nodes, names)[0])


def without(nodes: Sequence[Node], names: Iterable[str]) -> tuple[tuple[Node, ...], set[str]]:
    """Leave out nodes; those that are left, and the names that none of them had.

    Raises
    ------
    OptallocError
        For some of the nodes of an entry with a count and not all.
    """
    gone = {*names}
    kept = []
    for node in nodes:
        single = node.count == 1
        mine = {node.name} if single else {f"{node.name}/{i}" for i in range(node.count)}
        lost = mine & gone
        gone -= lost
        if lost and lost != mine:
            raise OptallocError(
                f"expected all {node.count} nodes of {node.name!r} to be removed together, "
                f"got {len(lost)} of them"
            )
        if not lost:
            kept.append(node)
    return tuple(kept), gone


def quanta_of(instance: Instance, names: Iterable[str]) -> dict[str, float]:
    """Stated quanta of some resources."""
    stated = ((name, instance.resources[name].quantum) for name in names)
    return {name: float(quantum) for name, quantum in stated if quantum is not None}


def regrown(
    instance: Instance, gone: Iterable[str], nodes: Sequence[Node], finer: Mapping[str, float]
) -> Instance:
    """The instance to which an instance came when nodes went, and others joined.

    Parameters
    ----------
    instance
        As it was at first.
    gone
        Names of its nodes that are gone.
    nodes
        Those that joined.
    finer
        The quanta that some resources have since.

    Raises
    ------
    OptallocError
        As `grown`.
    """
    start = fixed(instance)
    resources = dict(start.resources)
    for name, quantum in finer.items():
        resources[name] = replace(resources[name], quantum=quantum)
    kept, _ = without(start.nodes, gone)
    return replaced(start, nodes=(*kept, *nodes), resources=resources, tasks=())


def restated(task: Task, gone: Iterable[str]) -> Task:
    """State a task without where it ran before, where that was on nodes that are gone."""
    current = (task.current,) if isinstance(task.current, str) else task.current or ()
    return task if {*gone}.isdisjoint(current) else replace(task, current=None)


def _finer(instance: Instance, chosen: Sequence[str], nodes: Sequence[Node]) -> dict[str, Resource]:
    """The resources whose quanta do not state all numbers of some nodes, with such as do."""
    found = {}
    for name in chosen:
        resource = instance.resources[name]
        assert resource.quantum is not None
        old = quanta.exact(resource.quantum)
        if numbers := [x for x in _numbers(name, nodes) if quanta.exact(x) % old]:
            found[name] = replace(resource, quantum=float(_common(name, old, numbers)))
    return found


def _numbers(name: str, nodes: Sequence[Node]) -> Iterable[Number]:
    for node in nodes:
        for stated in (node.capacity, node.safety):
            if name in stated:
                yield stated[name]


def _common(name: str, old: Fraction, numbers: Sequence[Number]) -> Fraction:
    found = quanta.common(old, quanta.choose(numbers))
    # It is stated as a number, and has to be read as the same again.
    if old % quanta.exact(float(found)):
        said = f"expected {name} in multiples of {float(old):g} or decimals of it"
        raise InstanceError([("nodes", f"{said}, got {min(numbers)!r}")])
    return found


def _renumbered(path: str, old: int) -> str:
    """The path of a node, counted from the first new one."""
    found = re.match(r"nodes\[(\d+)\]", path)
    if not found or int(found[1]) < old:
        return path
    return f"nodes[{int(found[1]) - old}]{path[found.end() :]}"
