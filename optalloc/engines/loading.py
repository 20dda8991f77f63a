"""What engines read, made of a problem once, with the way back from their answers to placements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from optalloc.engines.protocol import Form, IntArray, Subject
from optalloc.formulation.encoding import Encoding, encode
from optalloc.formulation.problem import Problem
from optalloc.formulation.sparse import SparseModel, finish
from optalloc.formulation.translating import from_placement, to_placement
from optalloc.instance.placement import Placement


class Loaded(Protocol):
    """A subject with its translations."""

    @property
    def model(self) -> Subject:
        """What an engine reads."""
        ...

    def placement(self, values: IntArray) -> Placement:
        """Expand the values of an `Incumbent`."""
        ...

    def values(self, placement: Placement) -> IntArray | None:
        """Find the values of a placement; None where the subject has none for it."""
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A finished model with its encoding; its values are those of the decision columns."""

    encoding: Encoding
    model: SparseModel

    def placement(self, values: IntArray) -> Placement:
        """Expand decision columns."""
        return to_placement(self.encoding, values)

    def values(self, placement: Placement) -> IntArray | None:
        """Find the decision columns of a placement."""
        values = from_placement(self.encoding, placement)
        return None if values is None else values[: self.model.decisions]


def load(problem: Problem, form: Form, deadline: float = float("inf")) -> Loaded:
    """Make what engines of a form read.

    Raises
    ------
    OutOfTime
        When the deadline (of `time.monotonic`) passes meanwhile.
    ModelTooLarge
        When its numbers are too large for the form.
    Unsupported
        When the compiled searches or classes have no form for the problem.
    """
    if form == "tables":
        from optalloc.engines.local.loading import load_tables

        return load_tables(problem)
    if form == "classes":
        from optalloc.engines.columns.loading import load_classes

        return load_classes(problem)
    if form == "peaks":
        from optalloc.engines.levelling.loading import load_fleet

        return load_fleet(problem)
    encoding = encode(problem, form, deadline)
    return LoadedModel(encoding, finish(encoding))
