"""Seeded instances of realistic scenarios, of any size."""

from optalloc.generators.registry import Scenario, generate, scenarios

__all__ = ["Scenario", "generate", "scenarios"]
