"""Connections of the server: parsed by compiled code, in bounded memory and time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD = 64 * 1024
"""Bytes of a request's head, and those between two pieces of its body or after the last."""


class Connection(HttpToolsProtocol):
    """A connection whose client has to state its requests, and to read its answers, in time.

    Heads that do not end are answered by 400, where the parser would keep all of them.

    Attributes
    ----------
    seconds
        From when the server waits for a request until all of its head is there, and in which at
        least a part of an answer has to be read.
    """

    seconds = 10.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asking: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._waits_since = 0.0
        self._read, self._in_head = 0, True

    # -- in time -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._asking, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def _wait(self) -> None:
        self._waits_since = self.loop.time()
        if self._asking is None:
            self._asking = self.loop.call_later(self.seconds, self._late)

    def _late(self) -> None:
        self._asking = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return
        left = self._waits_since + self.seconds - self.loop.time()
        if left > 0:
            self._asking = self.loop.call_later(left, self._late)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._follow(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()

    def _follow(self, left: int) -> None:
        self._reading = self.loop.call_later(self.seconds, self._unread, left)

    def _unread(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._follow(left)

    # -- in bounded memory ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        super().data_received(data)
        if self._read > HEAD and not self.transport.is_closing():
            self.send_400_response(f"expected a head of at most {HEAD} bytes")

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # Those after a body are no part of what is asked.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._read, self._in_head = 0, False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._read = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._read = 0
        super().on_message_complete()


def connection_within(seconds: float) -> type[Connection]:
    """The class of connections for a time limit, as the server takes it."""
    return type("Connection", (Connection,), {"seconds": seconds})
