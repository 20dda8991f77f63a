"""Claims about the instances shipped under ``instances/``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optalloc.instance.files import load_instance
from optalloc.result import Result
from optalloc.solving import solve

FOLDER = Path(__file__).parents[1] / "instances"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/instance.json"))
ENGINES = ("milp", "cpsat")


def _solve(name: str, engine: str) -> Result:
    instance = load_instance(FOLDER / name / "instance.json")
    return solve(instance, engine=engine, deterministic=True)


def test_the_scenarios_are_shipped() -> None:
    assert NAMES == ["ai-cloud", "edge-response", "edge-sites", "hpc-centre"]


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_explains_its_numbers(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text()
    assert "| Number | Source |" in text
    assert f"[{name}]({name}/README.md)" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_both_exact_engines_prove_the_expected_optimum(name: str, engine: str) -> None:
    """``expected.json`` holds the optimal value of each level, in its unit."""
    expected = json.loads((FOLDER / name / "expected.json").read_text())
    result = _solve(name, engine)
    assert result.status == "optimal"
    assert {level.name: level.value for level in result.levels} == expected["levels"]
