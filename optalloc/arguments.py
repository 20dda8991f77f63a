"""What `solve` and `pareto` take: the values of each argument, for Python and the command line."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from optalloc.instance.errors import OptallocError

LARGEST_SEED = 2**31 - 1
"""Solvers hold seeds in 32 bits."""
MOST_THREADS = 1024
"""More threads than any machine has cores only fail to start."""

Fits = Callable[[Any], bool]


def check(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of `optalloc.solve` or `optalloc.pareto` that they do not take.

    Parameters
    ----------
    arguments
        All of them, by name.

    Raises
    ------
    OptallocError
        Names each argument that does not fit, and what was expected.
    """
    rules = _rules()
    faults = [
        f"{name}: expected {rules[name][1]}, got {reprlib.repr(value)}"
        for name, value in arguments.items()
        if not rules[name][0](value)
    ]
    if faults:
        raise OptallocError("; ".join(faults))


def _rules() -> dict[str, tuple[Fits, str]]:
    """For each argument what fits, and the same in words."""
    from optalloc.instance.model import Instance, Task
    from optalloc.instance.placement import Placement
    from optalloc.result import Result

    switch = _is(bool), "True or False"
    return {
        "cluster": (_is(Instance, Result), "an Instance or a Result"),
        "group": (_is(Task), "a Task"),
        "instance": (_is(Instance), "an Instance"),
        "objective": (_or_none(_is(str)), "text such as 'throughput > energy', or None"),
        "objectives": (_two_names, "two names, such as ('throughput', 'power')"),
        "points": (_whole(2, float("inf")), "a whole number from 2"),
        "engine": (_is(str), "the name of an engine"),
        "time_limit": (_or_none(_above_zero), "a positive number of seconds, or None"),
        "threads": (
            _or_none(_whole(1, MOST_THREADS)),
            f"a whole number from 1 to {MOST_THREADS}, or None",
        ),
        "seed": (_whole(0, LARGEST_SEED), f"a whole number from 0 to {LARGEST_SEED}"),
        "warm_start": (_or_none(_is(Placement, Result)), "a Placement, a Result, or None"),
        "partial": switch,
        "on_progress": (_or_none(callable), "a function of a Progress, or None"),
        "deterministic": switch,
        "log": switch,
        "memory_limit": (
            _or_none(_whole(1, float("inf"))),
            "a positive whole number of bytes, or None",
        ),
    }


def _is(*kinds: type) -> Fits:
    return lambda value: isinstance(value, kinds)


def _or_none(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _whole(least: int, most: float) -> Fits:
    return lambda value: _number(value, Integral) and least <= int(value) <= most


def _two_names(value: Any) -> bool:
    plural = isinstance(value, list | tuple) and len(value) == 2
    return plural and all(isinstance(name, str) for name in value)


def _above_zero(value: Any) -> bool:
    return _number(value, Real) and bool(value > 0)


def _number(value: Any, kind: type) -> bool:
    """Whether a value is such a number, NumPy's too; truth values are none."""
    return not isinstance(value, bool) and isinstance(value, kind)
