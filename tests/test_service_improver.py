"""The improver beside the service: its plans, and what its failures cost (nothing)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import Client, cluster, running, serving, stated

from benchmarks.service import Connection, Server
from optalloc.batch import processes
from optalloc.instance.files import dump_instance
from optalloc.oracle.answers import Decision
from optalloc.oracle.improving import Plan
from optalloc.service.improving import Improving
from optalloc.service.plans import CHANGED, Proposal
from optalloc.service.records import Put

pytestmark = pytest.mark.real

QUICK = Improving(niceness=0)
ALWAYS = Improving(seconds=1.0, niceness=0)
LONG_S = 120.0


def until(true: Callable[[], Any], seconds: float = LONG_S) -> Any:
    limit = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.05)
    return found


def metric(client: Client, name: str) -> float:
    lines = client.get("/metrics").body.decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def ended(client: Client, ending: str) -> float:
    return metric(client, f'optalloc_improver_runs_total{{ending="{ending}"}}')


def scatter(client: Client) -> None:
    """A task on each of four nodes, of which one could hold all."""
    client.post("/v1/place", {"tasks": [stated(f"t{i}", demand={"cpu": 4}) for i in range(4)]})
    nodes = ["rack0/n0", "rack0/n1", "rack1/n2", "rack1/n3"]
    moves = [{"task": f"t{i}", "nodes": {node: 1}} for i, node in enumerate(nodes)]
    assert client.post("/v1/move", {"moves": moves}).status == 200


def used(client: Client) -> int:
    return len({node for placed in running(client).values() for node in placed["nodes"]})


# -- plans -----------------------------------------------------------------------------------------


def test_improving_on_request_proposes_moves_and_makes_none(tmp_path: Path) -> None:
    with serving(tmp_path / "j", improving=QUICK) as client:
        scatter(client)
        before, version = running(client), client.get("/v1/state").json["version"]
        answer = client.post("/v1/improve", {"seconds": 5, "max_moves": 3})
        assert answer.status == 200
        plan = answer.json
        assert (plan["version"], plan["before"]["nodes"]) == (version, 4)
        assert (plan["after"]["nodes"], len(plan["moves"]), len(plan["freed"])) == (1, 3, 3)
        assert (plan["bound"]["nodes"], plan["gap"]) == (1, {"nodes": 0.75})
        assert running(client) == before
        assert ended(client, "better") == 1
        assert client.get("/v1/plan").json == {
            "version": version, "plan": None, "age_s": None, "last": "better",
        }  # fmt: skip


def test_the_plan_of_the_background_is_applied_on_request(tmp_path: Path) -> None:
    with serving(tmp_path / "j", improving=ALWAYS) as client:
        scatter(client)
        planned = until(lambda: found if (found := client.get("/v1/plan").json)["plan"] else None)
        until(lambda: client.get("/v1/plan").json["plan"].get("moves"))
        assert metric(client, 'optalloc_gap{level="nodes"}') == 0.75
        assert client.get("/v1/state").json["gap"] == 0.75
        assert used(client) == 4
        wrong = client.post("/v1/plan/apply", {"version": 10**6})
        assert (wrong.status, planned["last"]) == (409, "better")
        applied = client.post("/v1/plan/apply", None, Idempotency_Key="once").json
        assert len(applied["moved"]) == 3
        assert applied["dropped"] == []
        assert used(client) == 1
        again = client.post("/v1/plan/apply", None, Idempotency_Key="once").json
        assert again == applied
        assert client.post("/v1/verify", None).json["feasible"]
        until(lambda: client.get("/v1/state").json["gap"] == 0)
        after = running(client)
    with serving(tmp_path / "j") as client:
        assert running(client) == after


def test_plans_are_carried_out_where_that_is_wanted(tmp_path: Path) -> None:
    settings = Improving(seconds=1.0, niceness=0, apply=True)
    with serving(tmp_path / "j", improving=settings) as client:
        scatter(client)
        until(lambda: used(client) == 1)
        assert client.post("/v1/verify", None).json["feasible"]


def proposal(client: Client, **moves: str) -> Proposal:
    """A plan made from how things stand."""
    service = client.service
    steps = tuple(Decision(task=name, nodes={node: 1}) for name, node in moves.items())
    plan = Plan(moves=steps, version=service.writer.oracle.version)
    return Proposal.of(plan, [*service.writer.journal.state.records()])


@pytest.fixture
def scattered(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path / "j") as client:
        scatter(client)
        yield client


def test_moves_of_what_has_changed_since_are_dropped(scattered: Client) -> None:
    improver = scattered.service.improver
    improver.proposal = proposal(scattered, t0="rack0/n1", t2="rack0/n1", t3="rack0/n1")
    scattered.post("/v1/release", {"tasks": ["t0"]})
    scattered.post("/v1/resize", {"task": stated("t2", demand={"cpu": 5})})
    answer = scattered.post("/v1/plan/apply", None).json
    assert [d["task"] for d in answer["moved"]] == ["t3"]
    assert {d["task"]: d["reason"] for d in answer["dropped"]} == {"t0": CHANGED, "t2": CHANGED}
    assert scattered.post("/v1/plan/apply", None).status == 409


def test_moves_that_break_a_rule_by_now_are_dropped(scattered: Client) -> None:
    improver = scattered.service.improver
    improver.proposal = proposal(scattered, t0="rack1/n3", t2="rack0/n1")
    scattered.post("/v1/nodes/close", {"nodes": ["rack1/n3"]})
    answer = scattered.post("/v1/plan/apply", {}).json
    assert [d["task"] for d in answer["moved"]] == ["t2"]
    assert "keeps all rules" in answer["dropped"][0]["reason"]


def test_a_plan_of_no_use_any_more_changes_nothing(scattered: Client) -> None:
    """Also not what left a closed node, to which nothing may come."""
    before = {"t0": "rack0/n1", "t2": "rack0/n1"}
    scattered.service.improver.proposal = proposal(scattered, **before)
    more = [stated(f"new{k}") for k in range(2)]
    scattered.post("/v1/place", {"tasks": more})
    moves = [
        {"task": f"new{k}", "nodes": {node: 1}} for k, node in enumerate(("rack0/n0", "rack1/n2"))
    ]
    scattered.post("/v1/move", {"moves": moves})
    scattered.post("/v1/nodes/close", {"nodes": ["rack0/n0"]})
    where, version = running(scattered), scattered.get("/v1/state").json["version"]
    answer = scattered.post("/v1/plan/apply", {})
    assert (answer.status, "nothing better" in answer.json["message"]) == (409, True)
    assert running(scattered) == where
    assert scattered.get("/v1/state").json["version"] == version
    assert scattered.post("/v1/verify", None).json["feasible"]


def test_what_holds_of_a_plan_is_told_by_identity_not_by_looks(scattered: Client) -> None:
    """A task that went and came back as it was is another task."""
    improver = scattered.service.improver
    improver.proposal = proposal(scattered, t0="rack0/n1")
    assert isinstance(improver.proposal.known["t0"], Put)
    scattered.post("/v1/release", {"tasks": ["t0"]})
    scattered.post("/v1/place", {"tasks": [stated("t0", demand={"cpu": 4})]})
    assert scattered.post("/v1/plan/apply", None).json["dropped"][0]["reason"] == CHANGED


# -- failures --------------------------------------------------------------------------------------

CRASHES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
RAISES = "import sys; sys.exit('no luck')"
HANGS = "import time; time.sleep(1000)"
BLOWS = "import time; x = [b'x' * 2**20 for _ in range(400)]; time.sleep(1000)"
LIMITED = (
    "from optalloc.oracle.oracle import Oracle; import optalloc.service.improver as i;"
    "Oracle.improve = lambda *_: bytearray(2**34); i.main()"
)
SPAWNS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HANGS!r}])"
FAILS = {
    CRASHES: "crashed",
    RAISES: "crashed",
    HANGS: "timed-out",
    SPAWNS: "timed-out",
    BLOWS: "out-of-memory",
    LIMITED: "out-of-memory",
}


@contextmanager
def failing(code: str, journal: Path, seconds: float = 0.1) -> Iterator[Client]:
    slow = code in (HANGS, SPAWNS)
    settings = Improving(
        seconds=seconds,
        niceness=0,
        grace_s=1.0 if slow else LONG_S,
        memory_mib=200 if code == BLOWS else 4096,
        worker=(sys.executable, "-c", code),
    )
    with serving(journal, improving=settings) as client:
        yield client


@pytest.mark.parametrize("code", FAILS)
def test_a_run_that_fails_costs_no_answer_and_is_counted(code: str, tmp_path: Path) -> None:
    """No process is left behind either: the tests' own guard looks after that."""
    with failing(code, tmp_path / "j") as client:
        scatter(client)
        for k in range(20):
            assert client.post("/v1/place", {"tasks": [stated(f"a{k}")]}).json["decisions"]
        until(lambda: ended(client, FAILS[code]) >= 1)
        assert client.get("/v1/plan").json["last"] == FAILS[code]
        assert client.post("/v1/release", {"tasks": ["a0"]}).status == 200
        assert client.post("/v1/verify", None).json["feasible"]


