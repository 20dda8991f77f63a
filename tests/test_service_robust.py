"""The service is damaged, hurried and asked by hostile clients: smaller runs of the benchmarks."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service import Connection, Server, drawn, fleet, placing, started_server
from benchmarks.service_damage import file_cuts, flips, log_cuts
from benchmarks.service_fuzz import hostile
from benchmarks.service_load import flood
from benchmarks.service_mixed import grown
from benchmarks.service_schema import Document
from optalloc.instance.files import dump_instance
from optalloc.service.openapi import document


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    file = tmp_path / "instance.json"
    dump_instance(fleet(32), file)
    return file


def test_a_journal_that_is_cut_or_changed_is_whole_or_refused_and_goes_on() -> None:
    rows = [log_cuts(4, 211, 0, 1), file_cuts(4, 499), flips(20, 60, seed=1)]
    assert [row["first_wrong"] for row in rows] == [[], [], []]
    assert all(row["refused"] > 20 for row in rows)
    assert rows[2]["whole"] > 5


def test_a_value_is_held_against_a_schema() -> None:
    """So that answers which do not go with the description are found."""
    found = Document(document())
    done = {"$ref": "#/components/schemas/Running"}
    right = {"version": 1, "task": "a", "nodes": {"n": 1}}
    assert not found.wrong(right, done)
    wrongs: list[Any] = [{}, [], right | {"version": "1"}, right | {"nodes": {"n": 0.5}}]
    for wrong in wrongs:
        assert found.wrong(wrong, done)


@pytest.mark.real
def test_hostile_requests_are_answered_as_described_and_change_nothing(
    instance: Path, tmp_path: Path
) -> None:
    found = hostile(instance, tmp_path, 400, seed=4)
    assert found["first_wrong"] == []
    assert {"200", "400", "401", "404", "413", "422", "closed"} <= found["answers"].keys()


@pytest.mark.real
def test_requests_of_all_kinds_are_answered_for_long(instance: Path, tmp_path: Path) -> None:
    found = grown(instance, tmp_path / "j", 60, 150, seed=3)
    assert found["first_wrong"] == []
    assert sum(found["answers"].values()) == 150


def cut(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.truncate(5_000)


def headless(journal: Path) -> None:
    Path(f"{journal}-head").unlink()


def torn(journal: Path) -> None:
    Path(f"{journal}-head").write_bytes(b"x" * 120)


def changed(journal: Path) -> None:
    text = journal.read_bytes()
    at = text.index(b'"version":')
    journal.write_bytes(text[:at] + b"#" + text[at + 1 :])


def empty(journal: Path) -> None:
    journal.write_bytes(b"")


@pytest.mark.real
@pytest.mark.parametrize("damage", [cut, headless, torn, changed, empty])
def test_a_damaged_journal_is_told_in_words(
    damage: Callable[[Path], None], instance: Path, tmp_path: Path
) -> None:
    server = Server(instance, tmp_path / "j")
    flood(server.port, 1, 30, requests=20)
    server.stop()
    damage(tmp_path / "j")
    for _ in range(2):
        process = started_server(instance, tmp_path / "j")
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 2
        assert "is damaged at entry" in said
        assert "Traceback" not in said
    if damage in (headless, torn):
        assert "--accept-journal-end" in said
        server = Server(instance, tmp_path / "j", "--accept-journal-end")
        assert server.stop() == 0
        assert Server(instance, tmp_path / "j").stop() == 0


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
"""


@pytest.mark.real
def test_a_disk_that_is_full_stops_decisions_and_loses_none(instance: Path, tmp_path: Path) -> None:
    server, told = Server(instance, tmp_path / "j", before=FULL), list[str]()
    with Connection(server.port) as link:
        for k in range(500):
            body = placing(drawn(random.Random(k), f"t{k}", gang=False))
            status, _ = link.ask("POST", "/v1/place", body)
            if status != 200:
                break
            told.append(f"t{k}")
        assert status == 503
        assert link.ask("GET", "/readyz")[0] == 503
        assert link.ask("GET", "/healthz")[0] == 200
    server.stop()
    server = Server(instance, tmp_path / "j")
    with Connection(server.port) as link:
        _, text = link.ask("GET", "/v1/snapshot")
    assert server.stop() == 0
    assert told
    assert set(told) <= json.loads(text)["placements"].keys()


@pytest.mark.real
def test_deadlines_under_load_leave_no_half_made_decision(instance: Path, tmp_path: Path) -> None:
    """What was acknowledged runs; what was told to be too late does not."""
    server, placed, late = Server(instance, tmp_path / "j"), set[str](), set[str]()

    def client(number: int) -> None:
        with Connection(server.port) as link:
            for k in range(40):
                name = f"t{number}-{k}"
                body = json.dumps({"tasks": [{"name": f"{name}-{i}"} for i in range(20)]}).encode()
                headers = {"Optalloc-Deadline-Ms": str(1 + (number + k) % 12)}
                status, _ = link.ask("POST", "/v1/place", body, headers=headers)
                assert status in (200, 408, 503)
                (placed if status == 200 else late).add(name)

    clients = [threading.Thread(target=client, args=(k,)) for k in range(6)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    with Connection(server.port) as link:
        _, text = link.ask("GET", "/v1/snapshot")
        assert json.loads(link.ask("POST", "/v1/verify")[1])["feasible"]
    assert server.stop() == 0
    found = {*json.loads(text).get("placements", {})}
    assert found == {f"{name}-{i}" for name in placed for i in range(20)}
    assert len(placed | late) == 240
    assert late


@pytest.mark.real
def test_a_client_that_only_waits_is_let_go(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j", "--request-time", "0.3")
    for start in (b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as slow:
            slow.sendall(start)
            with suppress(ConnectionResetError):
                assert slow.recv(1000) == b""
    assert server.stop() == 0


@pytest.mark.real
def test_a_client_that_reads_no_answer_is_let_go(instance: Path, tmp_path: Path) -> None:
    server = Server(instance, tmp_path / "j", "--request-time", "0.3")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def ask_on() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                deaf.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(0.002)

        with pytest.raises(OSError, match=r"reset|pipe|abort"):
            ask_on()
    assert server.stop() == 0


@pytest.mark.real
def test_a_certificate_that_is_none_is_told(instance: Path, tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("no certificate")
    options = ["--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "cert")]
    process = started_server(instance, tmp_path / "j", *options)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "expected a certificate and its key" in said
