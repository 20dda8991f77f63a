"""The service's application, called in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optalloc import Instance, Node, Task, policies
from optalloc.service.app import Limits, Service
from optalloc.service.improving import Improving
from optalloc.service.server import open_service


def cluster(nodes: int = 4) -> Instance:
    return Instance(
        nodes=[
            Node(
                name=f"rack{i // 2}/n{i}",
                device="A100",
                devices=4,
                capacity={"cpu": 16},
                idle_w=300,
                full_w=1000,
                domains={"rack": f"rack{i // 2}"},
            )
            for i in range(nodes)
        ],
        policies=[policies.Nodes(), policies.Power()],
        objective="nodes > power",
    )


def stated(name: str, **fields: Any) -> dict[str, Any]:
    """A task of one CPU, as a request states it."""
    return {"name": name, "demand": {"cpu": 1}, **fields}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks an application without a network."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.app = service.app()

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("POST", path, body, headers)

    def call(self, method: str, path: str, body: Any, headers: Mapping[str, str] = {}) -> Answer:
        return asyncio.run(self.asked(method, path, body, headers))

    async def asked(
        self, method: str, path: str, body: Any, headers: Mapping[str, str] = {}
    ) -> Answer:
        sent: list[Any] = []
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        pairs = [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()]
        given = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            return given.pop(0) if given else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": b"",
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self.app(scope, receive, send)
        answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        whole = b"".join(m.get("body", b"") for m in sent[1:])
        return Answer(sent[0]["status"], answered, whole)


@contextmanager
def serving(
    journal: Path,
    instance: Instance | None = None,
    limits: Limits | None = None,
    tokens: Path | None = None,
    improving: Improving | None = None,
) -> Iterator[Client]:
    """A service on a journal, closed afterwards."""
    service = open_service(
        instance or cluster(),
        "",
        journal,
        limits or Limits(),
        tokens,
        improving=improving or Improving(),
    )
    try:
        yield Client(service)
    finally:
        service.close()


def running(client: Client) -> dict[str, Any]:
    """What runs where, as a snapshot says it."""
    placed: dict[str, Any] = client.get("/v1/snapshot").json.get("placements", {})
    return placed


def task(name: str, **fields: Any) -> Task:
    return Task(**stated(name, **fields))
