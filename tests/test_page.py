"""What the page is made of: its files, and what it asks the service."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hatchling.builders.wheel import WheelBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Client, cluster, serving, stated

from optalloc import Instance, Node, policies
from optalloc.service.app import Service
from optalloc.service.openapi import document
from optalloc.service.page import Page
from optalloc.service.watching import DECISIONS, LONGEST_NAME, LONGEST_REASON, SAMPLES, Watch

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "optalloc" / "service" / "static"
FILES = sorted(path.name for path in STATIC.iterdir())
PAGE = {"index.html", "page.css", "main.js", "icon.svg"}
HUGE = {"demand": {"cpu": 17}}


# -- its files -------------------------------------------------------------------------------------


def test_the_page_and_its_files_are_served_to_everybody(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("read 0123456789abcdef\n")
    assert set(FILES) >= PAGE
    with serving(tmp_path / "j", tokens=tokens) as client:
        assert client.get("/").body == (STATIC / "index.html").read_bytes()
        for name in FILES:
            answer = client.get(f"/page/{name}")
            assert (answer.status, answer.body) == (200, (STATIC / name).read_bytes())
            again = client.get(f"/page/{name}", If_None_Match=answer.headers["etag"])
            assert (again.status, again.body) == (304, b"")
        assert client.get("/v1/overview").status == 401


def test_a_browser_may_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        for name in ("/", *(f"/page/{name}" for name in FILES)):
            headers = client.get(name).headers
            assert headers["content-security-policy"].startswith("default-src 'self';")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["x", "../app.py", "..%2fapp.py", "/etc/passwd", "index.html/", ""]
)
def test_no_other_file_is_served(name: str, tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        assert client.get(f"/page/{name}").status == 404


@pytest.mark.parametrize("name", FILES)
def test_files_name_no_other_host_and_hold_no_inline_script_or_style(name: str) -> None:
    text = (STATIC / name).read_text()
    found = {link for link in re.findall(r"\w+://[\w./]+", text) if "www.w3.org" not in link}
    assert found == set()
    if name.endswith(".html"):
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|<style|\son\w+=", text)
    if name.endswith(".js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text)


def test_every_file_that_a_file_asks_for_is_there() -> None:
    asked = set(re.findall(r'(?:src|href)="page/([^"]+)"', (STATIC / "index.html").read_text()))
    for script in STATIC.glob("*.js"):
        asked |= set(re.findall(r'from "\./([^"]+)"', script.read_text()))
    assert asked | {"index.html"} == set(FILES) == set(Page().files)


def test_the_files_are_in_the_wheel() -> None:
    builder = WheelBuilder(str(ROOT))
    inside = {file.distribution_path for file in builder.recurse_included_files()}
    assert {f"optalloc/service/static/{name}" for name in FILES} <= inside


# -- the map ---------------------------------------------------------------------------------------


def placed(client: Client, *tasks: dict[str, Any]) -> Any:
    return client.post("/v1/place", {"tasks": list(tasks)}).json


def test_the_cluster_is_as_stated(tmp_path: Path) -> None:
    stated = cluster(5)
    with serving(tmp_path / "j", stated) as client:
        told = client.get("/v1/cluster").json
    assert told["nodes"] == [node.name for node in stated.nodes]
    assert told["capacity"] == {"device": [4] * 5, "cpu": [16] * 5}
    rack = told["scopes"]["rack"]
    assert [rack["domains"][k] for k in rack["domain"]] == [n.domains["rack"] for n in stated.nodes]
    assert (told["types"], told["full_w"]) == (["A100"] * 5, [1000] * 5)


def test_a_cluster_without_domains_or_watts(tmp_path: Path) -> None:
    bare = Instance(
        nodes=[Node(name="a", capacity={"cpu": 1}), Node(name="b", capacity={"cpu": 1}, count=2)],
        policies=[policies.Nodes()],
    )
    with serving(tmp_path / "j", bare) as client:
        told = client.get("/v1/cluster").json
        assert (told["nodes"], told["scopes"], told["full_w"]) == (["a", "b/0", "b/1"], {}, [])
        assert client.get("/v1/overview").json["watts"] == []
        node = client.get("/v1/node/b/1").json
        assert (node["watts"], node["devices"], node["domains"]) == (None, [], {})


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.sampled_from([0, 0.25, 1, 2]))))
def test_columns_add_up_to_what_runs(client: Client, drawn: list[tuple[int, float, float]]) -> None:
    """Use and tasks by node are those of the tasks one by one; watts add up to the counted ones."""
    tasks = [
        stated(f"t{k}", replicas=r, demand={"cpu": cpu, "device": device})
        for k, (r, cpu, device) in enumerate(drawn)
    ]
    placed(client, *tasks)
    oracle = client.service.writer.oracle
    told, nodes = client.get("/v1/overview").json, client.get("/v1/cluster").json["nodes"]
    used = {name: dict.fromkeys(nodes, 0.0) for name in ("cpu", "device")}
    count = dict.fromkeys(nodes, 0)
    for name in oracle.tasks():
        task = oracle.task(name)
        for node, replicas in oracle.where(name).nodes.items():
            count[node] += 1
            for resource, by_node in used.items():
                by_node[node] += replicas * float(np.asarray(task.demand.get(resource, 0)))
    assert told["tasks"] == [*count.values()]
    for resource, by_node in used.items():
        assert told["used"][resource] == pytest.approx([*by_node.values()])
    assert sum(told["watts"]) == pytest.approx(told["state"]["power_w"], abs=0.1 * len(nodes))
    for k, name in enumerate(nodes):
        node = client.get(f"/v1/node/{name}").json
        assert node["tasks"] == told["tasks"][k]
        assert {part["task"]: part["replicas"] for part in node["running"]} == {
            t: oracle.where(t).nodes[name] for t in oracle.tasks_on(name)
        }
        for part in node["running"]:
            assert part["devices"] == list(oracle.devices(part["task"]).get(name, ()))
        free = sum(device["free"] for device in node["devices"])
        assert free == pytest.approx(4 - told["used"]["device"][k])
        for resource in used:
            assert node["resources"][resource]["used"] == told["used"][resource][k]
    client.post("/v1/release", {"tasks": list(oracle.tasks())})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("page") / "j") as made:
        yield made


def test_a_closed_node_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        client.post("/v1/nodes/close", {"nodes": ["rack0/n1"]})
        assert client.get("/v1/overview").json["state"]["closed"] == ["rack0/n1"]
        assert client.get("/v1/node/rack0/n1").json["closed"]
        assert not client.get("/v1/node/rack0/n0").json["closed"]
        assert client.get("/v1/node/rack0").status == 404


def test_who_has_seen_this_version_costs_the_writer_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "j") as client:
        first = {name: client.get(f"/v1/{name}") for name in ("overview", "cluster")}
        with monkeypatch.context() as patched:
            patched.setattr(client.service.writer, "submit", None)
            for name, answer in first.items():
                known = client.get(f"/v1/{name}", If_None_Match=answer.headers["etag"])
                assert (known.status, known.body) == (304, b"")
                assert client.get(f"/v1/{name}").body == answer.body
        placed(client, stated("a"))
        after = client.get("/v1/overview", If_None_Match=first["overview"].headers["etag"])
        assert (after.status, sum(after.json["tasks"])) == (200, 1)
        assert after.json["layout"] == first["overview"].json["layout"]


def test_the_layout_is_another_one_where_nodes_are_others(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        seen = [client.get("/v1/overview").json["layout"]]
        for cpu in (2, 3):
            node = {"name": "new", "capacity": {"cpu": cpu}}
            assert client.post("/v1/nodes", {"nodes": [node]}).status == 200
            seen.append(client.get("/v1/overview").json["layout"])
            assert client.get("/v1/cluster").json["layout"] == seen[-1]
            assert client.post("/v1/nodes/remove", {"nodes": ["new"]}).status == 200
        assert len({*seen}) == 3
        assert client.get("/v1/overview").json["layout"] == seen[0]


# -- decisions and figures -------------------------------------------------------------------------


def test_decisions_are_remembered_the_newest_first(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        first = client.get("/v1/activity")
        assert first.json == {"queue": 0, "decisions": []}
        placed(client, stated("a", replicas=4))
        placed(client, stated("b", **HUGE))
        client.post("/v1/resize", {"task": stated("a", replicas=5)})
        client.post("/v1/what-if", {"place": [stated("c")]})
        answer = client.get("/v1/activity", If_None_Match=first.headers["etag"])
        told = answer.json["decisions"]
        assert [(d["task"], d["request"], d["placed"]) for d in told] == [
            ("a", "resize", True),
            ("b", "place", False),
            ("a", "place", True),
        ]
        assert told[1]["reason"] == "4 nodes: 1 cpu short (need 17, largest free 16)"
        assert told[1]["asked"]["demand"] == HUGE["demand"]
        assert told[2]["nodes"] == len(client.get("/v1/tasks/a").json["nodes"])
        assert all(d["ms"] > 0 for d in told)
        same = client.get("/v1/activity", If_None_Match=answer.headers["etag"])
        assert same.status == 304


def test_the_same_request_again_is_no_new_decision(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        for _ in range(3):
            client.post("/v1/place", {"tasks": [stated("a")]}, Idempotency_Key="k")
        assert len(client.get("/v1/activity").json["decisions"]) == 1


def test_what_is_remembered_is_bounded_and_placed_tasks_crowd_out_no_refused_one(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "j") as client:
        placed(client, stated("r" * 5000, **HUGE, groups=[]))
        for k in range(3 * DECISIONS // 50):
            names = [f"{k}-{i}" for i in range(50)]
            placed(client, *(stated(name, demand={}) for name in names))
        placed(client, stated("x", allow={"l": ["y" * 9000]}))
        told = client.get("/v1/activity").json["decisions"]
    assert sum(d["placed"] for d in told) == DECISIONS
    refused = [d for d in told if not d["placed"]]
    assert [len(d["task"]) for d in refused] == [1, LONGEST_NAME]
    assert [d["asked"] for d in refused] == [None, None]
    assert all(len(d["reason"]) <= LONGEST_REASON for d in refused)


def sampled(service: Service) -> None:
    asyncio.run(service.sample())


def test_figures_over_time_are_those_of_the_state(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        sampled(client.service)
        placed(client, stated("a", demand={"cpu": 8}))
        sampled(client.service)
        answer = client.get("/v1/history")
        state = client.get("/v1/state").json
        assert len(answer.json["at"]) == 2
        figures = answer.json["figures"]
        assert figures["tasks"] == [0, 1]
        assert figures["power_w"] == [0, state["power_w"]]
        assert figures["used.cpu"] == [0, 8 / 64]
        assert figures["queue"] == [0, 0]
        assert figures["gap"] == figures["fragmentation"] == [None, None]
        tag = answer.headers["etag"]
        assert client.get("/v1/history", If_None_Match=tag).status == 304
        sampled(client.service)
        assert client.get("/v1/history", If_None_Match=tag).status == 200


def test_only_the_last_samples_are_kept(tmp_path: Path) -> None:
    watch = Watch()
    with serving(tmp_path / "j") as client:
        from optalloc.service.commands import standing

        now = standing(client.service.writer.oracle)
    for k in range(SAMPLES + 5):
        watch.sample(now, k)
    told = watch.history()[1]()
    assert len(told.at) == SAMPLES
    assert told.figures["queue"] == [*range(5, SAMPLES + 5)]


def test_two_services_never_tell_the_same_tag() -> None:
    assert Watch().history()[0] != Watch().history()[0]


# -- why not ---------------------------------------------------------------------------------------


def asking(client: Client, **task: Any) -> Any:
    return client.post("/v1/why-not", {"task": {"name": "q", **task}})


def test_why_not_says_what_is_in_the_way_of_each_node(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        placed(client, stated("a", demand={"cpu": 10}))
        (busy,) = client.get("/v1/tasks/a").json["nodes"]
        other = "rack1/n3" if busy != "rack1/n3" else "rack0/n0"
        client.post("/v1/nodes/close", {"nodes": [other]})
        task = {"demand": {"cpu": 8}, "forbid": {"rack": ["rack0", "rack1"]}}
        told = asking(client, **task).json
        (way,) = told["ways"]
        assert told["decision"] is None
        assert told["reason"] == placed(client, {"name": "q", **task})["refusals"][0]["reason"]
        assert sum(reason["nodes"] for reason in way["reasons"]) == 4
        assert [reason["nodes"] for reason in way["reasons"]] == [3, 1]
        assert way["reasons"][1] == {"reason": "closed", "nodes": 1, "first": [other]}
        gang = asking(client, demand={"cpu": 8}, replicas=9).json["ways"][0]
        assert (gang["wanted"], gang["fits"]) == (9, 4)


def test_why_not_tells_each_configuration_apart(tmp_path: Path) -> None:
    with serving(tmp_path / "j") as client:
        rows = [{"name": "big", "demand": {"cpu": 17}}, {"name": "other", "device": "H100"}]
        ways = asking(client, configurations=rows).json["ways"]
        assert [way["configuration"] for way in ways] == ["big", "other"]
        assert "cpu short" in ways[0]["reasons"][0]["reason"]
        assert "need H100" in ways[1]["reasons"][0]["reason"]


def test_why_not_says_what_would_make_it_fit_in_the_words_of_other_requests(
    tmp_path: Path,
) -> None:
    """Each remedy, sent as it is to what-if, leads to a place."""
    with serving(tmp_path / "j") as client:
        placed(client, stated("a", replicas=3, demand={"cpu": 16}), stated("b", demand={"cpu": 9}))
        (busy,) = client.get("/v1/tasks/b").json["nodes"]
        found = asking(client, demand={"cpu": 8}).json["remedies"]
        assert [remedy["words"] for remedy in found] == [
            "release b",
            "ask for 7 cpu instead of 8",
            "add 1 node like rack0/n0",
        ]
        assert found[0]["release"] == ["b"]
        for remedy in found:
            changes = {key: remedy[key] for key in ("release", "reopen", "add") if key in remedy}
            task = remedy.get("task", {"name": "q", "demand": {"cpu": 8}})
            told = client.post("/v1/what-if", changes | {"place": [task]}).json
            assert len(told["decisions"]) == 1
        client.post("/v1/nodes/close", {"nodes": [busy]})
        assert asking(client, demand={"cpu": 7}).json["remedies"][0]["reopen"] == [busy]
        assert asking(client, demand={"cpu": 1, "device": 1}).json["remedies"]
    told = json.loads(document())["components"]["schemas"]
    assert set(told["Remedy"]["properties"]) == {"words", "reopen", "release", "add", "task"}


def test_a_question_changes_nothing_and_is_answered_as_the_request_would_be(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "j") as client:
        placed(client, stated("q"), stated("b", replicas=3, demand={"cpu": 5, "device": 0.5}))
        before = client.get("/v1/snapshot").body
        told = asking(client, demand={"cpu": 4}, replicas=2).json
        assert client.get("/v1/snapshot").body == before
        assert len(client.get("/v1/activity").json["decisions"]) == 2
        answer = placed(client, stated("new", demand={"cpu": 4}, replicas=2))["decisions"][0]
        assert told["decision"]["nodes"] == answer["nodes"]
        assert told["decision"]["task"] == "q"
        assert asking(client, demand={"cpu": 17}).json["remedies"][0]["task"]["name"] == "q"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"name": "a", "demand": {"x": 1}}, "task.demand.x"),
        ({"name": "a", "count": 2}, "single"),
        ({"name": ""}, "name"),
        ({"name": "a", "replicas": 10**9}, "replicas"),
    ],
)
def test_a_wrong_question_is_refused(task: dict[str, Any], said: str, client: Client) -> None:
    answer = client.post("/v1/why-not", {"task": task})
    assert answer.status == 422
    assert said in answer.body.decode()


# -- other pages -----------------------------------------------------------------------------------


def test_a_page_of_another_site_can_change_nothing(tmp_path: Path) -> None:
    """Browsers say where a request comes from; whoever is no browser says nothing."""
    with serving(tmp_path / "j") as client:
        body = {"tasks": [stated("a")]}
        for site in ("cross-site", "same-site"):
            assert client.post("/v1/place", body, Sec_Fetch_Site=site).status == 403
        assert client.get("/", Sec_Fetch_Site="cross-site").status == 200
        assert client.get("/v1/state").json["tasks"] == 0
        assert client.post("/v1/place", body, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8421", 200),
        ("127.0.0.1", 200),
        ("[::1]:8421", 200),
        ("evil.example", 403),
        ("evil.example:8421", 403),
        ("1.evil.example", 403),
    ],
)
def test_a_name_that_others_point_here_is_refused_where_there_are_no_tokens(
    host: str, status: int, tmp_path: Path
) -> None:
    with serving(tmp_path / "j") as client:
        answer = client.get("/v1/overview", Host=host)
        assert answer.status == status
    tokens = tmp_path / "tokens"
    tokens.write_text("read 0123456789abcdef\n")
    with serving(tmp_path / "k", tokens=tokens) as client:
        bearer = {"Authorization": "Bearer 0123456789abcdef"}
        assert client.get("/v1/overview", Host=host, **bearer).status == 200


def test_the_description_says_how_to_ask_only_for_news() -> None:
    paths = json.loads(document())["paths"]
    for name in ("cluster", "overview", "history", "activity"):
        told = paths[f"/v1/{name}"]["get"]
        assert "If-None-Match" in [parameter["name"] for parameter in told["parameters"]]
        assert "304" in told["responses"]
        assert told["description"] == "Takes the role read."
