"""Mutants that change nothing that an answer could show, and why."""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
"""Reason by function, line and change."""
