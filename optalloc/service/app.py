"""The application: requests in, answers out, and everything that keeps bad ones away."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Node, Task
from optalloc.instance.schema_walk import Walk
from optalloc.oracle.answers import Unverified
from optalloc.oracle.oracle import Oracle
from optalloc.service import asked as a
from optalloc.service.errors import Refused, refused
from optalloc.service.figures import Figures
from optalloc.service.improving import Improver
from optalloc.service.logs import LOG, REQUESTS, log
from optalloc.service.mailbox import Mailbox
from optalloc.service.metrics import Metrics
from optalloc.service.openapi import (
    DEADLINE,
    DEADLINES,
    KEY,
    KNOWN,
    LONGEST_KEY,
    VERSION,
    VERSIONS,
    document,
)
from optalloc.service.page import Page
from optalloc.service.routes import ROUTES, Path
from optalloc.service.tokens import Role, Tokens
from optalloc.service.turn import Turn
from optalloc.service.watching import EVERY_S, Watch
from optalloc.service.writer import Command, Reply, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from optalloc.oracle.improving import Plan

NO_JSON = msgspec.DecodeError, UnicodeDecodeError, RecursionError
COPIES = 8
"""Requests at a time that work on a copy of the state."""


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take.

    Parameters
    ----------
    body
        Bytes of a body.
    tasks
        Tasks, moves or nodes in one request.
    replicas
        Of a task.
    nodes
        That join in one request, or all of them that counts stand for.
    queue
        Requests that wait.
    seconds
        Until a request is answered, and the longest deadline it can ask for.
    """

    body: int = 4 * 2**20
    tasks: int = 1_000
    replicas: int = 100_000
    nodes: int = 10_000
    queue: int = 1_000
    seconds: float = 10.0


