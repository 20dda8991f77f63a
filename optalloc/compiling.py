"""Compiled functions whose machine code is kept on disk, and soon there again in a new process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

Function = TypeVar("Function", bound=Callable[..., Any])


class _Cache(FunctionCache):
    """Machine code on disk, loaded without all that only a compiler needs to know.

    Numba registers everything that it can compile before it looks for machine code: a third of the
    time that a search takes to start. What is not found is compiled, and registered for that.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)  # type: ignore[no-untyped-call]


def kept(function: Function, **options: Any) -> Function:
    """Compile a function when it is first called, and keep its machine code on disk.

    Parameters
    ----------
    options
        Of `numba.njit`.
    """
    made = njit(function, **options)
    if not hasattr(made, "enable_caching"):
        # Numba is told to compile nothing.
        return cast(Function, made)
    if hasattr(FunctionCache, "_load_overload"):
        made._cache = _Cache(function)  # type: ignore[no-untyped-call]
    else:
        # Another numba than this was written for: slower to start, and else the same.
        made.enable_caching()
    return cast(Function, made)
