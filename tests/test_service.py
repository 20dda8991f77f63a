"""The service: what it answers, whom, when, and what it keeps."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from served import Client, cluster, running, serving, stated

from optalloc import InstanceError, OptallocError
from optalloc.cli import cli
from optalloc.instance.files import dump_instance
from optalloc.service import server
from optalloc.service.app import Limits
from optalloc.service.openapi import document
from optalloc.service.routes import ROUTES
from optalloc.service.tokens import Role, read_tokens
from optalloc.service.turn import Turn
from optalloc.service.writer import Command


def test_a_task_goes_through_its_life(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        placed = client.post("/v1/place", {"tasks": [stated("a"), stated("b", replicas=2)]})
        assert placed.status == 200
        assert [d["task"] for d in placed.json["decisions"]] == ["a", "b"]
        where = client.get("/v1/tasks/a").json
        assert where["nodes"] == placed.json["decisions"][0]["nodes"]
        other = "rack1/n3" if where["nodes"] != {"rack1/n3": 1} else "rack0/n0"
        moved = client.post("/v1/move", {"moves": [{"task": "a", "nodes": {other: 1}}]})
        assert moved.status == 200
        assert client.get("/v1/tasks/a").json["nodes"] == {other: 1}
        resized = client.post("/v1/resize", {"task": stated("a", demand={"cpu": 9})})
        assert resized.json["decisions"][0]["task"] == "a"
        assert client.post("/v1/release", {"tasks": ["a", "b"]}).status == 200
        assert client.get("/v1/tasks/a").status == 404
        assert client.post("/v1/verify", None).json["feasible"]


def test_nodes_close_drain_and_fail(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        client.post("/v1/place", {"tasks": [stated("a")]})
        (node,) = client.get("/v1/tasks/a").json["nodes"]
        proposed = client.post("/v1/nodes/drain", {"node": node}).json["decisions"]
        assert node not in proposed[0]["nodes"]
        assert client.get("/v1/state").json["closed"] == [node]
        assert client.get("/v1/tasks/a").json["nodes"] == {node: 1}
        assert client.post("/v1/nodes/reopen", {"nodes": [node]}).status == 200
        assert client.post("/v1/nodes/close", {"nodes": [node]}).status == 200
        client.post("/v1/nodes/down", {"node": node})
        assert client.get("/v1/tasks/a").status == 404
        assert client.post("/v1/nodes/down", {"node": "?"}).status == 404


def test_a_refusal_says_why(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        answer = client.post("/v1/place", {"tasks": [stated("a", demand={"cpu": 17})]}).json
        assert answer["refusals"][0]["reason"] == "4 nodes: 1 cpu short (need 17, largest free 16)"
        both = {"tasks": [stated("b"), stated("c", demand={"cpu": 17})], "together": True}
        assert client.post("/v1/place", both).json["decisions"] == []
        assert running(client) == {}


def test_what_if_changes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        client.post("/v1/place", {"tasks": [stated("a")]})
        before = running(client), client.get("/v1/state").json
        asked = {"release": ["a"], "close": ["rack0/n0"], "place": [stated("b")]}
        answer = client.post("/v1/what-if", asked).json
        assert answer["decisions"][0]["task"] == "b"
        assert "rack0/n0" not in answer["decisions"][0]["nodes"]
        assert (running(client), client.get("/v1/state").json) == before


def test_state_and_metrics_agree_with_the_checker(tmp_path: Path) -> None:
    """Used amounts follow from the tasks, and the power is that of the verified solution."""
    from optalloc.verify import verify

    with serving(tmp_path / "j") as client:
        client.post("/v1/place", {"tasks": [stated(f"t{i}", replicas=3) for i in range(7)]})
        state = client.get("/v1/state").json
        assert state["resources"]["cpu"] == {"capacity": 64.0, "used": 21.0}
        instance, placement = client.service.writer.oracle.instance()
        report = verify(instance, placement)
        labels = client.service.writer.oracle.ground.objective.labels
        policy = client.service.writer.oracle.ground.objective.policies[labels.index("power")]
        watts = report.values[labels.index("power")] * policy.quantum(instance.columns)
        assert state["power_w"] == float(watts)
        text = client.get("/metrics").body.decode()
        assert "optalloc_tasks 7.0" in text
        assert 'optalloc_used{resource="cpu"} 21.0' in text
        assert f"optalloc_power_watts {float(watts)}" in text
        assert 'optalloc_requests_total{path="place",status="200"} 1.0' in text


# -- problems --------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, Any, int, str]] = {
    "no JSON": ("/v1/place", b"{", 400, "expected JSON"),
    "types": ("/v1/place", {"tasks": [{"name": 1}, {"name": "a", "count": ""}]}, 422, "tasks[1]"),
    "unknown resource": ("/v1/place", {"tasks": [stated("a"), stated("b", demand={"x": 1})]}, 422,
                         "tasks[1].demand.x"),
    "unknown field": ("/v1/place", {"tasks": [], "x": 1}, 422, "x"),
    "count": ("/v1/place", {"tasks": [stated("a", count=2)]}, 422, "single"),
    "twice": ("/v1/place", {"tasks": [stated("a"), stated("a")]}, 409, "'a'"),
    "runs already": ("/v1/place", {"tasks": [stated("old")]}, 409, "'old'"),
    "too many": ("/v1/place", {"tasks": [stated(f"t{i}") for i in range(9)]}, 413, "at most 8"),
    "too large": ("/v1/place", b" " * 5000, 413, "4096 bytes"),
    "unknown task": ("/v1/release", {"tasks": ["old", "new"]}, 404, "'new'"),
    "resize unknown": ("/v1/resize", {"task": stated("new")}, 404, "'new'"),
    "resize wrong": ("/v1/resize", {"task": stated("old", demand={"x": 1})}, 422, "task.demand.x"),
    "move nowhere": ("/v1/move", {"moves": [{"task": "old", "nodes": {"?": 1}}]}, 409, "'old'"),
    "unknown node": ("/v1/nodes/close", {"nodes": ["rack0/n0", "?"]}, 404, "'?'"),
    "no path": ("/v1/nothing", {}, 404, ""),
    "method": ("/v1/state", {}, 405, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_told_what_is_wrong_and_changes_nothing(
    case: str, tmp_path: Path
) -> None:
    path, body, status, said = WRONG[case]
    with serving(tmp_path / "j", limits=Limits(body=4096, tasks=8)) as client:
        client.post("/v1/place", {"tasks": [stated("old")]})
        before = running(client)
        answer = client.post(path, body)
        assert answer.status == answer.json["status"] == status
        assert said in answer.json["message"]
        assert running(client) == before
        assert client.get("/v1/state").json["version"] == 1
        assert "optalloc_failures_total 0.0" in client.get("/metrics").body.decode()


def test_all_problems_of_a_request_are_listed(tmp_path: Path) -> None:
    tasks = [stated("a", demand={"x": 1}), stated("b"), stated("c", groups=["g"], replicas=0)]
    with serving(tmp_path / "j") as client:
        problems = client.post("/v1/place", {"tasks": tasks}).json["problems"]
    assert {p["path"] for p in problems} == {
        "tasks[0].demand.x",
        "tasks[2].groups[0]",
        "tasks[2].replicas",
    }


# -- versions, keys, deadlines, the queue ----------------------------------------------------------


def test_a_precondition_on_the_version_is_kept(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        first = client.post("/v1/place", {"tasks": [stated("a")]}, if_match="0")
        assert (first.status, first.headers["etag"], first.json["version"]) == (200, '"1"', 1)
        late = client.post("/v1/place", {"tasks": [stated("b")]}, if_match='"0"')
        assert (late.status, late.headers["etag"]) == (412, '"1"')
        assert client.post("/v1/release", {"tasks": ["a"]}, if_match='"1"').status == 200
        assert client.post("/v1/release", {"tasks": []}, if_match="*").status == 400


def test_a_retried_request_gets_its_first_answer(tmp_path: Path) -> None:
    """Also after a restart, and though what it placed is gone; another request is refused."""
    body = {"tasks": [stated("a"), stated("b", demand={"cpu": 99})]}
    with serving(tmp_path / "j") as client:
        first = client.post("/v1/place", body, idempotency_key="k")
        again = client.post("/v1/place", body, idempotency_key="k")
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["idempotent-replayed"] == "true"
        client.post("/v1/release", {"tasks": ["a"]})
        assert client.post("/v1/release", {"tasks": []}, idempotency_key="k").status == 422
    with serving(tmp_path / "j") as client:
        assert client.post("/v1/place", body, idempotency_key="k").body == first.body
        assert running(client) == {}
        assert client.post("/v1/place", body, idempotency_key="").status == 400


def test_devices_are_those_that_were_acknowledged_also_after_a_restart(tmp_path: Path) -> None:
    """Parts of devices in an order in which dealing them out anew would mix them up."""

    def devices(client: Client) -> dict[str, Any]:
        told: dict[str, Any] = client.get("/v1/snapshot").json.get("devices", {})
        return told

    with serving(tmp_path / "j") as client:
        sizes = (0.6, 0.3, 0.5, 0.4, 2, 0.7)
        tasks = [stated(f"t{k}", demand={"device": size}) for k, size in enumerate(sizes)]
        answers = client.post("/v1/place", {"tasks": tasks}).json["decisions"]
        client.post("/v1/release", {"tasks": ["t0"]})
        client.post("/v1/place", {"tasks": [stated("t6", demand={"device": 0.45})]})
        before = devices(client)
        assert all(before[one["task"]] == one["devices"] for one in answers[1:])
        (node,) = before["t4"]
        other = next(f"rack{i // 2}/n{i}" for i in range(4) if f"rack{i // 2}/n{i}" != node)
        moved = {"task": "t1", "nodes": {other: 1}, "devices": {other: [3]}}
        assert client.post("/v1/move", {"moves": [moved]}).status == 200
        before = devices(client)
        assert before["t1"] == {other: [3]}
        assert client.get("/v1/tasks/t1").json["devices"] == {other: [3]}
    with serving(tmp_path / "j") as client:
        assert devices(client) == before


def held(client: Client) -> tuple[Future[Any], threading.Event]:
    """Keep the writer busy until an event."""
    go, begun = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        begun.set()
        go.wait(60)

    reply = client.service.writer.submit(Command(wait))
    assert begun.wait(60)
    return reply, go


def test_a_request_past_its_deadline_is_told_so_in_time_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        reply, go = held(client)
        body = {"tasks": [stated("a")]}
        late = client.post("/v1/place", body, optalloc_deadline_ms="20", idempotency_key="k")
        assert late.status == 503
        assert "nothing was decided" in late.json["message"]
        assert late.headers["retry-after"] == "1"
        go.set()
        reply.result(60)
        assert running(client) == {}
        assert client.post("/v1/place", body, idempotency_key="k").status == 200
        assert client.get("/v1/state", optalloc_deadline_ms="0").status == 400


def test_what_was_placed_when_the_deadline_passes_is_taken_away(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        oracle = client.service.writer.oracle
        place, turns = oracle.place, []

        def slowly(*tasks: Any, together: bool = False) -> Any:
            turns.append(1)
            answers = place(*tasks, together=together)
            if len(turns) == 3:
                time.sleep(0.2)
            return answers

        oracle.place = slowly  # type: ignore[assignment,method-assign]
        body = {"tasks": [stated(f"t{i}") for i in range(5)]}
        assert client.post("/v1/place", body, optalloc_deadline_ms="150").status == 503
        assert len(turns) >= 3
        assert (running(client), client.get("/v1/state").json["version"]) == ({}, 0)
        assert client.get("/v1/state").json["resources"]["cpu"]["used"] == 0


def test_a_turn_is_sealed_or_expires_but_never_both() -> None:
    sealed = Turn()
    sealed.seal()
    assert not sealed.expire()
    expired = Turn()
    assert expired.expire()
    with pytest.raises(OptallocError, match="deadline"):
        expired.seal()


def test_a_full_queue_is_told_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "j", limits=Limits(queue=2)) as client:
        reply, go = held(client)
        for _ in range(2):
            client.service.writer.submit(Command(lambda _: None))
        answer = client.post("/v1/place", {"tasks": [stated("a")]})
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        go.set()
        reply.result(60)


def test_copies_of_the_state_are_few_at_a_time(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:

        async def all_at_once() -> list[int]:
            asked = (client.asked("GET", "/v1/snapshot", None) for _ in range(12))
            return sorted(answer.status for answer in await asyncio.gather(*asked))

        assert asyncio.run(all_at_once()) == [200] * 8 + [429] * 4
        assert client.get("/v1/snapshot").status == 200


def test_many_requests_at_once_are_all_answered_and_kept(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:

        async def all_at_once() -> list[int]:
            asked = (
                client.asked("POST", "/v1/place", {"tasks": [stated(f"t{i}")]}) for i in range(60)
            )
            return [answer.status for answer in await asyncio.gather(*asked)]

        assert asyncio.run(all_at_once()) == [200] * 60
        before = running(client)
        assert len(before) == 60
    with serving(tmp_path / "j") as client:
        assert running(client) == before


def test_an_internal_error_costs_its_request_only(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        client.post("/v1/place", {"tasks": [stated("a")]})
        before = running(client)

        def fails(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        client.service.writer.oracle.place = fails  # type: ignore[assignment,method-assign]
        assert client.post("/v1/place", {"tasks": [stated("b")]}).status == 503
        assert running(client) == before
        assert client.post("/v1/place", {"tasks": [stated("b")]}).status == 200
        assert "optalloc_failures_total 1.0" in client.get("/metrics").body.decode()


def test_nothing_is_acknowledged_that_the_disk_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        client.post("/v1/place", {"tasks": [stated("a")]})

        def fails() -> None:
            raise OSError("no space left")

        client.service.writer.journal.commit = fails  # type: ignore[method-assign]
        assert client.post("/v1/place", {"tasks": [stated("b")]}).status == 503
        assert client.get("/readyz").status == 503
        assert client.get("/v1/state").status == 503
        assert client.get("/healthz").status == 200


# -- who may ---------------------------------------------------------------------------------------

TOKENS = {role: f"{role.name.lower()}-0123456789abcdef" for role in Role if role}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("".join(f"{role.name.lower()} {token}\n" for role, token in TOKENS.items()))
    return path


@pytest.mark.parametrize("path", ROUTES, ids=lambda p: p.name)
def test_each_route_takes_its_role(path: Any, tokens: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "j", tokens=tokens) as client:
        where = path.path.replace("{name}", "x")
        for role in Role:
            token = TOKENS.get(role, "unknown-0123456789abcdef")
            answer = client.call(path.method, where, {}, {"authorization": f"Bearer {token}"})
            if role >= path.role:
                assert answer.status not in (401, 403)
            else:
                assert answer.status == (403 if role else 401)
        if path.role:
            assert client.call(path.method, where, {}).headers["www-authenticate"] == "Bearer"
            basic = {"authorization": f"Basic {TOKENS[Role.ADMIN]}"}
            assert client.call(path.method, where, {}, basic).status == 401


def test_tokens_and_bodies_are_never_logged(
    tokens: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from optalloc.service.logs import AsJson

    with caplog.at_level(logging.INFO), serving(tmp_path / "j", tokens=tokens) as client:
        for token in TOKENS.values():
            client.post("/v1/place", {"tasks": [stated("hush")]}, authorization=f"Bearer {token}")
    lines = [AsJson().format(record) for record in caplog.records]
    assert len(lines) >= 3
    assert all(json.loads(line)["event"] for line in lines)
    assert not any("0123456789abcdef" in line or "hush" in line for line in lines)


def test_a_bad_file_of_tokens_is_refused_by_line_without_telling_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# ours\nroot secretsecretsecret\nread short\nread a b c\n")
    with pytest.raises(InstanceError) as caught:
        read_tokens(path)
    assert [where for where, _ in caught.value.problems] == ["line 2", "line 3", "line 4"]
    assert "secretsecret" not in str(caught.value)
    path.write_text("\n")
    with pytest.raises(InstanceError, match="at least one"):
        read_tokens(path)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_others_can_reach_it_only_with_tokens(host: str, allowed: bool, tokens: Path) -> None:
    def settings(**stated: Any) -> server.Settings:
        file = Path("x")
        return server.Settings(file, "", host, 0, file, **stated)

    server.check_address(settings(tokens=tokens))
    if allowed:
        server.check_address(settings())
    else:
        with pytest.raises(OptallocError, match="expected tokens"):
            server.check_address(settings())
    with pytest.raises(OptallocError, match="both"):
        server.check_address(settings(tokens=tokens, key=Path("k")))


def test_small_answers_leave_at_once() -> None:
    """Only where a socket says its protocol does asyncio switch Nagle's algorithm off: 40 ms."""
    with server._listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
        with pytest.raises(OptallocError, match="cannot listen"):
            server._listen("127.0.0.1", listening.getsockname()[1])


