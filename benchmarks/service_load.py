"""What clients do to a server: a steady load, and as much as goes."""

from __future__ import annotations

import random
import selectors
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.contract import Row
from benchmarks.service import Connection, answered, drawn, placing

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
