"""Compiles ahead what engines would compile when they first run; the machine code stays on disk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from optalloc.engines import engines
from optalloc.engines.greedy import Greedy
from optalloc.engines.loading import load
from optalloc.engines.protocol import Clock, Form, Job, run
from optalloc.formulation.problem import Problem
from optalloc.instance.errors import EngineFailure
from optalloc.instance.model import Configuration, Group, Instance, Node, Task
from optalloc.objective import read_objective
from optalloc.policies import AntiAffinity, Moves, PeakLoad

SECONDS = 0.2
"""How long each search then runs."""


def compile_ahead() -> float:
    """Run every compiled search on a small instance with something of everything.

    The largest one is compiled here, and all others meanwhile by another process.

    Returns
    -------
    float
        Seconds it took: a few where everything was compiled before.
    """
    started = time.monotonic()
    others = subprocess.Popen([sys.executable, "-m", "optalloc.engines.ahead"])
    try:
        _compile(LARGEST)
    finally:
        ended = others.wait()
    if ended:
        raise EngineFailure(f"compiling ahead failed in another process ({ended})")
    return time.monotonic() - started


def compile_others() -> None:
    """Compile all but the largest search."""
    from optalloc.mapping.ahead import compile_mapping
    from optalloc.oracle.ahead import compile_policies

    compile_mapping()
    compile_policies()
    for form in SMALL:
        if form != LARGEST:
            _compile(form)


def _compile(form: Form) -> None:
    """Run the engines that take a form of a problem."""
    for engine in engines().values():
        if engine.form == form and engine.available():
            instance = SMALL[form]()
            problem = Problem(instance, read_objective(instance))
            greedy, loaded = Greedy(problem), load(problem, engine.form)
            known = loaded.values(greedy.placement()) if greedy.run(Clock(float("inf"))) else None
            session = engine.open(loaded.model, Job(hint=known))
            run(session, loaded.model, Job(SECONDS, hint=known), lambda message: None)


def _small() -> Instance:
    """Tasks that stay or move, a gang with a table, a group and two levels."""
    ways = tuple(Configuration(replicas=r, throughput=r, demand={"cpu": 1}) for r in (1, 2))
    return Instance(
        nodes=tuple(Node(name=name, capacity={"cpu": 8}, idle_w=100) for name in "abc"),
        tasks=(
            Task(name="stays", demand={"cpu": 1}, current="a", count=2, groups=("g",)),
            Task(name="gang", configurations=ways, required=False),
        ),
        groups=(Group(name="g"),),
        policies=(AntiAffinity(scope="node"), Moves(at_most=2)),
        objective="throughput > power",
    )


def _copies() -> Instance:
    """Copies of one kind of task on nodes of one kind, which classes tell apart from nothing."""
    return Instance(
        nodes=(Node(name="n", capacity={"cpu": 8, "memory": 4}, idle_w=100, count=3),),
        tasks=(Task(name="t", demand={"cpu": 3, "memory": 1}, count=4),),
        objective="power",
    )


def _uneven() -> Instance:
    """A full node and an empty one."""
    return Instance(
        nodes=tuple(Node(name=name, capacity={"cpu": 8}) for name in "ab"),
        tasks=tuple(Task(name=f"t{i}", demand={"cpu": i + 1}, current="a") for i in range(3)),
        policies=(PeakLoad(resource="cpu", weight=1), Moves(at_most=1)),
    )


LARGEST: Form = "tables"
"""Form of the search that takes as long to compile as all others together."""
SMALL: dict[Form, Callable[[], Instance]] = {
    "tables": _small,
    "classes": _copies,
    "peaks": _uneven,
}
"""What compiled searches run on, by the form that they take."""

if __name__ == "__main__":
    compile_others()
