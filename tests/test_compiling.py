"""Compiled functions are soon there again in a new process, and those that are not are compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from optalloc.compiling import kept

def twice(x):
    return 2 * x

def inner(x):
    return x + 1

twice, inner = kept(twice), kept(inner)

def outer(x):
    return inner(twice(x))
"""


def _run(folder: Path, program: str) -> str:
    file = folder / "program.py"
    if not file.exists():
        file.write_text(PROGRAM)
    os.utime(file, (1, 1))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


SIMPLE = """
import sys, program
print(program.twice(3), len(program.twice.stats.cache_hits), "scipy.linalg" in sys.modules)
"""
CALLER = "import program; program.twice(3); print(program.kept(program.outer)(3))"


def test_machine_code_is_found_again_and_read_without_what_compiling_takes(tmp_path: Path) -> None:
    first, again = _run(tmp_path, SIMPLE), _run(tmp_path, SIMPLE)
    assert first.split()[:2] == ["6", "0"]
    assert again.split() == ["6", "1", "False"]


def test_a_function_that_is_not_found_is_compiled_after_others_were_read(tmp_path: Path) -> None:
    _run(tmp_path, SIMPLE)
    assert _run(tmp_path, CALLER) == "7"
