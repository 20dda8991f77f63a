"""The real server, in a process of its own: under load, killed, and ended cleanly."""

from __future__ import annotations

import json
import random
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from benchmarks.service import Connection, Server, drawn, fleet, placing
from benchmarks.service_kills import Kills
from benchmarks.service_load import flood
from optalloc.instance.files import dump_instance

pytestmark = pytest.mark.real


def ask(server: Server, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    with Connection(server.port) as link:
        return link.ask(method, path, body)


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    file = tmp_path / "instance.json"
    dump_instance(fleet(20), file)
    return file


def test_nothing_is_lost_or_made_twice_where_it_is_killed(instance: Path, tmp_path: Path) -> None:
    found = Kills(instance, tmp_path / "j", 20).run(4)
    assert (found["lost"], found["twice"], found["violated"]) == (0, 0, 0)
    assert found["acknowledged"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_what_was_decided_is_there_again(
    number: signal.Signals, instance: Path, tmp_path: Path
) -> None:
    server = Server(instance, tmp_path / "j")
    body = placing(drawn(random.Random(0), "a", gang=True))
    status, text = ask(server, "POST", "/v1/place", body)
    assert status == 200
    server.process.send_signal(number)
    assert server.stop() == 0
    assert [json.loads(line)["event"] for line in server.said][-2:] == ["ending", "ended"]
    server = Server(instance, tmp_path / "j")
    _, where = ask(server, "GET", "/v1/tasks/a")
    assert json.loads(where)["nodes"] == json.loads(text)["decisions"][0]["nodes"]
    assert server.stop() == 0


def test_many_connections_share_commits(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j")
    assert flood(server.port, 8, 30, requests=80)["pairs"] == 40
    assert server.stop() == 0


def test_a_damaged_journal_is_bad_input(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j")
    flood(server.port, 1, 30, requests=4)
    server.stop()
    (tmp_path / "j").write_bytes(b"x" * 5000)
    with pytest.raises(RuntimeError, match="damaged at entry 0"):
        Server(instance, tmp_path / "j")


def test_a_slow_body_does_not_hold_it_up(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j", "--request-time", "0.3")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
        slow.sendall(b"POST /v1/place HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        assert ask(server, "GET", "/v1/state")[0] == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    assert server.stop() == 0


def closes(server: Server, text: bytes) -> bool:
    """Whether the server closes a connection on which some text comes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as link:
        try:
            link.sendall(text)
            while link.recv(1 << 16):
                pass
        except (BrokenPipeError, ConnectionResetError):
            return True  # before all was read
    return True


GET = b"GET /v1/state HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/place HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
ENDLESS = {
    "path": b"GET /" + b"x" * 2**20,
    "header": GET + b"A: " + b"x" * 2**20,
    "headers": GET + b"A: 1\r\n" * 2**17,
    "chunk": POST + b"\r\n2;" + b"x" * 2**20,
    "trailer": POST + b'\r\nc\r\n{"tasks":[]}\r\n0\r\n' + b"A: 1\r\n" * 2**17,
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_does_not_end_is_refused_before_it_fills_memory(
    what: str, instance: Path, tmp_path: Path
) -> None:
    server = Server(instance, tmp_path / "j", "--request-time", "600")
    assert closes(server, ENDLESS[what])
    assert ask(server, "GET", "/v1/state")[0] == 200
    assert server.stop() == 0


def test_what_comes_after_a_body_is_no_header(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j")
    body = placing(drawn(random.Random(0), "a", gang=False))
    text = b"%b\r\n%x\r\n%b\r\n0\r\nIf-Match: 99\r\n\r\n" % (POST, len(body), body)
    with Connection(server.port) as link:
        link.socket.sendall(text)
        status, said = link.answer()
    assert (status, json.loads(said)["version"]) == (200, 1)
    assert server.stop() == 0


def test_it_speaks_tls(instance: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -out {cert} -keyout {key}".split(),
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    server = Server(instance, tmp_path / "j", "--tls-cert", str(cert), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(cert))
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert secure.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert server.stop() == 0
