"""Why a request is refused, as HTTP says it."""

from __future__ import annotations

from collections.abc import Sequence

from optalloc.instance.errors import InstanceError, OptallocError
from optalloc.oracle.answers import Taken, Unknown, Unverified


class Refused(OptallocError):
    """A request that is not carried out.

    Parameters
    ----------
    status
        Of the HTTP answer.
    message
        What is wrong and what was expected.
    problems
        Pairs of a path in the request and what was expected there.
    retry
        Whether the same request can succeed in a moment.
    """

    def __init__(
        self,
        status: int,
        message: str,
        problems: Sequence[tuple[str, str]] = (),
        retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.problems, self.retry = status, tuple(problems), retry


def refused(error: OptallocError) -> Refused:
    """Say an error of the oracle as HTTP does."""
    match error:
        case Refused():
            return error
        case InstanceError():
            return Refused(422, str(error), error.problems)
        case Unknown():
            return Refused(404, str(error))
        case Unverified():
            return Refused(503, f"{error}; nothing was decided")
        case Taken():
            return Refused(409, str(error))
        case _:
            return Refused(422, str(error))
