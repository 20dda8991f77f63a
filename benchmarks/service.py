"""A real server in a process of its own, with a journal that may hold many tasks already."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contract import ROOT
from optalloc import Instance, Node, Resource, Task, policies
from optalloc.instance.files import dump_instance

if TYPE_CHECKING:
    from optalloc.oracle.oracle import Oracle
    from optalloc.service.records import Put

RACK = 16
START_S = 120


class Gone(Exception):
    """The server closed the connection before it answered."""


class Connection:
    """A connection that is kept open; plain HTTP/1.1 with as little work as can be.

    Attributes
    ----------
    fields
        Header fields of the last answer, in lower case.
    """

    fields: Sequence[bytes] = ()

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        key: str = "",
        headers: Mapping[str, str] = {},
    ) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises
        ------
        Gone
            Where there is none.
        """
        try:
            self.send(method, path, body, key, headers)
            return self.answer()
        except OSError as error:
            raise Gone(str(error)) from None

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        key: str = "",
        headers: Mapping[str, str] = {},
    ) -> None:
        """Send a request without waiting for its answer."""
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        said += f"Idempotency-Key: {key}\r\n" if key else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{said}Content-Length: {len(body)}\r\n\r\n"
        self.socket.sendall(head.encode("latin-1") + body)

    def answer(self) -> tuple[int, bytes]:
        """Wait for an answer: its status and body."""
        text = b""
        while (end := text.find(b"\r\n\r\n")) < 0:
            text += self._more()
        fields = text[:end].lower().split(b"\r\n")
        (size,) = [int(f.partition(b":")[2]) for f in fields if f.startswith(b"content-length:")]
        while len(text) < end + 4 + size:
            text += self._more()
        self.fields = fields[1:]
        return int(fields[0].split()[1]), text[end + 4 :]

    def _more(self) -> bytes:
        got = self.socket.recv(1 << 20)
        if not got:
            raise Gone("closed")
        return got


