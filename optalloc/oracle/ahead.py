"""Compiles ahead what placement policies would compile when they are first used."""

from __future__ import annotations

from optalloc.instance.model import Instance, Node, Task
from optalloc.oracle.fragmenting import Fragments
from optalloc.oracle.oracle import Oracle


def compile_policies() -> None:
    """Place something with the policy that is compiled."""
    oracle = Oracle(Instance(nodes=[Node(name="a", devices=1)]), policy="fragmentation")
    task = Task(name="a", demand={"device": 0.5})
    oracle.expect(task)
    oracle.place(task)
    sample = Fragments().take(oracle, [task])
    assert sample is not None
    Fragments().share(sample)
