"""What type checkers say of programs that use optalloc."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
USES = """
from collections import OrderedDict
from typing import assert_type

from optalloc import Group
from optalloc.policies import Dependency, Spread

cores = {"cpu": 4}
costs = [1, 2]
spread = [Spread(groups=["web"], scope="rack", domains=2)]
stated = Instance(
    nodes=[Node(name=name, capacity=cores, domains=OrderedDict(rack=name)) for name in "ab"],
    tasks=(Task(name="t", cost=costs, allow={"rack": ["a"]}, current=["a"], groups=["web"]),),
    groups=[Group(name="web"), Group(name="db")],
    configurations={"shared": table},
    policies=spread,
)
Dependency(pairs=[("web", "db")], scope="rack")
assert_type(stated.nodes, tuple[Node, ...])
assert_type(stated.tasks[0].configurations, tuple[Configuration, ...] | str)
assert_type(stated.tasks[0].allow, dict[str, tuple[str, ...]])
assert_type(jobs.groups, tuple[str, ...])
"""
WRONG = """
Instance(nodes=[jobs])
cluster.nodes = ()
Task(name="t", demand=[1])
"""


def checked(program: str, folder: Path) -> str:
    """What `mypy --strict` prints of a program."""
    path = folder / "program.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(path)],
        cwd=ROOT,
        env={**os.environ, "MYPY_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_instances_are_stated_as_lists_and_read_as_tuples(tmp_path: Path) -> None:
    """The README's examples, and what else users state; what is wrong is found."""
    text = (ROOT / "README.md").read_text()
    example = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    said = checked(example + USES + WRONG, tmp_path).splitlines()
    first = len((example + USES).splitlines()) + 2
    places = [re.sub(r".*?:(\d+): error: .*  \[(.*)\]", r"\1 \2", line) for line in said[:-1]]
    assert places == [f"{first} list-item", f"{first + 1} misc", f"{first + 2} arg-type"]
