"""Hostile clients: each request is answered as the published description says, and changes nothing.

Requests are drawn from the description, sent out of order, without the right token, too large, or
are no HTTP at all.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contract import Row
from benchmarks.service import Connection, Gone, serving
from benchmarks.service_hostile import BROKEN, HOSTILE, drawn_pieces, mutated
from benchmarks.service_schema import Document, Drawer, Operation

TOKENS = {"admin": "admin-0123456789abcdef", "read": "read-0123456789abcdef"}
NAMES = [f"f{k}" for k in range(12)]
BODY, TASKS, TIME_S = 65_536, 50, 1.0
"""Limits of the server: bytes of a body, tasks of a request, seconds."""
DELIBERATE = ("the deadline has passed", "requests")
"""What a deliberate 503 says: any other is a failure."""


@dataclass
class Fuzz:
    """Asks a server of which it knows the published description, and judges its answers.

    Parameters
    ----------
    port
        Where it listens.
    seed
        Of all that is drawn.
    patience_ms
        How long it waits for a search, where that is not drawn; None for as long as it takes.

    Attributes
    ----------
    counts
        Answers by status; 0 where the connection was closed without one.
    wrong
        What should not have been answered so.
    """

    port: int
    seed: int
    patience_ms: int | None = None
    counts: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.link = Connection(self.port)
        self.token = TOKENS["admin"]
        _, text = self.link.ask("GET", "/openapi.json")
        self.document = Document(text)
        _, text = self.ask("GET", "/v1/snapshot")
        self.nodes: list[str] = [n["name"] for n in json.loads(text)["instance"]["nodes"]]
        nodes = self.nodes
        texts = {"node": nodes, "demand": ["cpu", "memory", "device"], "within": ["rack", "site"],
                 "close": nodes, "open": nodes, "devices": nodes, "": NAMES}  # fmt: skip
        self.drawer = Drawer(self.document, self.rng, texts)

    def close(self) -> None:
        """Close its connection."""
        self.link.socket.close()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Ask with a token; where the connection was closed, on a new one."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            said = {"Authorization": f"Bearer {self.token}", **said}
        for again in (False, True):
            try:
                return self.link.ask(method, path, body, headers=said)
            except (Gone, ValueError):
                self.link.socket.close()
                self.link = Connection(self.port)
                if again:
                    raise
        raise AssertionError

    def standing(self) -> dict[str, Any]:
        """The state; it must pass the checker, and nothing may have failed."""
        status, text = self.ask("POST", "/v1/verify")
        if status != 200 or not json.loads(text)["feasible"]:
            self.wrong.append(f"verify: {status} {text[:300]!r}")
        _, metrics = self.ask("GET", "/metrics")
        if b"\noptalloc_failures_total 0.0\n" not in metrics:
            self.wrong.append("failures are counted in the metrics")
        found: dict[str, Any] = json.loads(self.ask("GET", "/v1/snapshot")[1])
        # Tasks that are moved, or not, may change their order.
        return found | {"tasks": sorted(found.get("tasks", []), key=lambda task: str(task["name"]))}

    # -- along the description -----------------------------------------------------------------

    def along(self, number: int) -> None:
        """Requests along the description, most of them well formed, in any order."""
        for _ in range(number):
            operation = self.rng.choice(self.document.operations)
            body = self._body(operation)
            self._judged(operation, self._path(operation), body, self._headers(operation))

    def unallowed(self, number: int) -> None:
        """Requests without the token that they take."""
        for _ in range(number):
            operation = self.rng.choice([o for o in self.document.operations if o.secured])
            wrong = ("", "Bearer", "Bearer ", f"Basic {TOKENS['admin']}", "Bearer " + "x" * 5000,
                     f"Bearer {TOKENS['admin']}x", f"Bearer {TOKENS['admin'][:-1]}", "Bearer \xff",
                     f"{TOKENS['admin']}", f"Token {TOKENS['admin']}")  # fmt: skip
            headers = self._headers(operation) | {"Authorization": self.rng.choice(wrong)}
            self._judged(operation, self._path(operation), self._body(operation), headers, {401})

    def oversized(self, number: int, body: int, tasks: int) -> None:
        """Bodies over the limit, and more tasks than one request may have."""
        posts = [o for o in self.document.operations if o.body is not None]
        for k in range(number):
            operation = self.rng.choice(posts)
            if k % 2:
                text = b" " * self.rng.choice([body + 1, 2 * body])
                self._judged(operation, self._path(operation), text, {}, {413})
            else:
                many = [{"name": f"many{i}"} for i in range(tasks + 1)]
                text = json.dumps({"tasks": many}).encode()
                place = next(o for o in posts if o.name == "place")
                self._judged(place, place.path, text, {}, {413})

    def _body(self, operation: Operation) -> bytes:
        if operation.body is None:
            return b""
        kind = self.rng.random()
        if kind < 0.9:
            return json.dumps(self.drawer.value(operation.body)).encode()
        if kind < 0.95:
            return json.dumps(self.drawer.anything(4)).encode()
        return self.rng.choice(HOSTILE)

    def _path(self, operation: Operation) -> str:
        path = operation.path
        while "{" in path:
            before, _, rest = path.partition("{")
            name = self.rng.choice([*NAMES, "rack0/n0", "%00", "%FF", "a%2Fb", "..", "%E2%80%AE"])
            path = before + name + rest.partition("}")[2]
        return path + self.rng.choice(["", "", "", "?a=b", "?" + "x" * 40])

    def _headers(self, operation: Operation) -> dict[str, str]:
        values = {
            "Idempotency-Key": ["k1", "k2", "k3", f"k{self.rng.random()}", "x" * 201, "\xe9", ""],
            "If-Match": ["0", '"1"', "*", "-1", "9" * 18, "9" * 99, '"x"', 'W/"1"'],
            "Optalloc-Deadline-Ms": ["1", "50", "5000", "0", "-1", "1e3", "9" * 20, "x"],
        }
        chosen = {
            name: self.rng.choice(values.get(name, ["x"]))
            for name in operation.headers
            if self.rng.random() < 0.15
        }
        if self.rng.random() < 0.1:
            kinds = ["text/plain", "application/xml", "multipart/form-data", "x", ""]
            chosen["Content-Type"] = self.rng.choice(kinds)
        if operation.name == "improve" and self.patience_ms is not None:
            chosen.setdefault("Optalloc-Deadline-Ms", str(self.patience_ms))
        return chosen

    def _judged(
        self,
        operation: Operation,
        path: str,
        body: bytes,
        headers: dict[str, str],
        expected: set[int] | None = None,
    ) -> tuple[int, bytes]:
        """Ask, and hold the answer against the description."""
        status, text = self.ask(operation.method, path, body, **headers)
        self.counts[status] += 1
        said = self._wrong(operation, status, text)
        if expected is not None and status not in expected:
            said = said or f"expected {expected}"
        if said:
            asked = f"{operation.method} {path} {headers} {body[:300]!r}"
            self.wrong.append(f"{asked}: {status} {text[:200]!r}: {said}")
        return status, text

    def _wrong(self, operation: Operation, status: int, text: bytes) -> str:
        if status not in operation.statuses:
            return "a status that is not described"
        if status >= 500 and not any(one in text.decode() for one in DELIBERATE):
            return "a failure"
        fields = dict(f.partition(b": ")[::2] for f in self.link.fields)
        kind = fields[b"content-type"].decode().partition(";")[0]
        described = operation.statuses[status]
        if kind not in described:
            return f"content of type {kind}"
        if kind != "application/json":
            return ""
        return self.document.wrong(json.loads(text, parse_constant=_no_number), described[kind])

    # -- out of order --------------------------------------------------------------------------

    def disordered(self, number: int) -> None:
        """Releases before places, places twice, old versions, keys that come with another body."""
        for k in range(number):
            name, key = f"order{k}", f"order{k}"
            place = _json(tasks=[{"name": name, "demand": {"cpu": 1}}])
            release, node = _json(tasks=[name]), _json(node=f"none{k}")
            move = _json(moves=[{"task": name, "nodes": {"rack0/n0": 1}}])
            resize = _json(task={"name": name, "demand": {"cpu": 2}})
            _, text = self.ask("GET", "/v1/state")
            old = {"If-Match": str(max(json.loads(text)["version"] - 1, 0))}
            steps: list[tuple[str, bytes, dict[str, str], set[int]]] = [
                ("/v1/release", release, {}, {404}),
                ("/v1/move", move, {}, {404}),
                ("/v1/resize", resize, {}, {404}),
                ("/v1/nodes/drain", node, {}, {404}),
                ("/v1/place", place, {"If-Match": "9" * 17}, {412}),
                ("/v1/place", place, {"Idempotency-Key": key}, {200}),
                ("/v1/place", place, {"Idempotency-Key": key}, {200}),
                ("/v1/place", place, {}, {409, 200}),
                ("/v1/release", release, {"Idempotency-Key": key}, {422}),
                ("/v1/place", place + b" ", {"Idempotency-Key": key}, {422}),
                ("/v1/release", _json(tasks=[name, name]), {}, {404, 409, 422}),
                ("/v1/resize", resize, old, {412}),
                ("/v1/release", release, {}, {200, 404}),
                ("/v1/release", release, {}, {404}),
                ("/v1/place", place, {"Idempotency-Key": key}, {200}),
                ("/v1/move", move, {}, {404}),
            ]
            for path, body, headers, expected in steps:
                operation = next(o for o in self.document.operations if o.path == path)
                self._judged(operation, path, body, headers, expected)

    # -- no HTTP -------------------------------------------------------------------------------

    def broken(self, number: int) -> None:
        """What is no request, or none that is whole: refused or closed, never a failure."""
        pieces = [*BROKEN, *drawn_pieces(self.rng)]
        for k in range(number):
            text = pieces[k] if k < len(pieces) else mutated(self.rng, self.rng.choice(pieces))
            status = self._said_raw(text)
            self.counts[status] += 1
            if status >= 500:
                self.wrong.append(f"{text[:200]!r}: {status}")

    def _said_raw(self, text: bytes) -> int:
        """Status of the first answer to some bytes after which nothing comes."""
        answer = b""
        where = "127.0.0.1", self.port
        with socket.create_connection(where, timeout=30) as link, suppress(ConnectionError):
            link.sendall(text)
            link.shutdown(socket.SHUT_WR)
            while more := link.recv(1 << 16):
                answer += more
        words = answer.split(None, 2)
        return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") else 0

    def slow(self, number: int, seconds: float) -> None:
        """Clients that send a byte now and then: others are served, and they are let go."""
        starts = [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                  b"POST /v1/place HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\nAuthorization: "
                  b"Bearer " + TOKENS["admin"].encode() + b"\r\n\r\n[", b"", b"G"]  # fmt: skip
        links = []
        for k in range(number):
            link = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            link.sendall(starts[k % len(starts)])
            links.append(link)
        until = time.monotonic() + 3 * seconds
        while time.monotonic() < until:
            status, _ = self.ask("GET", "/healthz")
            if status != 200:
                self.wrong.append(f"beside slow clients: {status}")
            for link in links:
                with suppress(OSError):
                    link.send(b"x")
            time.sleep(seconds / 4)
        for k, link in enumerate(links):
            try:
                self.counts[_last_status(link)] += 1
            except TimeoutError:
                self.wrong.append(f"{starts[k % len(starts)]!r} is still waited for")
            link.close()


def _last_status(link: socket.socket) -> int:
    """What a connection was answered that has been let go; 0 for nothing.

    Raises
    ------
    TimeoutError
        If it is still open.
    """
    link.settimeout(1)
    text = b""
    with suppress(ConnectionError):
        while more := link.recv(1000):
            text += more
    return int(text.split()[1]) if text else 0


def hostile(instance: Path, folder: Path, size: int, seed: int) -> Row:
    """Send a server so many hostile requests, about; what it answered, and what was wrong."""
    journal, tokens = folder / "hostile.journal", folder / "tokens"
    tokens.write_text("".join(f"{role} {token}\n" for role, token in TOKENS.items()))
    options = ["--tokens", str(tokens), "--request-time", str(TIME_S)]
    options += ["--body-limit", str(BODY), "--task-limit", str(TASKS)]
    with serving(instance, journal, *options) as server:
        fuzz = Fuzz(server.port, seed)
        fuzz.along(size * 6 // 10)
        fuzz.unallowed(size // 10)
        fuzz.oversized(size // 20, BODY, TASKS)
        fuzz.disordered(max(size // 160, 1))
        fuzz.broken(size * 15 // 100)
        fuzz.slow(min(size // 100, 60), TIME_S)
        before = fuzz.standing()
        fuzz.close()
        code = server.stop()
    with serving(instance, journal, *options) as server:
        again = Fuzz(server.port, seed)
        wrong = fuzz.wrong + ([] if again.standing() == before else ["another state afterwards"])
        again.close()
    said = "".join(server.said)
    wrong += [f"{what} in the logs" for what in ("Traceback", *TOKENS.values()) if what in said]
    wrong += [f"exit code {code}"] if code else []
    counts = {str(status or "closed"): n for status, n in sorted(fuzz.counts.items())}
    return {
        "requests": sum(counts.values()),
        "answers": counts,
        "wrong": len(wrong),
        "first_wrong": wrong[:5],
    }


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
