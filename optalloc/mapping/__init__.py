"""Rank mapping: which rank of a group runs on which device, so that traffic travels little.

State the `Traffic` (a graph; `parallel_traffic` makes that of data, tensor and pipeline
parallelism) and the `Machine` (a hierarchy, a tree of domains, a torus, any distances), and
`map_ranks` returns a `Mapping`: an assignment, its cost, and a proven bound.
"""

from __future__ import annotations

from optalloc.mapping.evaluating import cost
from optalloc.mapping.files import read_assignment, read_metis, read_qaplib, write_assignment
from optalloc.mapping.machine import Machine
from optalloc.mapping.mapping import Mapping, map_ranks
from optalloc.mapping.traffic import Traffic

__all__ = [
    "Machine",
    "Mapping",
    "Traffic",
    "cost",
    "map_ranks",
    "read_assignment",
    "read_metis",
    "read_qaplib",
    "write_assignment",
]
