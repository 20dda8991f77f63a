"""Column generation where nodes are knapsacks: exact contents, prices and dives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_solving import knapsacks

from optalloc import Instance, Node, Task, solve
from optalloc.engines.auto import Request, Run
from optalloc.engines.columns import knapsack, pricing
from optalloc.engines.columns.descent import Fixed
from optalloc.engines.columns.dynamic import fill_best, items
from optalloc.engines.columns.loading import LoadedClasses, load_classes
from optalloc.engines.columns.master import Master
from optalloc.engines.columns.session import ColumnsSession
from optalloc.engines.columns.subgradient import STEPS, ascend, needed_at
from optalloc.engines.ledger import Ledger
from optalloc.engines.protocol import Bound, Clock, Incumbent, Job, Message
from optalloc.formulation.problem import Problem
from optalloc.generators import generate
from optalloc.objective import read_objective
from optalloc.verify import verify


def tight(tasks: int, nodes: int, seed: int) -> Instance:
    """Costs that fall with sizes, and little room: what relaxations say least about."""
    rng = np.random.default_rng(seed)
    size = rng.integers(5, 40, (tasks, nodes))
    cost = 45 - size + rng.integers(-5, 6, size.shape)
    room = (0.85 * size.sum(axis=0) / nodes).astype(int)
    return Instance(
        nodes=tuple(Node(name=f"n{k}", capacity={"cpu": int(room[k])}) for k in range(nodes)),
        tasks=tuple(
            Task(
                name=f"t{i}", demand={"cpu": tuple(size[i].tolist())}, cost=tuple(cost[i].tolist())
            )
            for i in range(tasks)
        ),
        objective="assignment-cost",
    )


def loaded(instance: Instance) -> LoadedClasses:
    """The tables of an instance."""
    return load_classes(Problem(instance, read_objective(instance)))


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-3, 20), st.integers(0, 3)), min_size=1, max_size=5
    ),
    st.integers(0, 30),
)
def test_a_filled_node_is_worth_the_most_that_any_content_is(
    blocks: list[tuple[int, int, int]], capacity: int
) -> None:
    tasks = [
        Task(name=f"t{i}", demand={"cpu": size}, count=most, required=False, weight=1 + i)
        for i, (size, _, most) in enumerate(blocks)
        if most
    ]
    instance = Instance(
        nodes=(Node(name="n", capacity={"cpu": capacity}),),
        tasks=(*tasks, Task(name="other", demand={"cpu": 1}, required=False)),
        objective="admitted",
    )
    tables = loaded(instance).model
    worth = dict(enumerate(value for _, value, most in blocks if most))
    value = np.array([worth.get(i, 1) for i in range(tables.blocks)])
    kinds = knapsack.kinds_of(tables, 1)
    node = pricing.new_node(tables, 0)
    found = fill_best(kinds, 0, node, value, tables.dealt[0])
    contents = product(*(range(most + 1) for most in tables.dealt[0].tolist()))
    size = tables.size[0, :, 0]
    best = max(int(value @ c) for c in map(np.array, contents) if size @ c <= capacity)
    replicas = node.arrays.replicas  # type: ignore[attr-defined]
    assert found == best == value @ replicas
    assert size @ replicas <= capacity


@given(st.lists(st.integers(0, 40), max_size=4))
def test_items_make_up_every_number_of_replicas_and_no_more(most: list[int]) -> None:
    listed = items(np.array(most, np.int64))
    for block, count in enumerate(most):
        sizes = listed[listed[:, 0] == block, 1]
        reached = {sum(chosen) for chosen in product(*((0, size) for size in sizes.tolist()))}
        assert reached == set(range(count + 1))


@pytest.mark.parametrize("seed", range(3))
def test_an_ascent_ends_near_the_best_bound_and_never_above_the_optimum(seed: int) -> None:
    instance = tight(24, 4, seed)
    tables = loaded(instance).model
    best = solve(instance, engine="milp", deterministic=True).objective
    assert best is not None
    unit = 1 << 20
    kinds, node = knapsack.kinds_of(tables, unit), pricing.new_node(tables, 0)
    bounds: list[float] = []

    def price(worth: np.ndarray) -> tuple[float, np.ndarray]:
        whole = (unit * worth).astype(np.int64)
        value = whole[None, :] - unit * tables.unary
        content = np.zeros_like(tables.most)
        gained = 0
        for t in range(tables.kinds):
            gained += fill_best(kinds, t, node, value[t], tables.dealt[t])
            content[t] = node.arrays.replicas  # type: ignore[attr-defined]
        bounds.append(float(whole.sum() - gained) / unit)
        return bounds[-1], content

    ascent = ascend(tables, price, np.zeros(tables.blocks), Clock(float("inf")))
    assert len(bounds) <= STEPS
    assert max(bounds) <= best
    assert max(bounds) >= 0.98 * best
    assert all((tables.size[:, :, 0] * c).sum(axis=1).max() > 0 for c in ascent.contents[:1])


def test_each_class_needs_the_replicas_of_its_cheapest_choice() -> None:
    tables = loaded(tight(6, 2, 0)).model
    assert np.array_equal(needed_at(tables, np.ones(tables.blocks)), np.ones(tables.blocks))


def test_a_content_fits_if_it_has_what_is_forced_and_nothing_forbidden() -> None:
    fixed = Fixed(np.ones((2, 3), bool), np.zeros((2, 3), bool))
    fixed.fix(1, 0)
    contents = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]], bool)
    assert fixed.fits(np.array([0, 0, 1, 1]), contents).tolist() == [False, True, True, False]


def test_forgotten_contents_can_come_again_and_the_rest_stays_as_it_was() -> None:
    tables = loaded(tight(8, 2, 0)).model
    master = Master(tables)
    contents = np.eye(tables.blocks, dtype=np.int64)
    kinds = np.arange(tables.blocks) % 2
    assert master.add(kinds, contents) == tables.blocks
    before = master.solve(float("inf"))
    kept = np.arange(tables.blocks) < 3
    master.keep(kept)
    assert len(master.kind) == len(master.content) == 3
    assert master.add(kinds, contents) == tables.blocks - 3
    after = master.solve(float("inf"))
    assert before is not None
    assert after is not None
    assert before.value == pytest.approx(after.value)


def test_banned_contents_are_not_taken_until_they_may_be_again() -> None:
    tables = loaded(tight(4, 2, 0)).model
    master = Master(tables)
    master.add(np.array([0, 1]), np.array([[1, 1, 0, 0], [0, 0, 1, 1]]))
    free = master.solve(float("inf"))
    banned = master.solve(float("inf"), banned=np.array([0]))
    again = master.solve(float("inf"))
    assert free is not None
    assert banned is not None
    assert again is not None
    assert free.often.tolist() == again.often.tolist() == [1, 1]
    assert banned.often[0] == 0
    assert banned.missing == pytest.approx(2)


@pytest.mark.parametrize("seed", range(3))
def test_dives_come_close_to_the_optimum_where_capacities_bind(seed: int) -> None:
    instance = tight(24, 4, seed)
    exact = solve(instance, engine="milp", deterministic=True)
    found = solve(instance, engine="columns", deterministic=True)
    assert exact.status == "optimal"
    assert exact.objective is not None
    assert found.placement is not None
    assert found.bound is not None
    assert found.objective is not None
    assert verify(instance, found.placement).feasible
    assert found.bound <= exact.objective <= found.objective <= 1.01 * exact.objective


def test_a_placement_and_its_values_tell_the_same() -> None:
    instance = knapsacks()
    tables = loaded(instance)
    placement = solve(instance, deterministic=True).placement
    assert placement is not None
    values = tables.values(placement)
    assert values is not None
    assert tables.placement(values).equals(placement)


def test_a_better_placement_from_elsewhere_is_gone_on_from() -> None:
    instance = tight(24, 4, 1)
    tables = loaded(instance)
    placement = solve(instance, engine="milp", deterministic=True).placement
    assert placement is not None
    told: list[Message] = []
    session = ColumnsSession(tables.model, Job(deterministic=True, hint=tables.values(placement)))
    session.minimise(0, (), float("inf"), told.append)
    assert any(isinstance(message, Bound) for message in told)
    values = [tables.model.level_value_at(0, m.values) for m in told if isinstance(m, Incumbent)]
    known = tables.values(placement)
    assert known is not None
    # What dives find after the first must be better than the optimum that is known: nothing is.
    assert min(values, default=np.inf) >= tables.model.level_value_at(0, known)


def test_without_time_for_any_bound_there_is_still_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("optalloc.engines.columns.session.ROOT_SHARE", 0.0)
    tables = loaded(knapsacks())
    told: list[Message] = []
    job = Job(deterministic=True)
    found = ColumnsSession(tables.model, job).minimise(0, (), 60.0, told.append)
    assert found.values is not None
    assert not any(isinstance(message, Bound) for message in told)


def test_auto_knows_knapsacks_that_can_be_filled_exactly_by_single_nodes_and_tasks() -> None:
    vast = Instance(
        nodes=tuple(Node(name=f"n{k}", capacity={"memory": 2**40 + k}) for k in range(2)),
        tasks=tuple(
            Task(name=f"t{i}", demand={"memory": 2**20 + i}, cost=(i, 1)) for i in range(9)
        ),
        objective="assignment-cost",
    )
    cases = (
        (tight(8, 3, 0), True),
        (generate("ai-cloud", 1, 20, 60), False),
        # No dynamic program has room for every capacity up to this.
        (vast, False),
    )
    for instance, single in cases:
        objective = read_objective(instance)
        request = Request("auto", 2, 0, deterministic=False, log=False, memory=None)
        run = Run(Ledger(instance, objective), Clock(60), request)
        run.problem = Problem(instance, objective)
        assert run._knapsacks() == single
