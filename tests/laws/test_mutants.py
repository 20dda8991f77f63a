"""The laws notice small mistakes: they kill the mutants of every shape, encoder and goal.

A mutant that survives must be listed in `equivalent` with the reason why it changes nothing that
an answer could show.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, ModuleType

import goal_laws
import pytest
import shape_laws
from equivalent import EQUIVALENT
from generate import instances_with
from mutants import Mutant, mutants_of, mutated
from shape_cases import registered

from optalloc.formulation import building, encoding, loads, shapes
from optalloc.formulation.goals import moves
from optalloc.formulation.problem import Problem
from optalloc.formulation.registry import policy_classes
from optalloc.instance.policy import Policy
from optalloc.objective import read_objective

SHAPE_SEEDS = 6
CASES = 14
"""Instances of each policy class that a mutant meets."""
EVERYWHERE = 2
"""Instances of each policy class for mutants that concern all of them."""


def functions_of(holder: ModuleType | type) -> Iterator[FunctionType]:
    """The functions and methods that a module or class itself defines."""
    for value in vars(holder).values():
        if isinstance(value, property):
            value = value.fget  # noqa: PLW2901
        if isinstance(holder, type) and isinstance(value, FunctionType):
            if not getattr(value, "__isabstractmethod__", False) and not _made(value):
                yield value
        elif isinstance(holder, ModuleType) and _defined_in(value, holder):
            if isinstance(value, FunctionType):
                yield value
            elif isinstance(value, type):
                yield from functions_of(value)


def _defined_in(value: object, module: ModuleType) -> bool:
    return getattr(value, "__module__", "") == module.__name__


def _made(function: FunctionType) -> bool:
    """Whether a decorator wrote the function (as those of data classes)."""
    return function.__code__.co_filename != sys.modules[function.__module__].__file__


SHAPES = {f.__qualname__: f for f in functions_of(shapes)}
ENCODERS = {f.__qualname__: f for m in (encoding, loads) for f in functions_of(m)}
BUILDERS = {
    f.__qualname__: f
    for f in (*functions_of(moves), *building._builders.values())
    if isinstance(f, FunctionType)
}


def survivors(function: FunctionType, laws: list[Callable[[], None]]) -> set[tuple[str, str]]:
    """The mutants of a function that break no law; the law that killed last is tried first."""
    alive = set()
    for mutant in mutants_of(function):
        killer = next((law for law in laws if _kills(law, function, mutant)), None)
        if killer is None:
            alive.add((mutant.line, mutant.change))
        else:
            laws.remove(killer)
            laws.insert(0, killer)
    return alive


def _kills(law: Callable[[], None], function: FunctionType, mutant: Mutant) -> bool:
    with mutated(function, mutant):
        try:
            law()
        except Exception:  # noqa: BLE001 - a mutant may break in any way
            return True
    return False


def listed(function: str) -> set[tuple[str, str]]:
    return {(line, change) for name, line, change in EQUIVALENT if name == function}


# -- shapes ------------------------------------------------------------------------------------


def _shape_laws(function: str) -> list[Callable[[], None]]:
    owner = function.split(".")[0]
    names = [owner] if owner in registered() else list(registered())
    pairs = [(name, seed) for seed in range(SHAPE_SEEDS) for name in names]
    return [lambda n=n, s=s: shape_laws.check(n, s) for n, s in pairs]  # type: ignore[misc]


@pytest.mark.parametrize("name", SHAPES)
def test_every_mutant_of_a_shape_breaks_a_law(name: str) -> None:
    assert survivors(SHAPES[name], _shape_laws(name)) == listed(name)


# -- goals and encoders ------------------------------------------------------------------------


@cache
def _case(policy_class: type[Policy], seed: int) -> goal_laws.Case:
    """A case that the true functions pass, with brute force done."""
    case = goal_laws.Case(instances_with(policy_class, seed), seed)
    goal_laws.check_briefly(case)
    return case


def _active(case: goal_laws.Case, policy_class: type[Policy]) -> bool:
    problem = Problem(case.instance, read_objective(case.instance))
    return any(isinstance(case.objective.policies[i], policy_class) for i in problem.active)


@cache
def _law_of(policy_class: type[Policy], seed: int) -> Callable[[], None]:
    return lambda: goal_laws.check_briefly(_case(policy_class, seed))


def _goal_laws(classes: list[type[Policy]], seeds: int) -> list[Callable[[], None]]:
    return [_law_of(policy_class, seed) for seed in range(seeds) for policy_class in classes]


def _classes_of(builder: FunctionType) -> list[type[Policy]]:
    found = [c for c, b in building._builders.items() if b is builder]
    return found or [c for c in policy_classes().values() if "Move" in c.__name__]


@pytest.mark.parametrize("name", BUILDERS)
def test_every_mutant_of_a_goal_breaks_a_law(name: str) -> None:
    classes = _classes_of(BUILDERS[name])
    assert survivors(BUILDERS[name], _goal_laws(classes, CASES)) == listed(name)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_mutant_of_an_encoder_breaks_a_law(name: str) -> None:
    laws = _goal_laws(list(policy_classes().values()), EVERYWHERE)
    assert survivors(ENCODERS[name], laws) == listed(name)


def test_listed_mutants_are_of_functions_that_exist() -> None:
    known = SHAPES.keys() | ENCODERS.keys() | BUILDERS.keys()
    assert {name for name, _, _ in EQUIVALENT} <= known