class Service:
    """The oracle's application.

    Parameters
    ----------
    writer
        Carries requests out.
    tokens
        Who may do what; None: everybody may do everything.
    limits
        What requests may take.
    improver
        Looks for better places.
    """

    def __init__(
        self,
        writer: Writer,
        tokens: Tokens | None,
        limits: Limits,
        metrics: Metrics,
        improver: Improver,
    ) -> None:
        self.writer, self.tokens, self.limits, self.metrics = writer, tokens, limits, metrics
        self.improver, self.figures = improver, Figures(writer, improver)
        self._aside, self._copies = ThreadPoolExecutor(1, "aside"), 0
        self._encode = msgspec.json.Encoder()
        self.watch = Watch()
        self._told: dict[str, tuple[str, bytes]] = {}
        self._mailboxes = WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox]()

    def app(self) -> ASGIApp:
        """The application for a server."""
        routes = [
            Route(
                path.path.replace("{name}", "{name:path}"),
                partial(self._answer, path),
                methods=[path.method],
            )
            for path in ROUTES
        ] + Page().routes()
        app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._no_route},
        )
        app.router.redirect_slashes = False

        # Most requests need no routing.
        straight: dict[tuple[Any, Any], ASGIApp] = {
            (path.method, path.path): partial(self._straight, path)
            for path in ROUTES
            if "{" not in path.path
        }

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            asked = scope.get("method"), scope.get("path")
            await self._observed(straight.get(asked, app), scope, receive, send)

        return observed

    async def _straight(self, path: Path, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(path, Request(scope, receive, send))
        await answer(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        sampling = asyncio.create_task(self._sampled())
        yield
        sampling.cancel()
        await asyncio.to_thread(self.close)

    async def _sampled(self) -> None:
        """Remember every few seconds how things stand."""
        while True:
            await self.sample()
            await asyncio.sleep(EVERY_S)

    async def sample(self) -> None:
        """Remember how things stand."""
        queue = self.writer.waiting
        if now := await self._standing():
            self.watch.sample(now, queue)

    def close(self) -> None:
        """Answer what is under way, and close the journal."""
        self.improver.close()
        self._aside.shutdown()
        self.writer.close()

    async def _observed(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Measure and log a request."""
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def told(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await app(scope, receive, told)
        seconds = time.perf_counter() - started
        path = scope.get("optalloc_path", "other")
        self.metrics.answered(path, status, seconds)
        if REQUESTS.isEnabledFor(logging.INFO):
            log(
                "request",
                REQUESTS,
                method=scope["method"],
                path=path,
                status=status,
                ms=round(1000 * seconds, 3),
            )

    async def _no_route(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = self._error(Refused(error.status_code, error.detail))
        answer.headers.update(error.headers or {})
        return answer

    # -- one request ---------------------------------------------------------------------------

    async def _answer(self, path: Path, request: Request) -> Response:
        request.scope["optalloc_path"] = path.name
        try:
            self._allow(path, request)
            if path.how == "service":
                return await self._of_service(path)
            return await self._of_oracle(path, request)
        except OptallocError as error:
            return self._error(refused(error))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001  (the border to the user: nothing passes it)
            self.failed(error)
            return self._error(Refused(503, "an internal error; nothing was decided"))

    def failed(self, error: BaseException) -> None:
        """Count and log an error that should not be."""
        self.metrics.failures.inc()
        if isinstance(error, Unverified):
            self.metrics.unverified.inc()
        LOG.error("failure", exc_info=error)

    def _allow(self, path: Path, request: Request) -> None:
        site = request.headers.get("sec-fetch-site", "same-origin")
        if path.method == "POST" and site not in ("same-origin", "none"):
            # A browser that shows somebody else's page: nobody who may ask meant to.
            raise Refused(403, f"expected a request of this service's own page, got a {site} one")
        if self.tokens is None and not _own(request.headers.get("host", "")):
            # A name that anybody can point here: their page would pass for this one's.
            raise Refused(403, "expected a Host that is this machine, such as localhost")
        if self.tokens is None or not path.role:
            return
        role = self.tokens.role(request.headers.get("authorization", ""))
        if role is Role.NOBODY:
            raise Refused(401, "expected 'Authorization: Bearer TOKEN' with a known token")
        if role < path.role:
            said = f"expected a token with the role {path.role.name.lower()}"
            raise Refused(403, f"{said}, got one with {role.name.lower()}")

    async def _of_service(self, path: Path) -> Response:
        match path.name:
            case "openapi.json":
                return Response(document(), media_type="application/json")
            case "metrics":
                text = self.metrics.text(await self._standing(), self.writer.waiting)
                return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
            case "plan":
                planned = self.improver.planned()
                return self._made(planned, planned.version)
            case "readyz" if self.writer.lost:
                raise Refused(503, "the journal cannot be written")
        return self._made(a.Health(status="ok"), None)

    async def _standing(self) -> a.Standing | None:
        turn = Turn(self.limits.seconds)
        try:
            found = await self._carried_out(Command(self.figures.take, turn))
        except Refused:
            return None
        return await asyncio.to_thread(self.figures.told, *found)

    async def _of_oracle(self, path: Path, request: Request) -> Response:
        started, turn = time.perf_counter(), Turn(self._seconds(request))
        if path.tagged:
            return await self._viewed(path, request, turn)
        body = await self._body(request, turn)
        asked = self._asked(path, body)
        if path.how == "improve":
            return await self._improved(request, asked, turn)
        if path.how == "change":
            command = self._change(path, request, body, asked, turn)
            reply = await self._carried_out(command)
            self._count(path, asked, reply, time.perf_counter() - started)
            return self._sent(reply.body, reply.version, reply.repeated)
        assert path.run is not None
        if path.how == "fork":
            run = partial(self._worked, path.run, asked)
            return await self._on_a_copy(run, turn)
        run = partial(_ask, path.run, [*request.path_params.values()])
        answer = await self._carried_out(Command(run, turn))
        if isinstance(answer, a.Standing):
            answer = self.figures.told(answer)
        return self._made(answer, answer.version)

    async def _viewed(self, path: Path, request: Request, turn: Turn) -> Response:
        """Answer what many ask again and again: once while it stays the same."""
        assert path.run is not None
        words = None
        if path.how == "watch":
            tag, words = path.run(self.watch, self.writer.waiting)
        else:
            tag = str(self.writer.oracle.version)
        if request.headers.get(KNOWN) == f'"{tag}"':
            return Response(status_code=304, headers={"ETag": f'"{tag}"'})
        if self._told.get(path.name, ("", b""))[0] != tag:
            words = words or await self._carried_out(Command(path.run, turn))
            self._told[path.name] = await asyncio.to_thread(_in_words, tag, words)
        tag, body = self._told[path.name]
        return self._sent(body, tag)

    async def _on_a_copy(self, run: Callable[[Any], Any], turn: Turn) -> Response:
        """Work on a copy of the state in a thread of its own, until the deadline."""
        if self._copies >= COPIES:
            said = f"{COPIES} requests that need a copy of the state wait already"
            raise Refused(429, said, retry=True)
        self._copies += 1
        work: asyncio.Future[tuple[bytes, int]] | None = None
        try:
            fork = await self._carried_out(Command(Oracle.fork, turn))
            work = asyncio.get_running_loop().run_in_executor(self._aside, run, fork)
            return self._sent(*await self._in_time(work, turn))
        finally:
            if work is None or work.done():
                self._copied(None)
            else:
                work.add_done_callback(self._copied)

    async def _improved(self, request: Request, asked: a.Improve, turn: Turn) -> Response:
        """Look for better places in a process of its own, which may take longer than others."""
        if DEADLINE not in request.headers:
            turn.deadline += self.improver.longest(asked.seconds)
        work = asyncio.wrap_future(self.improver.improve(asked, turn))
        plan: Plan = await self._in_time(work, turn)
        return self._made(plan, plan.version)

    def _copied(self, _: Any) -> None:
        self._copies -= 1

    def _worked(self, run: Callable[..., Any], asked: Any, fork: Any) -> tuple[bytes, int]:
        answer = run(fork, asked)
        return msgspec.json.encode(answer), answer.version

    async def _in_time(self, work: asyncio.Future[Any], turn: Turn) -> Any:
        """Wait for work that changes nothing, until the deadline."""
        left = max(turn.deadline - time.monotonic(), 0)
        done, _ = await asyncio.wait({work}, timeout=left)
        if not done:
            work.add_done_callback(lambda w: w.cancelled() or w.exception())
            raise Refused(503, "the deadline has passed", retry=True)
        return work.result()

    async def _carried_out(self, command: Command) -> Any:
        """Wait for the writer; at the deadline only where it has not begun to carry it out."""
        loop = asyncio.get_running_loop()
        waits: asyncio.Future[Any] = loop.create_future()
        mailbox = self._mailboxes.setdefault(loop, Mailbox())
        self.writer.submit(command).add_done_callback(partial(mailbox.post, waits))
        left = max(command.turn.deadline - time.monotonic(), 0)
        timer = loop.call_later(left, _expire, command, waits)
        try:
            return await waits
        finally:
            timer.cancel()

    # -- what a request states -----------------------------------------------------------------

    def _change(self, path: Path, request: Request, body: bytes, asked: Any, turn: Turn) -> Command:
        run = self.improver.apply if path.run is None else path.run
        key = request.headers.get(KEY)
        if key is not None and not 0 < len(key) <= LONGEST_KEY:
            raise Refused(400, f"expected {KEY} of 1 to {LONGEST_KEY} characters")
        expected = request.headers.get(VERSION)
        if expected is not None and not re.fullmatch(VERSIONS, expected):
            raise Refused(400, f"expected a version as {VERSION}, got {expected!r}")
        return Command(
            run=partial(_carry_out, run, asked, turn),
            turn=turn,
            key=key,
            asked=b"%b %b" % (path.name.encode(), body),
            expected=None if expected is None else int(expected.strip('"')),
            tasks=asked.tasks if isinstance(asked, a.Place) and not asked.together else (),
        )

    def _seconds(self, request: Request) -> float:
        stated = request.headers.get(DEADLINE)
        if stated is None:
            return self.limits.seconds
        if not re.fullmatch(DEADLINES, stated):
            raise Refused(400, f"expected whole milliseconds as {DEADLINE}, got {stated!r}")
        return min(int(stated) / 1000, self.limits.seconds)

    async def _body(self, request: Request, turn: Turn) -> bytes:
        if request.method == "GET":
            return b""
        said = f"expected a body of at most {self.limits.body} bytes"
        stated = request.headers.get("content-length", "0")
        if stated.isdecimal() and int(stated) > self.limits.body:
            raise Refused(413, said)
        found = bytearray()
        try:
            async with asyncio.timeout(max(turn.deadline - time.monotonic(), 0)):
                async for piece in request.stream():
                    found += piece
                    if len(found) > self.limits.body:
                        raise Refused(413, said)
        except TimeoutError:
            raise Refused(408, "the body did not come before the deadline", retry=True) from None
        return bytes(found)

    def _asked(self, path: Path, body: bytes) -> Any:
        if path.asked is None:
            return a.Nothing()
        if path.bodiless and not body:
            return path.asked()
        try:
            asked = msgspec.json.decode(body, type=path.asked)
        except msgspec.ValidationError as error:
            raise self._wrong(path.asked, body, error) from None
        except NO_JSON as error:
            raise Refused(400, f"expected JSON: {error}") from None
        for name in asked.__struct_fields__:
            listed = getattr(asked, name)
            if isinstance(listed, Task):
                self._limit_replicas(name, listed)
            if isinstance(listed, a.Told):
                for k, one in enumerate(listed.tasks):
                    self._limit_replicas(f"{name}.tasks[{k}]", one)
            if not isinstance(listed, tuple):
                continue
            if len(listed) > self.limits.tasks:
                said = f"expected at most {self.limits.tasks} in one request, got {len(listed)}"
                raise Refused(413, said, [(name, said)])
            for k, one in enumerate(listed):
                if isinstance(one, Task):
                    self._limit_replicas(f"{name}[{k}]", one)
            self._limit_nodes(name, [one for one in listed if isinstance(one, Node)])
        return asked

    def _limit_nodes(self, path: str, nodes: list[Node]) -> None:
        number = sum(max(node.count, 0) for node in nodes)
        if number > self.limits.nodes:
            said = f"expected at most {self.limits.nodes} nodes in one request, got {number}"
            raise Refused(413, said, [(path, said)])

    def _limit_replicas(self, path: str, task: Task) -> None:
        rows = [] if isinstance(task.configurations, str) else task.configurations
        most = max([task.replicas, *(row.replicas for row in rows)])
        if most > self.limits.replicas:
            said = f"expected at most {self.limits.replicas} replicas, got {most}"
            raise Refused(422, f"{path}: {said}", [(f"{path}.replicas", said)])

    def _wrong(self, asked: type[Any], body: bytes, error: Exception) -> Refused:
        """List all that is wrong with a body's types."""
        try:
            faults = Walk(msgspec.json.decode(body), asked).faults
        except NO_JSON as no_json:
            return Refused(400, f"expected JSON: {no_json}")
        told = "\n".join(f"{path}: {what}" for path, what in faults)
        return Refused(422, told or str(error), faults)

    # -- answers -------------------------------------------------------------------------------

    def _count(self, path: Path, asked: Any, reply: Reply, seconds: float) -> None:
        if reply.answers is None:
            return
        if isinstance(asked, a.Place):
            self.metrics.placed.inc(len(reply.answers.decisions))
            self.metrics.refused.inc(len(reply.answers.refusals))
            self.watch.decided(path.name, asked.tasks, reply.answers, seconds)
        elif isinstance(asked, a.Resize):
            self.watch.decided(path.name, (asked.task,), reply.answers, seconds)

    def _made(self, answer: Any, version: int | None) -> Response:
        return self._sent(self._encode.encode(answer), version)

    def _sent(self, body: bytes, version: int | str | None, repeated: bool = False) -> Response:
        headers = {} if version is None else {"ETag": f'"{version}"'}
        if repeated:
            headers["Idempotent-Replayed"] = "true"
        return Response(body, media_type="application/json", headers=headers)

    def _error(self, error: Refused) -> Response:
        problems = tuple(a.Problem(path=path, message=what) for path, what in error.problems)
        said = a.Error(status=error.status, message=str(error), problems=problems)
        headers = {"ETag": f'"{self.writer.oracle.version}"'}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.retry:
            headers["Retry-After"] = "1"
        body = self._encode.encode(said)
        return Response(body, error.status, headers, media_type="application/json")


def _carry_out(run: Callable[..., Any], asked: Any, turn: Turn, oracle: Any) -> Any:
    return run(oracle, asked, turn)


def _expire(command: Command, waits: asyncio.Future[Any]) -> None:
    """Stop waiting for the writer at the deadline, if it has not begun."""
    if not waits.done() and command.turn.expire():
        said = "the deadline has passed and nothing was decided"
        waits.set_exception(Refused(503, said, retry=True))


def _ask(run: Callable[..., Any], arguments: list[str], oracle: Any) -> Any:
    return run(oracle, *arguments)


def _in_words(tag: str, words: Callable[[], Any]) -> tuple[str, bytes]:
    told = words()
    return str(getattr(told, "version", tag)), msgspec.json.encode(told)


def _own(host: str) -> bool:
    """Whether a Host header names this machine: an address, or a name that is not of the DNS."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return name.startswith("[") or "." not in name or name.replace(".", "").isdecimal()
