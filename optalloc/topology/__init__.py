"""Topology: fabrics as graphs, their trees of domains, generators, importers, exporters."""

from __future__ import annotations

from optalloc.topology.domains import Domains, Level
from optalloc.topology.fabric import Fabric, Link, Speed

__all__ = ["Domains", "Fabric", "Level", "Link", "Speed"]
