"""A live problem's record is that of the instance in which what is absent was never stated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from generate import SINGLE, instances_with
from msgspec.structs import replace
from restricting import Restricted, restrict
from test_local import set_

from optalloc.engines.local import moves
from optalloc.engines.local.live import Live
from optalloc.engines.local.names import Inexact, LiveError, NotSo
from optalloc.engines.local.record import OPEN
from optalloc.engines.local.walk import SHIFT, SWAP
from optalloc.formulation.registry import policy_classes
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import DEVICE, Instance, Resource, Task
from optalloc.objective import Objective, read_objective
from optalloc.solution import Placed, read_placement
from optalloc.verify import verify

SEEDS, EDITS, MOVES = 18, 14, 20
"""Random instances of each policy class, edits of each, and moves between them."""
OFTEN = {"gangs": 5}
"""Times as many instances of classes for most of whose instances the search has no words."""
ROUNDED = 1e-4
"""Relative difference where quanta were chosen for other numbers."""

Edit = Callable[[Live, Random], None]


def kept_alive(instance: Instance, seed: int) -> Live | None:
    """The instance alive, with room for more; None where the search has no words for it."""
    rng, instance = Random(seed), in_its_quanta(instance)
    single = any(isinstance(policy, SINGLE) for policy in instance.policies)
    spare = {
        t.name: rng.choice([0, 0, 1, 2])
        for t in instance.tasks
        if t.current is None and not (single and is_gang(t))
    }
    try:
        return Live(instance, spare=spare, seed=seed)
    except Inexact:
        return None


def is_gang(task: Task) -> bool:
    rows = () if isinstance(task.configurations, str) else task.configurations
    return max([task.replicas, *(row.replicas for row in rows)]) > 1


def in_its_quanta(instance: Instance) -> Instance:
    """The instance with the quanta of its resources stated, so that a part of it has the same."""
    columns = instance.columns
    pairs = zip(columns.resources, columns.quantum_of_resource, strict=True)
    resources = {
        name: replace(instance.resources.get(name, Resource()), quantum=float(quantum))
        for name, quantum in pairs
        if name != DEVICE
    }
    fields = {name: getattr(instance, name) for name in Instance.__struct_fields__}
    return Instance(**(fields | {"resources": resources}))


# -- edits -----------------------------------------------------------------------------------------


def walk(live: Live, rng: Random) -> None:
    """Take anything anywhere, but nothing to where it must not go, nor what is absent."""
    placed, closed = live._record.placed, np.append(live._record.presence.node != OPEN, False)
    before = placed.state.node.copy()
    set_(placed, temperature=1e9, penalty=1.0)
    for kind in (SHIFT, SWAP):
        placed.walk.tries[kind] = rng.choice([2, 2 * moves.SINGLE_TRIES])
    moves.anneal(*placed.walking, MOVES)
    after = placed.state.node
    # The last one stands for nowhere.
    assert not np.any(closed[after] & (after != before))
    absent = placed.tables.task_class == live._frame.absent
    assert np.all(placed.state.choice[absent] < 0)


def a_node(live: Live, rng: Random, *states: str) -> str:
    names = [n for n in live.instance.columns.node_names if live.node_state(n) in states]
    if not names:
        raise NotSo("no such node")
    return rng.choice(names)


def a_task(live: Live, rng: Random) -> str:
    if not live.tasks():
        raise NotSo("no task")
    return rng.choice(live.tasks())


def disable(live: Live, rng: Random) -> None:
    live.disable_node(a_node(live, rng, "open"), evict=rng.random() < 0.5)


def enable(live: Live, rng: Random) -> None:
    live.enable_node(a_node(live, rng, "disabled", "removed"))


def remove_node(live: Live, rng: Random) -> None:
    live.remove_node(a_node(live, rng, "open", "disabled"))


def remove_task(live: Live, rng: Random) -> None:
    live.remove_task(a_task(live, rng))


def remove_tasks(live: Live, rng: Random) -> None:
    """All tasks of an entry, so that nothing of it is left."""
    entry = rng.choice(live.instance.tasks).name
    for name in live.tasks():
        if name == entry or name.rpartition("/")[0] == entry:
            live.remove_task(name)


def return_task(live: Live, rng: Random) -> None:
    absent = live._record._free().tolist()
    if absent:
        live.return_task(live._name_of(rng.choice(absent)))


def add_task(live: Live, rng: Random) -> None:
    before = {name: live.where(name) for name in live.tasks()}
    added = live.add_task(rng.choice(live.instance.tasks).name)
    assert {name: live.where(name) for name in live.tasks()} == before | {added: None}


def complete(live: Live, _rng: Random) -> None:
    live.complete()


EDITS_DRAWN: tuple[Edit, ...] = (
    walk,
    walk,
    disable,
    enable,
    enable,
    remove_node,
    remove_node,
    remove_task,
    remove_task,
    remove_tasks,
    return_task,
    add_task,
    complete,
    complete,
)


# -- the law ---------------------------------------------------------------------------------------


def agrees(live: Live) -> str:
    """Compare with the checker on the instance of what is there; how that was possible."""
    nodes = [n for n in live.instance.columns.node_names if live.node_state(n) != "removed"]
    try:
        restricted = restrict(live.instance, set(live.tasks()), set(nodes))
        objective = read_objective(restricted.instance)
    except InstanceError:
        return "cannot be stated"
    where = {name: live.where(name) for name in live.tasks()}
    placed = {name: at for name, at in where.items() if at is not None}
    return compare(live, restricted, objective, placed)


def compare(
    live: Live, restricted: Restricted, objective: Objective, placed: dict[str, Placed]
) -> str:
    placement = read_placement(restricted.instance, restricted.named(placed))
    report = verify(restricted.instance, placement, objective)
    standing, problem = live.standing(), live._frame.problem
    mine = problem.objective
    stated = [level.stated(level.value(report.values)) for level in objective.levels]
    quanta = [
        [policy.quantum(columns) for policy in policies if not policy.is_rule]
        for policies, columns in (
            (mine.policies, problem.columns),
            (objective.policies, restricted.instance.columns),
        )
    ]
    same = quanta[0] == quanta[1] and all(
        a.quantum == b.quantum for a, b in zip(mine.levels, objective.levels, strict=True)
    )
    if same:
        assert list(standing.levels) == stated
        assert standing.feasible == report.feasible, report.violations
        return "exact"
    assert standing.levels == pytest.approx(stated, rel=ROUNDED, abs=ROUNDED)
    return "rounded"


@pytest.mark.parametrize("kind", policy_classes())
def test_the_record_after_edits_is_that_of_what_is_there(kind: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS * OFTEN.get(kind, 1)):
        live = kept_alive(instances_with(policy_classes()[kind], seed), seed)
        if live is None:
            continue
        rng = Random(seed)
        walk(live, rng)
        for _ in range(EDITS):
            edit = rng.choice(EDITS_DRAWN)
            try:
                edit(live, rng)
                seen[edit.__name__] += 1
            except LiveError as error:
                seen[type(error).__name__] += 1
            live.recheck()
            seen[agrees(live)] += 1
    assert seen["exact"] > SEEDS
    assert min(seen[edit.__name__] for edit in EDITS_DRAWN) > 0


@pytest.mark.parametrize("kind", policy_classes())
def test_a_fork_and_its_parent_do_not_see_what_the_other_does(kind: str) -> None:
    forks = 0
    for seed in range(SEEDS * OFTEN.get(kind, 1)):
        live = kept_alive(instances_with(policy_classes()[kind], seed), seed)
        if live is None:
            continue
        rng = Random(seed)
        live.complete()
        fork, forks = live.fork(), forks + 1
        for mine, other in ((fork, live), (live, fork)):
            before, waiting = other._record.block.copy(), dict(other._waiting)
            for edit in rng.sample(EDITS_DRAWN, 6):
                with suppress(LiveError):
                    edit(mine, rng)
            assert np.array_equal(other._record.block, before)
            assert other._waiting == waiting
            mine.recheck()
    assert forks > 0


@pytest.mark.parametrize("kind", policy_classes())
def test_a_rollback_undoes_all_edits(kind: str) -> None:
    changed = 0
    for seed in range(SEEDS * OFTEN.get(kind, 1)):
        live = kept_alive(instances_with(policy_classes()[kind], seed), seed)
        if live is None:
            continue
        rng = Random(seed)
        for edit in rng.sample(EDITS_DRAWN, 4):
            with suppress(LiveError):
                edit(live, rng)
        before, checkpoint = snapshot(live), live.checkpoint()
        for edit in rng.sample(EDITS_DRAWN, 4):
            with suppress(LiveError):
                edit(live, rng)
        changed += snapshot(live) != before
        live.rollback(checkpoint)
        assert snapshot(live) == before
        live.recheck()
    assert changed > 0


def snapshot(live: Live) -> tuple[object, ...]:
    """All that can be asked."""
    nodes = [live.node_state(name) for name in live.instance.columns.node_names]
    return [live.where(name) for name in live.tasks()], live.tasks(), nodes, live.standing()
