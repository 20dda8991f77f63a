"""Terms that no goal needs so far are encoded as exactly as those that some goal is made of."""

from __future__ import annotations

import pytest
import term_laws

from optalloc.formulation.registry import policy_classes

SEEDS = 8


@pytest.mark.parametrize("kind", policy_classes())
def test_random_metrics_are_encoded_exactly(kind: str) -> None:
    """On every side that they have, in both forms, at decisions feasible or not."""
    compared = [term_laws.check(policy_classes()[kind], seed) for seed in range(SEEDS)]
    assert sum(compared) > 0
