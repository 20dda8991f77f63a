"""Every benchmark, found by looking into `benchmarks.suites`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from benchmarks import suites
from benchmarks.contract import Benchmark


@cache
def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name, sorted."""
    names = sorted(info.name for info in pkgutil.iter_modules(suites.__path__))
    modules = {name: importlib.import_module(f"{suites.__name__}.{name}") for name in names}
    return {name: module.BENCHMARK for name, module in modules.items()}
