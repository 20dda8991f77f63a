"""A live problem: what it refuses, what it touches, and how it goes on."""

from __future__ import annotations

import numpy as np
import pytest

from optalloc import policies as rules
from optalloc.engines.local import whole
from optalloc.engines.local.live import Live
from optalloc.engines.local.names import Inexact, NoMore, NotSo, UnknownName
from optalloc.engines.local.state import State
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import Walk
from optalloc.instance.model import Configuration, Group, Instance, Node, Resource, Task
from optalloc.solution import Placed

NODES = 8


def cluster(**changes: object) -> Instance:
    """Eight nodes in four racks, three services, and jobs that may be left out."""
    stated: dict[str, object] = {
        "nodes": [
            Node(name=f"n{i}", capacity={"cpu": 8}, domains={"rack": f"r{i % 4}"})
            for i in range(NODES)
        ],
        "tasks": [
            Task(name="web", demand={"cpu": 2}, groups=("web",), count=4),
            Task(name="db", demand={"cpu": 3}),
            Task(name="job", demand={"cpu": 1}, required=False, count=2),
        ],
        "groups": [Group(name="web")],
        "policies": [rules.Spread(scope="rack", domains=3)],
        "objective": "admitted > nodes",
    }
    return Instance(**(stated | changes))  # type: ignore[arg-type]


def on(*nodes: str) -> Placed:
    return Placed(nodes={node: nodes.count(node) for node in nodes})


# -- names and states ------------------------------------------------------------------------------


def test_unknown_names_are_told_with_what_was_expected() -> None:
    live = Live(cluster())
    with pytest.raises(UnknownName, match=r"expected a node \(n0, .*\), got 'n9'"):
        live.disable_node("n9")
    with pytest.raises(UnknownName, match=r"expected the name of a task, such as .* got 'web'"):
        live.remove_task("web")
    for name in ("web/4", "web/01", "web/x", "db/0", "db/1", "/0", "none/0"):
        with pytest.raises(UnknownName, match=f"got '{name}'"):
            live.where(name)
    with pytest.raises(UnknownName, match=r"expected the name of a task entry .* got 'web/0'"):
        live.add_task("web/0")
    with pytest.raises(UnknownName, match="task entry"):
        Live(cluster(), spare={"none": 1})
    with pytest.raises(NotSo, match="at least 0 spare tasks of 'db', got -1"):
        Live(cluster(), spare={"db": -1})


def test_what_is_absent_or_closed_already_is_told() -> None:
    live = Live(cluster())
    live.remove_task("web/1")
    with pytest.raises(NotSo, match="task that is there, got 'web/1', which is absent"):
        live.remove_task("web/1")
    with pytest.raises(NotSo, match="task that is absent, got 'web/2', which is there"):
        live.return_task("web/2")
    live.disable_node("n1")
    with pytest.raises(NotSo, match="node that is open, got 'n1', which is disabled"):
        live.disable_node("n1")
    live.remove_node("n1")
    with pytest.raises(NotSo, match="open or disabled, got 'n1', which is removed"):
        live.remove_node("n1")
    with pytest.raises(NotSo, match="disabled or removed, got 'n0', which is open"):
        live.enable_node("n0")
    assert (live.node_state("n0"), live.node_state("n1")) == ("open", "removed")


def test_the_last_node_stays() -> None:
    live = Live(Instance(nodes=[Node(name="a"), Node(name="b")]))
    live.remove_node("a")
    with pytest.raises(NotSo, match="the only one left"):
        live.remove_node("b")


def test_tasks_are_put_only_where_they_may_be() -> None:
    live = Live(cluster())
    live.put("web/0", on("n3"))
    assert live.where("web/0") == on("n3")
    with pytest.raises(NotSo, match="expected 1 replicas of 'web/0', got 2"):
        live.put("web/0", on("n1", "n2"))
    with pytest.raises(UnknownName, match="configuration"):
        live.put("web/0", Placed(nodes={"n1": 1}, configuration="large"))
    live.disable_node("n2")
    with pytest.raises(NotSo, match="'web/0', got 'n2', which is disabled"):
        live.put("web/0", on("n2"))
    assert live.where("web/0") == on("n3")
    live.put("web/0", None)
    assert live.where("web/0") is None


# -- coming and going ------------------------------------------------------------------------------


