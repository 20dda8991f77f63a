"""Nodes that join and leave by request: in the journal, so that the same file goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from served import Client, cluster, running, serving, stated

from optalloc import OptallocError
from optalloc.oracle.oracle import Oracle
from optalloc.service.app import Limits
from optalloc.service.records import Added, Entry, State

NEW: dict[str, Any] = {"name": "new", "capacity": {"cpu": 20.5}, "device": "H100", "devices": 8}


def grow(client: Client) -> None:
    """Nodes come and go, with tasks between."""
    assert client.post("/v1/place", {"tasks": [stated("a", current="rack1/n3")]}).status == 200
    assert client.post("/v1/nodes", {"nodes": [NEW, NEW | {"name": "gone"}]}).status == 200
    wide = [stated("wide", demand={"cpu": 20.5, "device": 0.5})]
    assert client.post("/v1/place", {"tasks": wide}).json["decisions"][0]["nodes"] == {"new": 1}
    assert client.post("/v1/nodes/close", {"nodes": ["rack1/n3", "new"]}).status == 200
    assert client.post("/v1/nodes/remove", {"nodes": ["gone", "rack1/n3"]}).status == 200
    back = {"name": "rack1/n3", "capacity": {"cpu": 2.25}, "count": 2}
    assert client.post("/v1/nodes", {"nodes": [back]}).status == 200
    assert client.post("/v1/place", {"tasks": [stated("b")]}).status == 200


def test_after_a_restart_on_the_same_file_the_cluster_is_as_it_was(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        grow(client)
        before = client.get("/v1/snapshot").json
        counted = client.get("/v1/state").json
    with serving(tmp_path / "j") as client:
        assert client.get("/v1/snapshot").json == before
        assert client.get("/v1/state").json == counted
        assert client.post("/v1/verify", {}).json["feasible"]
        assert client.post("/v1/nodes", {"nodes": [NEW]}).status == 422
        assert client.post("/v1/release", {"tasks": ["wide"]}).status == 200
        assert client.post("/v1/nodes/remove", {"nodes": ["new"]}).status == 200
        assert set(running(client)) == {"a", "b"}
    with pytest.raises(OptallocError, match="nodes that joined or went by request are in the jour"):
        serving(tmp_path / "j", cluster(5)).__enter__()


def test_records_of_the_state_lead_to_the_same_state(tmp_path: Path) -> None:
    """As a snapshot of the journal is written and read."""
    with serving(tmp_path / "j") as client:
        grow(client)
        state = client.service.writer.journal.state
        again = State()
        again.follow(Entry(state.version, tuple(state.records())))
        assert vars(again) == vars(state)
        stated_by = client.service.writer.oracle.snapshot()
        assert Oracle.restore(again.snapshot(cluster(), "")).snapshot() == stated_by


def test_what_is_wrong_with_new_nodes_is_told_by_its_place(tmp_path: Path) -> None:
    with serving(tmp_path / "j", limits=Limits(nodes=100)) as client:
        bad = [NEW, {"name": "rack0/n0"}, {"name": "x", "capacity": {"ram": 1}}]
        answer = client.post("/v1/nodes", {"nodes": bad})
        assert answer.status == 422
        paths = {problem["path"] for problem in answer.json["problems"]}
        assert paths == {"nodes[1].name", "nodes[2].capacity.ram"}
        answer = client.post(
            "/v1/nodes", {"nodes": [NEW | {"count": 99}, {"name": "x", "count": 2}]}
        )
        assert answer.status == 413
        assert client.post("/v1/nodes", {"nodes": [NEW | {"count": "2"}]}).status == 422
        assert client.post("/v1/nodes/remove", {"nodes": ["none"]}).status == 404
        assert client.get("/v1/state").json["nodes"] == 4
        assert client.service.writer.journal.seq == 0


def test_a_new_node_can_be_tried_first(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        wide = stated("wide", demand={"cpu": 20})
        tried = client.post("/v1/what-if", {"add": [NEW], "place": [wide]}).json
        assert tried["decisions"][0]["nodes"] == {"new": 1}
        assert client.post("/v1/place", {"tasks": [wide]}).json["refusals"]
        added = json.loads(client.post("/v1/nodes", {"nodes": [NEW]}, Idempotency_Key="k").body)
        assert json.loads(client.post("/v1/nodes", {"nodes": [NEW]}, Idempotency_Key="k").body) == (
            added
        )
        assert client.post("/v1/place", {"tasks": [wide]}).json["decisions"]
        (record, *_) = client.service.writer.journal.state.records()
        assert isinstance(record, Added)
