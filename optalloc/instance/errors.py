"""Errors that optalloc raises: what is the user's to mend, and what is an engine's."""

from __future__ import annotations

from collections.abc import Sequence


class OptallocError(Exception):
    """Base of the errors that optalloc raises: bad input, impossible requests, failed engines."""


class EngineFailure(OptallocError):
    """Engines failed and nothing was found: no fault of the input, which another may solve."""


class InstanceError(OptallocError):
    """The input states something that cannot be: lists every problem found.

    Parameters
    ----------
    problems
        Pairs of where (a path such as ``tasks[3].demand.gpu``) and what was expected there.
    source
        File or object in which they were found.
    """

    def __init__(self, problems: Sequence[tuple[str, str]], source: str = "") -> None:
        self.problems = tuple(problems)
        self.source = source
        lines = [f"{path}: {message}" if path else message for path, message in self.problems]
        head = f"{len(lines)} problem{'s' if len(lines) != 1 else ''}"
        super().__init__("\n".join([f"{head} in {source or 'the instance'}", *lines]))
