"""Replicas that need one another move together in the local search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from optalloc import policies as rules
from optalloc.engines.local import annealing, grouping
from optalloc.engines.local.loading import load_tables
from optalloc.engines.local.placed import Placed, focus
from optalloc.engines.local.tables import Tables
from optalloc.engines.local.walk import BUNDLE, GROUP, TEMPERATURE, VIOLATION
from optalloc.engines.protocol import Job
from optalloc.formulation.problem import Problem
from optalloc.instance.model import Group, Instance, Lookup, Node, Task
from optalloc.objective import read_objective
from optalloc.solving import solve

NODES = 3
"""Nodes of a rack, each with room for 4: two crews fill it."""
DEMANDS = (1, 2, 1, 2)
TRIES = 1000
COSTS: dict[str, int | float] = {"r0": 5, "r1": 1}
"""Of tasks, by rack."""


def racks(number: int) -> list[Node]:
    return [
        Node(name=f"n{r}-{i}", capacity={"cpu": 4}, domains={"rack": f"r{r}"})
        for r in range(number)
        for i in range(NODES)
    ]


def crews(costs: list[list[int]], **rack: list[int]) -> Instance:
    """Crews whose four tasks each need the next one in their rack; costs by crew and rack.

    `rack` says where crews run now.
    """
    tasks, pairs = [], []
    for c, prices in enumerate(costs):
        names = [f"c{c}-{i}" for i in range(len(DEMANDS))]
        pairs += list(zip(names, names[1:] + names[:1], strict=True))
        cost = Lookup(by="rack", values={f"r{r}": price for r, price in enumerate(prices)})
        for name, demand, node in zip(names, DEMANDS, seats(c), strict=True):
            at = f"n{rack['now'][c]}-{node}" if rack else None
            tasks.append(
                Task(name=name, demand={"cpu": demand}, cost=cost, groups=(name,), current=at)
            )
    return Instance(
        nodes=racks(len(costs[0])),
        tasks=tasks,
        groups=[Group(name=task.name) for task in tasks],
        policies=[rules.Dependency(scope="rack", pairs=tuple(pairs))],
        objective="assignment-cost",
    )


def seats(crew: int) -> tuple[int, ...]:
    """Nodes of a crew in its rack: the second one in a rack takes what is left."""
    return (0, 1, 0, 1) if crew % 2 == 0 else (0, 2, 0, 2)


def tables_of(instance: Instance) -> Tables:
    return focus(load_tables(Problem(instance, read_objective(instance))).model, 0, ())


def placed_at(instance: Instance, rack: list[int]) -> Placed:
    """The search's record with each crew in a rack, cold and with rules that nothing outweighs."""
    nodes = [NODES * r + seat for c, r in enumerate(rack) for seat in seats(c)]
    choices = list(range(len(nodes)))
    placed = Placed(tables_of(instance), 0, np.array([*choices, *nodes]))
    placed.walk.setting[TEMPERATURE], placed.walk.setting[VIOLATION] = 1e-9, 1e6
    assert placed.state.violation[0] == 0
    return placed


def racks_of(placed: Placed) -> NDArray[np.int32]:
    """Rack of each member of each crew."""
    return (placed.state.node // NODES).reshape(-1, len(DEMANDS))


def move_groups(placed: Placed) -> int:
    """Try group moves; how many were made."""
    for _ in range(TRIES):
        grouping.try_group(*placed.compiled)
        placed.recheck()
    return int(placed.walk.taken[GROUP])


def test_crews_reach_the_best_racks_where_single_moves_alone_do_not_in_that_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    instance = crews(draw.integers(1, 31, (11, 6)).tolist(), now=[c // 2 for c in range(11)])
    best = solve(instance, engine="milp", deterministic=True)
    monkeypatch.setattr(annealing, "TURNS_WITHOUT_CLOCK", 300_000)
    found = solve(instance, engine="local", deterministic=True)
    assert best.status == "optimal"
    assert found.objective == best.objective
    chances = annealing.Annealing._chances

    def without(search: annealing.Annealing) -> Any:
        single = chances(search)
        single[GROUP] = 0
        return single / single.sum()

    monkeypatch.setattr(annealing.Annealing, "_chances", without)
    stuck = solve(instance, engine="local", deterministic=True)
    assert stuck.objective is not None
    assert found.objective is not None
    assert stuck.objective > found.objective


def test_a_crew_goes_to_a_cheaper_rack_in_one_move() -> None:
    placed = placed_at(crews([[9, 1]]), [0])
    assert move_groups(placed) == 1
    assert racks_of(placed).tolist() == [[1, 1, 1, 1]]
    assert placed.walk.best[0] == 4


def test_crews_in_full_racks_change_places() -> None:
    costs = [[1, 9], [9, 1], [1, 9], [9, 1]]
    placed = placed_at(crews(costs), [0, 0, 1, 1])
    assert move_groups(placed) > 0
    assert racks_of(placed).tolist() == [[0] * 4, [1] * 4, [0] * 4, [1] * 4]


def test_a_group_that_would_cost_more_stays_as_it_was() -> None:
    placed = placed_at(crews([[1, 9], [1, 9]]), [0, 0])
    before, record = placed.values(), placed.state.total.copy()
    assert move_groups(placed) == 0
    assert placed.walk.tried[GROUP] > 0
    assert np.array_equal(placed.values(), before)
    assert np.array_equal(placed.state.total, record)


def test_who_wants_nobody_leaves_alone_and_who_is_wanted_takes_all_along() -> None:
    """Workers want a server in their rack: it may not leave without them, nor they for nobody."""
    instance = Instance(
        nodes=racks(2),
        tasks=[
            Task(name="worker", replicas=3, groups=("w",), cost=Lookup(by="rack", values=COSTS)),
            Task(name="server", groups=("s",)),
        ],
        groups=[Group(name="w"), Group(name="s")],
        policies=[rules.Dependency(scope="rack", pairs=(("w", "s"),))],
        objective="assignment-cost",
    )
    placed = Placed(tables_of(instance), 0, np.array([0, 1, 0, 1, 2, 0]))
    placed.walk.setting[TEMPERATURE], placed.walk.setting[VIOLATION] = 1e-9, 1e6
    assert move_groups(placed) == 1
    assert (placed.state.node // NODES).tolist() == [1, 1, 1, 1]


def test_so_large_a_group_stays() -> None:
    names = [f"t{i}" for i in range(BUNDLE)]
    cost = Lookup(by="rack", values=COSTS)
    instance = Instance(
        nodes=racks(2),
        tasks=[Task(name=name, groups=(name,), cost=cost) for name in names],
        groups=[Group(name=name) for name in names],
        policies=[
            rules.Dependency(
                scope="rack", pairs=tuple(zip(names, names[1:] + names[:1], strict=True))
            )
        ],
        objective="assignment-cost",
    )
    placed = Placed(tables_of(instance), 0, np.array([*range(BUNDLE), *[0] * BUNDLE]))
    placed.walk.setting[TEMPERATURE], placed.walk.setting[VIOLATION] = 1e-9, 1e6
    assert move_groups(placed) == 0
    assert np.all(placed.state.node == 0)


def test_groups_are_tried_where_replicas_are_bound_and_nowhere_else() -> None:
    bound, free = crews([[1, 2], [2, 1]]), Instance(nodes=racks(2), tasks=[Task(name="t")])
    chances = [
        annealing.Annealing(tables_of(instance), Job(), None, lambda _: None)._chances()[GROUP]
        for instance in (bound, free)
    ]
    assert chances[0] > 0
    assert chances[1] == 0
