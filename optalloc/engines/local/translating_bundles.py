"""From needs to bundles: who is bound by them, and which nodes lie in one domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from optalloc.engines.local.translating_needs import lists


def bundle_tables(made: Mapping[str, Any]) -> dict[str, Any]:
    """Make the tables of group moves from those of tasks and needs."""
    start, domain = made["member_start"].astype(np.int64), made["need_domain"]
    # All blocks of a class are in the same populations.
    block = made["choice_block"][made["class_choice"][made["slot_class"]]]
    count = np.diff(start)[block]
    slot = np.repeat(np.arange(block.size), count)
    member = np.arange(slot.size) + np.repeat(start[block] - np.cumsum(count) + count, count)
    bound = np.stack([made["member_population"][member], slot], axis=1)
    first = np.concatenate([[0], np.cumsum(domain.max(axis=1, initial=-1) + 1)])
    scope, node = np.nonzero(domain >= 0)
    site = np.stack([first[scope] + domain[scope, node], node], axis=1)
    return {
        **lists("bound_start", "bound_slot", bound, made["population_scope"].size),
        "scope_site": first[:-1].astype(np.int32),
        **lists("site_start", "site_node", site, int(first[-1])),
    }
