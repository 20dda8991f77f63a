"""Every policy class by name: the goals and rules that an instance can state.

The classes live in `optalloc.formulation.goals`, one module a family, and appear here by
themselves; ``policies.pyi`` repeats their names for type checkers.
"""

from __future__ import annotations

from optalloc.formulation.registry import policy_classes

_CLASSES = dict(sorted((cls.__name__, cls) for cls in policy_classes().values()))

globals().update(_CLASSES)
__all__ = list(_CLASSES)
