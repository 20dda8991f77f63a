"""Every shape and fold keeps the laws that tie its faces together."""

from __future__ import annotations

import pytest
import shape_laws
from shape_cases import GENERATORS, registered

SEEDS = 45
WANTED = 200
"""Random aggregates (or folds of some) for each shape, at least."""


def test_every_shape_and_fold_has_a_generator() -> None:
    assert set(registered().values()) == set(GENERATORS)


@pytest.mark.parametrize("name", registered())
def test_every_law_holds(name: str) -> None:
    """On random aggregates of free columns with random bounds."""
    cases = 0
    for seed in range(SEEDS):
        drawn = shape_laws.drawn(name, seed)
        cases += drawn.reference(drawn.box[0]).size
        try:
            shape_laws.check(name, seed)
        except AssertionError as error:
            raise AssertionError(f"{name}, seed {seed}: {error}") from error
    assert cases >= WANTED
