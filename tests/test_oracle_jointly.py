"""Tasks that are placed together: more of them, and none worse off for one behind it."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from served import Client, stated
from test_oracle import RULES, check, cluster, drawn

from optalloc import Instance, Node, Task, policies
from optalloc.oracle import Decision, Oracle
from optalloc.service.app import Limits
from optalloc.service.server import open_service
from optalloc.service.writer import Choosing


def two(size: float = 10) -> Instance:
    return Instance(nodes=[Node(name=n, capacity={"cpu": size}) for n in "ab"])


def sized(*sizes: float) -> list[Task]:
    return [Task(name=f"t{k}", demand={"cpu": size}) for k, size in enumerate(sizes)]


def placed(answers: Any) -> set[str]:
    return {a.task for a in answers if isinstance(a, Decision)}


def test_what_fits_only_when_the_largest_go_first_is_placed_together() -> None:
    tasks = sized(4, 4, 8, 8)
    assert len(placed(Oracle(two(12)).place(*tasks))) == 3
    oracle = Oracle(two(12))
    answers = oracle.place(*tasks, look_ahead=True)
    assert [a.task for a in answers] == [t.name for t in tasks]
    assert len(placed(answers)) == 4
    assert oracle.version == 1
    check(oracle)


def test_fewer_nodes_are_used_where_that_is_the_objective() -> None:
    instance = Instance(
        nodes=[Node(name=f"n{i}", capacity={"cpu": 10}) for i in range(4)],
        policies=[policies.Nodes()],
        objective="nodes",
    )
    tasks = sized(3, 3, 3, 7, 7, 7)
    used = []
    for ahead in (False, True):
        oracle = Oracle(instance)
        answers = oracle.place(*tasks, look_ahead=ahead)
        assert len(placed(answers)) == 6
        used.append({n for a in answers if isinstance(a, Decision) for n in a.nodes})
    assert (len(used[0]), len(used[1])) == (4, 3)


@pytest.mark.parametrize("rule", RULES)
def test_no_task_is_refused_because_of_one_behind_it(rule: str) -> None:
    for seed in range(2):
        rng = random.Random(seed)
        apart, together = (Oracle(cluster(RULES[rule])) for _ in range(2))
        for step in range(3):
            tasks = [drawn(rng, f"t{step}-{k}") for k in range(12)]
            before = {name: apart.where(name) for name in apart.tasks()}
            alone = placed(apart.place(*tasks))
            found = placed(together.place(*tasks, look_ahead=True))
            if before == {n: together.where(n) for n in together.tasks() if n not in found}:
                assert alone <= found
            together = apart.fork()
        check(together)


def test_a_plan_is_only_a_hint() -> None:
    """What has changed since, or is another task of the same name, is placed as ever."""
    oracle = Oracle(two())
    tasks = sized(3, 3, 7, 7)
    oracle.plan(*tasks)
    assert oracle.tasks() == ()
    assert oracle.version == 0
    fork = oracle.fork()
    assert len(placed(fork.place(*tasks))) == len(placed(Oracle(two()).place(*tasks)))
    oracle.place(Task(name="x", demand={"cpu": 10}))
    assert len(placed(oracle.place(*tasks))) >= 1
    check(oracle)


def test_a_batch_with_bad_tasks_is_planned_without_them() -> None:
    oracle = Oracle(two())
    oracle.plan(Task(name="t0", demand={"disk": 1}), *sized(3, 3, 7, 7), Task(name=""))
    assert len(placed(oracle.place(*sized(3, 3, 7, 7)))) == 4


def test_requests_that_come_within_the_wait_are_decided_together(tmp_path: Path) -> None:
    """Each gets its own answer; a key, a passed deadline and a bad body are as ever."""
    choosing = Choosing(look_ahead=0.3)
    service = open_service(two(12), "", tmp_path / "j", Limits(), choosing=choosing)
    client = Client(service)
    sizes = (4, 4, 8, 8)
    bodies = [{"tasks": [stated(f"t{k}", demand={"cpu": s})]} for k, s in enumerate(sizes)]

    async def all_of_them() -> list[Any]:
        calls = [client.asked("POST", "/v1/place", b, {"Idempotency-Key": "k"}) for b in bodies[:1]]
        calls += [client.asked("POST", "/v1/place", b) for b in bodies[1:]]
        late = {"tasks": [stated("late")]}
        calls.append(client.asked("POST", "/v1/place", late, {"Optalloc-Deadline-Ms": "1"}))
        calls.append(client.asked("POST", "/v1/place", {"tasks": [stated("bad", demand={"x": 1})]}))
        return await asyncio.gather(*calls)

    try:
        answers = asyncio.run(all_of_them())
        assert [a.status for a in answers] == [200] * 4 + [503, 422]
        decided = [json.loads(a.body)["decisions"] for a in answers[:4]]
        assert [len(d) for d in decided] == [1] * 4
        again = client.post("/v1/place", bodies[0], Idempotency_Key="k")
        assert again.body == answers[0].body
        assert client.post("/v1/verify", {}).json["tasks"] == 4
    finally:
        service.close()


def test_a_request_can_ask_to_look_ahead_over_its_tasks(tmp_path: Path) -> None:
    service = open_service(two(12), "", tmp_path / "j", Limits())
    client = Client(service)
    tasks = [stated(f"t{k}", demand={"cpu": s}) for k, s in enumerate((4, 4, 8, 8))]
    try:
        answer = client.post("/v1/place", {"tasks": tasks, "look_ahead": True})
        assert len(answer.json["decisions"]) == 4
    finally:
        service.close()
