"""Local search: simulated annealing over whole placements, compiled, from the same terms."""

from __future__ import annotations

import importlib.util

from optalloc.engines.local.tables import Tables
from optalloc.engines.protocol import Form, Job, Session


class Local:
    """Simulated annealing; proves nothing, and begins anywhere."""

    name = "local"
    summary = "compiled local search, no bounds"
    form: Form = "tables"
    needs_start = False

    def available(self) -> bool:
        """Whether numba is installed."""
        return importlib.util.find_spec("numba") is not None

    def open(self, model: Tables, job: Job) -> Session:
        """Prepare the search; the first time on a machine it is compiled here."""
        from optalloc.engines.local.search import LocalSession

        return LocalSession(model, job)


ENGINES = (Local(),)
