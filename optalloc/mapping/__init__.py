"""Rank mapping: which rank of a group runs on which device, so that traffic travels little.

State the `Traffic` (a graph; `parallel_traffic` makes that of data, tensor and pipeline
parallelism) and the `Machine` (a hierarchy, a tree of domains, a torus, any distances), and
`map_ranks` returns a `Mapping`: an assignment, its cost, and a proven bound.
"""

from __future__ import annotations

from optalloc.mapping.evaluating import cost
from optalloc.mapping.files import read_assignment, read_metis, read_qaplib, write_assignment
from optalloc.mapping.gangs import GangMapping, map_gang
from optalloc.mapping.machine import Machine
from optalloc.mapping.mapping import Mapping, map_ranks
from optalloc.mapping.parallel import Model, model_traffic, parallel_traffic, ring_traffic
from optalloc.mapping.rings import ring_length, ring_order
from optalloc.mapping.traffic import Traffic

__all__ = [
    "GangMapping",
    "Machine",
    "Mapping",
    "Model",
    "Traffic",
    "cost",
    "map_gang",
    "map_ranks",
    "model_traffic",
    "parallel_traffic",
    "read_assignment",
    "read_metis",
    "read_qaplib",
    "ring_length",
    "ring_order",
    "ring_traffic",
    "write_assignment",
]
