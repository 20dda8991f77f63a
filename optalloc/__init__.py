"""optalloc decides what runs where in AI clusters.

State nodes, tasks and what is wanted as an `Instance`, `solve` it and read the `Result`: a
placement that an independent checker (`optalloc.verify`) has verified, with a proven bound. The
goals and rules that an instance can state are in `optalloc.policies`. An `Oracle` keeps a cluster
alive between questions; `optalloc.simulation` replays jobs through it.

Nothing is imported before it is used: ``import optalloc`` costs milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Alone",
    "Configuration",
    "Document",
    "Energy",
    "EngineFailure",
    "Front",
    "FrontPoint",
    "Group",
    "Instance",
    "InstanceError",
    "LevelResult",
    "Link",
    "Lookup",
    "Node",
    "OptallocError",
    "Oracle",
    "Placement",
    "Reason",
    "Resource",
    "Result",
    "Task",
    "Training",
    "dump_instance",
    "load_instance",
    "pareto",
    "place_group",
    "policies",
    "read_solution",
    "solve",
    "verify",
    "write_front",
    "write_solution",
]

if TYPE_CHECKING:
    from optalloc import policies, verify
    from optalloc.epsilon import pareto
    from optalloc.front import Front, FrontPoint, write_front
    from optalloc.group_placing import place_group
    from optalloc.instance.errors import EngineFailure, InstanceError, OptallocError
    from optalloc.instance.files import dump_instance, load_instance
    from optalloc.instance.model import (
        Configuration,
        Document,
        Energy,
        Group,
        Instance,
        Lookup,
        Node,
        Resource,
        Task,
    )
    from optalloc.instance.placement import Placement
    from optalloc.instance.training import Alone, Link, Training
    from optalloc.oracle.oracle import Oracle
    from optalloc.result import LevelResult, Reason, Result
    from optalloc.solution import read_solution, write_solution
    from optalloc.solving import solve
else:
    _HOMES = {
        "epsilon": ("pareto",),
        "front": ("Front", "FrontPoint", "write_front"),
        "instance.errors": ("EngineFailure", "InstanceError", "OptallocError"),
        "instance.files": ("dump_instance", "load_instance"),
        "instance.model": (
            "Configuration",
            "Document",
            "Energy",
            "Group",
            "Instance",
            "Lookup",
            "Node",
            "Resource",
            "Task",
        ),
        "instance.placement": ("Placement",),
        "instance.training": ("Alone", "Link", "Training"),
        "group_placing": ("place_group",),
        "oracle.oracle": ("Oracle",),
        "result": ("LevelResult", "Reason", "Result"),
        "solution": ("read_solution", "write_solution"),
        "solving": ("solve",),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        from importlib import import_module

        if name in _HOME_OF:
            value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        elif name in __all__:
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Names as if all were imported."""
        return sorted({*globals(), *__all__})