@pytest.mark.parametrize("code", [CRASHES, LIMITED])
def test_a_request_whose_run_fails_is_told_so(code: str, tmp_path: Path) -> None:
    with failing(code, tmp_path / "j", seconds=0) as client:
        answer = client.post("/v1/improve", {"seconds": 1})
        assert (answer.status, FAILS[code] in answer.json["message"]) == (503, True)


def test_a_request_that_takes_too_long_is_told_so_in_time(tmp_path: Path) -> None:
    with failing(HANGS, tmp_path / "j", seconds=0) as client:
        asked = {"seconds": 100, "max_moves": 1}
        assert client.post("/v1/improve", asked, Optalloc_Deadline_Ms="200").status == 503
        until(lambda: ended(client, "timed-out") == 1)


def test_a_request_for_hardly_any_time_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path / "j", improving=QUICK) as client:
        scatter(client)
        answer = client.post("/v1/improve", {"seconds": 1e-308, "max_moves": 4})
        assert (answer.status, answer.json["before"]["nodes"]) == (200, 4)


def test_one_request_at_a_time_looks_for_better_places(tmp_path: Path) -> None:
    with failing(HANGS, tmp_path / "j", seconds=0) as client:
        first = threading.Thread(target=client.post, args=("/v1/improve", {"seconds": 1}))
        first.start()
        until(lambda: client.service.improver._runs)
        assert client.post("/v1/improve", {"seconds": 1}).status == 429
        first.join()


