"""The project's own habits: what its texts promise is so, and its parts fit together."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import click
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import optalloc
from optalloc import policies
from optalloc.cli import cli
from optalloc.formulation.registry import policy_classes

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "optalloc"
TEXTS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("instances/**/*.md"))
PARTS = (".ci", "benchmarks", "bin", "instances", "optalloc", "tests")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def run_python(code: str) -> str:
    """What a fresh interpreter prints for some code; warnings are errors in it too."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@cache
def project() -> dict[str, Any]:
    stated: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return stated


@cache
def locked() -> dict[str, list[Requirement]]:
    """The lock's pins by package; several where they depend on the Python version."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            pin = Requirement(line.removesuffix("\\").strip())
            found.setdefault(pin.name, []).append(pin)
    return found


# --- texts ---------------------------------------------------------------------------------------


def readme_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readme_examples_run_and_their_answers_are_proven_and_verified() -> None:
    scope: dict[str, Any] = {}
    for example in readme_examples():
        exec(compile(example, "README.md", "exec"), scope)
    answer = scope["answer"]
    assert (answer.status, answer.objective) == ("optimal", 9000)
    result = scope["result"]
    assert result.status == "optimal"
    assert result.verified
    assert [level.name for level in result.levels] == ["throughput", "power"]


def test_the_first_readme_example_has_ten_lines_of_code() -> None:
    lines = [line for line in readme_examples()[0].splitlines() if line and "import" not in line]
    assert len(lines) <= 10


@pytest.mark.parametrize("command", ["try", "test", "bin/setup", "bin/lock", ".ci/run"])
def test_the_commands_of_the_texts_are_there_and_can_be_run(command: str) -> None:
    assert os.access(ROOT / command, os.X_OK)
    texts = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert command in texts
    subprocess.run(["bash", "-n", ROOT / command], check=True)


def test_the_readme_lists_every_command_of_the_command_line() -> None:
    section = (ROOT / "README.md").read_text().split("## From the command line")[1]
    listed = re.findall(r"^\| `(\w+)[ `]", section.split("\n## ")[0], re.M)
    assert sorted(cli.list_commands(click.Context(cli))) == sorted(listed)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(text: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text.read_text()):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        file = text.parent / name if name else text
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert heading in anchors, target


def test_no_file_speaks_of_a_place_on_one_machine() -> None:
    """Nor of a package index other than the public one's name."""
    places = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/", "/" + "opt/py"]))
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_file()]
    guilty = [
        path
        for path in files
        if path.suffix != ".png" and not path.name.startswith(".coverage")
        if "__pycache__" not in path.parts
        if places.search(path.read_text(errors="replace"))
    ]
    assert guilty == []


# --- package -------------------------------------------------------------------------------------


def test_there_is_one_version() -> None:
    """The package's; the metadata and the changelog's newest entry repeat it."""
    assert importlib.metadata.version("optalloc") == optalloc.__version__
    entries = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert entries[0] == optalloc.__version__
    assert project()["dynamic"] == ["version"]


def test_public_names_are_sorted_and_can_be_imported() -> None:
    assert optalloc.__all__ == sorted(optalloc.__all__)
    for name in optalloc.__all__:
        assert getattr(optalloc, name) is not None
    assert set(optalloc.__all__) <= set(dir(optalloc))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(optalloc, "nonsense")  # noqa: B009


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == set(optalloc.__all__)


def test_every_policy_class_is_found_under_policies() -> None:
    classes = {cls.__name__: cls for cls in policy_classes().values()}
    assert vars(policies)["__all__"] == sorted(classes)
    assert {name: getattr(policies, name) for name in classes} == classes


def test_the_stub_of_policies_is_complete() -> None:
    classes = sorted(policy_classes().values(), key=lambda cls: (cls.__module__, cls.__name__))
    expected = "".join(
        f"from {cls.__module__} import {cls.__name__} as {cls.__name__}\n" for cls in classes
    )
    assert (PACKAGE / "policies.pyi").read_text() == expected


def test_importing_the_package_imports_neither_numpy_nor_a_solver() -> None:
    code = "import sys, optalloc; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = set(run_python(code).split())
    assert loaded.isdisjoint({"click", "highspy", "msgspec", "numpy", "ortools", "pulp", "rich"})