# -- the published description ---------------------------------------------------------------------


def test_the_openapi_document_has_every_route_and_every_reference_leads_somewhere() -> None:
    text = document().decode()
    stated = json.loads(text)
    assert stated["openapi"] == "3.1.0"
    described = {(m.upper(), p) for p, methods in stated["paths"].items() for m in methods}
    assert described == {(path.method, path.path) for path in ROUTES}
    names = [path.name for path in ROUTES]
    assert len(set(names)) == len(names)
    for name in re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text):
        assert name in stated["components"]["schemas"]


def test_every_route_of_the_application_is_a_registered_one(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        assert json.loads(client.get("/openapi.json").body) == json.loads(document())
        for path in ROUTES:
            where = path.path.replace("{name}", "none")
            assert client.call(path.method, where, {}).status != 405
            other = "POST" if path.method == "GET" else "GET"
            assert client.call(other, where, {}).status == 405


def test_a_journal_of_another_instance_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "j"):
        pass
    with (
        pytest.raises(OptallocError, match="another instance"),
        serving(tmp_path / "j", cluster(5)),
    ):
        pass


def test_two_services_cannot_share_a_journal(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "j"),
        pytest.raises(OptallocError, match="in use"),
        serving(tmp_path / "j"),
    ):
        pass


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    file = tmp_path / "instance.json"
    dump_instance(cluster(), file)
    options = ["--journal", str(tmp_path / "j")]
    done = run("serve", str(file), *options, "--listen", "0.0.0.0:0")
    assert done.exit_code == 2
    assert "expected tokens" in done.stderr
    assert run("serve", str(file), *options, "--listen", "nowhere").exit_code == 2
