"""Schemathesis, which draws requests from the published OpenAPI document, against a server.

It is installed into a virtual environment that is made for the run. Where it cannot be had, the row
says why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.contract import Row
from benchmarks.service import serving
from benchmarks.service_fuzz import TIME_S, TOKENS, Fuzz

PACKAGE = "schemathesis==4.32.5"
LEFT_OUT = "positive_data_acceptance"
"""Schemas say nothing of names that are there, so that a good request may be refused."""
LATE = (
    "the deadline has passed",
    "the body did not come before the deadline",
    "that need a copy of the state wait already",
)
"""Deliberate answers to any request, good or bad."""
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [
    "400", "401", "403", "404", "408", "409", "412", "413", "415", "422", "429", "503"
]
"""
"""A request that is wrong may be refused for another reason first, such as its deadline."""
LIMIT_S = 500.0


def environment(folder: Path) -> tuple[Path | None, str]:
    """Make a virtual environment with it; its Python, or None and why there is none."""
    inside = folder / "schemathesis" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(inside.parents[1])],
        [str(inside), "-m", "pip", "--quiet", "install", "--only-binary", ":all:", PACKAGE],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            return None, f"{PACKAGE} cannot be installed: {last}"
    return inside, ""


def tested(python: Path, instance: Path, folder: Path, examples: int, seed: int) -> Row:
    """Have a server tested: cases that were made, and failures, the first of them in words."""
    tokens = folder / "tokens"
    tokens.write_text(f"admin {TOKENS['admin']}\n")
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    options = ["--tokens", str(tokens), "--request-time", str(TIME_S)]
    with serving(instance, folder / "tested.journal", *options) as server:
        where = f"http://127.0.0.1:{server.port}/openapi.json"
        command = [str(python), "-m", "schemathesis.cli", "run", where, "--seed", str(seed)]
        command += ["--header", f"Authorization: Bearer {TOKENS['admin']}"]
        command += ["--max-examples", str(examples), "--exclude-checks", LEFT_OUT]
        command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=folder
        )
        fuzz = Fuzz(server.port, seed)
        fuzz.standing()
        fuzz.close()
        wrong = [*_failures(done.stdout), *fuzz.wrong]
    made = re.search(r"(\d+) generated", done.stdout)
    if made is None:
        raise RuntimeError(f"schemathesis says: {(done.stdout + done.stderr)[-500:]}")
    if any("Traceback" in line for line in server.said):
        wrong.append("Traceback in the logs")
    return {"requests": int(made[1]), "wrong": len(wrong), "first_wrong": wrong[:5]}


def _failures(text: str) -> Iterator[str]:
    """What a report says in its parts on operations, but for what came after its deadline."""
    where, said = "", list[str]()
    for line in text.splitlines():
        if found := re.fullmatch(r"_+ ([A-Z]+ \S+) _+", line):
            where = found[1]
        elif line.startswith("- ") and where:
            said.append(f"{where}: {line[2:]}")
        elif line.strip() == "Reproduce with:":
            yield from said
            said = []
        elif line.startswith("    `{") and any(late in line for late in LATE):
            said = []
