"""Requests of every kind, for long: what a server holds must not grow with their number."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.contract import Row
from benchmarks.service import Connection, answered, serving
from benchmarks.service_fuzz import Fuzz

LIVE = 150
"""Tasks that run, about."""
KEYS = 500
"""Idempotency keys that come again now and then."""
PATIENCE_MS = 500
"""That are waited for a search: it runs in another process, whose memory is not measured here."""
AROUND = {"place": 30, "release": 30, "resize": 8, "move": 8, "task": 6, "state": 3, "what-if": 2,
          "close": 2, "reopen": 3, "drain": 0.2, "metrics": 0.5, "snapshot": 0.2, "verify": 0.2,
          "along": 8}  # fmt: skip
"""Requests, by how often they are made; the last along the published description."""


class Mixed:
    """A client that asks for everything, and knows what runs."""

    def __init__(self, port: int, seed: int) -> None:
        self.rng, self.fuzz = random.Random(seed), Fuzz(port, seed, PATIENCE_MS)
        self.running: dict[str, None] = {}
        self.counts: Counter[int] = Counter()
        self.made, self.asked = 0, ""

    def ask(self, number: int) -> None:
        """Make so many requests more."""
        for _ in range(number):
            self.made += 1
            kind = self.rng.choices([*AROUND], [*AROUND.values()])[0]
            if kind == "release" and len(self.running) < LIVE:
                kind = "place"
            if kind == "along":
                self.fuzz.along(1)
                continue
            key = {}
            if self.rng.random() < 0.5:
                key = {"Idempotency-Key": f"m{self.made - self.rng.choice([0, 0, 0, KEYS])}"}
            method, path, body = self._request(kind)
            text = b"" if body is None else json.dumps(body).encode()
            status, answer = self.fuzz.ask(method, path, text, **(key if body else {}))
            self.counts[status] += 1
            if status == 200:
                self._note(kind, answer, body)
            elif status == 404 and b"a task that runs" in answer:
                # What is missing may be a node as well: then the task runs on.
                self.running.pop(self.asked, None)

    def _note(self, kind: str, answer: bytes, body: Any) -> None:
        if kind == "place":
            self.running.update(
                (told["task"], None) for told in answered(answer).get("decisions", ())
            )
        elif kind == "release":
            for name in body["tasks"]:
                self.running.pop(name, None)

    def _request(self, kind: str) -> tuple[str, str, Any]:
        rng = self.rng
        some = self.asked = rng.choice([*self.running]) if self.running else "none"
        node = rng.choice(self.fuzz.nodes)
        bodies: dict[str, tuple[str, Any]] = {
            "place": ("/v1/place", {"tasks": [self._task(f"m{self.made}")]}),
            "release": ("/v1/release", {"tasks": [some]}),
            "resize": ("/v1/resize", {"task": self._task(some)}),
            "move": ("/v1/move", {"moves": [{"task": some, "nodes": {node: 1}}]}),
            "what-if": ("/v1/what-if", {"release": [some], "place": [self._task("what-if")]}),
            "close": ("/v1/nodes/close", {"nodes": [node]}),
            "reopen": ("/v1/nodes/reopen", {"nodes": [node]}),
            "drain": ("/v1/nodes/drain", {"node": node}),
            "verify": ("/v1/verify", {}),
        }
        gets = {"task": f"/v1/tasks/{some}", "metrics": "/metrics"}
        if kind in bodies:
            return "POST", *bodies[kind]
        return "GET", gets.get(kind, f"/v1/{kind}"), None

    def _task(self, name: str) -> dict[str, Any]:
        """A task of one of many kinds, a quarter of them new; some fit nowhere."""
        rng = self.rng if self.rng.random() < 0.25 else random.Random(self.rng.randrange(100))
        demand: dict[str, float] = {"cpu": rng.randint(1, 12), "memory": rng.randint(1, 90)}
        if rng.random() < 0.5:
            demand["device"] = rng.choice([0.1, 0.2, 0.25, 0.5, 1, 2, 9])
        made: dict[str, Any] = {"name": name, "demand": demand}
        if rng.random() < 0.1:
            made |= {"replicas": rng.randint(2, 6), "within": "rack"}
        if rng.random() < 0.1:
            made["forbid"] = {"device": [rng.choice(["T4", "A100"])]}
        return made


def grown(instance: Path, journal: Path, few: int, many: int, seed: int) -> Row:
    """Memory of a server after few and after many requests, in MB."""
    with serving(instance, journal) as server:
        client = Mixed(server.port, seed)
        client.ask(few)
        found = {"few_mb": round(server.memory_mb(), 2)}
        steps = []
        for _ in range(9):
            client.ask((many - few) // 9)
            steps.append(round(server.memory_mb(), 2))
        client.fuzz.close()
        counts = client.counts + client.fuzz.counts
        wrong = [*client.fuzz.wrong]
        with Connection(server.port) as link:
            status, text = link.ask("POST", "/v1/verify")
        wrong += [] if status == 200 and json.loads(text)["feasible"] else ["the state is wrong"]
    answers = {str(status): n for status, n in sorted(counts.items())}
    return {"requests": many, **found, "many_mb": steps[-1], "steps_mb": steps, "few": few,
            "answers": answers, "wrong": len(wrong), "first_wrong": wrong[:5]}  # fmt: skip
