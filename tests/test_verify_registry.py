"""No goal without its checker, and no code shared with the formulation."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import optalloc.verify
from optalloc.formulation import goals
from optalloc.formulation.registry import goal_modules, policy_classes
from optalloc.instance.policy import Policy
from optalloc.verify.finding import checker_of, checkers, checks

MODULES = {module.name for module in pkgutil.iter_modules(optalloc.verify.__path__)}


@pytest.mark.parametrize("name", goal_modules())
def test_every_goal_module_has_a_verify_module_of_its_name(name: str) -> None:
    assert name in MODULES


@pytest.mark.parametrize("kind", policy_classes())
def test_every_policy_has_a_checker_in_the_module_of_its_name(kind: str) -> None:
    policy = policy_classes()[kind]
    home = policy.__module__.rsplit(".", 1)[1]
    assert checker_of(policy).__module__ == f"optalloc.verify.{home}"


def test_no_checker_speaks_for_a_policy_that_does_not_exist() -> None:
    assert set(checkers()) == set(policy_classes().values())


def test_a_policy_without_a_checker_is_refused() -> None:
    with pytest.raises(TypeError, match="no checker for the policy Policy"):
        checker_of(Policy)


def test_a_policy_has_one_checker() -> None:
    policy = policy_classes()["nodes"]
    with pytest.raises(TypeError, match="Nodes has two checkers"):
        checks(policy)(checker_of(policy))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_of_the_formulation_only_policy_classes_are_imported(name: str) -> None:
    module = importlib.import_module(f"optalloc.verify.{name}")
    assert module.__file__ is not None
    policies = {policy.__name__ for policy in policy_classes().values()}
    for statement in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(statement, ast.Import):
            assert not any("formulation" in alias.name for alias in statement.names)
        if isinstance(statement, ast.ImportFrom) and "formulation" in (statement.module or ""):
            assert statement.module == f"{goals.__name__}.{name}"
            assert {alias.name for alias in statement.names} <= policies
