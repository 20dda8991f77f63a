"""An engine in a process of its own: the model by shared memory, messages streamed back.

The child is ``python -m optalloc.engines.worker``: it maps the model from an inherited file,
runs the engine and writes each message as a length-prefixed pickle to its standard output. It is
killed at once when it is no longer needed, whatever the solver is doing, and it ends by itself when
its parent does.
"""

from __future__ import annotations

import mmap
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from optalloc.engines.protocol import (
    Finished,
    Incumbent,
    IntArray,
    Job,
    Message,
    Session,
    Subject,
    run,
)

_LENGTH = struct.Struct("<Q")
_SHARED_MEMORY = "/dev/shm"
_ALIGNED = 64


@dataclass(frozen=True)
class Shared:
    """The class of what is shared, and where each of its arrays lies in the file."""

    kind: type[Subject]
    layout: tuple[tuple[str, str, int, tuple[int, ...]], ...]

    def load(self, descriptor: int) -> Subject:
        """Map the arrays, without copying."""
        size = os.fstat(descriptor).st_size
        data = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size else b""
        arrays = {
            name: np.frombuffer(data, kind, prod(shape), offset).reshape(shape)
            for name, kind, offset, shape in self.layout
        }
        return self.kind(**arrays)


def share(model: Subject) -> tuple[IO[bytes], Shared]:
    """Write a model to an unnamed file in memory where there is such a thing."""
    folder = _SHARED_MEMORY if Path(_SHARED_MEMORY).is_dir() else None
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (outlives this function)
    layout = []
    for name, array in model.arrays().items():
        file.write(b"\0" * (-file.tell() % _ALIGNED))
        layout.append((name, array.dtype.str, file.tell(), array.shape))
        if array.size:
            file.write(np.ascontiguousarray(array).data)
    if not file.tell():
        file.write(b"\0")
    file.flush()
    return file, Shared(type(model), tuple(layout))


class Worker:
    """A running engine. Messages are to be taken by `receive`, in a thread of the caller's."""

    def __init__(self, engine: str, model: IO[bytes], shared: Shared, job: Job) -> None:
        self.engine = engine
        self._process = subprocess.Popen(
            [sys.executable, "-m", "optalloc.engines.worker", str(model.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[model.fileno()],
            start_new_session=True,
            env=environment(),
        )
        self._errors: list[bytes] = []
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._orders.put((engine, shared, job))
        # A child that is busy does not read: whoever writes to it may have to wait.
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._read_errors, self._write_orders)
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, values: IntArray) -> None:
        """Tell the engine of a better solution found elsewhere, as soon as it listens."""
        self._orders.put(Incumbent(values))

    def receive(self) -> Message | None:
        """Wait for the next message; None when the process has ended without a last word."""
        assert self._process.stdout is not None
        message: Message | None = _read(self._process.stdout)
        return message

    @property
    def resident_bytes(self) -> int:
        """Memory that the process holds; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        except (OSError, ValueError):
            return 0
        return int(fields[1]) * mmap.PAGESIZE

    def failure(self) -> str:
        """What the process wrote to its error stream, and how it ended."""
        code = self._process.wait()
        self._threads[0].join(timeout=1)
        lines = b"".join(self._errors).decode(errors="replace").strip().splitlines()
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{lines[-1]} ({ended})" if lines else ended

    def kill(self) -> None:
        """End the process and whatever it started, now."""
        with suppress(ProcessLookupError):  # It may have ended by itself.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._orders.put(None)
        for thread in self._threads:
            thread.join(timeout=1)
        for stream in (self._process.stdin, self._process.stderr):
            if stream is not None:
                _close(stream)

    def close(self) -> None:
        """Close the stream of messages, once it has ended."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors.append(line)

    def _write_orders(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # A child that is gone: `receive` says so.
            while (order := self._next_order()) is not None:
                _write(self._process.stdin, order)
                self._process.stdin.flush()

    def _next_order(self) -> Any:
        """Wait for an order; of several offers only the latest is worth hearing."""
        order = self._orders.get()
        while isinstance(order, Incumbent) and not self._orders.empty():
            order = self._orders.get()
        return order


def _close(stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # Unwritten input of a process that is gone.
        stream.close()


def environment() -> dict[str, str]:
    """Variables of a child: it finds this package and what that needs."""
    inherited = os.environ.get("PYTHONPATH", "")
    path = [str(Path(__file__).parents[2]), *([inherited] if inherited else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _write(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)


def _read(stream: IO[bytes]) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    data = stream.read(size)
    return pickle.loads(data) if len(data) == size else None


def main() -> None:
    """Run the engine that the parent names, in the child."""
    from optalloc.engines import engine

    # Solvers print where they like: what they say must not mix with the messages.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    name, shared, job = _read(sys.stdin.buffer)
    lock = threading.Lock()

    def emit(message: Message) -> None:
        with lock:
            _write(channel, message)
            channel.flush()

    model = shared.load(int(sys.argv[1]))
    listener = Listener()
    listener.start()
    session = engine(name).open(model, job)
    listener.opened(session)
    finished: Finished = run(session, model, job, emit)
    emit(finished)
    channel.flush()
    # Some solvers crash while they are torn down: everything is said, so leave at once.
    os._exit(0)


class Listener(threading.Thread):
    """Hears what the parent offers while the engine gets ready, and passes on the latest.

    Ends the process when the parent closes standard input, at the latest by dying.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._session: Session | None = None
        self._latest: IntArray | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Listen for good."""
        while True:
            message = _read(sys.stdin.buffer)
            if message is None:
                os.killpg(os.getpid(), signal.SIGKILL)
            self.hear(message.values)

    def hear(self, values: IntArray) -> None:
        """Pass on a better solution, once there is an engine that listens."""
        with self._lock:
            self._latest = values
            self._pass_on()

    def opened(self, session: Session) -> None:
        """The engine listens from now on."""
        with self._lock:
            self._session = session
            self._pass_on()

    def _pass_on(self) -> None:
        if self._session is not None and self._latest is not None:
            self._session.offer(self._latest)
            self._latest = None


if __name__ == "__main__":
    main()
