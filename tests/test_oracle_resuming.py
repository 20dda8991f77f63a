"""Going back to a snapshot while the oracle lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from served import Client, cluster, running, serving, stated

from optalloc import OptallocError, Oracle, Task
from optalloc.oracle import Snapshot
from optalloc.service import asked
from optalloc.solution import Placed


def oracle_with_tasks() -> Oracle:
    oracle = Oracle(cluster(), policy="fragmentation > best-fit")
    tasks = [Task(name=f"t{k}", demand={"cpu": 3, "device": 0.5}) for k in range(6)]
    oracle.place(*tasks, Task(name="gang", demand={"device": 1}, replicas=3))
    oracle.close("rack1/n3")
    return oracle


def test_all_is_as_it_was_but_the_version() -> None:
    oracle = oracle_with_tasks()
    before = oracle.snapshot()
    oracle.release("t1", "gang")
    oracle.reopen("rack1/n3")
    oracle.place(Task(name="late", demand={"cpu": 16}))
    version = oracle.version
    oracle.resume(before)
    assert oracle.version == version + 1
    assert replace(oracle.snapshot(), version=before.version) == before
    next_one = Task(name="next", demand={"cpu": 2, "device": 0.5})
    (answer,) = oracle.place(next_one)
    (expected,) = Oracle.restore(before).place(next_one)
    assert replace(answer, version=0) == replace(expected, version=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance": cluster(5)}, "of the cluster as it is"),
        ({"objective": "power"}, "of the cluster as it is"),
        ({"policy": "spread"}, "of the cluster as it is"),
        ({"placements": {}}, "a placement of each task"),
        ({"devices": {"nobody": {}}}, "a placement of each task"),
        ({"closed": ("nowhere",)}, "the name of a node, got 'nowhere'"),
        ({"tasks": (Task(name="a"), Task(name="a"))}, "each another one"),
        ({"tasks": (Task(name="a", count=2),)}, "single tasks"),
    ],
)
def test_what_is_no_snapshot_of_the_cluster_changes_nothing(
    change: dict[str, Any], said: str
) -> None:
    oracle = oracle_with_tasks()
    before = oracle.snapshot()
    with pytest.raises(OptallocError, match=said):
        oracle.resume(replace(before, **change))
    assert oracle.snapshot() == before


def test_a_snapshot_that_breaks_a_rule_is_refused() -> None:
    oracle = Oracle(cluster())
    oracle.place(*(Task(name=f"t{k}", demand={"cpu": 10}) for k in range(2)))
    before = oracle.snapshot()
    same = dict.fromkeys(before.placements, Placed(nodes={"rack0/n0": 1}))
    with pytest.raises(OptallocError, match="expected a snapshot that keeps all rules"):
        oracle.resume(replace(before, placements=same))
    assert oracle.snapshot() == before


def test_wrong_indices_of_a_mix_are_refused() -> None:
    oracle = oracle_with_tasks()
    before = oracle.snapshot()
    assert before.mix is not None
    for wrong in (len(before.mix.tasks), -1):
        with pytest.raises(OptallocError, match="indices of its tasks"):
            oracle.resume(replace(before, mix=replace(before.mix, recent=(wrong,))))


def test_what_is_told_back_has_the_fields_of_what_was_told() -> None:
    assert asked.Told.__struct_fields__ == Snapshot.__struct_fields__


def fill(client: Client) -> dict[str, Any]:
    assert client.post("/v1/place", {"tasks": [stated(n) for n in "abc"]}).status == 200
    assert client.post("/v1/nodes/close", {"nodes": ["rack1/n3"]}).status == 200
    told: dict[str, Any] = client.get("/v1/snapshot").json
    assert client.post("/v1/release", {"tasks": ["b"]}).status == 200
    assert client.post("/v1/place", {"tasks": [stated("d")]}).status == 200
    assert client.post("/v1/nodes/reopen", {"nodes": ["rack1/n3"]}).status == 200
    return told


def test_the_service_goes_back_and_its_journal_with_it(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        told = fill(client)
        version = client.get("/v1/state").json["version"]
        assert client.post("/v1/restore", {"snapshot": told}).json == {"version": version + 1}
        assert set(running(client)) == {"a", "b", "c"}
    with serving(tmp_path / "j") as client:
        again = client.get("/v1/snapshot").json
        assert again | {"version": 0} == told | {"version": 0}
        assert client.post("/v1/verify", {}).json["feasible"]


def test_the_service_refuses_what_is_no_snapshot_of_its_cluster(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        told = fill(client)
        before = client.get("/v1/snapshot").json
        for wrong in (
            told | {"objective": "power"},
            told | {"placements": {}},
            told | {"placements": {name: {"nodes": {"nowhere": 1}} for name in "abc"}},
        ):
            assert client.post("/v1/restore", {"snapshot": wrong}).status == 409
        assert client.post("/v1/restore", {"snapshot": {"tasks": 1}}).status == 422
        task = stated("a", demand={"cpu": 1, "unknown": 1})
        known = [t for t in told["tasks"] if t["name"] != "a"]
        assert (
            client.post("/v1/restore", {"snapshot": told | {"tasks": [task, *known]}}).status == 422
        )
        assert client.get("/v1/snapshot").json == before
