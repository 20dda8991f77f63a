"""Number of nodes in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from optalloc.formulation.building import formulates
from optalloc.formulation.loads import in_use
from optalloc.formulation.terms import Metric
from optalloc.instance.policy import Policy

if TYPE_CHECKING:
    from optalloc.formulation.problem import Problem


class Nodes(Policy, frozen=True, kw_only=True):
    """Number of nodes that host at least one replica."""

    merges_nodes: ClassVar[bool] = True
    summary: ClassVar[str] = "nodes in use"


@formulates(Nodes)
def build_nodes(policy: Nodes, problem: Problem) -> Metric:
    """Steps of the nodes in use."""
    return Metric(((1, in_use(problem, np.ones(problem.columns.nodes, np.int64))),))
