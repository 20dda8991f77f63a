"""The laws notice small mistakes: they kill the mutants of every shape, encoder and goal.

A mutant that survives must be listed in `equivalent` with the reason why it changes nothing that
an answer could show.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, ModuleType

import goal_laws
import pytest
import shape_laws
import term_laws
from equivalent import EQUIVALENT
from generate import ARRIVALS, UPLINKS, instances_with
from handmade import HANDMADE
from mutants import Mutant, mutants_of, mutated
from shape_cases import registered

from optalloc import policies as p
from optalloc.formulation import building, counts, encoding, loads, shapes
from optalloc.formulation.registry import policy_classes
from optalloc.instance.policy import Policy

Law = Callable[[], object]
SHAPE_SEEDS = 6
CASES = 30
"""Instances of each policy class that a mutant meets."""
BRIEF = 5
"""Laws that a mutant meets which is listed as equivalent: enough to notice a wrong entry."""
TERM_SEEDS = 3
"""Instances of each policy class for random terms."""
HOMES = 44
"""Instances of each policy class that counts arrivals, of which some are chosen."""
GANGS = 80
"""Instances with gangs for the encoders of their shapes."""
OF_GANGS = ("_fit_nesting", "_in_blocks", "_shape_gangs", "_tighten_gangs")
OF_HOMES = ("_add_stays", "_comes_twice", "_fill_homes")
OF_TERMS = (
    "_beyond",
    "_counted",
    "_expand_chosen",
    "_expand_placed",
    "_flipped",
    "_fold",
    "_reduced",
    "_shaped",
    "add_rule",
    "encode_metric",
    "encode_term",
    "expand",
)
EVERYWHERE = 8
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
ENCODERS = {f.__qualname__: f for m in (counts, encoding, loads) for f in functions_of(m)}
GOALS = {sys.modules[builder.__module__] for builder in building._builders.values()}
BUILDERS = {
    f.__name__: f
    for module in sorted(GOALS, key=lambda m: m.__name__)
    for f in functions_of(module)
    if f.__name__ == f.__qualname__
}
"""What builds terms, not what policies say of themselves."""


def survivors(function: FunctionType, laws: list[Law]) -> set[tuple[str, str]]:
    """The mutants of a function that break no law; the law that killed last is tried first."""
    alive = set()
    equivalent = listed(function.__qualname__)
    for mutant in mutants_of(function):
        expected = (mutant.line, mutant.change) in equivalent
        tried = laws[:BRIEF] if expected else laws
        killer = next((law for law in tried if _kills(law, function, mutant)), None)
        if killer is None:
            alive.add((mutant.line, mutant.change))
        else:
            laws.remove(killer)
            laws.insert(0, killer)
    return alive


def _kills(law: Law, function: FunctionType, mutant: Mutant) -> bool:
    with mutated(function, mutant), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            law()
        except Exception:  # noqa: BLE001 - a mutant may break in any way
            return True
    return False


def listed(function: str) -> set[tuple[str, str]]:
    return {(line, change) for name, line, change in EQUIVALENT if name == function}


# -- shapes ------------------------------------------------------------------------------------


@cache
def _shape_law(name: str, seed: int) -> Law:
    return lambda: shape_laws.check(name, seed)


def _shape_laws(function: str) -> list[Law]:
    owner = function.split(".", maxsplit=1)[0]
    names = [owner] if owner in registered() else list(registered())
    return [_shape_law(name, seed) for seed in range(SHAPE_SEEDS) for name in names]


@pytest.mark.parametrize("name", SHAPES)
def test_every_mutant_of_a_shape_breaks_a_law(name: str) -> None:
    assert survivors(SHAPES[name], _shape_laws(name)) == listed(name)


# -- goals and encoders ------------------------------------------------------------------------


@cache
def _case(policy_class: type[Policy], seed: int) -> goal_laws.Case:
    """One of the cases for which other tests show that the true functions keep the laws."""
    return goal_laws.Case(instances_with(policy_class, seed), seed)


@cache
def _goal_law(policy_class: type[Policy], seed: int) -> Law:
    return lambda: goal_laws.check_briefly(_case(policy_class, seed))


def _goal_laws(classes: list[type[Policy]], seeds: int) -> list[Law]:
    return [_goal_law(policy_class, seed) for seed in range(seeds) for policy_class in classes]


def _classes_of(function: FunctionType) -> list[type[Policy]]:
    """The policy classes that a function builds or helps to build."""
    own = [c for c, builder in building._builders.items() if builder is function]
    return own or [c for c in building._builders if c.__module__ == function.__module__]


@pytest.mark.parametrize("name", BUILDERS)
def test_every_mutant_of_a_goal_breaks_a_law(name: str) -> None:
    laws = [_handmade_law(made) for made in HANDMADE]
    laws += _goal_laws(_classes_of(BUILDERS[name]), CASES)
    assert survivors(BUILDERS[name], laws) == listed(name)


def _laws_of_encoder(name: str) -> list[Law]:
    classes = list(policy_classes().values())
    if name in OF_TERMS:
        terms = [_term_law(c, seed) for seed in range(TERM_SEEDS) for c in classes]
        return terms + _goal_laws(classes, EVERYWHERE)
    if name in OF_HOMES:
        return _laws_of_homes()
    if ENCODERS[name].__module__ == counts.__name__:
        return _goal_laws(list(UPLINKS), CASES)
    if name in OF_GANGS:
        return [_goal_law(p.Gangs, seed) for seed in range(GANGS)]
    return _goal_laws(classes, EVERYWHERE)


@cache
def _term_law(policy_class: type[Policy], seed: int) -> Law:
    return lambda: term_laws.check(policy_class, seed)


def _laws_of_homes() -> list[Law]:
    """Those instances in which it matters what stays at home and what arrives there."""
    chosen = []
    for policy_class in ARRIVALS:
        for seed in range(HOMES):
            formulated = goal_laws.Formulated(_case(policy_class, seed))
            sides = encoding._Values(formulated.encoding("milp")).arrival_sides
            if formulated.problem.contested.any() or sides - {"over"}:
                chosen.append(_goal_law(policy_class, seed))
    return chosen


@cache
def _handmade_law(name: str) -> Law:
    case = goal_laws.Case(HANDMADE[name])
    return lambda: goal_laws.check_briefly(case)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_mutant_of_an_encoder_breaks_a_law(name: str) -> None:
    laws = [_handmade_law(made) for made in HANDMADE] + _laws_of_encoder(name)
    assert survivors(ENCODERS[name], laws) == listed(name)


def test_listed_mutants_are_of_functions_that_exist() -> None:
    known = SHAPES.keys() | ENCODERS.keys() | BUILDERS.keys()
    assert {name for name, _, _ in EQUIVALENT} <= known