@pytest.mark.parametrize(
    ("wrong", "seconds", "moves"),
    [("seconds", 0, 1), ("seconds", 1e300, 1), ("max_moves", 1, -1), ("max_moves", 1, 2**70)],
)
def test_a_number_that_is_none_is_refused(
    wrong: str, seconds: float, moves: int, tmp_path: Path
) -> None:
    with serving(tmp_path / "j") as client:
        answer = client.post("/v1/improve", {"seconds": seconds, "max_moves": moves})
        assert (answer.status, answer.json["problems"][0]["path"]) == (422, wrong)


def test_the_service_ends_while_the_improver_runs(tmp_path: Path) -> None:
    started = time.monotonic()
    with failing(HANGS, tmp_path / "j", seconds=50) as client:
        scatter(client)
        until(lambda: client.service.improver._runs)
    assert time.monotonic() - started < LONG_S


def test_descendants_are_those_that_the_table_of_all_processes_has() -> None:
    code = f"{SPAWNS}; {HANGS}"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as child:
        until(lambda: len(processes.descendants(child.pid)) == 2)
        found = processes.descendants(child.pid)
        assert found == processes.tree(child.pid, {}, processes.running())
        processes.end(child.pid, found)
    assert processes.descendants(child.pid) == {}


# -- the real server -------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With an improver that has work to do; ended afterwards, if it was not before."""
    dump_instance(cluster(), tmp_path / "instance.json")
    made = Server(tmp_path / "instance.json", tmp_path / "j", "--improve", "60")
    try:
        body = b'{"tasks":[{"name":"a","demand":{"cpu":1}},{"name":"b","demand":{"cpu":1}}]}'
        assert ask(made, "POST", "/v1/place", body)[0] == 200
        yield made
    finally:
        made.kill()


def ask(server: Server, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    with Connection(server.port) as link:
        return link.ask(method, path, body)


def started(server: Server) -> processes.Running:
    """Processes that the server started and that still run."""
    pid, table = server.process.pid, processes.running()
    return {k: p for k, p in processes.tree(pid, {}, table).items() if k != pid}


def gone(found: processes.Running) -> bool:
    table = processes.running()
    return not any(k in table and table[k].started == p.started for k, p in found.items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_server(number: signal.Signals, server: Server) -> None:
    found = until(lambda: started(server))
    server.process.send_signal(number)
    server.process.wait(60)
    assert server.process.returncode == (0 if number == signal.SIGTERM else -number)
    until(lambda: gone(found), 10)


def test_the_server_goes_on_when_its_improver_is_killed(server: Server) -> None:
    for pid in until(lambda: started(server)):
        os.kill(pid, signal.SIGKILL)
    killed = b'optalloc_improver_runs_total{ending="crashed"} 1.0'
    until(lambda: killed in ask(server, "GET", "/metrics")[1])
    assert ask(server, "POST", "/v1/release", b'{"tasks":["a"]}')[0] == 200
    until(lambda: started(server))  # the next run


def test_the_improver_has_the_lowest_priority(server: Server) -> None:
    until(lambda: any(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in started(server)))
    assert os.getpriority(os.PRIO_PROCESS, server.process.pid) < 19
