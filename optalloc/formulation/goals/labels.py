"""Where a task may run at all: labels, device types and the memory of devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from optalloc.formulation.building import formulates
from optalloc.formulation.terms import Metric
from optalloc.instance.policy import Fault, Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem
    from optalloc.instance.model import Instance


class Labels(Policy, frozen=True, kw_only=True):
    """Tasks only on nodes that their labels, device type and device memory permit (a rule).

    A node matches ``allow[label]`` if its value is one of those listed (a node without the label
    matches none), and ``forbid[label]`` likewise; ``node``, ``device`` and the domain scopes are
    labels too. A row with a device type runs only on nodes of that type, and one that needs
    ``device_memory_gib`` only on nodes that state as much ``memory_gib`` (the need rounded up to
    0.001 GiB, the node's down). Always holds. The value is the number of replicas on nodes where
    they may not be.
    """

    is_rule: ClassVar[bool] = True
    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "replicas on nodes that their labels rule out"

    def problems(self, instance: Instance) -> Iterator[Fault]:
        if self.weight is not None:
            yield ".weight", "expected none: label rules cannot be soft"


@formulates(Labels)
def build_labels(policy: Labels, problem: Problem) -> Metric:
    """No terms: pairs that labels rule out are not decisions at all."""
    return Metric()
