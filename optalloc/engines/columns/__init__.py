"""Columns: contents of whole nodes by class, a bound and an answer for any number of copies."""

from __future__ import annotations

import importlib.util

from optalloc.engines.columns.tables import ClassTables
from optalloc.engines.protocol import Form, Job, Session


class Columns:
    """Column generation over contents of nodes."""

    name = "columns"
    summary = "column generation over classes of nodes and tasks, or knapsacks, with a bound"
    form: Form = "classes"
    needs_start = False

    def available(self) -> bool:
        """Whether numba and HiGHS are installed."""
        return all(importlib.util.find_spec(name) is not None for name in ("numba", "highspy"))

    def open(self, model: ClassTables, job: Job) -> Session:
        """Prepare; the first time on a machine it is compiled on the way."""
        from optalloc.engines.columns.session import ColumnsSession

        return ColumnsSession(model, job)


ENGINES = (Columns(),)