@pytest.mark.parametrize("module", ["optalloc.solving", "optalloc.cli", "optalloc.verify"])
def test_solvers_are_imported_only_when_used(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    assert set(run_python(code).split()).isdisjoint({"highspy", "ortools", "pulp"})


@pytest.mark.parametrize("order", ["highspy, cp_model", "cp_model, highspy"])
def test_both_solvers_work_in_one_process_in_either_order_of_import(order: str) -> None:
    imports = {
        "highspy": "import highspy",
        "cp_model": "from ortools.sat.python import cp_model",
    }
    lines = [imports[name] for name in order.split(", ")]
    lines += [
        "highs = highspy.Highs()",
        "highs.setOptionValue('output_flag', False)",
        "x = highs.addIntegral(0, 3)",
        "highs.maximize(2 * x)",
        "model = cp_model.CpModel()",
        "y = model.new_int_var(0, 4, 'y')",
        "model.maximize(y)",
        "solver = cp_model.CpSolver()",
        "solver.solve(model)",
        "print(highs.getObjectiveValue(), solver.objective_value)",
    ]
    assert run_python("\n".join(lines)) == "6.0 4.0"


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    assert len(path_of(module).read_text().splitlines()) < 600


@pytest.mark.parametrize("module", [m for m in MODULES if ">>>" in path_of(m).read_text()])
def test_examples_in_docstrings_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


# --- imports and dependencies --------------------------------------------------------------------


def top_level(body: list[ast.stmt]) -> list[ast.Import | ast.ImportFrom]:
    """Imports that run when a module is imported."""
    found: list[ast.Import | ast.ImportFrom] = []
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.append(statement)
        elif isinstance(statement, ast.If):
            typing_only = "TYPE_CHECKING" in ast.unparse(statement.test)
            found += top_level(statement.orelse)
            found += [] if typing_only else top_level(statement.body)
        elif isinstance(statement, ast.Try):
            found += top_level(statement.body + statement.orelse + statement.finalbody)
    return found


def imported_modules(module: str) -> set[str]:
    """Modules of the package that a module needs to be imported itself."""
    needed: set[str] = set()
    for statement in top_level(ast.parse(path_of(module).read_text()).body):
        if isinstance(statement, ast.Import):
            needed |= {alias.name for alias in statement.names}
        else:
            base = statement.module or ""
            names = {f"{base}.{alias.name}" for alias in statement.names}
            needed |= {name if name in MODULES else base for name in names}
    return needed & set(MODULES) - {module}


def test_no_imports_in_a_circle() -> None:
    graph = {module: imported_modules(module) for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


NAMED = {"prometheus_client": "prometheus-client", "yaml": "pyyaml"}
"""Packages whose name on PyPI is another than in Python."""


SERVICE = "optalloc.service"
"""The part whose dependencies are an extra."""


NEEDED = {"uvicorn.protocols.http.httptools_impl": {"httptools"}}
"""What modules of other packages need that those packages do not."""


def foreign_imports(service: bool) -> set[str]:
    """Third-party packages that a part imports, anywhere in it, by their names on PyPI."""
    found: set[str] = set()
    for module in MODULES:
        if module.startswith(SERVICE) != service:
            continue
        for node in ast.walk(ast.parse(path_of(module).read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
                found |= NEEDED.get(node.module or "", set())
    return {NAMED.get(name, name) for name in found - sys.stdlib_module_names - {"optalloc"}}


def test_dependencies_are_those_that_are_imported() -> None:
    stated = {Requirement(line).name for line in project()["dependencies"]}
    extra = {Requirement(line).name for line in project()["optional-dependencies"]["service"]}
    assert foreign_imports(service=False) == stated
    assert foreign_imports(service=True) - stated == extra


def test_nothing_else_needs_the_service() -> None:
    """But the command, which imports it when it is called."""
    outside = (m for m in MODULES if not m.startswith(SERVICE))
    users = [m for m in outside if any(x.startswith(SERVICE) for x in imported_modules(m))]
    assert users == []


def test_every_dependency_has_its_reason() -> None:
    reasons = (ROOT / "CONTRIBUTING.md").read_text().partition("## Dependencies")[2]
    extras = project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["dev"], *extras["service"]]:
        assert re.search(rf"^\| .*\b{Requirement(line).name}\b.* \|", reasons, re.M), line


def test_the_lock_keeps_the_stated_ranges() -> None:
    extras = project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["dev"], *extras["service"]]:
        wanted = Requirement(line)
        pins = locked().get(wanted.name.lower(), [])
        assert pins, f"{wanted.name} is not locked"
        for pin in pins:
            (exact,) = pin.specifier
            assert exact.operator == "=="
            assert Version(exact.version) in wanted.specifier, f"{pin} is not in {wanted}"


def test_every_pin_has_hashes_and_no_file_names_an_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert len(blocks) == sum(map(len, locked().values()))
    assert all("--hash=sha256:" in block for block in blocks)
    for name in ("requirements.lock", "pyproject.toml"):
        assert "index-url" not in (ROOT / name).read_text()
    assert "://" not in text


def test_every_module_is_in_a_package() -> None:
    """A folder without ``__init__.py`` would be missed by what looks modules up."""
    found = {m.name for m in pkgutil.walk_packages(optalloc.__path__, "optalloc.")}
    assert found | {"optalloc"} == set(MODULES)
