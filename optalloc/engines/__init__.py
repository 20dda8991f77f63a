"""Engines: each finds placements and bounds for the same problem.

An engine module holds ``ENGINE`` and is found by looking into this package; `engine_names` lists
what is installed.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from optalloc.engines.protocol import Engine
from optalloc.instance.errors import OptallocError

AUTO = "auto"
GREEDY = "greedy"
LOCAL = "local"
COLUMNS = "columns"
LEVELLING = "levelling"


@cache
def engines() -> dict[str, Engine]:
    """All engines that minimise a finished model, by name."""
    found: dict[str, Engine] = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for engine in getattr(loaded, "ENGINES", ()):
            found[engine.name] = engine
    return dict(sorted(found.items()))


def engine_names() -> list[str]:
    """Names that `solve` takes and that can run here."""
    return [AUTO, GREEDY, *(name for name, engine in engines().items() if engine.available())]


def engine(name: str) -> Engine:
    """Find an engine by name.

    Raises
    ------
    OptallocError
        If there is none of this name, or its libraries are not installed.
    """
    found = engines().get(name)
    if found is None:
        from optalloc.engines import pulp_door

        found = pulp_door.by_name(name)
    if found is None:
        raise OptallocError(f"no engine {name!r}; there are {', '.join(engine_names())}")
    if not found.available():
        raise OptallocError(f"engine {name!r} is not installed: {found.summary}")
    return found
