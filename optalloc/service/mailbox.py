"""Replies on their way from the writer's thread to the coroutines that wait for them."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any


class Mailbox:
    """Hands replies to a loop: all that come before it looks for one wake it up once."""

    def __init__(self) -> None:
        self._posted: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()

    def post(self, waits: asyncio.Future[Any], reply: Future[Any]) -> None:
        """Let the loop know of a reply; from any thread."""
        self._posted.append((waits, reply))
        # Where there is more, the loop was woken up for it and has not looked yet.
        if len(self._posted) == 1 and not waits.get_loop().is_closed():
            waits.get_loop().call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._posted:
            waits, reply = self._posted.popleft()
            if waits.done():
                continue
            if error := reply.exception():
                waits.set_exception(error)
            else:
                waits.set_result(reply.result())