def test_a_lost_node_is_repaired_and_a_fork_does_not_show() -> None:
    live = Live(cluster())
    assert live.standing().missing == 5
    assert live.complete() == ()
    assert live.standing().feasible
    where = {name: live.where(name) for name in live.tasks()}
    lost = next(iter(where["web/0"].nodes))  # type: ignore[union-attr]
    what_if = live.fork()
    evicted = what_if.remove_node(lost)
    assert "web/0" in evicted
    assert what_if.standing().missing == len([name for name in evicted if name[:3] != "job"])
    assert what_if.complete() == ()
    assert what_if.standing().feasible
    what_if.recheck()
    assert {name: live.where(name) for name in live.tasks()} == where
    assert live.node_state(lost) == "open"


def test_what_is_on_a_cordoned_node_may_stay_and_nothing_comes() -> None:
    live = Live(cluster())
    live.complete()
    live.put("db", on("n5"))
    assert live.disable_node("n5", evict=False) == ()
    assert live.where("db") == on("n5")
    for task in live.tasks():
        if live.where(task) != on("n5"):
            live.put(task, on("n0"))
    live.improve(2000)
    others = {task: live.where(task) for task in live.tasks() if task != "db"}
    assert on("n5") not in others.values()
    assert live.standing().feasible
    live.recheck()


def test_the_search_goes_only_to_nodes_that_are_open() -> None:
    live = Live(cluster(policies=[rules.Spread(scope="rack", domains=2)]))
    for name in ("n0", "n1", "n2", "n4", "n5"):
        live.remove_node(name) if name < "n3" else live.disable_node(name)
    live.complete()
    live.improve(2000)
    used = {node for task in live.tasks() for node in (live.where(task) or on()).nodes}
    assert used <= {"n3", "n6", "n7"}
    assert live.standing().feasible
    live.recheck()


def test_the_best_placement_is_forgotten() -> None:
    live = Live(cluster(policies=[]))
    live.complete()
    live.improve(100)
    walk = live._record.placed.walk
    assert np.isfinite(walk.best[0])
    live.remove_task("web/0")
    live.add_task("web")
    assert not np.isfinite(walk.best[0])
    live.complete()
    assert walk.best[0] == live._record.placed.state.total[0]


def test_a_service_without_tasks_needs_no_domains() -> None:
    live = Live(cluster())
    live.complete()
    for i in range(4):
        live.remove_task(f"web/{i}")
    assert live.standing().feasible
    live.add_task("web")
    live.complete()
    assert not live.standing().feasible, "one task is in three racks never"


def test_room_is_made_for_more_tasks() -> None:
    live = Live(cluster(), spare={"db": 1})
    live.complete()
    live.remove_node("n7")
    where = {name: live.where(name) for name in live.tasks()}
    fork, checkpoint, entries = live.fork(), live.checkpoint(), live._frame.entry_task
    assert [live.add_task("db") for _ in range(3)] == ["db/1", "db/2", "db/3"]
    # The first was spare; room was made for twice as many of all, and the last found it.
    assert np.diff(entries).tolist() == [4, 2, 2]
    assert np.diff(live._frame.entry_task).tolist() == [8, 4, 4]
    for name, before in where.items():
        assert live.where(name) == before
    assert live.node_state("n7") == "removed"
    assert live.complete() == ()
    live.recheck()
    assert fork.tasks() == tuple(where)
    with pytest.raises(NotSo, match="or a larger"):
        fork.rollback(live.checkpoint())
    live.rollback(checkpoint)
    assert {name: live.where(name) for name in live.tasks()} == where
    live.recheck()


# -- what runs now ---------------------------------------------------------------------------------


def running(**changes: object) -> Instance:
    """Tasks that run now, one of them on two nodes, and what it costs to move them."""
    costs: dict[str, dict[str, float]] = {"n0": {"n2": 5}, "n1": {"n2": 1, "n3": 1}}
    stated: dict[str, object] = {
        "resources": {"cpu": Resource(transient=True)},
        "tasks": [
            Task(name="one", demand={"cpu": 4}, current="n0"),
            Task(name="two", demand={"cpu": 1}, replicas=2, current=("n0", "n1")),
            Task(name="crowd", demand={"cpu": 1}, count=2, current=("n4", "n5")),
        ],
        "groups": [],
        "policies": [rules.Moves(), rules.PairMoveCost(costs=costs)],
        "objective": "moves > pair-move-cost",
    }
    return cluster(**(stated | changes))


