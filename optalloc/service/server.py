"""The service in a process: instance, journal, socket, and a clean end."""

from __future__ import annotations

import gc
import hashlib
import ipaddress
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from types import FrameType

import uvicorn
from msgspec.structs import replace

from optalloc.instance.errors import OptallocError
from optalloc.instance.files import dumps_instance, load_instance
from optalloc.instance.model import Instance, Task
from optalloc.instance.validation import collector_paused
from optalloc.service.app import Limits, Service
from optalloc.service.connections import connection_within
from optalloc.service.improving import Improver, Improving
from optalloc.service.journal import Founding, Journal
from optalloc.service.logs import log
from optalloc.service.metrics import Metrics
from optalloc.service.tokens import read_tokens
from optalloc.service.writer import Choosing, Writer

CONNECTIONS = 4_096
GRACE_S, BACKLOG = 10, 1_024
NEVER = Improving()
"""Better places are looked for on request only."""


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Parameters
    ----------
    instance
        File of the instance.
    objective
        As for `solve`; empty for the instance's.
    host, port
        Where to listen; port 0 takes a free one.
    journal
        File of the journal.
    tokens
        File of the tokens; None: everybody may do everything.
    certificate, key
        Files for TLS; None for plain HTTP.
    limits
        What requests may take.
    accept_end
        Whether to go on with a journal whose end may be missing.
    improving
        How better places are looked for.
    policy
        As for `Oracle`.
    expect
        File of an instance whose tasks are a sample of the requests to come.
    look_ahead
        Seconds for which a request to place waits for others.
    """

    instance: Path
    objective: str
    host: str
    port: int
    journal: Path
    tokens: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)
    accept_end: bool = False
    improving: Improving = NEVER
    policy: str = ""
    expect: Path | None = None
    look_ahead: float = 0.0


def founding(instance: Instance, objective: str) -> Founding:
    """Of what a journal has to be that goes with an instance."""
    digest = hashlib.sha256(dumps_instance(instance)).hexdigest()
    return Founding(digest, objective)


def open_service(
    instance: Instance,
    objective: str,
    journal: Path,
    limits: Limits,
    tokens: Path | None = None,
    accept_end: bool = False,
    improving: Improving = NEVER,
    choosing: Choosing = Choosing(),  # noqa: B008  (frozen)
) -> Service:
    """Start the writer on a journal; the application around it.

    Raises
    ------
    OptallocError
        For a bad file of tokens, a damaged journal, and one of another instance.
    """
    known = None if tokens is None else read_tokens(tokens)
    metrics = Metrics()
    with collector_paused():
        kept = Journal(journal, founding(instance, objective), accept_end=accept_end)
        try:
            writer = Writer(instance, objective, kept, limits.queue, choosing)
        except BaseException:
            kept.close()
            raise
    service = Service(writer, known, limits, metrics, Improver(writer, improving, metrics))
    writer.failed, writer.committed = service.failed, metrics.commits.observe
    return service


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way, and end.

    Raises
    ------
    OptallocError
        For what cannot be served: bad files, an address that is taken or open to others without
        tokens, a damaged journal.
    """
    started = time.perf_counter()
    check_address(settings)
    if settings.certificate is not None and settings.key is not None:
        _check_certificate(settings.certificate, settings.key)
    stated = load_instance(settings.instance)
    service = open_service(
        stated,
        settings.objective,
        settings.journal,
        settings.limits,
        settings.tokens,
        settings.accept_end,
        settings.improving,
        Choosing(settings.policy, sample(settings.expect), settings.look_ahead),
    )
    # What runs now stays: a look through all of it for garbage would hold everybody up.
    gc.freeze()
    try:
        listening = _listen(settings.host, settings.port)
        config = uvicorn.Config(
            service.app(),
            http=connection_within(settings.limits.seconds),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        host, port = listening.getsockname()[:2]
        oracle = service.writer.oracle

        def ready() -> None:
            log(
                "ready",
                host=host,
                port=port,
                tls=settings.certificate is not None,
                tasks=oracle.running,
                version=oracle.version,
                seconds=round(time.perf_counter() - started, 3),
            )

        _Server(config, ready).run(sockets=[listening])
    finally:
        service.close()
    log("ended", version=service.writer.oracle.version)


def sample(file: Path | None) -> tuple[Task, ...]:
    """The tasks of an instance file, each as often as it counts."""
    if file is None:
        return ()
    tasks = load_instance(file).tasks
    each = (repeat(replace(task, count=1), task.count) for task in tasks)
    return tuple(chain.from_iterable(each))


def check_address(settings: Settings) -> None:
    """Refuse to be open to others without tokens.

    Raises
    ------
    OptallocError
        For an address that is not a loopback one, where there are no tokens; and for half of TLS.
    """
    if (settings.certificate is None) != (settings.key is None):
        raise OptallocError("expected both a certificate and its key for TLS, got one of them")
    if settings.tokens is None and not _loopback(settings.host):
        said = f"expected tokens to listen on {settings.host!r}, which others can reach"
        raise OptallocError(f"{said}; without tokens only on 127.0.0.1, ::1 or localhost")


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        # Without a password the terminal would be asked for that of a key that has one.
        ssl.create_default_context().load_cert_chain(certificate, key, password="")
    except OSError as error:
        said = "expected a certificate and its key without a password, as PEM"
        raise OptallocError(f"{said}, in {str(certificate)!r} and {str(key)!r}: {error}") from None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # Where the protocol is not said, asyncio does not switch Nagle's algorithm off: 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        said = error.strerror or str(error)
        raise OptallocError(f"cannot listen on {host!r}, port {port}: {said}") from None


class _Server(uvicorn.Server):
    """A server that a signal ends cleanly, without passing it on afterwards.

    Parameters
    ----------
    config
        How it serves.
    ready
        Called when it does, and can be ended.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _: FrameType | None) -> None:
        log("ending", signal=signal.Signals(number).name)
        self.should_exit = True
