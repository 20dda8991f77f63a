"""What clients do to a server: a steady load, as much as goes, and asking while it is killed."""

from __future__ import annotations

import random
import selectors
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contract import Row
from benchmarks.service import Connection, Gone, Server, answered, drawn, placing

GANGS = 0.2


def steady(port: int, connections: int, rate: float, seconds: float, seed: int) -> Row:
    """Requests at fixed times, places and releases in turn; latencies from when they were due.

    Returns
    -------
    Row
        Milliseconds of each place, singles and gangs apart, in their order.
    """
    found: dict[str, list[float]] = {"single": [], "gang": [], "release": []}
    lock, start = threading.Lock(), time.perf_counter() + 0.2
    refused = 0

    def client(number: int) -> None:
        nonlocal refused
        rng, running = random.Random(seed * 1000 + number), list[str]()
        with Connection(port) as link:
            for i in range(number, int(seconds * rate), connections):
                due = start + i / rate
                time.sleep(max(due - time.perf_counter(), 0))
                if (i // connections) % 2 and running:
                    kind = "release"
                    body = b'{"tasks":["%b"]}' % running.pop(0).encode()
                    status, text = link.ask("POST", "/v1/release", body)
                else:
                    kind = "gang" if rng.random() < GANGS else "single"
                    name = f"new{seed}-{i}"
                    body = placing(drawn(rng, name, kind == "gang"))
                    status, text = link.ask("POST", "/v1/place", body)
                took = 1000 * (time.perf_counter() - due)
                if status != 200:
                    raise RuntimeError(f"{status}: {text!r}")
                with lock:
                    found[kind].append(round(took, 3))
                    if kind != "release":
                        if answered(text)["decisions"]:
                            running.append(name)
                        else:
                            refused += 1

    _together(client, connections)
    return {**found, "refused": refused}


def flood(port: int, connections: int, seconds: float, requests: int = 10**9) -> Row:
    """Pairs of place and release, as fast as they are answered; pairs and seconds.

    One thread serves all connections: the machine's cores are for the server.
    """
    rng, started = random.Random(0), time.perf_counter()
    shapes = [placing(drawn(rng, "NAME", gang=False)) for _ in range(64)]
    pairs = sent = 0
    with selectors.DefaultSelector() as ready, ExitStack() as links:
        for _ in range(connections):
            link = links.enter_context(Connection(port))
            ready.register(link.socket, selectors.EVENT_READ, _Pair(link))
        for key in [*ready.get_map().values()]:
            key.data.place(shapes[sent % 64], f"flood{started}-{sent}")
            sent += 1
        while ready.get_map():
            for key, _ in ready.select():
                pair: _Pair = key.data
                status, text = pair.link.answer()
                if status != 200:
                    raise RuntimeError(f"{status}: {text!r}")
                if pair.placed:
                    pair.release()
                    continue
                pairs += 1
                if time.perf_counter() - started < seconds and 2 * sent < requests:
                    pair.place(shapes[sent % 64], f"flood{started}-{sent}")
                    sent += 1
                else:
                    ready.unregister(pair.link.socket)
    took = time.perf_counter() - started
    return {"pairs": pairs, "seconds": took, "client_cpu_s": time.process_time()}


@dataclass
class _Pair:
    """A connection that places a task and then releases it."""

    link: Connection
    name: str = ""
    placed: bool = False

    def place(self, shape: bytes, name: str) -> None:
        self.name, self.placed = name, True
        self.link.send("POST", "/v1/place", shape.replace(b"NAME", name.encode()), name)

    def release(self) -> None:
        self.placed = False
        body = b'{"tasks":["%b"]}' % self.name.encode()
        self.link.send("POST", "/v1/release", body, f"{self.name}-release")


def _together(client: object, connections: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            client(number)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  (told by the main thread)
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@dataclass
class Ledger:
    """What a client was told, and what it was not.

    Attributes
    ----------
    runs
        Where acknowledged tasks run.
    gone
        Tasks whose release was acknowledged.
    doubt
        The request that was under way when the server went: path, name, body.
    """

    runs: dict[str, dict[str, int]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    doubt: tuple[str, str, bytes] | None = None


@dataclass
class Kills:
    """Kills a server again and again under load, and counts what is wrong afterwards."""

    instance: Path
    journal: Path
    clients: int = 4
    seed: int = 0
    lost: int = 0
    twice: int = 0
    violated: int = 0
    acknowledged: int = 0

    def run(self, rounds: int) -> Row:
        """Kill it so many times; what was found."""
        rng = random.Random(self.seed)
        ledgers = [Ledger() for _ in range(self.clients)]
        for number in range(rounds):
            server = Server(self.instance, self.journal)
            self._check(server.port, ledgers)
            jobs = [
                threading.Thread(target=self._load, args=(server.port, ledger, f"{number}-{k}"))
                for k, ledger in enumerate(ledgers)
            ]
            for job in jobs:
                job.start()
            time.sleep(rng.uniform(0, 0.4))
            server.kill()
            for job in jobs:
                job.join()
        server = Server(self.instance, self.journal)
        self._check(server.port, ledgers)
        code = server.stop()
        return {
            "kills": rounds,
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "twice": self.twice,
            "violated": self.violated + (code != 0),
        }

    def _load(self, port: int, ledger: Ledger, label: str) -> None:
        """Place and release until the server is gone."""
        rng, step = random.Random(label), 0
        try:
            with Connection(port) as link:
                while True:
                    step += 1
                    self._request(link, ledger, rng, f"{label}-{step}")
        except (Gone, OSError):
            return

    def _request(self, link: Connection, ledger: Ledger, rng: random.Random, name: str) -> None:
        release = bool(ledger.runs) and rng.random() < 0.4
        if release:
            name = rng.choice([*ledger.runs])
        path = "release" if release else "place"
        task = drawn(rng, name, gang=rng.random() < GANGS)
        body = b'{"tasks":["%b"]}' % name.encode() if release else placing(task)
        ledger.doubt = path, name, body
        self._told(ledger, *link.ask("POST", f"/v1/{path}", body, f"{path} {name}"))

    def _told(self, ledger: Ledger, status: int, text: bytes) -> None:
        assert ledger.doubt is not None
        path, name, _ = ledger.doubt
        if status != 200:
            raise RuntimeError(f"{status}: {text!r}")
        self.acknowledged += 1
        if path == "release":
            ledger.runs.pop(name)
            ledger.gone.add(name)
        else:
            for decision in answered(text)["decisions"]:
                ledger.runs[name] = decision["nodes"]
        ledger.doubt = None

    def _check(self, port: int, ledgers: list[Ledger]) -> None:
        """Compare what runs with what was acknowledged; then ask again what is in doubt."""
        with Connection(port) as link:
            found = _placements(link)
            doubted = {ledger.doubt[1] for ledger in ledgers if ledger.doubt}
            known = {name: nodes for ledger in ledgers for name, nodes in ledger.runs.items()}
            for name, nodes in known.items():
                self.lost += name not in doubted and found.get(name) != nodes
            for name in found.keys() - known.keys() - doubted:
                self.lost += any(name in ledger.gone for ledger in ledgers)
                self.twice += all(name not in ledger.gone for ledger in ledgers)
            for ledger in ledgers:
                if ledger.doubt:
                    path, name, body = ledger.doubt
                    status, text = link.ask("POST", f"/v1/{path}", body, f"{path} {name}")
                    self._told(ledger, status, text)
                    # Where it had been decided before, the answer is that decision.
                    self.twice += path == "place" and found.get(name) not in (
                        None,
                        ledger.runs.get(name),
                    )
            after = _placements(link)
            known = {name: nodes for ledger in ledgers for name, nodes in ledger.runs.items()}
            self.twice += after != known
            status, text = link.ask("POST", "/v1/verify")
            self.violated += status != 200 or not answered(text)["feasible"]


def _placements(link: Connection) -> dict[str, dict[str, int]]:
    status, text = link.ask("GET", "/v1/snapshot")
    if status != 200:
        raise RuntimeError(f"{status}: {text!r}")
    placed = answered(text).get("placements", {})
    return {name: place["nodes"] for name, place in placed.items()}
