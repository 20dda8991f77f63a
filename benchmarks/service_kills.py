"""A server is killed again and again under load: what was acknowledged is there, and once."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contract import Row
from benchmarks.service import Connection, Gone, Server, answered, drawn, fleet, started_server

GANGS, AGAIN, EARLY = 0.2, 0.15, 0.25
"""Shares: of gangs, of requests that are sent twice, of rounds that kill a server as it starts."""
KINDS = {"place": 8, "release": 4, "resize": 3, "move": 3, "close": 1, "reopen": 1, "drain": 0.3,
         "down": 0.3}  # fmt: skip
"""Requests, by how often they are made."""
SNAPSHOTS = """
from functools import partial
from optalloc.service import journal, server
journal.PART, journal.KEPT = 3, 100
server.Journal = partial(journal.Journal, every=15)
"""
"""Run first, it makes a server write snapshots of its journal all the time."""
REFUSED = {404, 409, 422}


@dataclass(frozen=True)
class Request:
    """What a client asks for, with its idempotency key."""

    kind: str
    subject: str
    body: dict[str, Any]
    key: str

    @property
    def path(self) -> str:
        """Where it goes."""
        folder = "nodes/" if self.kind in ("close", "reopen", "drain", "down") else ""
        return f"/v1/{folder}{self.kind}"

    def sent(self, link: Connection) -> tuple[int, bytes]:
        """Status and body of its answer."""
        return link.ask("POST", self.path, json.dumps(self.body).encode(), self.key)


@dataclass
class Ledger:
    """What clients were told, by version of the state: answers may come in another order.

    Attributes
    ----------
    tasks
        Version, nodes (None: runs no longer), devices and CPUs where they are known, by task.
    closed
        Version and whether it is closed, by node.
    """

    tasks: dict[str, tuple[int, dict[str, int] | None, Any, Any]] = field(default_factory=dict)
    closed: dict[str, tuple[int, bool]] = field(default_factory=dict)
    acknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, request: Request, answer: dict[str, Any]) -> None:
        """Take down an answer."""
        with self.lock:
            self.acknowledged += 1
            version = answer["version"]
            match request.kind:
                case "place" | "resize":
                    (stated,) = request.body.get("tasks", [request.body.get("task")])
                    for told in answer.get("decisions", ()):
                        what = told["nodes"], told.get("devices", {}), stated["demand"]["cpu"]
                        self._task(version, told["task"], *what)
                case "release":
                    self._task(version, request.subject, None)
                case "move":
                    (stated,) = request.body["moves"]
                    self._task(version, request.subject, stated["nodes"])
                case "reopen":
                    self._node(version, request.subject, False)
                case _:
                    self._node(version, request.subject, True)
            if request.kind == "down":
                for told in (*answer.get("decisions", ()), *answer.get("refusals", ())):
                    self._task(version, told["task"], None)

    def _task(
        self, version: int, name: str, nodes: Any, devices: Any = None, cpu: Any = None
    ) -> None:
        before = self.tasks.get(name)
        if before is None or before[0] < version:
            if cpu is None and before is not None:
                cpu = before[3]
            self.tasks[name] = version, nodes, devices, cpu

    def _node(self, version: int, name: str, closed: bool) -> None:
        if name not in self.closed or self.closed[name][0] < version:
            self.closed[name] = version, closed

    def on(self, node: str) -> set[str]:
        """Tasks that run on a node, as far as was told."""
        return {name for name, (_, nodes, _, _) in self.tasks.items() if nodes and node in nodes}


@dataclass
class Kills:
    """Kills a server again and again under load, and counts what is wrong afterwards.

    Attributes
    ----------
    lost
        Acknowledged changes of which nothing is seen after a restart.
    twice
        Decisions that were made again, or that nobody asked for.
    violated
        Restarts after which the checker finds a rule broken.
    """

    instance: Path
    journal: Path
    nodes: int
    clients: int = 4
    seed: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    doubts: dict[int, Request] = field(default_factory=dict)
    lost: int = 0
    twice: int = 0
    violated: int = 0
    early: int = 0

    def run(self, rounds: int) -> Row:
        """Kill it so many times; what was found."""
        rng = random.Random(self.seed)
        self._names = [node.name for node in fleet(self.nodes).nodes]
        for number in range(rounds):
            before = SNAPSHOTS if rng.random() < 0.5 else ""
            if number and rng.random() < EARLY:
                self._kill_early(before, rng.uniform(0, 1.5))
            else:
                self._kill(before, number, rng.uniform(0, 0.4))
        server = Server(self.instance, self.journal)
        self._check(server.port)
        code = server.stop()
        return {
            "kills": rounds,
            "early": self.early,
            "acknowledged": self.ledger.acknowledged,
            "lost": self.lost,
            "twice": self.twice,
            "violated": self.violated + (code != 0),
        }

    def _kill_early(self, before: str, seconds: float) -> None:
        process = started_server(self.instance, self.journal, before=before)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        self.early += 1

    def _kill(self, before: str, number: int, seconds: float) -> None:
        server = Server(self.instance, self.journal, before=before)
        self._check(server.port)
        jobs = [
            threading.Thread(target=self._load, args=(server.port, number, k))
            for k in range(self.clients)
        ]
        for job in jobs:
            job.start()
        time.sleep(seconds)
        server.kill()
        for job in jobs:
            job.join()

    # -- the load ------------------------------------------------------------------------------

    def _load(self, port: int, number: int, client: int) -> None:
        """Ask for this and that until the server is gone."""
        rng, step = random.Random(f"{self.seed} {number} {client}"), 0
        try:
            with Connection(port) as link:
                while True:
                    step += 1
                    request = self._drawn(rng, client, f"{number}-{client}-{step}")
                    self.doubts[client] = request
                    status, text = request.sent(link)
                    self._told(request, status, text)
                    if status == 200 and rng.random() < AGAIN:
                        self.twice += request.sent(link) != (status, text)
                    del self.doubts[client]
        except (Gone, OSError):
            return

    def _drawn(self, rng: random.Random, client: int, label: str) -> Request:
        """A request of one of the client's tasks or nodes."""
        kind = rng.choices([*KINDS], [*KINDS.values()])[0]
        node = rng.choice(self._names[client :: self.clients])
        if kind in ("close", "reopen"):
            return Request(kind, node, {"nodes": [node]}, label)
        if kind in ("drain", "down"):
            return Request(kind, node, {"node": node}, label)
        with self.ledger.lock:
            mine = [
                name
                for name, (_, nodes, _, _) in self.ledger.tasks.items()
                if nodes and name.split("-")[1] == str(client)
            ]
        name = rng.choice(mine) if mine and kind != "place" else f"task-{client}-{label}"
        if kind == "release":
            return Request(kind, name, {"tasks": [name]}, label)
        if kind == "move":
            return Request(kind, name, {"moves": [{"task": name, "nodes": {node: 1}}]}, label)
        return self._sized(rng, kind, name, label)

    def _sized(self, rng: random.Random, kind: str, name: str, label: str) -> Request:
        task = drawn(rng, name, gang=kind == "place" and rng.random() < GANGS)
        stated: dict[str, Any] = {"name": name, "demand": task.demand}
        if task.replicas > 1:
            stated |= {"replicas": task.replicas, "within": task.within}
        body = {"task": stated} if kind == "resize" else {"tasks": [stated]}
        return Request(kind, name, body, label)

    def _told(self, request: Request, status: int, text: bytes) -> None:
        if status == 200:
            self.ledger.note(request, answered(text))
        elif status not in REFUSED:
            raise RuntimeError(f"{status}: {text!r}")

    # -- what is there afterwards --------------------------------------------------------------

    def _check(self, port: int) -> None:
        """Compare what is there with what was acknowledged; then ask again what is in doubt."""
        with Connection(port) as link:
            doubts = [*self.doubts.values()]
            self.doubts.clear()
            found = _snapshot(link)
            self._compare(found, doubts)
            for request in doubts:
                status, text = request.sent(link)
                self._told(request, status, text)
                if request.kind == "place" and request.subject in found["placements"]:
                    # It had been decided before; the answer is that decision, nothing new.
                    first = found["placements"][request.subject]["nodes"]
                    told = [d["nodes"] for d in answered(text).get("decisions", ())]
                    self.twice += status != 200 or told != [first]
            self._compare(_snapshot(link), [])
            status, text = link.ask("POST", "/v1/verify")
            self.violated += status != 200 or not answered(text)["feasible"]

    def _compare(self, found: dict[str, Any], doubts: list[Request]) -> None:
        doubted = {request.subject for request in doubts}
        for request in doubts:
            if request.kind == "down":
                doubted |= self.ledger.on(request.subject)
        known, placed = self.ledger.tasks, found["placements"]
        cpus = {task["name"]: task["demand"]["cpu"] for task in found["tasks"]}
        for name, (_, nodes, devices, cpu) in known.items():
            if name in doubted:
                continue
            if nodes is None or name not in placed:
                self.lost += (nodes is None) != (name not in placed)
                continue
            same = placed[name]["nodes"] == nodes and cpus[name] == cpu
            self.lost += not same or devices not in (None, found["devices"].get(name, {}))
        self.twice += len(placed.keys() - known.keys() - doubted)
        for node, (_, closed) in self.ledger.closed.items():
            self.lost += node not in doubted and closed != (node in found["closed"])


def _snapshot(link: Connection) -> dict[str, Any]:
    status, text = link.ask("GET", "/v1/snapshot")
    if status != 200:
        raise RuntimeError(f"{status}: {text!r}")
    return {"placements": {}, "devices": {}, "tasks": [], "closed": [], **answered(text)}
