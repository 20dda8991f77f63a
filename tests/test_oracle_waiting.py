"""A queue decides when tasks are placed: none waits longer than it may, and none is lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optalloc import Instance, Node, OptallocError, Task
from optalloc.oracle import Decision, Oracle, Queue, Refusal
from optalloc.oracle.answers import Answer
from optalloc.verify import verify


def cluster(nodes: int = 3, devices: int = 2) -> Instance:
    return Instance(
        nodes=[Node(name=f"n{i}", devices=devices, capacity={"cpu": 8}) for i in range(nodes)]
    )


def part(name: str, share: float, cpu: float = 1) -> Task:
    demand = {"cpu": cpu, "device": share} if share else {"cpu": cpu}
    return Task(name=name, demand=demand)


def arrivals(seed: int, number: int = 40) -> list[Task]:
    rng = random.Random(seed)
    shares = (0, 0.2, 0.3, 0.5, 0.65, 0.81, 1, 2)
    return [part(f"t{k}", rng.choice(shares), rng.choice((0.5, 1, 2))) for k in range(number)]


def queue_of(policy: str, longest: int, nodes: int = 3) -> Queue:
    oracle = Oracle(cluster(nodes), policy=policy)
    oracle.expect(*arrivals(99))
    return Queue(oracle, longest)


seeds = st.integers(0, 10**6)


@settings(max_examples=12)
@given(seed=seeds, longest=st.integers(0, 12))
def test_no_task_waits_longer_and_each_is_answered_once(seed: int, longest: int) -> None:
    queue, tasks = queue_of("fragmentation", longest), arrivals(seed)
    answers: list[Answer] = []
    for k, task in enumerate(tasks):
        answers += queue.ask(task)
        assert all(int(name[1:]) > k - longest for name in queue.waiting)
        assert {a.task for a in answers} | {*queue.waiting} == {t.name for t in tasks[: k + 1]}
    answers += queue.flush()
    assert queue.waiting == ()
    assert sorted(a.task for a in answers) == sorted(task.name for task in tasks)
    placed = {a.task for a in answers if isinstance(a, Decision)}
    assert {*queue.oracle.tasks()} == placed
    assert verify(*queue.oracle.instance()).feasible


@pytest.mark.parametrize("seed", range(3))
def test_the_same_arrivals_have_the_same_answers(seed: int) -> None:
    one, other = queue_of("fragmentation", 8), queue_of("fragmentation", 8)
    tasks = arrivals(seed)
    assert one.ask(*tasks) == other.ask(*tasks)
    assert one.flush() == other.flush()


@pytest.mark.parametrize("policy", ["", "best-fit", "gang > spread"])
def test_where_no_policy_lets_tasks_wait_those_that_fit_are_placed_as_they_arrive(
    policy: str,
) -> None:
    queue, plain = queue_of(policy, 8), Oracle(cluster(), policy=policy)
    tasks = arrivals(5)
    answers = (*queue.ask(*tasks), *queue.flush())
    found = {a.task: a.nodes for a in answers if isinstance(a, Decision)}
    alone = {a.task: a.nodes for a in plain.place(*tasks) if isinstance(a, Decision)}
    assert found == alone


def test_a_part_waits_for_a_device_in_use_on_which_it_costs_nobody_anything() -> None:
    oracle = Oracle(cluster(nodes=1, devices=4), policy="fragmentation")
    oracle.expect(*(part(f"s{k}", (0.65, 0.35)[k % 2]) for k in range(8)))
    queue = Queue(oracle, longest=2)
    assert queue.ask(part("a", 0.65)) == ()
    assert queue.ask(part("b", 0.65)) == ()
    assert [a.task for a in queue.ask(part("c", 0.35))] == ["a", "c"]
    assert oracle.devices("a") == oracle.devices("c")


def test_what_does_not_fit_waits_until_others_make_room() -> None:
    oracle = Oracle(cluster(nodes=1, devices=1), policy="fragmentation")
    oracle.place(part("old", 1))
    queue = Queue(oracle, longest=3)
    assert queue.ask(part("new", 1)) == ()
    oracle.release("old")
    assert [a.task for a in queue.ask(part("later", 1))] == ["new"]
    (refused,) = queue.flush()
    assert isinstance(refused, Refusal)
    assert refused.task == "later"


def test_the_largest_of_those_that_need_not_wait_is_first() -> None:
    oracle = Oracle(cluster(nodes=1, devices=2), policy="fragmentation")
    oracle.place(part("old", 2))
    queue = Queue(oracle, longest=9)
    assert queue.ask(part("one", 1), part("two", 2)) == ()
    oracle.release("old")
    assert [a.task for a in queue.flush() if isinstance(a, Decision)] == ["two"]


def test_names_are_new_and_tasks_can_be_withdrawn() -> None:
    queue = queue_of("fragmentation", 9)
    queue.ask(part("a", 0.5))
    with pytest.raises(OptallocError, match="new task, got 'a', which waits"):
        queue.ask(part("a", 0.5))
    with pytest.raises(OptallocError, match="a task that waits, got 'b'"):
        queue.withdraw("a", "b")
    assert queue.waiting == ("a",)
    queue.withdraw("a")
    assert queue.flush() == ()
    with pytest.raises(OptallocError, match="longest of at least 0, got -1"):
        Queue(queue.oracle, -1)
