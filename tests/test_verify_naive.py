"""The checker against the naive one of `verify_naive` on random instances and placements."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from verify_naive import Naive, Run

from optalloc import policies as p
from optalloc.formulation.registry import policy_classes
from optalloc.instance.model import (
    Configuration,
    Energy,
    Group,
    Instance,
    Lookup,
    Node,
    Quantity,
    Resource,
    Task,
)
from optalloc.instance.placement import Placement
from optalloc.instance.policy import Number, Policy
from optalloc.objective import read_objective
from optalloc.verify import verify

POLICIES: tuple[Policy, ...] = (
    p.Capacity(),
    p.TransientCapacity(),
    p.Labels(),
    p.Gangs(),
    p.AssignmentCost(),
    p.SafetyCapacity(resource="cpu"),
    p.Balance(resource="cpu", against="mem", ratio=1.5),
    p.PeakLoad(resource="mem"),
    p.AntiAffinity(scope="rack", limit=1),
    p.AntiAffinity(kind="service", groups=("g0", "g1"), limit=0),
    p.Spread(scope="rack", domains=2),
    p.Spread(scope="node", domains={"g0": 3, "g1": 1}, kind="service"),
    p.Dependency(scope="rack", pairs=(("g0", "g1"), ("g2", "g0"))),
    p.Dependency(scope="node", pairs=(("g1", "g2"),)),
    p.Moves(),
    p.TaskMoveCost(),
    p.GroupMoveCost(),
    p.GroupMoveCost(groups=("g1",)),
    p.PairMoveCost(costs={"n0": {"n1": 2.5, "n0": 1}, "n1": {"n0": 4, "n1": 0.5}}),
    p.PairMoveCost(costs={"r0": {"r1": 3}, "r1": {"r0": 5, "r1": 1}}, by="rack"),
    p.Nodes(),
    p.Power(),
    p.Energy(),
    p.Cost(),
    p.Admitted(),
    p.Throughput(),
    p.Throughput(raw=True),
    p.MaxMin(),
    p.PowerCap(scope="rack", watts={"r0": 150.5, "r1": 200}),
    p.PowerCap(scope="node", watts=120),
    p.ResponseLimit(resource="cpu"),
    p.ResponseTime(resource="cpu"),
)
APART: tuple[Policy, ...] = (
    p.Span(scope="rack"),
    p.Span(scope="node", domains=2),
    p.Span(scope="node", groups=("g0",), kind="service"),
    p.Portion(scope="rack", least=2),
    p.Portion(scope="node", most=1, groups=("g0",), kind="service"),
    p.Portion(scope="rack", least=2, most=2, groups=("g1",)),
    p.UplinkLoad(scope="rack", capacity={"r0": 2, "r1": 3}, utilisation=0.5),
    p.UplinkLoad(scope="node", capacity=1),
    p.UplinkShare(scope="rack"),
    p.UplinkShare(scope="node"),
)
"""Policies that speak of gangs one by one."""
CROWDED = 63 / 64
"""Above this utilisation, response times are not followed."""


def small(*numbers: Number) -> st.SearchStrategy[Number]:
    return st.sampled_from(numbers)


@st.composite
def node_entries(draw: st.DrawFn) -> tuple[Node, ...]:
    """Two or three entries; the first has every attribute, the others may lack some."""
    entries = []
    for e in range(draw(st.integers(2, 3))):
        full = e == 0 or draw(st.booleans())
        entries.append(
            Node(
                name=f"n{e}",
                capacity={"cpu": draw(small(0, 4, 8)), "mem": draw(small(2, 5.5, 9))},
                safety={"cpu": draw(small(0, 2, 3))} if draw(st.booleans()) else {},
                device=draw(st.sampled_from(["gpu", "tpu"])) if full else "",
                devices=2 if full else 0,
                idle_w=draw(small(0, 100)),
                full_w=draw(small(100, 180)),
                price_h=draw(small(0, 3.6)),
                labels={"zone": draw(st.sampled_from(["z0", "z1"]))} if full else {},
                # The first two racks are there, so that policies can speak of them.
                domains={"rack": f"r{e}"} if e < 2 else {},
                count=draw(st.integers(1, 2)),
            )
        )
    return tuple(entries)


def quantities(entries: tuple[Node, ...]) -> st.SearchStrategy[Quantity]:
    number = small(0, 1, 2, 2.5, 3)
    lookup = st.builds(
        Lookup,
        by=st.sampled_from(["zone", "rack", "node", "device"]),
        values=st.fixed_dictionaries({}, optional={"z0": number, "r0": number, "n0": number}),
        default=number,
    )
    table: st.SearchStrategy[Quantity] = st.tuples(*[number] * len(entries))
    return st.one_of(number, lookup, table, st.just("shared"))


@st.composite
def configurations(draw: st.DrawFn, device: str) -> tuple[Configuration, ...]:
    return tuple(
        Configuration(
            name=f"c{c}",
            device=draw(st.sampled_from(["", device])),
            replicas=draw(st.integers(1, 2)),
            throughput=draw(small(1, 2, 4)),
            watts=draw(small(0, 50, 75)),
            demand=draw(st.sampled_from([{}, {"cpu": 2, "mem": 1}, {"mem": 3.5}])),
            within=draw(st.sampled_from(["", "", "rack", "node"])),
            per_node=draw(st.sampled_from([0, 0, 1])),
            traffic=draw(small(0, 1, 1.5)),
            sharing=draw(st.integers(0, 3)),
        )
        for c in range(draw(st.integers(1, 2)))
    )


@st.composite
def task_entries(draw: st.DrawFn, nodes: tuple[Node, ...], index: int, most: int) -> Task:
    names = [
        node.name if node.count == 1 else f"{node.name}/{i}"
        for node in nodes
        for i in range(node.count)
    ]
    rows: tuple[Configuration, ...] = ()
    if draw(st.booleans()):
        rows = draw(configurations(nodes[0].device))
    count, replicas = draw(st.integers(1, most)), 1 if rows else draw(st.integers(1, 3))
    current: str | tuple[str, ...] | None = draw(st.sampled_from([None, *names]))
    if current and not rows and draw(st.booleans()):
        size = count * replicas
        current = tuple(draw(st.lists(st.sampled_from(names), min_size=size, max_size=size)))
    lists = st.lists(st.sampled_from([nodes[0].labels["zone"]]), min_size=1, max_size=1)
    racks = st.lists(st.sampled_from([nodes[0].domains["rack"]]), min_size=1, max_size=1)
    entries = st.lists(st.sampled_from(["n0", "n1"]), min_size=1, unique=True)
    restrictions = st.fixed_dictionaries(
        {},
        optional={"zone": lists.map(tuple), "rack": racks.map(tuple), "node": entries.map(tuple)},
    )
    return Task(
        name=f"t{index}",
        demand={"cpu": draw(quantities(nodes)), "mem": draw(quantities(nodes))},
        cost=draw(quantities(nodes)),
        replicas=replicas,
        within=draw(st.sampled_from(["", "", "rack"])),
        per_node=draw(st.sampled_from([0, 0, 1, replicas])) if not rows else 0,
        configurations=rows,
        required=draw(st.booleans()),
        weight=draw(small(0, 1, 2)),
        reference=draw(st.sampled_from([None, 8])),
        work=draw(st.sampled_from([None, 2000])),
        allow=draw(restrictions),
        forbid=draw(restrictions),
        current=current,
        move_cost=draw(small(0, 1, 2.5)),
        requests_s=draw(small(0.5, 1, 4)),
        delay_s=draw(st.one_of(small(0, 0.25, 1), st.tuples(*[small(0, 0.5)] * len(nodes)))),
        response_s=draw(st.sampled_from([None, 0.25, 0.5, 1, 3])),
        groups=tuple(draw(st.lists(st.sampled_from(["g0", "g1", "g2"]), unique=True))),
        count=count,
    )


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    nodes, apart = draw(node_entries()), draw(st.booleans())
    most = 1 if apart else 2
    tasks = tuple(draw(task_entries(nodes, i, most)) for i in range(draw(st.integers(1, 4))))
    return Instance(
        resources={"cpu": Resource(), "mem": Resource(transient=True)},
        nodes=nodes,
        tasks=tasks,
        groups=(Group(name="g0", kind="service"), Group(name="g1", kind="service"),
                Group(name="g2")),
        tables={"shared": Lookup(by="rack", values={"r0": 2, "r1": 1.5}, default=0)},
        energy=Energy(horizon_s=1000, price_kwh=0.36, pue=1.25, share="cpu"),
        policies=POLICIES + APART * apart,
    )  # fmt: skip


@st.composite
def placed(draw: st.DrawFn) -> tuple[Instance, list[Run]]:
    """An instance and runs that mostly add up, but need not."""
    instance = draw(instances())
    names = list(Naive(instance, []).node_of)
    runs = []
    for task in instance.tasks:
        assert not isinstance(task.configurations, str)
        for row in task.configurations or (None,):
            chosen = draw(st.integers(0, task.count))
            size = chosen * (row.replicas if row else task.replicas)
            size += draw(st.sampled_from([0, 0, 0, 0, 1]))
            at = draw(st.lists(st.sampled_from(names), min_size=size, max_size=size))
            runs.append(Run(task, row, chosen, dict(Counter(at))))
    return instance, runs


def as_placement(instance: Instance, runs: list[Run]) -> Placement:
    """The runs are in the order of the rows."""
    index = instance.columns.node_index
    pairs = [(r, index[n], k) for r, run in enumerate(runs) for n, k in run.nodes.items()]
    table = np.array(pairs, np.int64).reshape(-1, 3)
    chosen = np.array([run.chosen for run in runs], np.int64)
    return Placement.of(chosen, table[:, 0], table[:, 1], table[:, 2])


@settings(
    max_examples=200,
    # Shrinking such a large case takes minutes.
    phases=[Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(placed())
def test_values_and_amounts_are_those_of_the_naive_checker(
    case: tuple[Instance, list[Run]],
) -> None:
    instance, runs = case
    naive = Naive(instance, runs)
    report = verify(instance, as_placement(instance, runs))
    objective = read_objective(instance)
    assert sum(v.amount for v in report.violations if v.rule == "placement") == naive.misplaced()
    columns = instance.columns
    for policy, label, value in zip(
        objective.policies, objective.labels, report.values, strict=True
    ):
        amount = sum(Fraction(v.amount) for v in report.violations if v.rule == label)
        if isinstance(policy, p.ResponseTime):
            if not any(
                naive.load("cpu", name) and naive.load("cpu", name) >= CROWDED * n.capacity["cpu"]
                for name, n in naive.node_of.items()
            ):
                # A line of slopes of three digits, above the curve by the stated error at most.
                least, measured = naive.value(policy), value * policy.quantum(columns)
                assert least * 995 / 1000 <= measured <= least * (1 + Fraction("0.025")), label
            continue
        expected = naive.value(policy)
        if isinstance(policy, p.ResponseLimit):
            # The amounts are in units, and floats are no exact multiples of a quantum of 0.1.
            assert abs(amount - expected) < Fraction("1e-9"), label
        elif isinstance(policy, p.Capacity | p.TransientCapacity):
            # Their value adds quanta of different resources; the amounts are in units.
            assert amount == expected, label
        elif isinstance(policy, p.Cost):
            # Money is rounded to quanta per node, row and replica.
            terms = sum(run.chosen + sum(run.nodes.values()) for run in runs) * 2 + 1
            quantum = policy.quantum(columns)
            assert abs(value * quantum - expected) <= terms * quantum, label
        else:
            assert value * policy.quantum(columns) == expected, label
        if policy.is_rule:
            assert (value > 0) == (amount > 0), label


def test_the_naive_checker_speaks_of_every_policy() -> None:
    assert {type(policy) for policy in POLICIES + APART} == set(policy_classes().values())