def test_tasks_that_ran_on_a_removed_node_are_not_moved() -> None:
    live = Live(running(tasks=[Task(name="one", demand={"cpu": 4}, current="n0")]))
    live.put("one", on("n2"))
    assert live.standing().levels == (1.0, 5.0)
    live.remove_node("n0")
    assert live.standing().levels == (0.0, 0.0)
    assert live._record.placed.state.away_size[0] == 0
    live.recheck()
    live.enable_node("n0")
    assert live.standing().levels == (1.0, 5.0)
    live.disable_node("n0")
    assert live.standing().levels == (1.0, 5.0)
    live.recheck()


def test_a_node_from_which_moves_have_a_price_is_not_forgotten_alone() -> None:
    live = Live(running())
    with pytest.raises(Inexact, match=r"got 'n0': task 'two' .* 'pair-move-cost' .* disable"):
        live.remove_node("n0")
    assert live.node_state("n0") == "open"
    live.disable_node("n0")
    Live(running(policies=[rules.Moves()], objective="moves")).remove_node("n0")


def test_tasks_that_run_now_are_no_more_than_stated() -> None:
    live = Live(running())
    with pytest.raises(NoMore, match="of 'one': it has 1, all there, which run now"):
        live.add_task("one")
    with pytest.raises(NoMore, match="of 'one'"):
        Live(running(), spare={"one": 2})
    live.remove_task("one")
    assert live.add_task("one") == "one"


def test_one_of_several_tasks_that_share_nodes_cannot_be_told() -> None:
    with pytest.raises(Inexact, match="got 'crowd/0': which of the replicas"):
        Live(running()).remove_task("crowd/0")


def test_a_task_that_is_gone_holds_no_room_where_it_ran() -> None:
    demand = {"cpu": 8}
    tasks = [Task(name="old", demand=demand, current="n0"), Task(name="new", demand=demand)]
    live = Live(running(tasks=tasks))
    live.put("new", on("n0"))
    live.put("old", on("n1"))
    assert not live.standing().feasible
    live.remove_task("old")
    assert live.standing().feasible
    live.recheck()


def test_terms_that_the_search_cannot_follow_are_told_at_once() -> None:
    ways = (Configuration(device="x"), Configuration(device="x", replicas=2))
    nodes = [Node(name="a", device="x", devices=4), Node(name="b", device="x", devices=4)]
    tasks = [Task(name="t", configurations=ways, current="a", count=2)]
    with pytest.raises(Inexact, match="replicas of several rows"):
        Live(Instance(nodes=nodes, tasks=tasks))


# -- what is touched -------------------------------------------------------------------------------


def test_edits_touch_only_the_nodes_of_what_they_speak_of(monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(cluster())
    live.complete()
    live.put("db", on("n2"))
    live.put("web/0", on("n3"))
    state = live._record.placed.state
    stamps = state.stamp.copy()

    def touched() -> set[str]:
        changed = {f"n{n}" for n in np.flatnonzero(state.stamp != stamps)}
        stamps[:] = state.stamp
        return changed

    live.remove_task("db")
    assert touched() == {"n2"}
    live.add_task("db")
    assert touched() == set()
    taken: list[int] = []
    plain = whole.rechoose

    def counting(t: Tables, s: State, w: Walk, task: int, c: int) -> None:
        taken.append(task)
        plain(t, s, w, task, c)

    monkeypatch.setattr(whole, "rechoose", counting)
    evicted = live.disable_node("n3")
    assert touched() == {"n3"}
    assert len(taken) == len(evicted) > 0
    live.enable_node("n3")
    live.disable_node("n3", evict=False)
    assert touched() == set()
    live.remove_node("n3")
    assert touched() == {"n3"}
    assert len(taken) == len(evicted)


def test_a_fork_shares_what_never_changes() -> None:
    live = Live(cluster())
    fork = live.fork()
    assert fork._frame is live._frame
    mine, other = live._record.placed.tables, fork._record.placed.tables
    assert mine.size is other.size
    assert not np.shares_memory(mine.allowed, other.allowed)
    assert not np.shares_memory(live._record.block, fork._record.block)
