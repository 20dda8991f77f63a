"""Gangs that share uplinks: average load, worst-case fair share, and the rows made for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_tables import JOB, PARAMETERS

from optalloc import Instance, InstanceError, Node, Task, solve
from optalloc import policies as p
from optalloc.instance.model import Configuration
from optalloc.instance.policy import Policy
from optalloc.instance.uplinks import crossing_kinds, traffic_of
from optalloc.physics.contention import (
    SharedLevel,
    SharedLink,
    crossed_uplinks,
    fit_contention,
    shared_configurations,
)
from optalloc.physics.interconnects import Interconnect
from optalloc.physics.measurements import Contended, read
from optalloc.topology.domains import derive
from optalloc.topology.generators import leaf_spine

ENGINES = ("milp", "cpsat", "cbc", "auto")
"""Those that prove the best placement of a few gangs."""
RAW = p.Throughput(raw=True)


def leaves(*devices: int) -> list[Node]:
    """Two nodes a leaf, with so many devices each."""
    return [
        Node(name=f"n{k}", device="gpu", devices=d, domains={"leaf": f"leaf{k // 2}"})
        for k, d in enumerate(devices)
    ]


THIRDS = leaves(2, 1, 2, 1, 1, 1)
"""Leaves of 3, 3 and 2 devices."""


def gang(name: str, *rows: Configuration, **fields: Any) -> Task:
    return Task(name=name, configurations=rows, required=False, **fields)


def row(replicas: int, throughput: float, **fields: Any) -> Configuration:
    stated = {"replicas": replicas, "throughput": throughput, **fields}
    return Configuration(name=f"{replicas} at {throughput:g}", device="gpu", **stated)


def optimum(nodes: list[Node], tasks: list[Task], rule: Policy, engine: str = "milp") -> float:
    instance = Instance(nodes=nodes, tasks=tasks, policies=[rule, RAW], objective="throughput")
    result = solve(instance, engine=engine, time_limit=20)
    assert result.status == "optimal"
    assert result.objective is not None
    return result.objective


# -- average load ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_one_of_two_gangs_that_cross_one_thin_uplink_is_left_out(engine: str) -> None:
    """Two gangs of 4 on leaves of 3, 3 and 2: both cross, and meet on an uplink at least."""
    tasks = [gang(name, row(4, 4, traffic=6e8)) for name in "ab"]

    def best(capacity: float) -> float:
        return optimum(THIRDS, tasks, p.UplinkLoad(scope="leaf", capacity=capacity), engine)

    assert best(12e8) == 8
    assert best(11e8) == 4
    assert best(5e8) == 0


def test_a_gang_stays_inside_where_an_uplink_carries_nothing() -> None:
    """The faster gang would cross the uplinks of both leaves; the other one fits into one."""
    tasks = [gang("a", row(3, 9, traffic=1)), gang("b", row(2, 3, traffic=1))]
    rule = p.UplinkLoad(scope="leaf", capacity={"leaf0": 0})
    assert optimum(leaves(1, 1, 1, 1), tasks, rule) == 3


def test_a_slower_row_sends_less() -> None:
    """Both gangs run only if one of them takes the row that sends half as much."""
    tasks = [gang(name, row(4, 4, traffic=2), row(4, 3, traffic=1)) for name in "ab"]
    assert optimum(THIRDS, tasks, p.UplinkLoad(scope="leaf", capacity=4, utilisation=0.75)) == 7
    assert optimum(THIRDS, tasks, p.UplinkLoad(scope="leaf", capacity=4)) == 8


def test_replicas_outside_of_all_domains_are_outside_of_each() -> None:
    nodes = [*leaves(1, 1), Node(name="far", device="gpu", devices=1)]
    tasks = [gang("a", row(3, 3, traffic=2), row(2, 1, traffic=2))]
    assert optimum(nodes, tasks, p.UplinkLoad(scope="leaf", capacity=1)) == 1


def test_rows_that_stay_in_a_leaf_send_nothing_over_its_uplink() -> None:
    rows = [row(2, 2, traffic=9, within="leaf"), row(2, 5, traffic=9, within="node")]
    rule = p.UplinkLoad(scope="leaf", capacity=0)
    assert optimum(leaves(1, 1), [gang("a", *rows)], rule) == 2


@pytest.mark.parametrize("engine", ["greedy", "local", "lns"])
def test_every_heuristic_keeps_the_uplinks(engine: str) -> None:
    """Of four gangs of 3 on leaves of 4, 4 and 1 two stay inside; a third one crosses if it may."""
    tasks = [gang(name, row(3, 3, traffic=1, sharing=1)) for name in "abcd"]
    for capacity in (0, 1):
        policies = [
            p.UplinkLoad(scope="leaf", capacity=capacity), p.UplinkShare(scope="leaf"), RAW
        ]  # fmt: skip
        instance = Instance(
            nodes=leaves(2, 2, 2, 2, 1, 0), tasks=tasks, policies=policies, objective="throughput"
        )
        result = solve(instance, engine=engine, time_limit=2, deterministic=True)
        assert result.verified
        assert result.objective == (9 if capacity and engine != "greedy" else 6)


def test_only_rows_that_can_be_partly_inside_are_told_apart() -> None:
    """Rows of one size that send as much are of one kind, unless they stay in a leaf."""
    rows = [
        row(2, 1, traffic=1),
        row(2, 2, traffic=1),
        row(2, 3, traffic=2),
        row(3, 4, traffic=2),
        row(1, 5, traffic=2),
        row(2, 6, traffic=1, within="leaf"),
        row(2, 7, traffic=1, within="node"),
        row(2, 8, traffic=1, within="half"),
        row(2, 9, traffic=1, within="pod"),
    ]
    # One of two halves of a leaf has a node of another leaf.
    half, pod = ["h0", "h1", "h1", "h2"], ["p0", "p0", "p0", "p0"]
    nodes = [
        Node(name=f"n{k}", device="gpu", devices=4, domains=domains)
        for k, domains in enumerate(
            {"leaf": f"leaf{k // 2}", "half": half[k], "pod": pod[k]} for k in range(4)
        )
    ]
    columns = Instance(nodes=nodes, tasks=[gang("a", *rows)]).columns

    def kinds(scope: str) -> list[int]:
        return [int(kind) for kind in crossing_kinds(columns, scope, traffic_of(columns)[0])]

    assert kinds("leaf") == [0, 0, 1, 2, -1, -1, -1, 0, 0]
    assert kinds("pod") == [0, 0, 1, 2, -1, -1, -1, -1, -1]
    assert kinds("node") == [0, 0, 1, 2, -1, 0, -1, 0, 0]


def test_nodes_of_a_leaf_are_merged_and_those_of_others_are_not() -> None:
    from optalloc.formulation.problem import Problem
    from optalloc.objective import read_objective

    nodes = leaves(*[1] * 8)
    rule = p.UplinkLoad(scope="leaf", capacity=1)
    instance = Instance(nodes=nodes, tasks=[gang("a", row(3, 1, traffic=1))], policies=[rule])
    problem = Problem(instance, read_objective(instance))
    assert problem.node_classes.count.tolist() == [2, 2, 2, 2]


# -- worst-case fair share ---------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_gangs_that_share_an_uplink_run_in_slower_rows(engine: str) -> None:
    """Two gangs have to cross: each at its rate for two. Where one may, it has all of the link."""
    rows = [row(4, 9, sharing=1), row(4, 6, sharing=2), row(4, 4, sharing=4)]
    tasks = [gang(name, *rows) for name in "abc"]

    rule = p.UplinkShare(scope="leaf")
    # Two gangs have a leaf each; a third one has the rest of both, and their uplinks to itself.
    assert optimum(leaves(3, 3, 3, 3), tasks[:2], rule, engine) == 18
    assert optimum(leaves(3, 3, 3, 3), tasks, rule, engine) == 27
    assert optimum(THIRDS, tasks[:2], rule, engine) == 12


def test_a_row_that_states_no_sharing_bears_any_number_but_counts() -> None:
    tasks = [gang("a", row(4, 4)), gang("b", row(4, 9, sharing=1), row(4, 3, sharing=2))]
    assert optimum(THIRDS, tasks, p.UplinkShare(scope="leaf")) == 9


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "fields", "path"),
    [
        (p.UplinkLoad(scope="rack", capacity=1), {}, "policies[0].scope"),
        (p.UplinkLoad(scope="leaf", capacity={"leaf7": 1}), {}, "policies[0].capacity.leaf7"),
        (p.UplinkLoad(scope="leaf", capacity=-1), {}, "policies[0].capacity"),
        (p.UplinkLoad(scope="leaf", capacity=1, utilisation=2), {}, "policies[0].utilisation"),
        (p.UplinkLoad(scope="leaf", capacity=1), {"count": 2}, "one by one; task a has a count"),
        (p.UplinkShare(scope="rack"), {}, "policies[0].scope"),
        (p.UplinkShare(scope="leaf"), {"count": 2}, "one by one; task a has a count"),
        (p.UplinkLoad(scope="leaf", capacity=1e30), {}, "traffic: expected numbers"),
    ],
)
def test_bad_input_is_told_with_its_path(policy: Policy, fields: dict[str, Any], path: str) -> None:
    huge = 1e30 if "traffic" in path else 1
    task = gang("a", row(2, 1, traffic=huge), row(3, 1, traffic=1), **fields)
    with pytest.raises(InstanceError) as caught:
        Instance(nodes=leaves(2, 2), tasks=[task], policies=[policy])
    assert path in str(caught.value)


@pytest.mark.parametrize("field", ["traffic", "sharing"])
def test_rows_send_and_bear_no_negative_numbers(field: str) -> None:
    with pytest.raises(InstanceError, match=rf"configurations\[0\].{field}"):
        Instance(nodes=leaves(2, 2), tasks=[gang("a", row(2, 1, **{field: -1}))])


# -- rows for shared uplinks -------------------------------------------------------------------


def test_an_even_share_of_a_thin_uplink_is_slow_and_of_a_wide_one_is_not() -> None:
    alone = Interconnect("fast", {2: [(1e6, 1e-3), (1e8, 2e-2)]})
    thin, wide = (SharedLevel(alone, uplink, groups=4) for uplink in (1e9, 1e13))
    assert thin.all_reduce(2, 1e8) == pytest.approx(4 * 1e8 / 1e9)
    assert wide.all_reduce(2, 1e8) == alone.all_reduce(2, 1e8)


def test_a_link_slows_those_beyond_what_it_carries() -> None:
    alone = Interconnect("fast", {2: [(1e6, 1e-3)]})
    times = [SharedLink(alone, 1.6, k).all_reduce(2, 1e6) for k in (1, 2, 4)]
    assert times == pytest.approx([1e-3, 1e-3 * 2 / 1.6, 1e-3 * 4 / 1.6])


def test_rows_say_for_how_many_groups_their_rate_holds() -> None:
    """Within a leaf no other group is in the way; across, each row is slower than that before."""
    domains = derive(leaf_spine(4, 4, bandwidth=5e9, latency=2e-6, oversubscription=4))
    assert domains.uplinks("leaf") == dict.fromkeys(domains.levels[1].names, 5e9)
    uplinks = crossed_uplinks(domains, ["leaf"])
    across = domains.levels[-1].name
    assert uplinks == {across: 5e9}
    levels = {
        "leaf": Interconnect("x", {4: [(1e8, 1e-3)]}),
        across: Interconnect("y", {4: [(1e6, 1e-3), (1e8, 2e-2)]}),
    }
    rows = shared_configurations(JOB, levels, PARAMETERS, uplinks)
    inside = [r for r in rows if r.within != across]
    assert inside
    assert all(r.sharing == 0 for r in inside)
    for size in (4, 16):
        mine = sorted(
            (r for r in rows if r.within == across and r.replicas == size), key=lambda r: r.sharing
        )
        rates = [r.throughput for r in mine]
        assert [r.sharing for r in mine][-1] == 8
        assert len(mine) > 1
        assert rates == sorted(set(rates), reverse=True)
        assert all(r.traffic > 0 for r in mine)


DATA = os.environ.get("OPTALLOC_DATA")


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="OPTALLOC_DATA does not name the public data")
def test_two_groups_on_a_measured_link_keep_what_those_left_out_say() -> None:
    """Each row predicted from the other all-reduces of its link: errors as noisy as the rows."""
    rows: list[Contended] = read(Contended, Path(DATA or "") / "gpu-calibration/contention.csv")
    carried = fit_contention(rows)
    assert carried["nvlink"] > 1.9
    assert 1.5 < carried["host-shared-memory"] < 1.75
    assert 1.7 < carried["tcp-loopback"] < 1.95
    errors: dict[str, list[float]] = {}
    for left_out in rows:
        kept = fit_contention([r for r in rows if r is not left_out])[left_out.interconnect] / 2
        errors.setdefault(left_out.interconnect, []).extend(
            abs(kept * alone / together - 1)
            for alone, together in (
                (left_out.a_alone_per_s, left_out.a_together_per_s),
                (left_out.b_alone_per_s, left_out.b_together_per_s),
            )
        )
    medians = {name: float(np.median(found)) for name, found in errors.items()}
    assert medians["nvlink"] < 0.14
    assert medians["host-shared-memory"] < 0.12
    assert medians["tcp-loopback"] < 0.06
