"""What `solve` takes: a wrong argument is named before anything is computed."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
import pytest

from optalloc import Instance, Node, OptallocError, Task, solve
from optalloc.arguments import LARGEST_SEED, MOST_THREADS, check
from optalloc.cli import options

INSTANCE = Instance(
    nodes=(Node(name="n", capacity={"cpu": 2}),), tasks=(Task(name="t", demand={"cpu": 1}),)
)
DEFAULTS = {
    name: INSTANCE if name == "instance" else parameter.default
    for name, parameter in inspect.signature(solve).parameters.items()
}
THREADS = "threads: expected a whole number from 1 to 1024, or None, got "
SEED = "seed: expected a whole number from 0 to 2147483647, got "
MEMORY = "memory_limit: expected a positive whole number of bytes, or None, got "
SECONDS = "time_limit: expected a positive number of seconds, or None, got "


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("instance", "x", "instance: expected an Instance, got 'x'"),
        ("objective", 5, "objective: expected text such as 'throughput > energy', or None, got 5"),
        ("engine", None, "engine: expected the name of an engine, got None"),
        *(("time_limit", v, SECONDS + repr(v)) for v in (0, -1.0, math.nan, "5", True, 1j)),
        *(("threads", v, THREADS + repr(v)) for v in (0, 1.5, "2", False, MOST_THREADS + 1)),
        *(("seed", v, SEED + repr(v)) for v in (-3, 10**22, 2**31, "x", 1.0, None)),
        *(("memory_limit", v, MEMORY + repr(v)) for v in (0, -5, 1e9)),
        ("warm_start", {}, "warm_start: expected a Placement, a Result, or None, got {}"),
        ("on_progress", 1, "on_progress: expected a function of a Progress, or None, got 1"),
        *((name, 1, f"{name}: expected True or False, got 1") for name in ("partial", "log")),
    ],
)
def test_an_argument_that_does_not_fit_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(OptallocError) as caught:
        solve(**{**DEFAULTS, name: value})
    assert str(caught.value) == message


def test_all_wrong_arguments_are_named_at_once() -> None:
    with pytest.raises(OptallocError, match=r"^threads: .*; seed: .*"):
        solve(INSTANCE, threads=0, seed=-1)


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(OptallocError) as caught:
        check({"seed": "x" * 10_000})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("time_limit", v) for v in (1, 0.5, np.float32(0.5), math.inf)),
        *(("threads", v) for v in (1, np.int32(1), MOST_THREADS)),
        *(("seed", v) for v in (0, np.int64(7), LARGEST_SEED)),
        *(("memory_limit", v) for v in (1, 2**60)),
        ("on_progress", print),
    ],
)
def test_the_whole_range_fits_also_as_numbers_of_numpy(name: str, value: Any) -> None:
    check({**DEFAULTS, name: value})


@pytest.mark.parametrize("engine", ["auto", "milp", "cpsat", "lns", "greedy"])
def test_engines_take_the_ends_of_the_ranges(engine: str) -> None:
    for seed in (0, np.int64(LARGEST_SEED)):
        result = solve(INSTANCE, engine=engine, seed=seed, threads=np.int64(1), time_limit=5)  # type: ignore[arg-type]
        assert result.verified
        assert not result.failures


def test_the_command_line_takes_the_same_range() -> None:
    assert (options.SEED.min, options.SEED.max) == (0, LARGEST_SEED)
    assert (options.THREADS.min, options.THREADS.max) == (1, MOST_THREADS)