def started_server(
    instance: Path, journal: Path, *options: str, before: str = ""
) -> subprocess.Popen[str]:
    """Start the process of a server, which is not ready yet; see `Server`."""
    run = (
        ["-c", f"{before}\nfrom optalloc.cli import main\nmain()"] if before else ["-m", "optalloc"]
    )
    command = [sys.executable, *run, "serve", str(instance)]
    command += ["--journal", str(journal), "--listen", "127.0.0.1:0", "--no-log-requests"]
    return subprocess.Popen([*command, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)


class Server:
    """A running server.

    Parameters
    ----------
    instance, journal
        Its files.
    *options
        Of the command.
    before
        Python code that its process runs first.

    Attributes
    ----------
    port
        Where it listens.
    ready_s
        Seconds from its start until it said that it is ready, interpreter and imports included.
    said
        What it has logged since then.
    """

    def __init__(self, instance: Path, journal: Path, *options: str, before: str = "") -> None:
        started = time.perf_counter()
        self.process = started_server(instance, journal, *options, before=before)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if '"ready"' not in line:
            rest = self.process.communicate()[1]
            raise RuntimeError(f"the server did not start: {line}{rest}")
        self.ready_s = time.perf_counter() - started
        self.port: int = json.loads(line)["port"]
        self.said: list[str] = []
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def _hear(self) -> None:
        """Read what it says: a full pipe would hold it up."""
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.said += stream

    def kill(self) -> None:
        """End it as a loss of power would."""
        self.process.kill()
        self._wait()

    def stop(self) -> int:
        """End it cleanly; its exit code."""
        self.process.terminate()
        return self._wait()

    def _wait(self) -> int:
        code = self.process.wait(timeout=START_S)
        self._hearing.join()
        return code

    def memory_mb(self) -> float:
        """Resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    def children_s(self) -> float:
        """Seconds of processor time of the processes that it started, such as the improver."""
        here = Path(f"/proc/{self.process.pid}")
        ended = sum(_times(here)[2:])
        now = {pid for file in here.glob("task/*/children") for pid in file.read_text().split()}
        return ended + sum(sum(_times(Path("/proc", pid))) for pid in now)


def _times(process: Path) -> list[float]:
    """Seconds of processor time in user and system mode, its own and of children that ended."""
    with suppress(OSError):
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return [int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in fields[11:15]]
    return [0.0] * 4


@contextmanager
def serving(instance: Path, journal: Path, *options: str) -> Iterator[Server]:
    """A server, ended afterwards."""
    server = Server(instance, journal, *options)
    try:
        yield server
    finally:
        server.stop()


def fleet(nodes: int) -> Instance:
    """Nodes of three kinds in racks."""
    return Instance(
        nodes=[
            Node(
                name=f"rack{i // RACK}/n{i % RACK}",
                device=("H100", "A100", "T4")[i % 3],
                devices=8,
                capacity={"cpu": 128, "memory": 1024},
                idle_w=300,
                full_w=3000,
                domains={"rack": f"rack{i // RACK}"},
            )
            for i in range(nodes)
        ],
        resources={"device": Resource(quantum=0.05), "cpu": Resource(), "memory": Resource()},
        policies=[policies.Nodes(), policies.Power()],
        objective="nodes > power",
    )


def drawn(rng: random.Random, name: str, gang: bool) -> Task:
    """A single task or a gang of 8 within a rack, of some tens of kinds."""
    demand = {"cpu": rng.choice([2, 4, 6]), "memory": rng.choice([8, 16, 32, 48])}
    if not gang:
        return Task(name=name, demand={**demand, "device": rng.choice([0.1, 0.25])})
    return Task(name=name, demand={**demand, "device": 0.5}, replicas=8, within="rack")


def filled(folder: Path, nodes: int, tasks: int, gangs: float = 0.05) -> tuple[Path, Path]:
    """An instance and a journal in which tasks run already, ten on a node or so."""
    from optalloc.instance.files import load_instance
    from optalloc.service.journal import Journal
    from optalloc.service.records import Entry
    from optalloc.service.server import founding

    file, journal = folder / f"fleet-{nodes}.json", folder / f"fleet-{nodes}-{tasks}.journal"
    dump_instance(fleet(nodes), file)
    instance = load_instance(file)
    puts = with_devices(running(instance, tasks, gangs), instance)
    kept = Journal(journal, founding(instance, ""))
    for version, start in enumerate(range(0, tasks, 500), 1):
        kept.begin()
        kept.append(Entry(version, tuple(puts[start : start + 500])))
        kept.commit()
    kept.close()
    return file, journal


def running(instance: Instance, tasks: int, gangs: float = 0.05) -> list[Put]:
    """Tasks in turn on all nodes of a fleet; of their replicas so many belong to gangs."""
    from optalloc.service.records import Put

    names, rng = [node.name for node in instance.nodes], random.Random(tasks)
    puts = []
    for i in range(tasks):
        at = i % len(names)
        task = drawn(rng, f"old{i}", rng.random() < gangs / 8)
        first = at // RACK * RACK
        rack = names[first : first + RACK]
        hosts = [rack[(at + k) % len(rack)] for k in range(task.replicas)]
        puts.append(Put(task, dict.fromkeys(hosts, 1)))
    return puts


def with_devices(puts: list[Put], instance: Instance) -> list[Put]:
    """Say which devices tasks use, as every decision does."""
    from msgspec.structs import replace

    found = restored(puts, instance).snapshot().devices
    return [replace(put, devices=found.get(put.task.name, {})) for put in puts]


def restored(puts: list[Put], instance: Instance) -> Oracle:
    """An oracle in which tasks run already."""
    from optalloc.oracle.oracle import Oracle
    from optalloc.service.records import Entry, State

    state = State()
    state.follow(Entry(1, tuple(puts)))
    return Oracle.restore(state.snapshot(instance, ""))


def placing(task: Task) -> bytes:
    """Body of a request to place a task."""
    import msgspec

    return msgspec.json.encode({"tasks": [task]})


def answered(text: bytes) -> dict[str, Any]:
    """An answer's JSON."""
    found: dict[str, Any] = json.loads(text)
    return found
